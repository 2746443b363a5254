"""The answer for its readers: terminal, JSON, JUnit, and one HTML page that opens offline."""

"""Real frames through real switches, in virtual time."""

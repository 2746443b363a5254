"""Ports side by side, on as many threads as there are."""

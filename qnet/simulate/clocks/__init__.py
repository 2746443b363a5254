"""Clocks: what their errors are, and what follows for the times that they show."""

"""Processes, sockets and folders of a run, and how they end with it."""

"""Replay: a long timeline, of which frames are watched wherever something changes."""

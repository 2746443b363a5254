"""Text to nouns and back: all faults of all files at once, at their lines; run folders."""

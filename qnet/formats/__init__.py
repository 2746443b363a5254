"""Formats of other programs: text in, nouns out, and back."""

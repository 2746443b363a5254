"""The nouns: what a file says, what a plan promises, what was seen."""

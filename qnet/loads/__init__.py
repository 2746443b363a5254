"""The highest load at which a network does what it must: bounds first, then as few trials as do."""

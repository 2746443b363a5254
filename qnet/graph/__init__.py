"""Routes, pairs and trees of them, the first k paths, and flows by linear programs."""

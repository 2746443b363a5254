"""The second witness: every frame of a run, in windows of network time."""

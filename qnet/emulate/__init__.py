"""The third witness: real frames through real switches under a real controller."""

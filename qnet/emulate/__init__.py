"""Emulation: real frames through real switches under a real controller, in virtual time."""

"""The two ways to emulate a plan, and what this machine can do of them."""

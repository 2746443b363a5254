"""A traffic generator: frames paced by ideal time, and what became of them on their way."""

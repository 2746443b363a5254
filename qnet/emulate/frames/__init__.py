"""Real frames, and the egress ports of the simulator around them."""

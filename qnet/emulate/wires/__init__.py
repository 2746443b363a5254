"""The link emulator: what wires and egress ports do, in virtual time, with real frames."""

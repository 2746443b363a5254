"""The inner loops of the simulator, on the tables of `qnet.simulate.world`."""

"""What every cycle of every port has left, and the search for room in it: one state for all."""

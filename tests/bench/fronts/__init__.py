"""Fronts to the searches of the scheduler for published sets, in whole cycles or slots."""

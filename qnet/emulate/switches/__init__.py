"""Private Open vSwitches, with devices and without, and what they say of their controller."""

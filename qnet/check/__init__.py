"""The exact, slow, independent judge of plans and of what witnesses saw."""

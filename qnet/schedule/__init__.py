"""From a topology and a profile to a plan: routes, reserved cycles, placed rates."""

from qnet.schedule.run import schedule

__all__ = ["schedule"]

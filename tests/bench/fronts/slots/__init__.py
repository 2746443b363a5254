"""Time-triggered frames in whole slots: streams are placed one by one, none is moved."""

from tests.bench.fronts.slots.plan import SlotPlan, SlotProblem, most_slots_mbps, plan_slots

__all__ = ["SlotPlan", "SlotProblem", "most_slots_mbps", "plan_slots"]

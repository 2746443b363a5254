"""Streams that come and go: admitted, released, changed and re-routed one by one or in batches."""

from qnet.schedule.online.audit import audit
from qnet.schedule.online.export import to_plan
from qnet.schedule.online.scheduler import Refusal, Requests, Rerouted, Scheduler

__all__ = ["Refusal", "Requests", "Rerouted", "Scheduler", "audit", "to_plan"]

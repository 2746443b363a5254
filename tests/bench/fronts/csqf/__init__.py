"""CSQF: TCQF with a free choice of extra cycles at each hop (draft-chen-detnet-csqf)."""

from tests.bench.fronts.csqf.plan import CyclePlan, CycleProblem, most_streams, plan_cycles

__all__ = ["CyclePlan", "CycleProblem", "most_streams", "plan_cycles"]

"""Answer whether a network keeps its microsecond promises and its ten terabits.

    import qnet

    result = qnet.run("qingyang", duration="5ms")
    assert result.passed, result.reasons

docs/python.md leads through it. What is here is loaded when it is asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from qnet.api import explain, judge, load, observe, plan, play, prove, run
    from qnet.comparison import diff
    from qnet.errors import (
        ArgumentError,
        Cancelled,
        EnvironmentMissing,
        Infeasible,
        InputError,
        QnetError,
    )
    from qnet.loads.activation import activation_test
    from qnet.loads.benchmark import benchmark
    from qnet.loads.run import load_limit
    from qnet.model.scenario import Scenario
    from qnet.model.timeline import Event, cut, down, event, repair, up
    from qnet.progress import Progress, Quiet
    from qnet.replays.reacting import replay_to_controller
    from qnet.replays.run import replay
    from qnet.result import Result
    from qnet.schedule.reservations import Reservations
    from qnet.sweeps.run import merge, sweep

__all__ = [
    "ArgumentError",
    "Cancelled",
    "EnvironmentMissing",
    "Event",
    "Infeasible",
    "InputError",
    "Progress",
    "QnetError",
    "Quiet",
    "Reservations",
    "Result",
    "Scenario",
    "activation_test",
    "benchmark",
    "cut",
    "diff",
    "down",
    "event",
    "explain",
    "judge",
    "load",
    "load_limit",
    "merge",
    "observe",
    "plan",
    "play",
    "prove",
    "repair",
    "replay",
    "replay_to_controller",
    "run",
    "sweep",
    "up",
]

_MODULES = {
    "Progress": "qnet.progress",
    "Quiet": "qnet.progress",
    "Reservations": "qnet.schedule.reservations",
    "Result": "qnet.result",
    "Scenario": "qnet.model.scenario",
    "diff": "qnet.comparison",
    "activation_test": "qnet.loads.activation",
    "benchmark": "qnet.loads.benchmark",
    "load_limit": "qnet.loads.run",
    "replay": "qnet.replays.run",
    "replay_to_controller": "qnet.replays.reacting",
    "merge": "qnet.sweeps.run",
    "sweep": "qnet.sweeps.run",
    **dict.fromkeys(("Event", "cut", "down", "event", "repair", "up"), "qnet.model.timeline"),
    **dict.fromkeys(
        (
            "ArgumentError",
            "Cancelled",
            "EnvironmentMissing",
            "Infeasible",
            "InputError",
            "QnetError",
        ),
        "qnet.errors",
    ),
}
"""Where names are that `qnet.api` has not."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'qnet' has no attribute '{name}'")
    found = getattr(import_module(_MODULES.get(name, "qnet.api")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

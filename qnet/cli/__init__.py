"""The command `qnet`: verbs over the same files.

Results go to standard output, all else to standard error. Exit codes: 0 the network keeps its
promises, 1 it does not, 2 the input is wrong, 3 this machine lacks something, 70 qnet is at fault;
130 and 143 somebody ended the command (128 and the signal's number).

Rooms are imported inside the verbs: numba alone takes half a second to load.
"""

from qnet.cli.early import loading

with loading():
    from qnet.cli import (
        about,
        answers,
        emulation,
        gates,
        generator,
        loads,
        projects,
        replays,
        sweep,
    )
    from qnet.cli.command import main

__all__ = [
    "about",
    "answers",
    "emulation",
    "gates",
    "generator",
    "loads",
    "main",
    "projects",
    "replays",
    "sweep",
]

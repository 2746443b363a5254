"""The command `qnet`: verbs over the same files.

Results go to standard output, all else to standard error. Exit codes: 0 the network keeps its
promises, 1 it does not, 2 the input is wrong, 3 this machine lacks something.

Rooms are imported inside the verbs: numba alone takes half a second to load.
"""

from qnet.cli import about, answers, emulation, gates
from qnet.cli.door import main

__all__ = ["about", "answers", "emulation", "gates", "main"]

"""Do the job that lies in a folder, and leave the result there."""

from __future__ import annotations

import pickle
import signal
import sys
from pathlib import Path

from qnet.emulate.process.watch import Guard, blaming
from qnet.emulate.tiers.mininet import JOB, RESULT, Emulated
from qnet.emulate.tiers.mininet_child.job import Job
from qnet.emulate.tiers.mininet_child.run import run
from qnet.errors import QnetError


def main() -> None:
    """Run the job in the folder that the command line names."""
    folder = Path(sys.argv[1])
    with (folder / JOB).open("rb") as file:
        topology, profile, plan, strides, options = pickle.load(file)
    if options.cli:
        # It was blocked up to here. What is started from now on hears it again.
        signal.signal(signal.SIGINT, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    result: Emulated | QnetError
    try:
        with Guard(folder) as guard, blaming(guard.parts):
            result = run(Job(folder, topology, profile, plan, strides, options, guard))
    except QnetError as error:
        result = error
    new = folder / (RESULT + ".new")
    with new.open("wb") as file:
        pickle.dump(result, file)
    new.replace(folder / RESULT)


if __name__ == "__main__":
    main()

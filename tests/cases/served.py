"""A `qnet` that has its rooms loaded already: a copy of one process answers each call.

    python -m tests.cases.served FOLDER

loads what the verbs load, makes FOLDER/qnet, says so, and serves its calls until its standard input
is closed. A call has the caller's arguments, folder and streams; all else is as in `qnet`: `main`
runs in a new process. A caller whose environment is not that of the server, or that has a terminal,
runs the command itself.
"""

from __future__ import annotations

import json
import os
import pkgutil
import select
import signal
import socket
import sys
import traceback
from importlib import import_module
from pathlib import Path

import numpy as np

ROOMS = (
    "api", "check", "cli", "files", "formats", "graph", "interchange", "layers", "model", "report",
    "schedule", "simulate",
)  # fmt: skip

CALLER = """\
#!{python} -SE
import json, os, socket, sys
own = {{name: text for name, text in os.environ.items() if name not in {ignored}}}
if own != json.loads({environment!r}) or any(os.isatty(one) for one in (0, 1, 2)):
    os.execv({command!r}, [{command!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as server:
    server.connect({path!r})
    words = json.dumps([os.getcwd(), sys.argv[1:]]).encode()
    socket.send_fds(server, [len(words).to_bytes(8, "big") + words], [0, 1, 2])
    answer = server.recv(8)
sys.exit(int(answer) if answer else "the server of qnet is gone")
"""
IGNORED = ("_", "PWD", "OLDPWD", "SHLVL", "PATH", "PORT")


def load_rooms() -> None:
    """Import what verbs import, and have numba ready to take code from its cache."""
    for room in ROOMS:
        module = import_module(f"qnet.{room}")
        for one in pkgutil.walk_packages(getattr(module, "__path__", ()), f"qnet.{room}."):
            import_module(one.name)
    import_module("qnet.kernel").read_shared(np.zeros(1, dtype=np.int64), 0)


def write_caller(folder: Path, path: str) -> None:
    own = {name: text for name, text in os.environ.items() if name not in IGNORED}
    command = str(Path(sys.executable).with_name("qnet"))
    text = CALLER.format(
        python=sys.executable, ignored=IGNORED, environment=json.dumps(own), command=command,
        path=path,
    )  # fmt: skip
    made = folder / "qnet"
    made.write_text(text)
    made.chmod(0o755)


def answer(caller: socket.socket) -> None:
    """Run one call in a process of its own, and end it when the caller is gone."""
    head, streams, _, _ = socket.recv_fds(caller, 1 << 20, 3)
    while len(head) < 8 + int.from_bytes(head[:8], "big"):
        head += caller.recv(1 << 20)
    folder, arguments = json.loads(head[8:])
    child = os.fork()
    if child == 0:
        caller.close()
        run(folder, arguments, streams)
    process, gone = os.pidfd_open(child), caller.fileno()
    if process not in select.select([process, gone], [], [])[0]:
        os.kill(child, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    caller.send(str(code if code >= 0 else 128 - code).encode())


def run(folder: str, arguments: list[str], streams: list[int]) -> None:
    """Be `qnet` with these arguments, to the end of the process."""
    code: object = 70
    try:
        os.chdir(folder)
        for to, given in enumerate(streams):  # sys.stdout and its like go by these numbers
            os.dup2(given, to)
            os.close(given)
        sys.argv = ["qnet", *arguments]
        import_module("qnet.cli").main()
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        for one in (sys.stdout, sys.stderr):
            one.flush()
        os._exit(code if isinstance(code, int) else 1)


def main() -> None:
    folder = Path(sys.argv[1])
    load_rooms()
    with socket.socket(socket.AF_UNIX) as door:
        path = str(folder / "s")
        door.bind(path)
        door.listen()
        write_caller(folder, path)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for what answers
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while sys.stdin not in select.select([sys.stdin, door], [], [])[0]:
            caller, _ = door.accept()
            with caller:
                if os.fork() == 0:
                    door.close()
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    try:
                        answer(caller)
                    finally:
                        os._exit(0)


if __name__ == "__main__":
    main()

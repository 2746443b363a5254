"""A hub over OpenFlow 1.3 without any framework, and its misdeeds, a program: MODE.

It writes its port, then serves switches: what comes is flooded. MODE is well, or what it does:

    killed=N     ends by SIGKILL at the N-th packet-in
    slow=S       answers everything S seconds late
    garbage=N    answers the N-th packet-in, and all later ones, with bytes that are no OpenFlow
    early        says garbage instead of hello
    version=N    says hello in version N on the wire alone
    cut=N        answers the N-th packet-in with half of a message and no more
    rules=N      lays N rules in each switch before the one that floods
    mute         takes connections and says nothing
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import sys
import threading
import time

HELLO, ECHO, ECHOED, FEATURES, PACKET_IN, PACKET_OUT, FLOW_MOD = 0, 2, 3, 5, 10, 13, 14
FLOOD, CONTROLLER, NO_BUFFER = 0xFFFFFFFB, 0xFFFFFFFD, 0xFFFFFFFF
GARBAGE = b"\xde\xad\xbe\xef" * 16


def message(kind: int, body: bytes = b"", version: int = 4) -> bytes:
    return struct.pack("!BBHI", version, kind, 8 + len(body), 1) + body


def output(port: int) -> bytes:
    return struct.pack("!HHIH6x", 0, 16, port, 0xFFFF)


def rule(priority: int, match: bytes, port: int | None) -> bytes:
    """Return a flow-mod that adds an entry; None drops."""
    length = 4 + len(match)
    padded = struct.pack("!HH", 1, length) + match + bytes(-length % 8)
    head = struct.pack("!QQBBHHHIIIHxx", 0, 0, 0, 0, 0, 0, priority, NO_BUFFER, 0, 0, 0)
    actions = b"" if port is None else struct.pack("!HH4x", 4, 24) + output(port)
    return message(FLOW_MOD, head + padded + actions)


def address_rule(number: int) -> bytes:
    """Return an entry that drops what is for one more MAC address."""
    match = struct.pack("!I", 0x80000606) + (0x02AA << 32 | number).to_bytes(6, "big")
    return rule(9, match, None)


class Hub:
    """One connection of a switch."""

    count = 0

    def __init__(self, end: socket.socket, mode: str) -> None:
        self.end = end
        self.name, _, value = mode.partition("=")
        self.value = float(value or 0)

    def serve(self) -> None:
        if self.name == "mute":
            return
        version = int(self.value) if self.name == "version" else 4
        self.say(GARBAGE if self.name == "early" else message(HELLO, version=version))
        self.say(message(FEATURES))
        rest = b""
        while data := self.end.recv(1 << 16):
            rest += data
            while len(rest) >= 8 and len(rest) >= (length := int.from_bytes(rest[2:4], "big")):
                self.take(rest[1], rest[:length])
                rest = rest[length:]

    def take(self, kind: int, whole: bytes) -> None:
        if kind == ECHO:
            self.say(message(ECHOED, whole[8:]))
        elif kind == FEATURES + 1:
            if self.name == "rules":
                self.say(b"".join(address_rule(one) for one in range(int(self.value))))
            self.say(rule(0, b"", CONTROLLER))
        elif kind == PACKET_IN:
            self.packet_in(whole)

    def packet_in(self, whole: bytes) -> None:
        Hub.count += 1
        due = Hub.count >= self.value
        if self.name == "killed" and due:
            os.kill(os.getpid(), signal.SIGKILL)
        length = int.from_bytes(whole[26:28], "big")
        in_port = int.from_bytes(whole[32:36], "big")
        data = whole[24 + length + -length % 8 + 2 :]
        actions = output(FLOOD)
        body = struct.pack("!IIH6x", NO_BUFFER, in_port, len(actions)) + actions + data
        answer = message(PACKET_OUT, body)
        if self.name == "garbage" and due:
            answer = GARBAGE
        elif self.name == "cut" and due:
            answer = answer[: len(answer) // 2] if self.value == Hub.count else b""
        self.say(answer)

    def say(self, data: bytes) -> None:
        if self.name == "slow":
            time.sleep(self.value)
        self.end.sendall(data)


def main() -> None:
    """Serve as the command line says."""
    mode = sys.argv[1] if len(sys.argv) > 1 else "well"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()
        while True:
            end, _ = listener.accept()
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_served, args=(Hub(end, mode),), daemon=True).start()


def _served(hub: Hub) -> None:
    with contextlib.suppress(OSError):
        hub.serve()


if __name__ == "__main__":
    main()

"""Where a controller listens: read as people write it, in the words of Open vSwitch."""

from __future__ import annotations

import contextlib
import ipaddress
import re
import socket
from pathlib import Path

from qnet.emulate.process.watch import is_stopped

EXAMPLE = "write it like 'tcp:127.0.0.1:6653' or 'tcp:[::1]:6653', or with ssl: for TLS"

TRY_S = 0.3
"""For each of several addresses that a name has, to find the one where somebody listens."""


def read_address(text: str) -> str:
    """Read tcp:HOST:PORT, or ssl:HOST:PORT, and return it with the host's number.

    Raises ValueError, with what would be right. Of several addresses of a name, the first is taken
    at which somebody listens, or else the first of IPv4.
    """
    found = re.fullmatch(r"(tcp|ssl):(\[[^\[\]]+\]|[^:\[\]\s]+):([0-9]{1,5})", text)
    if found is None or not 0 < int(found[3]) < 65536:
        bare = re.fullmatch(r"(tcp|ssl):([0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*):([0-9]+)", text)
        right = f"'{bare[1]}:[{bare[2]}]:{bare[3]}'" if bare else ""
        hint = f"; an IPv6 address goes in brackets: {right}" if bare else ""
        raise ValueError(f"'{text}' is not an address; {EXAMPLE}{hint}")
    scheme, host, port = found[1], found[2].strip("[]"), int(found[3])
    with contextlib.suppress(ValueError):
        return _written(scheme, str(ipaddress.ip_address(host)), port)
    try:
        every = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ValueError(f"'{host}' has no address: {error}") from None
    hosts = list(
        dict.fromkeys(
            str(address[0]) for *_, address in sorted(every, key=lambda one: one[0] != AF_INET)
        )
    )
    chosen = next((one for one in hosts if len(hosts) > 1 and _listens(one, port)), hosts[0])
    return _written(scheme, chosen, port)


AF_INET = socket.AF_INET


def split(target: str) -> tuple[str, int]:
    """Return host and port of what `read_address` gave."""
    host, _, port = target.partition(":")[2].rpartition(":")
    return host.strip("[]"), int(port)


def _written(scheme: str, host: str, port: int) -> str:
    return f"{scheme}:[{host}]:{port}" if ":" in host else f"{scheme}:{host}:{port}"


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), TRY_S).close()
    except OSError:
        return False
    return True


def stopped_listener(target: str) -> int | None:
    """Return the process of this machine that listens there, if it has been stopped (SIGSTOP).

    Its connections stand, and the kernel even takes new ones for it.
    """
    _, port = split(target)
    sockets = {
        fields[9]
        for table in ("tcp", "tcp6")
        for fields in _table(Path("/proc/net") / table)
        if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port
    }
    for process in Path("/proc").glob("[0-9]*") if sockets else ():
        if not is_stopped(int(process.name)):
            continue
        with contextlib.suppress(OSError):
            held = {str(one.readlink()) for one in (process / "fd").iterdir()}
            if held & {f"socket:[{one}]" for one in sockets}:
                return int(process.name)
    return None


def _table(path: Path) -> list[list[str]]:
    try:
        return [line.split() for line in path.read_text().splitlines()[1:]]
    except OSError:
        return []

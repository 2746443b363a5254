"""Cases on a cluster of Dask workers (extra `cluster`); how a case is answered knows nothing of it.

Workers run whatever reaches their scheduler, which asks nobody who he is: so only a scheduler of
this machine is spoken to, unless files for TLS are given. What is the same for all cases is one
task, so that it is made again when the worker that has it dies. A worker gets one case at a time. A
case whose worker died is tried alone once more, so that no other is taken for the one that kills.
"""

from __future__ import annotations

import ipaddress
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from importlib import import_module
from pickle import dumps, loads
from threading import Lock
from typing import Any, NamedTuple

from qnet import __version__
from qnet.errors import ArgumentError, EnvironmentMissing, Problem
from qnet.progress import Heeded
from qnet.sweeps.pool import Died

LOOK_S = 0.2
CONNECT_S = 10


class Security(NamedTuple):
    """Files for TLS: who may be trusted, this side's certificate and its key."""

    ca: str
    certificate: str
    key: str


def in_cluster(
    function: Callable[[Any, Any], object],
    work: object,
    items: Sequence[object],
    address: str,
    security: Security | None,
    heeded: Heeded,
) -> Iterator[tuple[int, object]]:
    """Yield the place of each item and its answer, or `Died`, as they come.

    Raises ArgumentError for an address that would need TLS, EnvironmentMissing where there is no
    scheduler, no worker, or one of another version, and Cancelled.
    """
    _check_address(address, security)
    client = _client(address, security)
    try:
        workers = _check_workers(client, address)
        yield from _answers(client, function, dumps(work), items, workers, heeded)
    finally:
        client.close()


def _check_address(address: str, security: Security | None) -> None:
    """Refuse to send functions and data to another machine that cannot say who it is."""
    scheme, _, place = address.partition("://")
    host = place.rpartition(":")[0].strip("[]")
    words = None
    if scheme not in ("tcp", "tls") or not host:
        words = f"'{address}' is no address of a scheduler; write it like 'tcp://127.0.0.1:8786'"
    elif (scheme == "tls") != (security is not None):
        words = "'tls://' goes with files for TLS, and they with it"
    elif security is None and not _is_loopback(host):
        words = (
            f"{host} is another machine: whoever reaches a scheduler runs code; give files for TLS"
        )
    if words is not None:
        raise ArgumentError([Problem("cluster", 0, 0, "", words)])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _dask() -> Any:
    """Return Dask distributed, which has no types."""
    try:
        return import_module("distributed")
    except ImportError:
        words = "a cluster needs Dask: pip install 'qnet-emulator[cluster]'"
        raise EnvironmentMissing(words) from None


def _client(address: str, security: Security | None) -> Any:
    dask = _dask()
    files = None
    if security is not None:
        files = dask.Security(
            require_encryption=True,
            tls_ca_file=security.ca,
            tls_client_cert=security.certificate,
            tls_client_key=security.key,
        )
    try:
        return dask.Client(address, security=files, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise EnvironmentMissing(f"no scheduler at {address}: {error}") from None


def _check_workers(client: Any, address: str) -> int:
    """Count the workers; refuse versions that would answer otherwise."""
    versions = client.run(version)
    if not versions:
        raise EnvironmentMissing(f"the scheduler at {address} has no workers")
    others = sorted({one for one in versions.values() if one != version()})
    if others:
        words = f"its workers have qnet {', '.join(others)}, this is {version()}"
        raise EnvironmentMissing(f"{address}: {words}")
    try:
        client.get_versions(check=True)
    except ValueError as error:
        raise EnvironmentMissing(f"{address}: {error}") from None
    return len(versions)


def version() -> str:
    """Return the version of qnet that a worker has."""
    return __version__


def _answers(
    client: Any,
    function: Callable[[Any, Any], object],
    work: bytes,
    items: Sequence[object],
    workers: int,
    heeded: Heeded,
) -> Iterator[tuple[int, object]]:
    """Keep every worker at one case; then try alone what died with its worker."""
    dask = _dask()
    name = sha256(work).hexdigest()[:16]
    whole = client.submit(_whole, work, key=f"qnet-work-{name}")
    waiting, alone = deque(range(len(items))), deque[int]()
    flying: dict[Any, int] = {}
    tried: set[int] = set()
    done = dask.as_completed(loop=client.loop)
    while waiting or alone or flying:
        source, most = (waiting, workers) if waiting or flying else (alone, 1)
        while source and len(flying) < most:
            place = source.popleft()
            key = f"qnet-{name}-{sha256(dumps(items[place])).hexdigest()}-{place in tried}"
            future = client.submit(_answer, function, name, whole, items[place], key=key)
            flying[future] = place
            done.add(future)
        heeded.look()
        future = _next(done, heeded)
        place = flying.pop(future)
        if future.status == "finished":
            yield place, future.result()
        elif isinstance(future.exception(), dask.KilledWorker):
            if place in tried:
                yield place, Died("kills its process: every worker that tried died")
            else:
                tried.add(place)
                alone.append(place)
        else:
            raise EnvironmentMissing(f"the cluster lost a case: {future.exception()}")
        future.release()


def _next(done: Any, heeded: Heeded) -> Any:
    """Wait for the next answer, and ask now and then whether anybody wants it."""
    while not done.queue.qsize():
        heeded.look()
        with done.thread_condition:
            if not done.queue.qsize():
                done.thread_condition.wait(timeout=LOOK_S)
    return next(done)


def _whole(work: bytes) -> bytes:
    return work


_known: dict[str, Any] = {}
_lock = Lock()


def _answer(function: Callable[[Any, Any], object], name: str, work: bytes, item: object) -> object:
    """Answer in a worker: the work is taken apart once, and one case is looked at at a time."""
    with _lock:
        if name not in _known:
            _known.clear()
            _known[name] = loads(work)
        return function(_known[name], item)

"""Stand between switches and their controller: pass bytes on, tell who listens, hold them up.

Switches connect to a port each of this machine, or to Unix sockets, and whoever opened the relay
passes each connection on to where the controller listens: as it came, whatever it is, and how it
ended. A path in the file system leads out of a network namespace, where an address does not; but
over a Unix socket Open vSwitch asks a silent controller for no sign of life. All of it is a thread
of the process: nothing is left when that is killed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from qnet.emulate.process.address import split
from qnet.emulate.process.all_or_nothing import AllOrNothing
from qnet.emulate.process.tls import (
    HANDSHAKE_S,
    RECORD_OF_ALERT,
    TlsFiles,
    context_for,
    fault,
    speaks_tls,
)

SOCKET = "controller.sock"
"""Of switches that are not told apart, in a run's folder."""

CLOSE_S = 1.0
"""For what is on its way when the relay ends."""

EARLY_S = 1e-4
"""What is held is passed on when it is due within this time."""

HELLO = 0
"""Kind of the first message of either side, in all versions."""

WANTS_TLS = "it wants TLS; write it like ssl:HOST:PORT"

By = Literal["switch", "controller", "relay"]


class Listener(Protocol):
    """Who is told what goes through a relay, in the relay's thread; times are monotonic."""

    def opened(self, switch: str, connection: int, time_s: float) -> None:
        """Take note that a switch has connected."""

    def came(
        self, switch: str, connection: int, time_s: float, from_switch: bool, data: bytes
    ) -> None:
        """Take note of bytes from the switch, or from its controller."""

    def closed(self, switch: str, connection: int, time_s: float, by: By) -> None:
        """Take note that a connection is over, and who ended it first."""


class Sieve(Protocol):
    """Who keeps messages of a controller from its switches, and answers them; in the thread too."""

    def sift(
        self, switch: str, connection: int, from_switch: bool, data: bytes
    ) -> tuple[bytes, bytes]:
        """Return what of the bytes is passed on, and what the controller is answered."""


class Relay(AllOrNothing):
    """Listens while it is open; a context manager.

    `paths` are Unix sockets, by the names of their switches, and `controller` is where connections
    go, as in tcp:127.0.0.1:6653. Where nobody listens there, a connection is closed again, and the
    switch tries anew a little later. With a controller at ssl:HOST:PORT the relay speaks TLS, by
    the files of `tls`; switches and listener do not notice. Raises ArgumentError for such files.
    """

    def __init__(
        self,
        paths: Mapping[str, Path],
        controller: str,
        listener: Listener | None = None,
        tls: TlsFiles | None = None,
    ) -> None:
        self.paths = dict(paths)
        self._files = tls or TlsFiles(Path())
        self._tls = context_for(controller, tls)
        self._host, self._port = split(controller)
        self.listener = listener
        self.refusal = ""
        """Why the last connection could not be passed on; empty when it could."""
        self.wrong = ""
        """Why none will be, as long as controller and files are what they are."""
        self.delay_s = 0.0
        """What the controller says comes to the switches so much later."""
        self.away = False
        """No connection is taken."""
        self.sieve: Sieve | None = None
        """What goes through it goes through this."""
        self.loop = asyncio.new_event_loop()
        self.open: set[_Connection] = set()
        self.count = 0
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._servers: list[asyncio.Server] = []

    def _start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self.loop).result()

    def close(self) -> None:
        """End all connections; may be called again."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
        for path in self.paths.values():
            path.unlink(missing_ok=True)

    def listen(self, switch: str) -> str:
        """Listen at a port for one more switch; return where, in the words of Open vSwitch."""
        one = socket.create_server(("127.0.0.1", 0))
        asyncio.run_coroutine_threadsafe(self._listen_at(switch, one), self.loop).result()
        return f"tcp:127.0.0.1:{one.getsockname()[1]}"

    def send_away(self) -> None:
        """End all connections and take none until `take_back`; returns when it is done."""
        asyncio.run_coroutine_threadsafe(self._send_away(), self.loop).result()

    def take_back(self) -> None:
        """Take connections again."""
        self.away = False

    async def dial(self, connection: _Connection) -> None:
        """Connect to the controller for a switch."""
        try:
            await self.loop.create_connection(
                lambda: _Side(connection, from_switch=False),
                self._host,
                self._port,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_S if self._tls else None,
                ssl_shutdown_timeout=CLOSE_S if self._tls else None,
            )
        except OSError as error:
            self.failed(error)
            connection.end("controller")
            return
        self.refusal = ""

    def failed(self, error: Exception | None) -> None:
        """Take note of why a connection to the controller came to nothing, or to its end."""
        if self._tls is not None and (words := fault(error, self._files)):
            self.wrong = self.refusal = words
        elif error is not None:
            refused = isinstance(error, ConnectionRefusedError)
            self.refusal = "connection refused" if refused else str(error)

    def heard(self, data: bytes) -> None:
        """Look at the first that a controller says over a connection."""
        self.wrong = ""
        if self._tls is None and data.startswith(RECORD_OF_ALERT):
            self.wrong = WANTS_TLS
        elif len(data) > 1 and data[1] != HELLO:
            self.wrong = f"what it says first is no hello of OpenFlow: {data[:16].hex(' ')}"

    def wants_tls(self) -> bool:
        """Find out whether a controller that has said nothing would say it in TLS."""
        return self._tls is None and speaks_tls(self._host, self._port)

    async def _send_away(self) -> None:
        self.away = True
        for one in list(self.open):
            one.end("relay")

    async def _listen(self) -> None:
        for switch, path in self.paths.items():
            await self._listen_at(switch, _bound(path))

    async def _listen_at(self, switch: str, at: socket.socket) -> None:
        def begin() -> _Side:
            return _Connection(self, switch).near

        if at.family == socket.AF_UNIX:
            server = await self.loop.create_unix_server(begin, sock=at)
        else:
            server = await self.loop.create_server(begin, sock=at)
        self._servers.append(server)

    async def _end(self) -> None:
        for server in self._servers:
            server.close()
        for one in list(self.open):
            one.end("relay")
        end = time.monotonic() + CLOSE_S
        while self.open and time.monotonic() < end:
            await asyncio.sleep(0.001)


class _Connection:
    """One connection of a switch, both ways."""

    def __init__(self, relay: Relay, switch: str) -> None:
        relay.count += 1
        self.relay, self.switch, self.number = relay, switch, relay.count
        self.near = _Side(self, from_switch=True)
        self.far: _Side | None = None
        self._is_over = False
        self._has_heard = False
        self._held: deque[tuple[float, bytes]] = deque()
        """What the controller said, until it is due; b'' is its end."""
        self._dial: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Look for the controller: the switch has connected."""
        self.relay.open.add(self)
        if self.relay.away:
            self.end("relay")
            return
        self.near.transport.pause_reading()
        self._dial = self.relay.loop.create_task(self.relay.dial(self))

    def joined(self, far: _Side) -> None:
        """Pass on what comes: the controller has taken the connection."""
        self.far = far
        if self.relay.listener is not None:
            self.relay.listener.opened(self.switch, self.number, time.monotonic())
        self.near.transport.resume_reading()

    def came(self, side: _Side, data: bytes) -> None:
        """Pass bytes on to the other side; none are the end of what this one says."""
        now = time.monotonic()
        if data and not side.from_switch and not self._has_heard:
            self._has_heard = True
            self.relay.heard(data)
        if not data:
            self._tell_end("switch" if side.from_switch else "controller")
        elif self.relay.sieve is not None:
            data = self._sifted(self.relay.sieve, side, data, now)
            if not data:
                return
        else:
            self._tell(now, side.from_switch, data)
        if side.from_switch:
            _write(self.far, data)
        elif self.relay.delay_s or self._held:
            self._held.append((now + self.relay.delay_s, data))
            self._wait()
        else:
            _write(self.near, data)
        if self.far is not None and self.near.has_ended and self.far.has_ended:
            self.end(None)

    def _sifted(self, sieve: Sieve, side: _Side, data: bytes, now: float) -> bytes:
        """Return what of bytes is to be passed on; what is not is answered."""
        passed, answer = sieve.sift(self.switch, self.number, side.from_switch, data)
        self._tell(now, side.from_switch, passed if side.from_switch else data)
        if answer:
            self._tell(now, True, answer)
            _write(self.far, answer)
        return passed

    def _tell(self, now: float, from_switch: bool, data: bytes) -> None:
        if self.relay.listener is not None:
            self.relay.listener.came(self.switch, self.number, now, from_switch, data)

    def lost(self, side: _Side, *, reset: bool) -> None:
        """End the other side too, as this one has: with what is on its way to it, or at once."""
        by: By = "switch" if side.from_switch else "controller"
        other = self.far if side.from_switch else self.near
        if reset and other is not None and not other.is_lost:
            handle = other.transport.get_extra_info("socket")
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            other.transport.abort()
        if self.far is None or side.from_switch or not self._held:
            self.end(by)

    def end(self, by: By | None) -> None:
        """End both sides; None: they have said so themselves."""
        if by is not None:
            self._tell_end(by)
        self._held.clear()
        if self._dial is not None and self._dial is not asyncio.current_task(self.relay.loop):
            self._dial.cancel()
        for side in (self.near, self.far):
            if side is not None and by == "relay":
                side.transport.abort()
            elif side is not None:
                side.transport.close()

    def leave(self) -> None:
        """Be forgotten when both sides have gone."""
        if self.near.is_lost and (self.far is None or self.far.is_lost):
            self.relay.open.discard(self)

    def _wait(self) -> None:
        if self._timer is None and self._held:
            wait_s = max(self._held[0][0] - time.monotonic(), 0)
            self._timer = self.relay.loop.call_later(wait_s, self._due)

    def _due(self) -> None:
        self._timer = None
        while self._held and self._held[0][0] <= time.monotonic() + EARLY_S:
            _write(self.near, self._held.popleft()[1])
        if not self._held and self.far is not None and self.far.is_lost:
            self.end("controller")
        self._wait()

    def _tell_end(self, by: By) -> None:
        if self._is_over or self.far is None:
            return
        self._is_over = True
        if self.relay.listener is not None:
            self.relay.listener.closed(self.switch, self.number, time.monotonic(), by)


class _Side(asyncio.Protocol):
    """One end of a connection."""

    transport: asyncio.Transport

    def __init__(self, connection: _Connection, *, from_switch: bool) -> None:
        self.connection, self.from_switch = connection, from_switch
        self.has_ended = False
        """It says nothing more."""
        self.is_lost = False
        self._is_tls = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._is_tls = transport.get_extra_info("sslcontext") is not None
        if self.from_switch:
            self.connection.begin()
        else:
            self.connection.joined(self)

    def data_received(self, data: bytes) -> None:
        self.connection.came(self, data)

    def eof_received(self) -> bool:
        self.has_ended = True
        self.connection.came(self, b"")
        # What the other side has to say is passed on still; over TLS nobody would hear it.
        return not self._is_tls

    def connection_lost(self, exc: Exception | None) -> None:
        self.has_ended = self.is_lost = True
        if isinstance(exc, ssl.SSLError):  # a controller may refuse a certificate so late
            self.connection.relay.failed(exc)
        self.connection.lost(self, reset=isinstance(exc, ConnectionResetError))
        self.connection.leave()

    def pause_writing(self) -> None:
        """Stop reading at the other side: this one does not take what there is."""
        other = self._other()
        if other is not None and not other.is_lost:
            other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on reading at the other side."""
        other = self._other()
        if other is not None and not other.is_lost:
            other.transport.resume_reading()

    def _other(self) -> _Side | None:
        return self.connection.far if self.from_switch else self.connection.near


def _write(side: _Side | None, data: bytes) -> None:
    """Write to a side, or say that nothing more comes."""
    if side is None or side.is_lost or side.transport.is_closing():
        return
    if data:
        side.transport.write(data)
    elif side.transport.can_write_eof():
        side.transport.write_eof()
    else:
        side.transport.close()


def _bound(path: Path) -> socket.socket:
    """Return a Unix socket at a path, which may be longer than an address can be."""
    one = socket.socket(socket.AF_UNIX)
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        one.bind(f"/proc/self/fd/{folder}/{path.name}")
    except BaseException:
        one.close()
        raise
    finally:
        os.close(folder)
    return one


def sockets_in(folder: Path, numbers: Mapping[str, int], place: int = 0) -> dict[str, Path]:
    """Return a socket in the folder of several switches for each, by its datapath id.

    `place` is that of the controller among several.
    """
    return {name: folder / f"controller-{place}-{number}.sock" for name, number in numbers.items()}

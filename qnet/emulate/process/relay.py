"""Carry OpenFlow out of a run's namespaces: from a Unix socket in its folder to a controller.

A path in the file system leads out of a network namespace, an address does not. So the switches of
a run connect to a Unix socket, and whoever started the run passes on each connection, byte by byte.
It is a thread of that process: nothing is left of it when the process is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path

from qnet.emulate.process.address import split
from qnet.emulate.process.all_or_nothing import AllOrNothing

SOCKET = "controller.sock"
"""In a run's folder, which is the folder of its switches too: they connect nowhere else."""

CHUNK_BYTES = 1 << 16

CLOSE_S = 1.0
"""For what is on its way when one side has ended."""


class Relay(AllOrNothing):
    """Listens in a folder while it is open; a context manager.

    `controller` is where connections go, as in tcp:127.0.0.1:6653. Where nobody listens there, a
    connection is closed again, and the switch tries anew a little later.
    """

    def __init__(self, folder: Path, controller: str) -> None:
        self.path = folder / SOCKET
        self._host, self._port = split(controller)
        self.refusal = ""
        """Why the last connection could not be passed on; empty when it could."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    def _start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()

    def close(self) -> None:
        """End all connections; may be called again."""
        if not self._thread.is_alive():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.path.unlink(missing_ok=True)

    async def _listen(self) -> None:
        self._server = await asyncio.start_unix_server(self._accept, self.path)

    async def _accept(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """Pass on one connection until either side ends it."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        writers = [back]
        ways: list[asyncio.Task[None]] = []
        try:
            try:
                far, forth = await asyncio.open_connection(self._host, self._port)
            except OSError as error:
                refused = isinstance(error, ConnectionRefusedError)
                self.refusal = "connection refused" if refused else str(error)
                raise
            self.refusal = ""
            writers.append(forth)
            ways = [asyncio.create_task(_pass(near, forth)), asyncio.create_task(_pass(far, back))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass  # the switch tries again
        except asyncio.CancelledError:
            for writer in writers:  # the relay ends: nobody waits for what is on its way
                writer.transport.abort()
        finally:
            for one in ways:
                one.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            for writer in writers:
                writer.close()
                with contextlib.suppress(OSError, TimeoutError):
                    await asyncio.wait_for(writer.wait_closed(), CLOSE_S)
            self._open.discard(task)

    async def _end(self) -> None:
        if self._server is not None:  # it listens
            self._server.close()
        tasks = list(self._open)
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(CHUNK_BYTES):
        target.write(data)
        await target.drain()

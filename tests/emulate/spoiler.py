"""Somebody between switches and a controller who spoils what it says: faults to be found.

A controller's messages pass through a TCP proxy that parses them, and a fault makes others of
them. So any controller has it, the shipped one and a stranger's, without a change of its code.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from os_ken.ofproto import ofproto_v1_3 as of
from os_ken.ofproto import ofproto_v1_3_parser as parser
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from qnet.emulate.process.all_or_nothing import AllOrNothing

Fault = Callable[[int, bytes], list[tuple[int, bytes]]]
"""Makes of a message to a datapath what is said instead: messages, each to a datapath."""

LANGUAGE = ProtocolDesc(of.OFP_VERSION)


def as_it_is(datapath: int, message: bytes) -> list[tuple[int, bytes]]:
    """Spoil nothing."""
    return [(datapath, message)]


class Spoiler(AllOrNothing):
    """Listens at `target`, and is for each switch that connects a connection to the controller."""

    def __init__(self, controller: str) -> None:
        """Prepare to stand before a controller, as in tcp:127.0.0.1:6653."""
        _, host, port = controller.split(":")
        self._controller = host, int(port)
        self.fault: Fault = as_it_is
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"
        self.switches: dict[int, socket.socket] = {}
        self._open: list[socket.socket] = []
        self._every: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()

    def _start(self) -> None:
        self._run(self._accept)

    def close(self) -> None:
        """Close all connections, and wait for all threads."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join()
        for one in self._every:
            one.close()

    def hang_up(self) -> None:
        """Close all connections; switches come again."""
        with self._lock:
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._open.clear()
            self.switches.clear()

    def wipe(self) -> None:
        """Have all switches forget all they were told, then hang up, as a controller does not."""
        every = [
            parser.OFPFlowMod(
                LANGUAGE, command=of.OFPFC_DELETE, table_id=of.OFPTT_ALL,
                out_port=of.OFPP_ANY, out_group=of.OFPG_ANY,
            ),
            parser.OFPGroupMod(LANGUAGE, of.OFPGC_DELETE, 0, of.OFPG_ALL),
            parser.OFPMeterMod(LANGUAGE, of.OFPMC_DELETE, 0, of.OFPM_ALL),
        ]  # fmt: skip
        for one in every:
            one.serialize()
            for switch in self.switches.values():
                switch.sendall(bytes(one.buf))

    def _run(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                switch, _ = self._listener.accept()
                self._every.append(switch)
                controller = socket.create_connection(self._controller)
                self._every.append(controller)
            except OSError:
                return
            with self._lock:
                self._open += [switch, controller]
            known: list[int] = []
            self._run(self._from_switch, switch, controller, known)
            self._run(self._to_switch, switch, controller, known)

    def _from_switch(
        self, switch: socket.socket, controller: socket.socket, known: list[int]
    ) -> None:
        for message in _messages(switch):
            if message[1] == of.OFPT_FEATURES_REPLY and not known:
                known.append(struct.unpack("!Q", message[8:16])[0])
                self.switches[known[0]] = switch
            with suppress(OSError):
                controller.sendall(message)
        with suppress(OSError):
            controller.shutdown(socket.SHUT_RDWR)

    def _to_switch(
        self, switch: socket.socket, controller: socket.socket, known: list[int]
    ) -> None:
        for message in _messages(controller):
            said = self.fault(known[0], message) if known else [(0, message)]
            for datapath, one in said:
                with suppress(OSError):
                    (self.switches[datapath] if datapath else switch).sendall(one)
        with suppress(OSError):
            switch.shutdown(socket.SHUT_RDWR)


def _messages(side: socket.socket) -> Any:
    """Yield the messages that come from a side until it closes."""
    kept = b""
    while True:
        try:
            data = side.recv(1 << 16)
        except OSError:
            return
        if not data:
            return
        kept += data
        while len(kept) >= 8 and len(kept) >= (length := struct.unpack("!H", kept[2:4])[0]):
            yield kept[:length]
            kept = kept[length:]


# What faults are made of


def flow(change: Callable[[int, Any], list[tuple[int, Any]] | None]) -> Fault:
    """Change flow-mods that add: `change` gets the datapath and os-ken's object, and returns what
    is to be said instead, or None to let it be as it is by now.
    """

    def fault(datapath: int, message: bytes) -> list[tuple[int, bytes]]:
        if message[1] != of.OFPT_FLOW_MOD:
            return [(datapath, message)]
        xid = struct.unpack("!I", message[4:8])[0]
        one = parser.OFPFlowMod.parser(
            LANGUAGE, message[0], message[1], len(message), xid, bytearray(message)
        )
        said = change(datapath, one)
        return [(datapath, message)] if said is None else [(to, again(mod)) for to, mod in said]

    return fault


def again(mod: Any) -> bytes:
    """Write a flow-mod that was read, and perhaps changed, anew."""
    made = parser.OFPFlowMod(
        LANGUAGE, mod.cookie, mod.cookie_mask, mod.table_id, mod.command, mod.idle_timeout,
        mod.hard_timeout, mod.priority, mod.buffer_id, mod.out_port, mod.out_group, mod.flags,
        parser.OFPMatch(**dict(mod.match.items())), mod.instructions,
    )  # fmt: skip
    made.set_xid(mod.xid)
    made.serialize()
    return bytes(made.buf)

"""The reservation app: brings every switch to the rules that qnet computed, and keeps it there.

The app decides nothing. `--rules-file` holds the wanted rules of every switch, as
`qnet.emulate.openflow.to_text` writes them; when the file changes, the switches follow. What a
switch has already is read first, and only the difference is sent, so that a controller that starts
anew changes nothing and a switch that starts anew gets everything. Nothing is deleted before what
replaces it is there:

1. meters, groups and all rules behind the first switch, on every switch; then a barrier;
2. the rules by which hosts' frames enter, when all switches have passed that barrier;
3. what is no longer wanted, after the frames on the way have drained.

Rules without our mark in their cookie are left alone.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import count
from pathlib import Path
from typing import Any

import messages
from compat import (
    CONF,
    App,
    handler,
    hub,
    ofp_event,
    ofproto_v1_3,
    options,
    parser,
    set_ev_cls,
    spawn,
    tell,
)

from qnet.emulate.openflow import (
    OWNER,
    OWNER_MASK,
    Field,
    Group,
    Meter,
    Rule,
    Switch,
    from_text,
)
from qnet.emulate.table import Difference, differences

HOST_FIELD = Field("in_port", 1)
BATCH = 100
"""Messages handed to the socket in one piece."""

FOREIGN_METERS = 0x8000
"""Meters from this number on belong to other apps."""

CONF.register_cli_opts(
    [
        options.StrOpt("rules-file", help="rules of every switch, written by qnet"),
        options.FloatOpt("patience", default=5.0, help="seconds to wait for absent switches"),
        options.FloatOpt("drain", default=1.0, help="seconds before old rules are taken away"),
    ]
)


class Reservation(App):
    """Reconciles switches with the rules file."""

    OFP_VERSIONS = (ofproto_v1_3.OFP_VERSION,)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._lock = threading.RLock()
        self._path = Path(CONF.rules_file)
        self._stamp = (0, 0)
        self._wanted: dict[int, Switch] = {}
        self._bytes: dict[int, dict[Rule, bytes]] = {}
        self._works: dict[int, _Work] = {}
        self._laid: set[int] = set()
        self._load()
        spawn(self._watch)

    def _load(self) -> bool:
        """Read the rules file if it is another one than last time; make its messages."""
        status = self._path.stat()
        stamp = (status.st_mtime_ns, status.st_size)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        switches = from_text(self._path.read_text(encoding="utf-8"))
        start = time.perf_counter()
        self._wanted = {one.datapath_id: one for one in switches}
        self._bytes = {
            one.datapath_id: {
                rule: messages.serialised(messages.flow_mod(rule), place)
                for place, rule in enumerate(one.rules)
            }
            for one in switches
        }
        seconds = time.perf_counter() - start
        tell("rules", rules=sum(len(one.rules) for one in switches), seconds=round(seconds, 6))
        return True

    def _watch(self) -> None:
        """Follow the rules file."""
        while True:
            hub.sleep(0.2)
            try:
                with self._lock:
                    if self._load():
                        self._laid.clear()
                        for work in list(self._works.values()):
                            self._begin(work.datapath)
            except (OSError, ValueError) as error:
                tell("error", message=f"{self._path}: {error}")

    @set_ev_cls(ofp_event.EventOFPStateChange, [handler.MAIN_DISPATCHER, handler.DEAD_DISPATCHER])
    def _state(self, event: Any) -> None:
        datapath = event.datapath
        with self._lock:
            if event.state == handler.MAIN_DISPATCHER:
                self._begin(datapath)
            elif datapath.id in self._works and self._works[datapath.id].datapath is datapath:
                del self._works[datapath.id]
                self._laid.discard(datapath.id)
                tell("gone", datapath_id=datapath.id)

    def _begin(self, datapath: Any) -> None:
        """Ask a switch for what it has."""
        wanted = self._wanted.get(datapath.id)
        if wanted is None:
            tell("unknown", datapath_id=datapath.id)
            return
        work = _Work(datapath, wanted, self._bytes[datapath.id])
        self._works[datapath.id] = work
        work.ask(lambda: self._lay(work))

    def _lay(self, work: _Work) -> None:
        """Send everything but what lets hosts' frames in."""
        work.compare()
        work.send_first()
        work.barrier(lambda: self._laid_out(work))

    def _laid_out(self, work: _Work) -> None:
        self._laid.add(work.datapath.id)
        if self._laid >= self._wanted.keys():
            self._open()
        else:
            spawn(self._open_late, work)

    def _open_late(self, work: _Work) -> None:
        hub.sleep(CONF.patience)
        with self._lock:
            if self._works.get(work.datapath.id) is work and not work.opened:
                absent = self._wanted.keys() - self._laid
                names = sorted(self._wanted[one].name for one in absent)
                tell("absent", switches=names)
                self._open()

    def _open(self) -> None:
        """Let hosts' frames in wherever the rules behind are laid."""
        for work in self._works.values():
            if work.datapath.id in self._laid and not work.opened:
                work.opened = True
                work.send_second()
                work.barrier(work.converged)
                if work.leftovers:
                    spawn(self._clear, work)

    def _clear(self, work: _Work) -> None:
        hub.sleep(CONF.drain)
        with self._lock:
            if self._works.get(work.datapath.id) is work:
                work.send_third()
                work.barrier(work.cleared)

    @set_ev_cls(
        [
            ofp_event.EventOFPFlowStatsReply,
            ofp_event.EventOFPGroupDescStatsReply,
            ofp_event.EventOFPMeterConfigStatsReply,
        ],
        handler.MAIN_DISPATCHER,
    )
    def _part(self, event: Any) -> None:
        message = event.msg
        with self._lock:
            work = self._works.get(message.datapath.id)
            if work is not None:
                more = bool(message.flags & ofproto_v1_3.OFPMPF_REPLY_MORE)
                work.answer(message.xid, message.body, more)

    @set_ev_cls(ofp_event.EventOFPBarrierReply, handler.MAIN_DISPATCHER)
    def _barrier(self, event: Any) -> None:
        with self._lock:
            work = self._works.get(event.msg.datapath.id)
            if work is not None:
                work.passed(event.msg.xid)

    @set_ev_cls(ofp_event.EventOFPErrorMsg, [handler.CONFIG_DISPATCHER, handler.MAIN_DISPATCHER])
    def _error(self, event: Any) -> None:
        message = event.msg
        with self._lock:
            work = self._works.get(message.datapath.id)
            rules = () if work is None else work.wanted.rules
            rule = rules[message.xid].why if message.xid < len(rules) else f"message {message.xid}"
            tell(
                "error",
                switch=None if work is None else work.wanted.name,
                message=f"refused: type {message.type}, code {message.code}: {rule}",
            )


class _Work:
    """One switch on its way to its rules."""

    def __init__(self, datapath: Any, wanted: Switch, made: dict[Rule, bytes]) -> None:
        self.datapath = datapath
        self.wanted = wanted
        self.opened = False
        self.leftovers: list[Difference] = []
        self._made = made
        self._started = time.perf_counter()
        self._xids = count(1 << 24)
        self._waiting: dict[int, Callable[[], None]] = {}
        self._answers: dict[int, list[Any]] = {}
        self._questions: list[int] = []
        self._first: list[bytes] = []
        self._second: list[bytes] = []
        self._counts: dict[str, int] = defaultdict(int)

    def ask(self, then: Callable[[], None]) -> None:
        """Ask for meters, groups and our rules; go on when all has come."""
        self._then = then
        any_port, any_group = ofproto_v1_3.OFPP_ANY, ofproto_v1_3.OFPG_ANY
        requests = (
            parser.OFPMeterConfigStatsRequest(self.datapath, 0, ofproto_v1_3.OFPM_ALL),
            parser.OFPGroupDescStatsRequest(self.datapath, 0),
            parser.OFPFlowStatsRequest(
                self.datapath,
                0,
                ofproto_v1_3.OFPTT_ALL,
                any_port,
                any_group,
                OWNER,
                OWNER_MASK,
                parser.OFPMatch(),
            ),
        )
        for request in requests:
            xid = next(self._xids)
            request.set_xid(xid)
            self._answers[xid] = []
            self._questions.append(xid)
            self.datapath.send_msg(request)

    def answer(self, xid: int, body: Iterable[Any], more: bool) -> None:
        """Take a part of an answer."""
        if xid not in self._answers:
            return
        self._answers[xid] += body
        if not more:
            self._questions.remove(xid)
            if not self._questions:
                self._then()

    def compare(self) -> None:
        """Find what is to be sent first, second and, to take away, third."""
        meters, groups, rules = self._answers.values()
        found = Switch(
            self.wanted.name,
            self.wanted.datapath_id,
            tuple(messages.read_rule(one) for one in rules),
            tuple(messages.read_group(one) for one in groups),
            tuple(messages.read_meter(one) for one in meters if one.meter_id < FOREIGN_METERS),
        )
        self._answers.clear()
        everything = differences(self.wanted, found)
        self._counts["kept"] = len(self.wanted.rules)
        for one in everything:
            target = one.wanted
            if target is None:
                self.leftovers.append(one)
                continue
            changed = one.kind == "changed"
            if isinstance(target, Rule):
                self._counts["kept"] -= 1
                self._counts[one.kind] += 1
                enters = HOST_FIELD in target.match
                (self._second if enters else self._first).append(self._made[target])
            else:
                self._first.append(self._change(target, changed))

    def _change(self, target: Group | Meter, changed: bool) -> bytes:
        xid = next(self._xids)
        if isinstance(target, Meter):
            command = ofproto_v1_3.OFPMC_MODIFY if changed else ofproto_v1_3.OFPMC_ADD
            return messages.serialised(messages.meter_mod(target, command), xid)
        command = ofproto_v1_3.OFPGC_MODIFY if changed else ofproto_v1_3.OFPGC_ADD
        return messages.serialised(messages.group_mod(target, command), xid)

    def send_first(self) -> None:
        """Send meters, groups and the rules behind the first switch."""
        self._send(self._first)

    def send_second(self) -> None:
        """Send the rules by which frames enter."""
        self._send(self._second)

    def send_third(self) -> None:
        """Take away rules, then groups, then meters that are no longer wanted."""
        order = (Rule, Group, Meter)
        self.leftovers.sort(key=lambda one: order.index(type(one.found)))
        removals = []
        for one in self.leftovers:
            if isinstance(one.found, Rule):
                message = messages.flow_mod(one.found, ofproto_v1_3.OFPFC_DELETE_STRICT)
            elif isinstance(one.found, Group):
                message = messages.group_mod(one.found, ofproto_v1_3.OFPGC_DELETE)
            else:
                assert isinstance(one.found, Meter)
                message = messages.meter_mod(one.found, ofproto_v1_3.OFPMC_DELETE)
            removals.append(messages.serialised(message, next(self._xids)))
        self._send(removals)

    def _send(self, parts: list[bytes]) -> None:
        for start in range(0, len(parts), BATCH):
            self.datapath.send(b"".join(parts[start : start + BATCH]))

    def barrier(self, then: Callable[[], None]) -> None:
        """Go on when the switch has done all that was sent before."""
        request = parser.OFPBarrierRequest(self.datapath)
        xid = next(self._xids)
        request.set_xid(xid)
        self._waiting[xid] = then
        self.datapath.send_msg(request)

    def passed(self, xid: int) -> None:
        """Take a barrier's answer."""
        then = self._waiting.pop(xid, None)
        if then is not None:
            then()

    def converged(self) -> None:
        """Say that the switch has all its rules."""
        tell(
            "converged",
            switch=self.wanted.name,
            datapath_id=self.wanted.datapath_id,
            added=self._counts["missing"],
            changed=self._counts["changed"],
            kept=self._counts["kept"],
            leftovers=len(self.leftovers),
            seconds=round(time.perf_counter() - self._started, 6),
        )

    def cleared(self) -> None:
        """Say that the switch has nothing of the old plan left."""
        tell("cleared", switch=self.wanted.name, removed=len(self.leftovers))

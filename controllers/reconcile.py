"""Brings switches to wanted rules and keeps them there: the machine that apps are built on.

What a switch has already is read first, and only the difference is sent, so that a controller that
starts anew changes nothing and a switch that starts anew gets everything. Nothing is deleted before
what replaces it is there:

1. meters, groups and all rules behind the first switch, on every switch; then a barrier;
2. the rules by which hosts' frames enter, when all switches have passed that barrier;
3. what is no longer wanted, after the frames on the way have drained.

Rules without the app's mark in their cookie are left alone.
"""

from __future__ import annotations

import gc
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any

import answers
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

from qnet.emulate.openflow.messages import Command, encode
from qnet.emulate.openflow.nouns import (
    OWNER,
    OWNER_MASK,
    Field,
    Group,
    Match,
    Meter,
    Rule,
    Switch,
)
from qnet.emulate.openflow.table import Difference, differences

HOST_FIELD = Field("in_port", 1)
BATCH = 100
"""Messages handed to the socket in one piece."""

_XIDS = count(1 << 24)
"""Transaction ids of everything but rules; none is used twice, so no late answer is taken."""

_Key = tuple[int, int, Match]
"""What tells one rule of a switch from another: `Rule.key`."""

CONF.register_cli_opts(
    [
        options.FloatOpt("patience", default=5.0, help="seconds to wait for absent switches"),
        options.FloatOpt("drain", default=1.0, help="seconds before old rules are taken away"),
    ]
)


class Reconciler(App):
    """Reconciles switches with what `want` was told last.

    `owner` is the mark in the cookies of the app's rules, `meters` the numbers of its meters;
    `groups` says whether the groups of a switch are the app's.
    """

    OFP_VERSIONS = (ofproto_v1_3.OFP_VERSION,)
    owner = OWNER
    meters = range(1, 0x8000)
    groups = True

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.lock = threading.RLock()
        self._wanted: dict[int, Switch] = {}
        self._made: dict[int, dict[_Key, bytes]] = {}
        self._connected: dict[int, Any] = {}
        self._works: dict[int, _Work] = {}
        self._laid: set[int] = set()

    def want(self, switches: Iterable[Switch]) -> None:
        """Take new rules for all switches and bring those to them that are connected.

        Messages are made here, before any switch waits for them; a rule's message has its place
        in the switch's rules as transaction id, by which an error names it.
        """
        wanted = {one.datapath_id: one for one in switches}
        made = {
            number: {
                rule.key: encode(rule, Command.ADD, place) for place, rule in enumerate(one.rules)
            }
            for number, one in wanted.items()
        }
        # Rules are many and lie still: collecting garbage would look through all, time and again.
        gc.collect()
        gc.freeze()
        with self.lock:
            self._wanted, self._made = wanted, made
            self._laid.clear()
            self._works.clear()
            for datapath in self._connected.values():
                self._begin(datapath)

    @set_ev_cls(ofp_event.EventOFPStateChange, [handler.MAIN_DISPATCHER, handler.DEAD_DISPATCHER])
    def _state(self, event: Any) -> None:
        datapath = event.datapath
        with self.lock:
            if event.state == handler.MAIN_DISPATCHER:
                self._connected[datapath.id] = datapath
                self._begin(datapath)
            elif datapath in self._connected.values():
                del self._connected[datapath.id]
                self._works.pop(datapath.id, None)
                self._laid.discard(datapath.id)
                tell("gone", datapath_id=datapath.id)

    def _begin(self, datapath: Any) -> None:
        """Ask a switch for what it has."""
        wanted = self._wanted.get(datapath.id)
        if wanted is None:
            tell("unknown", datapath_id=datapath.id)
            return
        work = _Work(self, datapath, wanted, self._made[datapath.id])
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
        with self.lock:
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
        with self.lock:
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
        with self.lock:
            work = self._works.get(message.datapath.id)
            if work is not None:
                more = bool(message.flags & ofproto_v1_3.OFPMPF_REPLY_MORE)
                work.answer(message.xid, message.body, more)

    @set_ev_cls(ofp_event.EventOFPBarrierReply, handler.MAIN_DISPATCHER)
    def _barrier(self, event: Any) -> None:
        with self.lock:
            work = self._works.get(event.msg.datapath.id)
            if work is not None:
                work.passed(event.msg.xid)

    @set_ev_cls(ofp_event.EventOFPErrorMsg, [handler.CONFIG_DISPATCHER, handler.MAIN_DISPATCHER])
    def _error(self, event: Any) -> None:
        message = event.msg
        with self.lock:
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

    def __init__(
        self, app: Reconciler, datapath: Any, wanted: Switch, made: dict[_Key, bytes]
    ) -> None:
        self.app = app
        self.datapath = datapath
        self.wanted = wanted
        self._made = made
        self.opened = False
        self.leftovers: list[Difference] = []
        self._started = time.perf_counter()
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
                self.app.owner,
                OWNER_MASK,
                parser.OFPMatch(),
            ),
        )
        for request in requests:
            xid = next(_XIDS)
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
            tuple(answers.read_rule(one) for one in rules),
            tuple(answers.read_group(one) for one in groups if self.app.groups),
            tuple(answers.read_meter(one) for one in meters if one.meter_id in self.app.meters),
        )
        self._answers.clear()
        self._counts["kept"] = len(self.wanted.rules)
        for one in differences(self.wanted, found):
            if one.wanted is None:
                self.leftovers.append(one)
                continue
            if isinstance(one.wanted, Rule):
                self._counts["kept"] -= 1
                self._counts[one.kind] += 1
                enters = HOST_FIELD in one.wanted.match
                (self._second if enters else self._first).append(self._made[one.wanted.key])
            else:
                command = Command.CHANGE if one.kind == "changed" else Command.ADD
                self._first.append(encode(one.wanted, command, next(_XIDS)))

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
        found = (one.found for one in self.leftovers if one.found is not None)
        self._send([encode(one, Command.DELETE, next(_XIDS)) for one in found])

    def _send(self, parts: list[bytes]) -> None:
        for start in range(0, len(parts), BATCH):
            self.datapath.send(b"".join(parts[start : start + BATCH]))

    def barrier(self, then: Callable[[], None]) -> None:
        """Go on when the switch has done all that was sent before."""
        request = parser.OFPBarrierRequest(self.datapath)
        xid = next(_XIDS)
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

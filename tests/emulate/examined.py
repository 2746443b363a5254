"""A controller of a ring of three that passes every examination, but for the faults in its file.

It knows the network: a group with a way round for each host, one tree for broadcasts, a and c kept
from each other, an entry more for each address that it has not seen before.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compat import App, handler, hub, ofp_event, parser, set_ev_cls, spawn
from compat import ofproto_v1_3 as of

LIVE = [handler.CONFIG_DISPATCHER, handler.MAIN_DISPATCHER]

PORT = {1: {2: 2, 3: 3}, 2: {1: 2, 3: 3}, 3: {2: 2, 1: 3}}
"""[switch][switch]: the port that leads there; hosts are on port 1."""

TREE = {1: [1, 2], 2: [1, 2, 3], 3: [1, 2]}
MAC = {number: f"02:51:48:00:00:{number:02x}" for number in PORT}
ALL = "ff:ff:ff:ff:ff:ff"


def faults() -> frozenset[str]:
    """Return what is wrong now."""
    return frozenset(Path(__file__).with_name("faults").read_text().split())


BEGUN_WITH = faults()


class Examined(App):
    """Lays all entries when a switch connects."""

    OFP_VERSIONS = (of.OFP_VERSION,)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.there: dict[int, Any] = {}
        self.sent: dict[tuple[int, int], tuple[int, dict[str, Any], list[Any]]] = {}
        self.laid: set[tuple[frozenset[str], int]] = set()
        self.answered: set[int] = set()
        self.priority = 1000
        spawn(self.again_and_again)

    # What a switch gets

    def groups(self, number: int) -> Iterator[tuple[int, list[Any]]]:
        for far, port in PORT[number].items():
            (round_about,) = set(PORT[number].values()) - {port}
            ports = [port] if "failover" in faults() else [port, round_about]
            yield (
                far,
                [
                    parser.OFPBucket(watch_port=one, actions=[parser.OFPActionOutput(one)])
                    for one in ports
                ],
            )

    def entries(self, number: int) -> Iterator[tuple[int, dict[str, Any], list[Any]]]:
        def out(*ports: int) -> list[Any]:
            return [parser.OFPActionOutput(one, of.OFPCML_NO_BUFFER) for one in ports]

        wrong, own = faults(), {"eth_dst": MAC[number]}
        yield 10, own, out(1)
        yield 10, {"eth_dst": ALL}, out(*TREE[number])
        for far in PORT[number]:
            to = {"in_port": 1, "eth_dst": MAC[far]}
            yield 10, {"eth_dst": MAC[far]}, [parser.OFPActionGroup(far)]
            yield 20, to, out(of.OFPP_CONTROLLER)
            yield 30, {**to, "eth_src": MAC[number]}, [parser.OFPActionGroup(far)]
        if number != 2:
            other = MAC[4 - number]
            only = {"eth_type": 0x0800} if "isolation" in wrong else {}
            yield 40, {"in_port": 1, "eth_dst": other, **only}, []
            yield 40, {"eth_src": other, "eth_dst": ALL}, []
        if "reach" in wrong and number == 2:
            yield 50, {"in_port": 2, **own}, []
        if "loops" in wrong:  # what is for b goes round and round
            ahead = {1: [2], 2: [1, 3], 3: [3]}
            yield 60, {"eth_dst": MAC[2]}, out(*ahead[number])
        if wrong & {"others", "ethertypes"}:
            kind = {"eth_type": 0x86DD} if "ethertypes" in wrong else {}
            if number == 2:
                yield 5000, {**own, **kind}, out(1, 3)
            if number == 3:
                yield 5000, {"in_port": 2, "eth_dst": MAC[2], **kind}, out(1)
        if wrong & {"packet-ins", "tables"} and number == 2:
            yield 60, own, out(1, of.OFPP_CONTROLLER)

    def lay(self, switch: Any, seconds: int = 0) -> None:
        for group, buckets in self.groups(switch.id):
            for command in (of.OFPGC_DELETE, of.OFPGC_ADD):
                kind = of.OFPGT_FF
                made = buckets if command == of.OFPGC_ADD else []
                switch.send_msg(parser.OFPGroupMod(switch, command, kind, group, made))
        for priority, match, actions in self.entries(switch.id):
            self.add(switch, priority, match, actions, seconds)

    def add(
        self,
        switch: Any,
        priority: int,
        match: dict[str, Any],
        actions: list[Any],
        seconds: int = 0,
    ) -> None:
        apply = [parser.OFPInstructionActions(of.OFPIT_APPLY_ACTIONS, actions)]
        one = parser.OFPFlowMod(
            switch,
            priority=priority,
            match=parser.OFPMatch(**match),
            instructions=apply,
            hard_timeout=seconds,
        )
        switch.send_msg(one)
        self.sent[switch.id, one.xid] = (priority, match, actions)

    def empty(self, switch: Any) -> None:
        switch.send_msg(
            parser.OFPFlowMod(
                switch,
                command=of.OFPFC_DELETE,
                table_id=of.OFPTT_ALL,
                out_port=of.OFPP_ANY,
                out_group=of.OFPG_ANY,
            )
        )

    # What it does when

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, handler.CONFIG_DISPATCHER)
    def connected(self, event: Any) -> None:
        switch, wrong = event.msg.datapath, faults()
        self.empty(switch)
        if "restart" in wrong & BEGUN_WITH:
            return
        if "switch" in wrong and (wrong, switch.id) in self.laid:
            return
        self.laid = {one for one in self.laid if one[0] == wrong} | {(wrong, switch.id)}
        self.there[switch.id] = switch
        self.lay(switch, seconds=1 if "away" in wrong else 0)
        if "slow" in wrong:
            spawn(self.probe, switch)

    def probe(self, switch: Any) -> None:
        """Ask for a sign of life and hang up when it is not there at once."""
        self.answered.discard(switch.id)
        switch.send_msg(parser.OFPEchoRequest(switch, b"alive"))
        hub.sleep(0.12)
        if switch.id not in self.answered:
            switch.socket.shutdown(2)

    @set_ev_cls(ofp_event.EventOFPEchoReply, LIVE)
    def alive(self, event: Any) -> None:
        self.answered.add(event.msg.datapath.id)

    def again_and_again(self) -> None:
        """Lay entries that last for a second only, for as long as the switch is there."""
        while True:
            hub.sleep(0.3)
            for switch in list(self.there.values()) if "away" in faults() else ():
                self.lay(switch, seconds=1)

    @set_ev_cls(ofp_event.EventOFPStateChange, handler.DEAD_DISPATCHER)
    def gone(self, event: Any) -> None:
        gone = [number for number, one in self.there.items() if one is event.datapath]
        for number in gone:
            del self.there[number]

    @set_ev_cls(ofp_event.EventOFPPacketIn, handler.MAIN_DISPATCHER)
    def packet_in(self, event: Any) -> None:
        switch, data, came = event.msg.datapath, event.msg.data, event.msg.match["in_port"]
        if "tables" in faults():
            self.priority += 1
            actions = [parser.OFPActionOutput(one) for one in (1, of.OFPP_CONTROLLER)]
            self.add(switch, self.priority, {"eth_dst": MAC[switch.id]}, actions)
        target = next((far for far in PORT[switch.id] if MAC[far] == data[:6].hex(":")), None)
        if came != 1 or target is None:
            return
        actions = [parser.OFPActionGroup(target)]
        match = {"in_port": 1, "eth_dst": MAC[target], "eth_src": data[6:12].hex(":")}
        self.add(switch, 30, match, actions)
        switch.send_msg(parser.OFPPacketOut(switch, of.OFP_NO_BUFFER, came, actions, data))

    @set_ev_cls(ofp_event.EventOFPErrorMsg, LIVE)
    def refused(self, event: Any) -> None:
        message, wrong = event.msg, faults()
        if message.code == of.OFPFMFC_TABLE_FULL and "full" in wrong:
            self.empty(message.datapath)
        entry = self.sent.get((message.datapath.id, message.xid))
        if entry and message.code == of.OFPFMFC_EPERM and "refused" not in wrong:
            self.add(message.datapath, *entry)

    @set_ev_cls(ofp_event.EventOFPPortStatus, handler.MAIN_DISPATCHER)
    def port(self, event: Any) -> None:
        if "mended" in faults() and event.msg.desc.state == 0:
            self.empty(event.msg.datapath)

"""The watching app: which switches and wires there are, and what the ports count.

Wires are found by LLDP (the framework's own topology service). Every change is an event on standard
output, and `--state-file`, if given, holds the present state as JSON; every `--interval` seconds
the counters of all ports are told.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from compat import (
    CONF,
    App,
    framework,
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

switches = framework("topology.switches")
topology = framework("topology.event")

CONF.register_cli_opts(
    [
        options.StrOpt("state-file", help="where to keep switches and wires, as JSON"),
        options.FloatOpt("interval", default=1.0, help="seconds between readings of the ports"),
    ]
)
CONF.set_default("observe_links", True)


class Watch(App):
    """Tells of switches, wires and ports."""

    OFP_VERSIONS = (ofproto_v1_3.OFP_VERSION,)
    _CONTEXTS = {"switches": switches.Switches}  # noqa: RUF012 - the framework's own way

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._lock = threading.RLock()
        self._datapaths: dict[int, Any] = {}
        self._wires: set[tuple[int, int, int, int]] = set()
        spawn(self._read_ports)

    @set_ev_cls(ofp_event.EventOFPStateChange, [handler.MAIN_DISPATCHER, handler.DEAD_DISPATCHER])
    def _state(self, event: Any) -> None:
        datapath = event.datapath
        with self._lock:
            if event.state == handler.MAIN_DISPATCHER:
                self._datapaths[datapath.id] = datapath
                tell("switch", datapath_id=datapath.id, present=True)
            elif datapath in self._datapaths.values():
                del self._datapaths[datapath.id]
                tell("switch", datapath_id=datapath.id, present=False)
            self._keep()

    @set_ev_cls(topology.EventLinkAdd)
    def _wire_found(self, event: Any) -> None:
        self._wire(event.link, present=True)

    @set_ev_cls(topology.EventLinkDelete)
    def _wire_lost(self, event: Any) -> None:
        self._wire(event.link, present=False)

    def _wire(self, link: Any, *, present: bool) -> None:
        ends = (link.src.dpid, link.src.port_no, link.dst.dpid, link.dst.port_no)
        with self._lock:
            if present:
                self._wires.add(ends)
            else:
                self._wires.discard(ends)
            tell("wire", source=ends[:2], target=ends[2:], present=present)
            self._keep()

    def _keep(self) -> None:
        if CONF.state_file:
            state = {
                "switches": sorted(self._datapaths),
                "wires": [[one[:2], one[2:]] for one in sorted(self._wires)],
            }
            path = Path(CONF.state_file)
            fresh = path.with_name(f".{path.name}.new")
            fresh.write_text(json.dumps(state) + "\n", encoding="utf-8")
            fresh.replace(path)

    def _read_ports(self) -> None:
        while True:
            hub.sleep(CONF.interval)
            with self._lock:
                for datapath in self._datapaths.values():
                    every = ofproto_v1_3.OFPP_ANY
                    datapath.send_msg(parser.OFPPortStatsRequest(datapath, 0, every))

    @set_ev_cls(ofp_event.EventOFPPortStatsReply, handler.MAIN_DISPATCHER)
    def _ports(self, event: Any) -> None:
        ports = {
            str(one.port_no): {
                "received": one.rx_packets,
                "received_bytes": one.rx_bytes,
                "received_dropped": one.rx_dropped,
                "sent": one.tx_packets,
                "sent_bytes": one.tx_bytes,
                "sent_dropped": one.tx_dropped,
            }
            for one in event.msg.body
            if one.port_no < ofproto_v1_3.OFPP_MAX
        }
        tell("ports", datapath_id=event.msg.datapath.id, ports=ports)

"""The exchange app: the peering fabric of an Internet exchange, from its member file.

`--members-file` says who is attached where (docs/controllers.md). Rules bind every member to its
port and MAC address, keep members apart that are no peers, and hold each to its rate; the app
itself answers ARP requests and neighbour solicitations, so that no broadcast crosses the fabric.
"""

from __future__ import annotations

from typing import Any

from compat import (
    CONF,
    handler,
    ofp_event,
    ofproto_v1_3,
    options,
    parser,
    read_file,
    set_ev_cls,
    tell,
)
from reconcile import Reconciler

from qnet.emulate.rules.peering import (
    EXCHANGE_OWNER,
    METER_FIRST,
    answer,
    exchange_rules,
    read_exchange,
)

CONF.register_cli_opts([options.StrOpt("members-file", help="members of the exchange, in JSON")])


class Exchange(Reconciler):
    """Reconciles the exchange's switches and answers for its members."""

    owner = EXCHANGE_OWNER
    meters = range(METER_FIRST, 0xFFFF)
    groups = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._exchange = read_file("members-file", CONF.members_file, read_exchange)
        self._member = {
            (self._exchange.switches[one.switch], one.port): one for one in self._exchange.members
        }
        tell("members", members=len(self._exchange.members))
        self.want(exchange_rules(self._exchange))

    @set_ev_cls(ofp_event.EventOFPPacketIn, handler.MAIN_DISPATCHER)
    def _asked(self, event: Any) -> None:
        message = event.msg
        datapath, port = message.datapath, message.match["in_port"]
        member = self._member.get((datapath.id, port))
        reply = None if member is None else answer(self._exchange, member, bytes(message.data))
        if reply is None:
            return
        sent = parser.OFPPacketOut(
            datapath,
            buffer_id=ofproto_v1_3.OFP_NO_BUFFER,
            in_port=ofproto_v1_3.OFPP_CONTROLLER,
            actions=[parser.OFPActionOutput(port)],
            data=reply,
        )
        datapath.send_msg(sent)

"""A learning switch, the smallest controller worth testing: see docs/controllers.md."""

from __future__ import annotations

from typing import Any

from compat import App, handler, ofp_event, ofproto_v1_3, parser, set_ev_cls


class Learning(App):
    """Learns on which port an address is, and installs a rule for each pair of addresses."""

    OFP_VERSIONS = (ofproto_v1_3.OFP_VERSION,)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.port_of: dict[tuple[int, str], int] = {}

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, handler.CONFIG_DISPATCHER)
    def connected(self, event: Any) -> None:
        """Have frames without a rule sent to the controller."""
        self.add(event.msg.datapath, 0, parser.OFPMatch(), ofproto_v1_3.OFPP_CONTROLLER)

    @set_ev_cls(ofp_event.EventOFPPacketIn, handler.MAIN_DISPATCHER)
    def packet_in(self, event: Any) -> None:
        """Learn from where a frame comes and send it on."""
        message, switch = event.msg, event.msg.datapath
        target, source = message.data[:6].hex(":"), message.data[6:12].hex(":")
        in_port = message.match["in_port"]
        self.port_of[switch.id, source] = in_port
        port = self.port_of.get((switch.id, target), ofproto_v1_3.OFPP_FLOOD)
        if port != ofproto_v1_3.OFPP_FLOOD:
            found = parser.OFPMatch(in_port=in_port, eth_src=source, eth_dst=target)
            self.add(switch, 1, found, port)
        actions = [parser.OFPActionOutput(port)]
        buffer = ofproto_v1_3.OFP_NO_BUFFER
        switch.send_msg(parser.OFPPacketOut(switch, buffer, in_port, actions, message.data))

    def add(self, switch: Any, priority: int, found: Any, port: int) -> None:
        """Add a rule that sends what matches to a port."""
        actions = [parser.OFPActionOutput(port, ofproto_v1_3.OFPCML_NO_BUFFER)]
        apply = parser.OFPInstructionActions(ofproto_v1_3.OFPIT_APPLY_ACTIONS, actions)
        switch.send_msg(
            parser.OFPFlowMod(switch, priority=priority, match=found, instructions=[apply])
        )

"""A learning switch that, like one with spanning tree, forwards nothing for its first 6 seconds."""
import time

from os_ken.base.app_manager import OSKenApp
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.controller.ofp_event import EventOFPPacketIn, EventOFPSwitchFeatures
from os_ken.ofproto import ofproto_v1_3 as of
from os_ken.ofproto import ofproto_v1_3_parser as parser

LISTENING_S = 6


class Late(OSKenApp):
    OFP_VERSIONS = (of.OFP_VERSION,)

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.since = {}
        self.port_of = {}

    @set_ev_cls(EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def connected(self, event):
        switch = event.msg.datapath
        self.since[switch.id] = time.monotonic()
        ask = [parser.OFPActionOutput(of.OFPP_CONTROLLER, of.OFPCML_NO_BUFFER)]
        todo = [parser.OFPInstructionActions(of.OFPIT_APPLY_ACTIONS, ask)]
        switch.send_msg(parser.OFPFlowMod(switch, priority=0, instructions=todo))

    @set_ev_cls(EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event):
        switch, data = event.msg.datapath, event.msg.data
        if time.monotonic() - self.since[switch.id] < LISTENING_S:
            return
        came = event.msg.match["in_port"]
        self.port_of[switch.id, data[6:12]] = came
        port = self.port_of.get((switch.id, data[:6]), of.OFPP_FLOOD)
        send = [parser.OFPActionOutput(port)]
        switch.send_msg(parser.OFPPacketOut(switch, of.OFP_NO_BUFFER, came, send, data))

"""Stumbles over its first frame and ends at its third."""
import os

from os_ken.controller.handler import MAIN_DISPATCHER, set_ev_cls
from os_ken.controller.ofp_event import EventOFPPacketIn
from stumbles import Stumbles


class Ends(Stumbles):
    @set_ev_cls(EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, event):
        if Stumbles.seen == 2:
            os._exit(3)
        super().packet_in(event)

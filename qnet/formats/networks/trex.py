"""Streams of TRex's stateless mode, YAML or JSON as `stl-sim` writes them, between two nodes.

A stream has its frame as it is sent but for the check sequence, in base64, and a mode: continuous,
one burst, or several. Nothing in a file says where streams go; 'tx' and 'rx' are mapped to nodes.
What a stream is becomes a demand. Profiles in Python are programs, and none of them is run.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from qnet.files.tree import Branch, guess
from qnet.formats.networks.flow_demands import (
    FlowDemand,
    add_demand,
    given_topology,
    imported,
    mean_wire_bits,
    only_rate_bps,
    sending_rates_bps,
)
from qnet.formats.networks.found import FoundNetwork, Spot
from qnet.formats.networks.nouns import Imported, ImportOptions
from qnet.formats.networks.texts import open_all, read_yaml
from qnet.formats.networks.values import Values
from qnet.model.fields import FRAME_BYTES_HIGHEST, FRAME_BYTES_LOWEST
from qnet.model.topology import Topology
from qnet.model.traffic import BURST_PACKETS_HIGHEST
from qnet.units import describe

_ENDS = ("tx", "rx")
_FCS_BYTES = 4
_TAGS = (b"\x81\x00", b"\x88\xa8")
"""Types of VLAN tags (IEEE 802.1Q clause 9.4)."""

_MODES = ("continuous", "single_burst", "multi_burst")
_RATES = ("pps", "bps_L1", "bps_L2", "percentage")
_OF_MODES = ("total_pkts", "pkts_per_burst", "ibg", "count")
"""Some programs write all of them, whatever the mode is."""

_UINT32 = 2**32 - 1
_US = Fraction(1, 10**6)
_OF_TREX = ("flow_stats", "flags", "core_id", "random_seed", "stream_id", "rx_stats")
"""What concerns counters, addresses and cores of its own machine, and no frame that is sent."""

_STARTED = "streams that another one starts left out: they are not sent at the same time"
_TRIMMED = "frames whose size a program changes taken as of their full size"


class _Packet(NamedTuple):
    """What a stream sends: bytes without check sequence, and the priority of its VLAN tag."""

    length: int
    priority: int


def read(files: Sequence[str], options: ImportOptions) -> Imported:
    """Read streams. Raises InputError with all faults."""
    topology = given_topology(files, options, "streams are")
    name = files[0]
    source, raw = open_all(files)[0]
    found = FoundNetwork(Path(name).stem, source)
    if name.lower().endswith(".py"):
        words = "a program, which is not run; write what it makes with 'stl-sim -f FILE --yaml'"
        found.stop(Spot(), words)
    branch = read_yaml(source, raw)
    if not isinstance(branch.content, list):
        spot = Spot(branch.line, branch.column)
        found.stop(spot, f"{describe(branch.value())}, not a list of streams")
    ends = _ends(found, topology, options)
    line_bps = None if ends is None else only_rate_bps(sending_rates_bps(topology), ends[0])
    demands: list[FlowDemand] = []
    root = Values(found, Branch(branch.line, branch.column, {"": branch}), "")
    for number, one in enumerate(root.each(""), start=1):
        _add_stream(one, number, ends, line_bps, demands)
    return imported(found, topology, demands)


def _ends(
    found: FoundNetwork, topology: Topology, options: ImportOptions
) -> tuple[str, str] | None:
    """Return the nodes that send and receive; None, and faults, where they are not said."""
    nodes = topology.node_by_name
    faults = [
        f"'--map {port}={node}': "
        + (f"no such node{guess(node, nodes)}" if port in _ENDS else "the ports are tx and rx")
        for port, node in options.ports.items()
        if port not in _ENDS or node not in nodes
    ]
    if not faults and len(options.ports) < len(_ENDS):
        faults = ["streams say nothing of their nodes; write '--map tx=NODE --map rx=NODE'"]
    if not faults and options.ports["tx"] == options.ports["rx"]:
        faults = [f"'--map': tx and rx are both {options.ports['tx']}"]
    for words in faults:
        found.fault(Spot(), words)
    return None if faults else (options.ports["tx"], options.ports["rx"])


def _add_stream(
    outer: Values,
    number: int,
    ends: tuple[str, str] | None,
    line_bps: int | None,
    demands: list[FlowDemand],
) -> None:
    """Add the demand that a stream is, or report or list why it is none."""
    found = outer.found
    inner = outer.inner("stream") if outer.has("stream") else outer
    given = outer.take("name") or inner.take("name")
    is_text = given is not None and isinstance(given.content, str)
    name = str(given.content) if given is not None and is_text else f"stream-{number}"
    enabled, starts = (inner.flag(key, default=True) for key in ("enabled", "self_start"))
    packet = _packet(inner.inner("packet"), name)
    mode = inner.inner("mode")
    sizes = ((max(packet.length + _FCS_BYTES, FRAME_BYTES_LOWEST), 1),)
    frame_bits = mean_wire_bits(sizes)
    rate = _rate(mode.inner("rate"), packet, frame_bits, ends, line_bps, name)
    burst, rate = _mode(mode, frame_bits, rate, name)
    _note_starts(inner, name)
    for key in _OF_TREX:
        outer.take(key)
        inner.take(key)
    outer.list_rest("streams", example=name)
    inner.list_rest("streams", example=name)
    if not enabled or not starts:
        words = "streams that are not enabled left out" if not enabled else _STARTED
        found.note(words, name, of_demands=True)
    elif not round(rate):
        found.note("streams of no rate left out", name, of_demands=True)
    elif ends is not None:
        if packet.length + _FCS_BYTES < FRAME_BYTES_LOWEST:
            words = f"frames of less than {FRAME_BYTES_LOWEST} bytes taken as of so many"
            found.note(words, name, of_demands=True)
        made = FlowDemand(name, *ends, packet.priority, rate, sizes, burst)
        add_demand(demands, made, outer)


def _note_starts(stream: Values, name: str) -> None:
    """Note what starts when: a demand is sent from the beginning of a run on."""
    if stream.amount("isg", Fraction(0)):
        words = "pauses before streams left out; they begin with the run"
        stream.found.note(words, name, of_demands=True)
    next_ = stream.take("next") or stream.take("next_stream_id")
    again = stream.whole("action_count", 0, 0, _UINT32)
    if again or (next_ is not None and next_.value() != -1):
        words = "what streams start when they end left out"
        stream.found.note(words, name, of_demands=True)
    program = stream.branch.child("vm")
    if program is None or not program.content:
        stream.take("vm")
        return
    engine = stream.inner("vm") if isinstance(program.content, dict) else None
    steps = engine.each("instructions") if engine is not None else stream.each("vm")
    if steps:
        words = "programs that change fields of frames left out"
        stream.found.note(words, name, of_demands=True)
    if any(step.text("type") == "trim_pkt_size" for step in steps):
        stream.found.note(_TRIMMED, name, of_demands=True)


def _packet(given: Values, name: str) -> _Packet:
    """Read a frame: its bytes, and the priority of a VLAN tag behind its addresses."""
    text = given.text("binary", needed=not given.has("pcap"))
    if given.has("pcap"):
        given.take("pcap")
        given.fault("pcap", "a capture; 'stl-sim -f FILE --yaml' writes the frame itself")
    for key in ("meta", "model"):
        given.take(key)
    given.list_rest("packets", example=name)
    length = FRAME_BYTES_LOWEST - _FCS_BYTES
    try:
        frame = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        words = "is not a frame in base64, as 'stl-sim -f FILE --yaml' writes it"
        given.fault("binary", f"{describe(text)} {words}")
        return _Packet(length, 0)
    if text and not 14 <= len(frame) <= FRAME_BYTES_HIGHEST - _FCS_BYTES:
        words = f"a frame of {len(frame):,} bytes without its check sequence; qnet takes 14 to"
        given.fault("binary", f"{words} {FRAME_BYTES_HIGHEST - _FCS_BYTES:,}")
        return _Packet(length, 0)
    tagged = frame[12:14] in _TAGS and len(frame) > 14
    if frame[:1] and frame[0] & 1:
        words = "frames to a group of receivers sent to one"
        given.found.note(words, name, of_demands=True)
    return _Packet(len(frame), frame[14] >> 5 if tagged else 0)


def _rate(
    given: Values,
    packet: _Packet,
    frame_bits: Fraction,
    ends: tuple[str, str] | None,
    line_bps: int | None,
    name: str,
) -> Fraction:
    """Return the rate on the wire; that of layer 2 is without preamble and gap."""
    kind = given.word("type", _RATES, None)
    if not given.has("type"):
        given.fault("", "no 'type' of a rate")
    if not given.has("value"):
        given.fault("", "no 'value' of a rate")
    value = given.amount("value", Fraction(0), 0, 100 if kind == "percentage" else 10**18)
    given.list_rest("rates", example=name)
    if kind == "pps":
        return value * frame_bits
    if kind == "bps_L2":
        words = "rates of layer 2 taken as of frames with their check sequence"
        given.found.note(words, name, of_demands=True)
        return value / (8 * (packet.length + _FCS_BYTES)) * frame_bits
    if kind == "percentage":
        if line_bps is None:
            if ends is not None:
                words = f"a share of the links of {ends[0]}, which have several rates; give another"
                given.fault("value", f"{words} type of rate")
            return Fraction(0)
        words = "shares of a port taken as of the links of its node"
        given.found.note(words, name, of_demands=True)
        return value / 100 * line_bps
    return value


def _mode(given: Values, frame_bits: Fraction, rate: Fraction, name: str) -> tuple[int, Fraction]:
    """Return the frames of a burst, and the mean rate over bursts and pauses."""
    kind = given.word("type", _MODES, None)
    if not given.has("type"):
        given.fault("", "no 'type' of a mode")
    packets = 1
    if kind == "single_burst":
        given.whole("total_pkts", 1, 1, _UINT32)
    elif kind == "multi_burst":
        packets = given.whole("pkts_per_burst", 1, 1, BURST_PACKETS_HIGHEST)
        given.whole("count", 1, 0, _UINT32)
        gap_s = given.amount("ibg", Fraction(0)) * _US
        if rate:
            burst_s = (packets - 1) * frame_bits / rate
            rate = packets * frame_bits / (burst_s + (gap_s or frame_bits / rate))
            if packets > 1:
                words = "frames of a burst sent one right after the other"
                given.found.note(words, name, of_demands=True)
    if kind in ("single_burst", "multi_burst"):
        words = "ends of streams left out; they go on for the whole run"
        given.found.note(words, name, of_demands=True)
    for key in _OF_MODES:
        given.take(key)
    given.list_rest("modes", example=name)
    return packets, rate

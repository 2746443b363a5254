"""Guards for what is sent at a port, not for what is sent elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from qnet.check.plan import prove
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.schedule import schedule
from tests.refusals import why_false

NET = {
    "title": "slow edges, a fast spine",
    "tcqf": {"cycle": "1ms"},
    "nodes": [{"name": name} for name in ("sensor", "a", "b", "actor", "cam")],
    "links": [
        {"between": ("sensor", "a"), "rate": "10Mbps", "delay": "1us"},
        {"between": ("a", "b"), "rate": "2500Mbps", "delay": "1us"},
        {"between": ("b", "actor"), "rate": "10Mbps", "delay": "1us"},
        {"between": ("cam", "a"), "rate": "1Gbps", "delay": "1us"},
    ],
}
DOOR = {"name": "door", "from": "sensor", "to": "actor", "interval": "10ms",
        "max-payload-size": "46B", "class": "timed"}  # fmt: skip
CAM = {"name": "cam", "from": "cam", "to": "b", "rate": "800Mbps", "sizes": "9018B",
       "class": "plain"}  # fmt: skip


def network(**more: Any) -> Topology:
    return Topology.model_validate(NET | more)


def profile(mechanism: str, streams: list[Any], demands: list[Any], **timed: Any) -> Profile:
    classes = [
        {"name": "timed", "priority": 6, "mechanism": mechanism, **timed},
        {"name": "plain", "priority": 0, "mechanism": "strict-priority"},
    ]
    return Profile.model_validate(
        {"title": "t", "topology": "t", "classes": classes, "streams": streams, "demands": demands}
    )


def plan_of(topology: Topology, wanted: Profile, keep: Plan | None = None) -> Plan:
    made = schedule(topology, wanted, topology_sha256="", traffic_sha256="", keep=keep)
    assert prove(topology, wanted, made).findings == ()
    return made


@pytest.mark.parametrize("mechanism", ["tcqf", "csqf", "cqf"])
def test_a_frame_that_never_comes_to_a_port_is_not_guarded_for(mechanism: str) -> None:
    made = plan_of(network(), profile(mechanism, [DOOR], [CAM]))
    assert made.streams[0].status == "admitted"
    assert made.demands[0].placed_bps == 800_000_000


@pytest.mark.parametrize("mechanism", ["tcqf", "csqf"])
def test_a_refusal_names_the_frame_that_is_sent_there(mechanism: str) -> None:
    # Of the other classes 1,000 bytes go where the stream would, 9,018 elsewhere.
    near = {"name": "log", "from": "sensor", "to": "a", "rate": "1Mbps", "sizes": "1000B",
            "class": "plain"}  # fmt: skip
    large = DOOR | {"max-payload-size": "400B"}
    wanted = profile(mechanism, [large], [CAM, near])
    made = plan_of(network(), wanted)
    assert made.streams[0].status == "refused"
    assert "a frame of 1000 bytes of another class may hold the line" in str(made.streams[0].reason)
    assert "port sensor->a" in str(made.streams[0].reason)
    assert why_false(network(), wanted, made, "door") is None
    # With 500 bytes it fits: the frame takes 0.35 of the 1 ms, the other 0.42 ms.
    made = plan_of(network(), profile(mechanism, [large], [CAM, near | {"sizes": "500B"}]))
    assert made.streams[0].status == "admitted"


def test_a_stream_without_a_reservation_counts_at_its_ports_too() -> None:
    plain = {"name": "p", "from": "cam", "to": "b", "interval": "20ms", "max-payload-size": "9000B",
             "class": "plain"}  # fmt: skip
    assert plan_of(network(), profile("tcqf", [DOOR, plain], [])).streams[0].status == "admitted"
    along = plain | {"from": "sensor"}
    made = plan_of(network(), profile("tcqf", [DOOR, along], []))
    assert made.streams[0].status == "refused"


def test_what_reserves_nothing_keeps_to_the_guards_that_are_left() -> None:
    # Two ways for what is sent beside: the long one is left to it.
    links = [*NET["links"], {"between": ("sensor", "cam"), "rate": "1Gbps", "delay": "9us"}]
    net = network(links=links)
    made = plan_of(net, profile("tcqf", [DOOR | {"to": "a", "max-latency": "2001us"}], [CAM]))
    assert made.streams[0].paths[0].ports == ("sensor->a",)
    upload = {"name": "up", "from": "sensor", "to": "b", "rate": "100Mbps", "sizes": "9018B",
              "class": "plain"}  # fmt: skip
    wanted = profile("tcqf", [DOOR | {"to": "a", "max-latency": "2001us"}], [CAM, upload])
    after = plan_of(net, wanted, keep=made)
    assert after.streams[0].paths == made.streams[0].paths
    assert {part.ports[0] for part in after.demands[1].parts} == {"sensor->cam"}
    # And where there is no other, the reason says which port is not for such frames.
    first = plan_of(network(), profile("tcqf", [DOOR], [CAM]))
    after = plan_of(network(), profile("tcqf", [DOOR], [CAM, upload]), keep=first)
    assert after.streams[0].paths == first.streams[0].paths
    assert after.demands[1].placed_bps == 0
    assert "no frame of 9018 bytes may use sensor->a" in str(after.demands[1].reason)


def test_a_list_has_room_for_the_guard_only_where_there_is_one() -> None:
    nodes = [{"name": name, "gate-entries": 3} for name in ("sensor", "a", "b", "actor", "cam")]
    net = network(nodes=nodes)
    made = plan_of(net, profile("qbv", [DOOR], [CAM | {"from": "a"}], guard="fixed"))
    lists = {one.port: one.entries for one in made.gates}
    assert made.streams[0].status == "refused" or len(lists["a->b"]) <= 3
    made = plan_of(network(), profile("qbv", [DOOR], [CAM], guard="fixed"))
    lists = {one.port: one.entries for one in made.gates}
    assert made.demands[0].placed_bps == 800_000_000
    assert made.streams[0].status == "admitted"


def test_pauses_are_shortened_by_the_frames_that_are_sent_there() -> None:
    # At 10 Mb/s a frame of 9,018 bytes is longer than any pause, one of 64 bytes is not.
    near = {"name": "log", "from": "sensor", "to": "a", "rate": "1Mbps", "sizes": "64B",
            "class": "plain"}  # fmt: skip
    fast = DOOR | {"interval": "1ms"}
    made = plan_of(network(), profile("qbv", [fast], [CAM, near]))
    assert made.streams[0].status == "admitted"
    assert [one.placed_bps for one in made.demands] == [800_000_000, 1_000_000]

"""General ports against their slow twin, and each part against a case worked by hand."""

from __future__ import annotations

from itertools import pairwise
from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.model.gates import GateEntry, GateList
from qnet.model.plan import DemandPart, DemandPlan, PathPlan, Plan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate import layout
from qnet.simulate.clocks import walks
from qnet.simulate.ports.setup import add_parts
from qnet.simulate.run import simulate
from qnet.simulate.windows import shares
from qnet.simulate.world import Ring
from tests.slow_case import Case, compare
from tests.unit.test_simulate import CLOCK_BLOCK_PS, LENGTHS, demand, events, moving, sync

pytestmark = pytest.mark.twin


def _plan(
    streams: tuple[StreamPlan, ...],
    gates: tuple[GateList, ...] = (),
    gate_cycle_ps: int | None = None,
    buffers: int = 4,
    demands: tuple[DemandPlan, ...] = (),
) -> Plan:
    return Plan(
        qnet_version="0",
        topology_sha256="",
        traffic_sha256="",
        cycle_ps=10_000_000,
        buffers=buffers,
        hypercycle=12,
        gate_cycle_ps=gate_cycle_ps,
        gates=gates,
        streams=streams,
        demands=demands,
        egress=(),
    )


class Drawing:
    """Draws a ring of switches, streams both ways round it, and a plan that need not be right."""

    def __init__(self, draw: st.DrawFn, parts: set[str]) -> None:
        self.draw, self.parts = draw, parts
        self.count = draw(st.integers(3, 4))
        self.duration_us = 200

    def whole(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def topology(self) -> Topology:
        clock: dict[str, str] = {}
        nodes: list[dict[str, Any]] = []
        for i in range(self.count):
            clock = {"phase": f"{self.whole(0, 9999)}ns"}
            if "clocks" in self.parts:
                clock |= moving(self.draw)
            node: dict[str, Any] = {
                "name": f"n{i}",
                "processing": f"{self.whole(0, 3000)}ns" + "..4us" * ("demands" in self.parts),
                "buffer": f"{self.draw(st.sampled_from([2000, 9000, 64000]))}B",
                "clock": clock,
            }
            if "cut" in self.parts and self.draw(st.booleans()):
                node["cut-through"] = f"{self.draw(st.sampled_from([64, 128, 600]))}B"
            nodes.append(node)
        rates = ["1Gbps", "10Gbps", "3Gbps"] if "cut" not in self.parts else ["1Gbps", "3Gbps"]
        links: list[dict[str, Any]] = []
        for i in range(self.count):
            link: dict[str, Any] = {
                "between": (f"n{i}", f"n{(i + 1) % self.count}"),
                "rate": self.draw(st.sampled_from(rates)),
                "length": self.draw(LENGTHS),
            }
            if "loss" in self.parts:
                link["loss"] = f"{self.whole(0, 30)}%"
                link["bit-error-ratio"] = self.draw(st.sampled_from(["0", "1e-5"]))
            links.append(link)
        net: dict[str, Any] = {"title": "t", "nodes": nodes, "links": links}
        if "clocks" in self.parts and self.draw(st.booleans()):
            net["sync"] = sync(self.draw)
        return Topology.model_validate(net)

    def classes(self) -> list[dict[str, Any]]:
        classes: list[dict[str, Any]] = []
        if "qbv" in self.parts:
            guard = self.draw(st.sampled_from(["fixed", "length-aware"]))
            classes.append({"name": "gated", "priority": 7, "mechanism": "qbv", "guard": guard})
        if {"tcqf", "cqf"} & self.parts:
            mechanism = "cqf" if "cqf" in self.parts else "tcqf"
            classes.append({"name": "cyclic", "priority": 6, "mechanism": mechanism})
        plain: list[dict[str, Any]] = [
            {"name": "high", "priority": 5},
            {"name": "one", "priority": 3},
            {"name": "two", "priority": 2},
            {"name": "low", "priority": 1},
        ]
        if "weights" in self.parts:
            plain[1]["weight"] = self.whole(1, 3)
            plain[2] |= {"weight": self.whole(1, 3), "priority": 3}
        if "credit" in self.parts:
            shares = [f"{self.whole(5, 900) / 10}%", f"{self.whole(1, 99)}.8688%"]
            rates = [f"{self.whole(10**6, 10**9)}bps", "98688kbps"]
            if "demands" not in self.parts:
                rates.append("as-reserved")
            plain[0]["idle-slope"] = self.draw(st.sampled_from([*shares, *rates]))
            if "weights" not in self.parts:
                plain[1]["idle-slope"] = f"{self.whole(50, 300) / 10}%"
        if "shaping" in self.parts:
            plain[0]["max-residence"] = f"{self.whole(1, 60)}us"
        if "cuts" in self.parts:
            # Classes of one priority are cut all or none.
            begin = self.draw(st.sampled_from([1, 3] if "weights" in self.parts else [1, 2, 3]))
            for one in plain[begin:]:
                if "idle-slope" not in one:
                    one["preemptable"] = True
        return classes + [{"mechanism": "strict-priority"} | one for one in plain]

    def stream(self, number: int, names: list[str]) -> dict[str, Any]:
        start = self.whole(0, self.count - 1)
        end = (start + self.whole(1, self.count - 1)) % self.count
        cycles = self.whole(1, 4)
        stream: dict[str, Any] = {
            "name": f"s{number}",
            "from": f"n{start}",
            "to": f"n{end}",
            "class": self.draw(st.sampled_from(names)),
            "interval": f"{10 * cycles}us",
            "max-pkts-per-interval": self.whole(1, 5),
            "max-payload-size": f"{self.whole(1, 1500)}B",
        }
        if "meters" in self.parts:
            stream["police"] = self.draw(st.booleans())
            stream["excess-pkts-per-interval"] = self.whole(0, 3)
            if stream["police"] and self.draw(st.booleans()):
                stream["excess-rate"] = f"{self.whole(10, 2000)}Mbps"
                stream["excess-burst"] = f"{self.whole(1538, 6000)}B"
        if "shaping" in self.parts and self.draw(st.booleans()):
            stream["committed-rate"] = f"{self.whole(50, 2000)}Mbps"
        if "copies" in self.parts and self.draw(st.booleans()):
            history = self.draw(st.sampled_from([1, 2, 7, 64]))
            reset = f"{self.draw(st.sampled_from([15, 40, 1000]))}us"
            stream["paths"] = 2
            if self.draw(st.booleans()):
                stream["recovery"] = {"history": history, "reset": reset}
        elif "trees" in self.parts:
            others = [(start + i) % self.count for i in range(1, self.count)]
            ends = self.draw(st.permutations(others))[: self.whole(1, len(others))]
            stream["to"] = [f"n{end}" for end in ends]
        return stream

    def legs(self, stream: dict[str, Any], mechanism: str) -> dict[str, tuple[PathPlan, ...]]:
        """Lead each leg one way round the ring or the other: those of one way share its ports."""
        if isinstance(stream["to"], str):
            return {stream["name"]: self.paths(stream, mechanism)}
        start = int(stream["from"][1:])
        ways = [
            self.paths(stream | {"to": f"n{end % self.count}", "paths": 2}, mechanism)[side]
            for side, end in enumerate((start - 1, start + 1))
        ]
        made: dict[str, tuple[PathPlan, ...]] = {}
        for end in stream["to"]:
            way = ways[self.whole(0, 1)]
            hops = 1 + next(i for i, port in enumerate(way.ports) if port.endswith(f"->{end}"))
            name = stream["name"] if len(stream["to"]) == 1 else f"{stream['name']}@{end}"
            cut = {
                "ports": way.ports[:hops],
                "cycles": way.cycles[:hops],
                "queues": way.queues[:hops],
                "starts_ps": tuple(starts[:hops] for starts in way.starts_ps),
            }
            made[name] = (PathPlan(**cut),)
        return made

    def paths(self, stream: dict[str, Any], mechanism: str) -> tuple[PathPlan, ...]:
        start, end = (int(stream[key][1:]) for key in ("from", "to"))
        both = []
        for step in (1, -1):
            way = [start]
            while way[-1] != end:
                way.append((way[-1] + step) % self.count)
            ports = tuple(f"n{a}->n{b}" for a, b in pairwise(way))
            cycles: tuple[int, ...] = ()
            queues: tuple[int, ...] = ()
            starts: tuple[tuple[int, ...], ...] = ()
            if mechanism in ("tcqf", "cqf"):
                first = self.whole(1, 3)
                steps = [self.whole(1, 4) for _ in ports[1:]]
                cycles = tuple(first + sum(steps[:h]) for h in range(len(ports)))
            if mechanism == "qbv":
                # Five classes at most have the queues below.
                queues = tuple(self.whole(5, 7) for _ in ports)
                begins = sorted(self.whole(0, 49_999) for _ in range(self.whole(1, 3)))
                starts = tuple((1000 * begin,) + (0,) * (len(ports) - 1) for begin in begins)
            both.append(PathPlan(ports=ports, cycles=cycles, queues=queues, starts_ps=starts))
        if stream.get("paths") == 2:
            return tuple(both)
        return (both[self.whole(0, 1)],)

    def gates(self, topology: Topology) -> tuple[GateList, ...]:
        lists = []
        for port in topology.ports:
            if self.whole(0, 4) == 0:
                continue
            ends = sorted({self.whole(1, 49_999) for _ in range(self.whole(0, 5))} | {50_000})
            most = 511 if "cuts" in self.parts else 255
            entries = tuple(
                GateEntry(1000 * (b - a), self.whole(0, most)) for a, b in pairwise([0, *ends])
            )
            lists.append(GateList(port=port.name, entries=entries))
        return tuple(lists)

    def case(self) -> Case:
        topology = self.topology()
        classes = self.classes()
        names = [one["name"] for one in classes]
        mechanism = {one["name"]: one["mechanism"] for one in classes}
        streams = [self.stream(i, names) for i in range(self.whole(1, 6))]
        demands = self.demands(classes) if "demands" in self.parts else []
        profile = Profile.model_validate(
            {
                "title": "p",
                "topology": "t",
                "classes": classes,
                "streams": streams,
                "demands": demands,
                "events": events(self.draw, topology) if "events" in self.parts else [],
                "simulation": {"duration": f"{self.duration_us}us", "seed": self.whole(0, 9)},
            }
        )
        plans = []
        for one in streams:
            kind = mechanism[one["class"]]
            cyclic = kind in ("tcqf", "cqf")
            send_ps = self.whole(0, 20_000_000) if cyclic else None
            for name, paths in self.legs(one, kind).items():
                plans.append(
                    StreamPlan(
                        name=name,
                        status="routed" if kind == "strict-priority" else "admitted",
                        send_ps=send_ps,
                        hold_ps=self.hold_ps(),
                        paths=paths,
                    )
                )
        gates = self.gates(topology) if "qbv" in self.parts else ()
        placed = tuple(self.placed(one) for one in demands)
        return topology, profile, _plan(tuple(plans), gates, 50_000_000, demands=placed)

    def hold_ps(self) -> int | None:
        if "dampers" not in self.parts or not self.draw(st.booleans()):
            return None
        return self.whole(0, 90_000_000)

    def demands(self, classes: list[dict[str, Any]]) -> list[dict[str, Any]]:
        names = [
            one["name"]
            for one in classes
            if one["mechanism"] == "strict-priority" and "max-residence" not in one
        ]
        drawn = []
        for i in range(self.whole(1, 3)):
            start = self.whole(0, self.count - 1)
            end = (start + self.whole(1, self.count - 1)) % self.count
            drawn.append(demand(self.draw, i, (start, end), self.draw(st.sampled_from(names))))
        return drawn

    def placed(self, one: dict[str, Any]) -> DemandPlan:
        """Half of it goes one way round the ring, the rest the other."""
        rate_bps = int(one["rate"][:-4]) * 10**6
        parts = tuple(
            DemandPart(ports=path.ports, rate_bps=rate_bps // 2)
            for path in self.paths(one | {"paths": 2}, "strict-priority")
        )
        return DemandPlan(name=one["name"], rate_bps=rate_bps, placed_bps=rate_bps, parts=parts)


PARTS = {
    "gates": {"qbv"},
    "gates-and-cycles": {"qbv", "tcqf", "weights", "shaping"},
    "gates-and-credit": {"qbv", "credit", "clocks"},
    "gates-and-cuts": {"qbv", "cuts", "clocks"},
    "gates-and-all": {"qbv", "cuts", "credit", "weights", "tcqf", "clocks", "demands"},
    "cycles-and-clocks": {"tcqf", "clocks", "loss"},
    "cqf": {"cqf"},
    "cqf-and-clocks": {"cqf", "clocks", "credit"},
    "demands": {"demands", "weights", "credit", "cuts", "loss"},
    "weights": {"weights"},
    "credit": {"credit"},
    "credit-and-weights": {"credit", "weights", "tcqf"},
    "shaping": {"shaping"},
    "cuts": {"cuts"},
    "cuts-and-all": {"cuts", "tcqf", "credit", "meters", "loss", "cut"},
    "meters": {"meters"},
    "copies": {"copies", "loss", "tcqf"},
    "copies-and-gates": {"copies", "loss", "qbv", "cut"},
    "copies-and-all": {"copies", "loss", "tcqf", "meters", "shaping", "clocks", "dampers", "cuts"},
    "loss": {"loss"},
    "cut-through": {"cut", "tcqf"},
    "trees": {"trees", "tcqf", "loss", "meters", "dampers"},
    "trees-and-gates": {"trees", "qbv", "cuts", "clocks"},
    "trees-and-credit": {"trees", "credit", "weights", "cut", "copies"},
    "trees-and-shaping": {"trees", "shaping", "meters", "cuts", "loss"},
    "events": {"events", "loss"},
    "events-and-cycles": {"events", "tcqf", "clocks", "dampers", "meters"},
    "events-and-gates": {"events", "qbv", "cuts", "cut", "credit"},
    "events-and-demands": {"events", "demands", "weights", "credit", "cuts", "loss"},
    "events-and-copies": {"events", "copies", "loss", "tcqf", "dampers", "cuts", "shaping"},
    "events-and-trees": {"events", "trees", "tcqf", "dampers", "cut", "weights", "demands"},
}


@pytest.mark.parametrize("name", PARTS)
def test_same_bytes_port_by_port_and_in_the_order_of_what_comes_next(name: str) -> None:
    @settings(max_examples=settings().max_examples // 6)
    @given(st.composite(lambda draw: Drawing(draw, PARTS[name]).case())())
    def check(case: Case) -> None:
        seen = []
        for visits_per_s in (0.0, inf):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(walks, "CLOCK_BLOCK_PS", CLOCK_BLOCK_PS)
                patch.setattr(shares, "visits_per_s", lambda *_, rate=visits_per_s: rate)
                seen.append(simulate(*case, threads=1).model_dump_json())
        assert seen[0] == seen[1]

    check()


@pytest.mark.parametrize("name", PARTS)
def test_every_count_equals_the_slow_twins(name: str) -> None:
    @settings(max_examples=settings().max_examples * 5 // 12)
    @given(st.composite(lambda draw: Drawing(draw, PARTS[name]).case())())
    def check(case: Case) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(walks, "CLOCK_BLOCK_PS", CLOCK_BLOCK_PS)
            compare(case, simulate(*case, threads=1))

    check()


@pytest.mark.parametrize(
    "name",
    [
        "cuts-and-all", "copies-and-gates", "gates-and-cycles", "gates-and-all", "trees",
        "events-and-copies", "events-and-trees",
    ],
)  # fmt: skip
def test_same_bytes_at_more_threads_and_with_other_rings(name: str) -> None:
    """Rings of two frames at first: every kernel stops and is resumed, again and again."""
    made = add_parts

    def tight(*arguments: Any) -> Any:
        world, parts, changes = made(*arguments)
        world.lanes.mask[:] = 1
        world.queues.ring[:, Ring.MASK] = 1
        return world, parts, changes

    @settings(max_examples=6)
    @given(st.composite(lambda draw: Drawing(draw, PARTS[name]).case())())
    def check(case: Case) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(walks, "CLOCK_BLOCK_PS", CLOCK_BLOCK_PS)
            one = simulate(*case, threads=1).model_dump_json()
            patch.setattr(layout, "add_parts", tight)
            patch.setattr(shares, "HOPS_PER_TASK", 1)
            for threads in (2, 3):
                assert simulate(*case, threads=threads).model_dump_json() == one

    check()

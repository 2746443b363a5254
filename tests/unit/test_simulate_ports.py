"""General ports against their slow twin, and each part against a case worked by hand."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qnet.model.gates import GateEntry, GateList
from qnet.model.plan import PathPlan, Plan, StreamPlan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate import kernels, run
from qnet.simulate.ports.setup import add_parts
from qnet.simulate.run import simulate
from qnet.simulate.windows import shares
from tests.slow_case import Case, compare

pytestmark = pytest.mark.twin


def _plan(
    streams: tuple[StreamPlan, ...],
    gates: tuple[GateList, ...] = (),
    gate_cycle_ps: int | None = None,
    buffers: int = 4,
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
        demands=(),
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
                clock |= {"error": f"{self.whole(0, 900)}ns", "wander": "300ns"}
            node: dict[str, Any] = {
                "name": f"n{i}",
                "processing": f"{self.whole(0, 3000)}ns",
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
                "length": f"{self.whole(200, 3000)}m",
            }
            if "loss" in self.parts:
                link["loss"] = f"{self.whole(0, 30)}%"
                link["bit-error-ratio"] = self.draw(st.sampled_from(["0", "1e-5"]))
            links.append(link)
        return Topology.model_validate({"title": "t", "nodes": nodes, "links": links})

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
            plain[0]["idle-slope"] = f"{self.whole(5, 900) / 10}%"
            if "weights" not in self.parts:
                plain[1]["idle-slope"] = f"{self.whole(50, 300) / 10}%"
        if "shaping" in self.parts:
            plain[0]["max-residence"] = f"{self.whole(1, 60)}us"
        if "cuts" in self.parts:
            for one in plain[self.whole(2 if "credit" in self.parts else 1, 3) :]:
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
        if "shaping" in self.parts and self.draw(st.booleans()):
            stream["committed-rate"] = f"{self.whole(50, 2000)}Mbps"
        if "copies" in self.parts and self.draw(st.booleans()):
            history = self.draw(st.sampled_from([1, 2, 7, 64]))
            reset = f"{self.draw(st.sampled_from([15, 40, 1000]))}us"
            stream |= {"paths": 2, "recovery": {"history": history, "reset": reset}}
        return stream

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
            entries = tuple(
                GateEntry(1000 * (b - a), self.whole(0, 255)) for a, b in pairwise([0, *ends])
            )
            lists.append(GateList(port=port.name, entries=entries))
        return tuple(lists)

    def case(self) -> Case:
        topology = self.topology()
        classes = self.classes()
        names = [one["name"] for one in classes]
        mechanism = {one["name"]: one["mechanism"] for one in classes}
        streams = [self.stream(i, names) for i in range(self.whole(1, 6))]
        profile = Profile.model_validate(
            {
                "title": "p",
                "topology": "t",
                "classes": classes,
                "streams": streams,
                "simulation": {"duration": f"{self.duration_us}us", "seed": self.whole(0, 9)},
            }
        )
        plans = []
        for one in streams:
            kind = mechanism[one["class"]]
            cyclic = kind in ("tcqf", "cqf")
            plans.append(
                StreamPlan(
                    name=one["name"],
                    status="routed" if kind == "strict-priority" else "admitted",
                    send_ps=self.whole(0, 20_000_000) if cyclic else None,
                    paths=self.paths(one, kind),
                )
            )
        gates = self.gates(topology) if "qbv" in self.parts else ()
        return topology, profile, _plan(tuple(plans), gates, 50_000_000)


PARTS = {
    "gates": {"qbv"},
    "gates-and-cycles": {"qbv", "tcqf", "weights", "shaping"},
    "cqf": {"cqf"},
    "weights": {"weights"},
    "credit": {"credit"},
    "credit-and-weights": {"credit", "weights", "tcqf"},
    "shaping": {"shaping"},
    "cuts": {"cuts"},
    "cuts-and-all": {"cuts", "tcqf", "credit", "meters", "loss", "cut"},
    "meters": {"meters"},
    "copies": {"copies", "loss", "tcqf"},
    "copies-and-gates": {"copies", "loss", "qbv", "cut"},
    "loss": {"loss"},
    "cut-through": {"cut", "tcqf"},
}


@pytest.mark.parametrize("name", PARTS)
def test_every_count_equals_the_slow_twins(name: str) -> None:
    @settings(max_examples=25)
    @given(st.composite(lambda draw: Drawing(draw, PARTS[name]).case())())
    def check(case: Case) -> None:
        compare(case, simulate(*case, threads=1))

    check()


@pytest.mark.parametrize("name", ["cuts-and-all", "copies-and-gates", "gates-and-cycles"])
def test_same_bytes_at_more_threads_and_with_other_rings(name: str) -> None:
    """Rings of two frames at first: every kernel stops and is resumed, again and again."""
    made = add_parts

    def tight(*arguments: Any) -> Any:
        world, parts = made(*arguments)
        world.lanes.mask[:] = 1
        world.queues.ring[:, kernels.MASK] = 1
        return world, parts

    @settings(max_examples=6)
    @given(st.composite(lambda draw: Drawing(draw, PARTS[name]).case())())
    def check(case: Case) -> None:
        one = simulate(*case, threads=1).model_dump_json()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(run, "add_parts", tight)
            patch.setattr(shares, "HOPS_PER_TASK", 1)
            for threads in (2, 3):
                assert simulate(*case, threads=threads).model_dump_json() == one

    check()

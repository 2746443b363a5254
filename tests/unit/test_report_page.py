from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from qnet.errors import InputError
from qnet.model.emulation import Emulation, Lateness, Witnesses
from qnet.model.fields import BothWays
from qnet.model.observation import Drop, Observation, PortSeries
from qnet.model.plan import Plan, StreamPlan
from qnet.model.proof import Proof
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.report import inputs as report
from qnet.report.charts import summaries
from qnet.report.page import page as render
from qnet.report.tables import in_order
from tests.unit.report_case import MS, US, Case, case, profile, proof, topology, verdict


def page(*parts: Any, port: str | None = None) -> str:
    return render(report.ReportInput(*parts), port)


class Outline(HTMLParser):
    """Counts elements, and fails on one that is closed in the wrong place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_same_inputs_same_bytes() -> None:
    assert page(*case()) == page(*case())


def test_nothing_is_fetched() -> None:
    text = page(*case())
    assert "://" not in text
    assert not re.search(r"url\(|@import|\bsrc=|\bhref=", text)
    assert text.startswith("<!doctype html>")


def test_whole_and_well_formed() -> None:
    text = page(*case())
    seen = Outline(text).seen
    assert seen.count("svg") == 2 + 2 * 4 + 1 + 1
    for said in (
        "FAIL",
        "3 of 10 requirements not kept",
        "one of the two witnesses is wrong",
        "Inside qingyang: 6 nodes",
        "propagation alone is 21.4 ms of 10 ms",
        "the cable guiyang--guangzhou is full",
        "20 of 252 ports shown.",
        "All talkers are in phase.",
        "4f" * 32,
    ):
        assert said in text
    assert text.count("Fibre is 1.8 times the great circle.") == 1
    for city in ("suzhou", "shanghai", "harbin"):
        assert re.search(f'class="label"[^>]*>{city}<', text)


def test_without_simulation_the_plan_speaks() -> None:
    text = page(*case(simulated=False))
    Outline(text)
    assert "as planned; nothing was simulated" in text
    assert "<h2>Latency</h2>" not in text


def test_without_positions_a_circle() -> None:
    text = page(*case(positions=False))
    Outline(text)
    assert "No node has a position" in text
    assert "Inside" not in text


def test_one_place_needs_no_map() -> None:
    whole = case(simulated=False)
    campus = whole.topology.nodes[:6]
    names = {node.name for node in campus}
    links = tuple(link for link in whole.topology.links if names.issuperset(link.between))
    small = whole.topology.replace(nodes=campus, links=links)
    text = page(*bare(small))
    Outline(text)
    assert "Map of the network" not in text
    assert "Inside qingyang" in text


def test_nodes_without_position_stand_with_their_neighbours() -> None:
    network = topology()
    lost = {"position": None, "site": None}
    nodes = tuple(node.replace(**lost) if node.name == "wuhu" else node for node in network.nodes)
    links = tuple(
        link.replace(length_mm=BothWays(10**9, 10**9)) if "wuhu" in link.between else link
        for link in network.links
    )
    text = page(*bare(network.replace(nodes=nodes, links=links)))
    assert "Inside zhengzhou: 2 nodes" in text


def bare(network: Topology) -> Case:
    """A case that asks for nothing."""
    whole = case()
    empty = Profile(title="nothing", topology="test")
    nothing = whole.plan.replace(streams=(), demands=(), egress=())
    silent = whole.verdict.replace(
        findings=(), rows=(), assumptions=(), notes=(), outcome="unknown"
    )
    return Case(network, empty, nothing, Proof(streams=(), ports=(), findings=()), None, silent)


def test_all_refused_and_nothing_seen() -> None:
    whole = case()
    refused = tuple(StreamPlan(name=one.name, status="refused") for one in whole.plan.streams)
    none = whole.plan.replace(streams=refused)
    seen = Observation(
        witness="simulated",
        duration_ps=0,
        steady_from_ps=0,
        seed=1,
        frames=0,
        frame_hops=0,
        streams=(),
        demands=(),
        ports=(),
    )
    text = page(*whole._replace(plan=none, observation=seen, proof=proof_of(whole, none)))
    Outline(text)
    assert "no reason given" in text
    assert "No port carries reserved streams." in text


def proof_of(whole: Case, planned: Plan) -> Proof:
    return proof(whole.topology, whole.profile, planned)


def test_hostile_text_is_escaped() -> None:
    hostile = "<script>alert(1)</script>\"'&\x1b\u202e"
    whole = case()
    refused = StreamPlan(name="surgery-1", status="refused", reason=hostile)
    text = page(
        *whole._replace(
            topology=whole.topology.replace(title=hostile, assumptions=(hostile,)),
            profile=whole.profile.replace(title=hostile),
            plan=whole.plan.replace(streams=(refused, *whole.plan.streams[1:])),
            verdict=verdict().replace(title=hostile, findings=(hostile,), notes=(hostile,)),
        )
    )
    Outline(text)
    assert "alert(1)" in text
    assert "<script>alert" not in text
    assert not {"\x1b", "\u202e"} & set(text)


def test_a_chosen_port() -> None:
    whole = case()
    used = whole.plan.streams[0].paths[0].ports[0]
    assert f"port <b>{used.replace('>', '&gt;')}</b>" in page(*whole, port=used)
    assert "No stream reserves anything" in page(*whole, port="harbin->beijing/1")
    with pytest.raises(InputError, match="did you mean 'harbin->beijing/1'"):
        page(*whole, port="harbin->bejing/1")


def test_each_promise_of_a_service_has_its_chart() -> None:
    whole = case()
    asked = profile()
    streams = asked.streams
    strict = streams[0].replace(max_latency_ps=10**10, group="surgery")
    loose = streams[1].replace(group="surgery")
    assert whole.observation is not None
    seen = tuple(
        one.replace(service="surgery") if one.service == "power-grid" else one
        for one in whole.observation.streams
    )
    text = page(
        *whole._replace(
            profile=asked.replace(streams=(strict, loose, *streams[2:])),
            observation=whole.observation.replace(streams=seen),
        )
    )
    Outline(text)
    assert "latency, end to end, 12 streams" in text
    assert "latency, end to end, 20 streams" in text
    assert "promised 10.000 ms" in text


def test_egress_stands_beside_its_bound() -> None:
    text = page(*case())
    assert "LP bound" in text
    assert "10.180 Tb/s" in text
    assert ">99.4 %<" in text
    assert text.count("10.119 Tb/s") == 2


def test_a_place_without_links_inside_has_no_diagram() -> None:
    network = topology()
    inside = {node.name for node in network.nodes[:6]}
    links = tuple(link for link in network.links if not inside.issuperset(link.between))
    text = page(*bare(network.replace(links=links)))
    assert "Inside" not in text


def test_charts_have_titles_on_both_axes() -> None:
    text = page(*case())
    charts = text.count('viewBox="-58 ')
    assert text.count("share of frames<") == charts > 5
    assert "bytes reserved per cycle" in text
    assert "late events" in text


def test_long_hypercycles_are_merged() -> None:
    whole = case()
    long = whole.plan.replace(hypercycle=10_000)
    assert "Each column is the fullest of 40 cycles." in page(*whole._replace(plan=long))


def test_thousands_of_streams_stay_small() -> None:
    whole = case()
    surgery = profile().streams[0].replace(count=6000, group=None)
    many = profile().replace(streams=(surgery,))
    route = whole.plan.streams[0]
    streams = tuple(route.replace(name=stream.name) for stream in many.every_stream)
    assert whole.observation is not None
    account = whole.observation.streams[0]
    seen = tuple(account.replace(name=stream.name, service=stream.name) for stream in streams)
    text = page(
        *whole._replace(
            profile=many,
            plan=whole.plan.replace(streams=streams, demands=()),
            observation=whole.observation.replace(streams=seen, demands=()),
        )
    )
    assert len(text.encode()) < 1_200_000
    assert "20 of 6,000 streams shown." in text
    assert "The page holds the first 1,000" in text
    assert "16 of 6,000 services shown." in text


def sheets(text: str) -> dict[str, list[list[str]]]:
    """Return the rows that the page's tables hold, by what their rows are."""
    found = re.findall(
        r'data-noun="([^"]*)">.*?<script type="application/json">(.*?)</script>', text, re.DOTALL
    )
    return {noun: json.loads(rows) for noun, rows in found}


def witnesses(name: str, difference_ps: int | None, lost: int = 0) -> Witnesses:
    return Witnesses(
        name=name,
        frames=10,
        delivered=10 - lost,
        lost=lost,
        proven_latency_ps_max=3 * MS,
        proven_variation_ps=20 * US,
        simulated_latency_ps_max=2 * MS,
        simulated_variation_ps=10 * US,
        emulated_latency_ps_max=2 * MS + (difference_ps or 0),
        emulated_variation_ps=9 * US,
        difference_ps=difference_ps,
        variation_difference_ps=difference_ps,
    )


def emulation(*streams: Witnesses) -> Emulation:
    observation = case().observation
    assert observation is not None
    return Emulation(
        tier="lockstep",
        dilation=None,
        rounding_ps=0,
        controller="the <reservation> app",
        switches=18,
        rules=1234,
        frames=30,
        hops=150,
        lateness=Lateness(frames=150, violations=0, holds=0, held_ps=0),
        findings=(),
        streams=streams,
        observation=observation,
    )


def test_witnesses_of_every_sampled_stream_the_largest_difference_first() -> None:
    one = emulation(
        witnesses("power-grid-10", 0),
        witnesses("power-grid-2", 0),
        witnesses("surgery-1", 7_000),
        witnesses("video part 1", None, lost=2),
    )
    text = page(*case(), one)
    Outline(text)
    assert "Witnesses side by side" in text
    assert "the &lt;reservation&gt; app" in text
    rows = sheets(text)["sampled streams"]
    assert [row[0] for row in rows] == [
        "surgery-1", "video part 1", "power-grid-2", "power-grid-10",
    ]  # fmt: skip
    assert rows[0] == [
        "surgery-1", "10", "10", "0", "3.000 ms", "2.000 ms", "2.000 ms", "20.000 us", "10.000 us",
        "9.000 us", "7.000 ns", "7.000 ns",
    ]  # fmt: skip
    assert rows[1][-1] == "-"
    assert '<td class="fault fail">7.000 ns</td>' in text
    assert '<td class="fault">0 ns</td>' in text
    assert "Witnesses side by side" not in page(*case())


def test_every_stream_is_on_the_page() -> None:
    whole = case()
    rows = sheets(page(*whole))["streams"]
    planned = {one.name for one in whole.plan.streams if one.status != "refused"}
    assert {row[0] for row in rows} == planned


def test_names_with_numbers_are_in_the_order_of_the_numbers() -> None:
    names = ["camera-10", "camera-2", "camera", "7-up", "camera-2-b"]
    assert sorted(names, key=in_order) == ["7-up", "camera", "camera-2", "camera-2-b", "camera-10"]


def test_lost_frames_have_port_and_cause() -> None:
    whole = case()
    assert whole.observation is not None
    port = whole.topology.ports[0].name
    drops = (
        Drop(port=port, name="video", cause="class buffer full", frames=2),
        Drop(port=port, name="backup", cause="frame damaged", frames=30),
    )
    text = page(*whole._replace(observation=whole.observation.replace(drops=drops)))
    Outline(text)
    assert "<h2>Lost frames</h2>" in text
    assert sheets(text)["places and causes"] == [
        [port, "backup", "frame damaged", "30"],
        [port, "video", "class buffer full", "2"],
    ]
    assert "No port lost a frame." not in text
    assert "No port lost a frame." in page(*whole)


def test_ports_that_lose_frames_are_charted_before_fuller_ones() -> None:
    whole = case()
    assert whole.observation is not None
    uses = whole.observation.ports
    quiet = min(uses, key=lambda use: use.steady_bytes)
    series = tuple(
        PortSeries(
            port=use.port,
            sent_frames=(1, 1),
            sent_bytes=(1000, 1000),
            queue_bytes_max=(0, 500),
            dropped=(0, 3) if use == quiet else (0, 0),
        )
        for use in uses
    )
    ports = tuple(
        use.replace(dropped=3 if use == quiet else 0, queue_bytes_max=500) for use in uses
    )
    seen = whole.observation.replace(series=series, series_end_ps=(MS, 2 * MS), ports=ports)
    text = page(*whole._replace(observation=seen))
    Outline(text)
    drawn = re.findall(r'aria-label="([^"]*) over time"', text)
    assert drawn[0] == quiet.port.replace(">", "&gt;")
    assert len(drawn) == 8
    assert text.count('class="lost" x1=') == 2


def test_a_run_too_short_to_settle_counts_as_a_whole() -> None:
    whole = case()
    assert whole.observation is not None
    short = whole.observation.replace(steady_from_ps=whole.observation.duration_ps)
    text = page(*whole._replace(observation=short))
    assert "over the whole run, which was too short to settle" in text
    loads = [float(row[2].split()[0]) for row in sheets(text)["ports"]]
    assert max(loads) > 0


def test_a_promise_far_away_is_named_at_the_edge() -> None:
    whole = case()
    asked = profile()
    far = asked.streams[0].replace(max_latency_ps=10**12)
    text = page(*whole._replace(profile=asked.replace(streams=(far, *asked.streams[1:]))))
    assert "promised 1.000 s \u2192" in text


def test_quantiles_lie_between_least_and_most() -> None:
    whole = case()
    rows = sheets(page(*whole))["services"]
    assert {row[0] for row in rows} >= {"surgery", "power-grid", "bulk"}
    for one in summaries(report.ReportInput(*whole)):
        least, _, *rising = one.latencies_ps
        assert least is not None
        times = [time for time in (least, *rising) if time is not None]
        assert times == sorted(times)
        assert len(times) == len(rising) + 1

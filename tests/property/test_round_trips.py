"""Networks out to the files of other programs and in again: what a format can say is the same."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from qnet.errors import InputError
from qnet.files.read import bundled_names, load, read_topology
from qnet.files.words import file_data, to_lines
from qnet.interchange import export_network, import_network
from qnet.model.fields import BothWays
from qnet.model.topology import Clock, Link, Node, Topology, fibre_length_mm, propagation_ps

FORMATS = ["containerlab", "netlab", "rfc8345"]

NAMES = st.one_of(
    st.sampled_from(
        ["host", "mgmt-net", "dummy", "a--b", "a.b", "no", "null", "12", "1e3", "0x1F"]
    ),
    st.sampled_from(["庆阳", "Zürich", "x" * 63, "y" * 62 + "-", "bandwidth", "members"]),
    st.from_regex(r"[a-z][a-z0-9_-]{0,5}", fullmatch=True),
)
TITLES = ["A net: of 'two' #1", "12", "null", "庆阳 - 上海", "{a} ${b}", "x\u0085y\\"]


def both(draw: st.DrawFn, values: st.SearchStrategy[str]) -> Any:
    """Draw one value for both directions, or two."""
    return draw(st.one_of(values, st.lists(values, min_size=2, max_size=2)))


def amounts(unit: str, highest: int = 9999) -> st.SearchStrategy[str]:
    return st.integers(1, highest).map(lambda amount: f"{amount}{unit}")


@st.composite
def topologies(draw: st.DrawFn, *, exact: bool) -> Topology:
    """Draw a network of everything that files have, or of what RFC 8345 says exactly."""
    names = draw(st.lists(NAMES, min_size=2, max_size=5, unique=True))
    nodes = []
    for name in names:
        node: dict[str, Any] = {"name": name}
        north, east = draw(st.integers(-9000, 9000)), draw(st.integers(-18000, 18000))
        if draw(st.booleans()):
            ns, ew = "NS"[north < 0], "EW"[east < 0]
            node["position"] = f"{abs(north) / 100}{ns} {abs(east) / 100}{ew}"
        if not exact:
            for key, values in (
                ("kind", st.sampled_from(["host", "switch"])),
                ("site", NAMES),
                ("role", NAMES),
                ("processing", st.sampled_from(["1us..2us", "5ns"])),
                ("buffer", amounts("B")),
                ("queues", st.integers(1, 8)),
                ("gate-entries", st.integers(1, 99)),
                ("cut-through", amounts("B")),
            ):
                if draw(st.integers(0, 3)) == 0:
                    node[key] = draw(values)
        nodes.append(node)
    links = [draw_link(draw, names, number, exact) for number in range(draw(st.integers(1, 5)))]
    try:
        network = {"title": draw(st.sampled_from(TITLES)), "nodes": nodes, "links": links}
        return load({"title": "t", "topology": "t"}, topology=network).topology
    except InputError:
        assume(False)  # names that meet, an asymmetry that is too large, a title of blanks ...
        raise


def draw_link(draw: st.DrawFn, names: list[str], number: int, exact: bool) -> dict[str, Any]:
    ends = draw(st.lists(st.sampled_from(names), min_size=2, max_size=2, unique=True))
    one_way = draw(st.integers(0, 4)) == 0

    def value(values: st.SearchStrategy[str]) -> Any:
        return draw(values) if one_way else both(draw, values)

    link: dict[str, Any] = {
        "between": ends,
        "rate": value(amounts("kbps" if exact else draw(st.sampled_from(["bps", "Gbps"])))),
        "members": draw(st.integers(1, 3)),
        "direction": "one-way" if one_way else "both",
    }
    if draw(st.booleans()):
        link["name"] = f"n{number}-"
    if draw(st.integers(0, 2)) == 0:
        link["cable"] = draw(st.sampled_from(["east", "北", "c" * 63, "c--d"]))
    if exact:
        return {**link, "delay": value(amounts("us"))}
    kind = draw(st.sampled_from(["length", "delay", "place"]))
    if kind != "place":
        link[kind] = value(amounts("m" if kind == "length" else "ns"))
    for key, values in (("loss", amounts("ppb")), ("bit-error-ratio", st.just("1e-12"))):
        if draw(st.integers(0, 3)) == 0:
            link[key] = value(values)
    if draw(st.integers(0, 3)) == 0:
        link["reservable"] = value(amounts("bps", 1))
    if not one_way and draw(st.integers(0, 3)) == 0:
        link["asymmetry"] = draw(amounts("ps", 99))
    return link


def round_trip(format: str, topology: Topology) -> Topology:
    made = export_network(format, topology)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network"
        file.write_text(made.text)
        back = import_network(format, str(file))
    assert back.edges == back.wires + sum(one.edges for one in back.assumptions)
    return back.topology


def with_lengths(topology: Topology) -> list[Link]:
    """Write out the lengths that follow from places."""
    links = []
    for link in topology.links:
        if link.length_mm is None and link.delay_ps is None:
            near, far = (topology.node_by_name[end].position for end in link.between)
            assert near is not None
            assert far is not None
            links.append(link.replace(length_mm=BothWays(*[fibre_length_mm(near, far)] * 2)))
        else:
            links.append(link)
    return links


@pytest.mark.parametrize("format", ["containerlab", "netlab"])
@settings(phases=(Phase.explicit, Phase.generate))  # what is drawn is small
@given(topology=topologies(exact=False))
def test_qnets_own_words_say_everything(format: str, topology: Topology) -> None:
    back = round_trip(format, topology)
    assert back.title == topology.title
    assert back.nodes == topology.nodes
    assert list(back.links) == with_lengths(topology)


@settings(phases=(Phase.explicit, Phase.generate))
@given(topology=topologies(exact=True))
def test_rfc8345_says_names_places_rates_delays_and_cables(topology: Topology) -> None:
    back = round_trip("rfc8345", topology)
    assert back.title == topology.title
    assert (back.nodes, back.links) == (topology.nodes, topology.links)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", sorted(bundled_names("topology")))
def test_bundled_networks(format: str, name: str) -> None:
    """But for clocks and failures; RFC 8345 has neither lengths nor what nodes are."""
    topology = read_topology(name)
    back = round_trip(format, topology)
    assert back.title == topology.title
    if format != "rfc8345":
        plain = [one.replace(clock=Clock(), failures=None) for one in topology.nodes]
        assert list(back.nodes) == plain
        assert list(back.links) == [one.replace(failures=None) for one in with_lengths(topology)]
        return
    assert list(back.nodes) == [Node(name=n.name, position=n.position) for n in topology.nodes]
    for one, other in zip(topology.links, back.links, strict=True):
        delays_ps = propagation_ps(one, topology.node_by_name)
        rates_bps = BothWays(*((rate + 500) // 1000 * 1000 for rate in one.rate_bps))
        rounded = BothWays(*((delay + 500_000) // 10**6 * 10**6 for delay in delays_ps))
        want = Link(
            name=one.name,
            between=one.between,
            direction=one.direction,
            rate_bps=rates_bps,
            members=one.members,
            cable=one.cable,
            delay_ps=rounded,
        )
        assert other == want


@given(topology=topologies(exact=False))
def test_a_line_for_each_element_says_to_yaml_what_the_file_says(topology: Topology) -> None:
    said = yaml.load(to_lines(topology), yaml.BaseLoader)
    assert said == yaml.load(yaml.safe_dump(file_data(topology)), yaml.BaseLoader)


RATES, LENGTHS = ["1Gbps", "2Gbps"], ["1km", "2km", "3m"]


@given(
    edges=st.lists(
        st.tuples(
            st.sampled_from("abc"), st.sampled_from("abc"), *map(st.sampled_from, (RATES, LENGTHS))
        ),
        min_size=1,
        max_size=9,
    ),
    is_directed=st.booleans(),
)
def test_links_that_were_made_alike_are_those_that_would_be_judged_one_by_one(
    edges: list[tuple[str, ...]], is_directed: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assume(any(source != target for source, target, *_ in edges))
    keys = ("source", "target", "rate", "length")
    data = {
        "directed": is_directed,
        "nodes": [{"id": name} for name in "abc"],
        "edges": [dict(zip(keys, edge, strict=True)) for edge in edges],
    }
    file = tmp_path_factory.mktemp("net") / "net.json"
    file.write_text(json.dumps(data))
    for link in import_network("node-link", str(file)).topology.links:
        judged = Link.model_validate(file_data(link))
        assert judged == link
        assert judged.model_fields_set == link.model_fields_set
        assert judged.model_dump() == link.model_dump()

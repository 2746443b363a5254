import networkx
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qnet.graph import flows
from qnet.graph.flows import RouteRate, most_placed_bps, place_flows
from qnet.graph.routes import Graph, make_edges
from qnet.graph.served import ServedProgram
from qnet.model.topology import Link, Node, Topology
from qnet.schedule.demands import LEVELS, water_fill

GBPS = 10**9


def graph_of(links: dict[tuple[int, int], int]) -> tuple[Graph, list[int]]:
    topology = Topology(
        title="test",
        nodes=tuple(Node(name=f"n{i}") for i in range(6)),
        links=tuple(
            Link.model_validate(
                {"between": (f"n{i}", f"n{j}"), "rate": f"{rate}Gbps", "delay": f"{i + j}us"}
            )
            for (i, j), rate in sorted(links.items())
        ),
    )
    graph = Graph(make_edges(topology, by_cable=False))
    return graph, [sum(port.reservable_bps for port in edge.ports) for edge in graph.edges]


LINKS = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda pair: pair[0] < pair[1]),
    st.integers(1, 30),
    min_size=1,
)


@given(LINKS)
def test_one_commodity_is_a_maximum_flow(links: dict[tuple[int, int], int]) -> None:
    graph, capacity_bps = graph_of(links)
    judge = networkx.DiGraph()
    judge.add_nodes_from(["n0", "n5"])
    for edge in graph.edges:
        judge.add_edge(edge.source, edge.target, capacity=capacity_bps[edge.number])
    most = networkx.maximum_flow_value(judge, "n0", "n5")
    wants = {("n0", "n5"): 10**12}
    assert most_placed_bps(graph, capacity_bps, wants) == most
    placed = place_flows(graph, list(capacity_bps), wants)
    assert sum(one.rate_bps for one in placed["n0", "n5"]) == most


@given(
    LINKS,
    st.dictionaries(
        st.sampled_from([("n0", "n5"), ("n1", "n4"), ("n4", "n0")]), st.integers(1, 10**11)
    ),
)
def test_no_edge_is_overfull_and_the_bound_holds(
    links: dict[tuple[int, int], int], wants: dict[tuple[str, str], int]
) -> None:
    graph, capacity_bps = graph_of(links)
    free_bps = list(capacity_bps)
    placed = place_flows(graph, free_bps, wants)
    used = [0] * len(capacity_bps)
    for pair, routes in placed.items():
        assert sum(one.rate_bps for one in routes) <= wants[pair]
        for route, rate_bps in routes:
            assert (route.edges[0].source, route.edges[-1].target) == pair
            assert rate_bps > 0
            for edge in route.edges:
                used[edge.number] += rate_bps
    assert min(free_bps) >= 0
    assert [one + other for one, other in zip(used, free_bps, strict=True)] == capacity_bps
    total = sum(one.rate_bps for routes in placed.values() for one in routes)
    bound = most_placed_bps(graph, capacity_bps, wants)
    assert abs(bound - total) <= 100_000


PAIRS = st.tuples(st.integers(0, 5), st.integers(0, 6)).filter(lambda pair: pair[0] != pair[1])


@given(
    LINKS,
    st.dictionaries(PAIRS, st.integers(1, 50), min_size=1, max_size=12),
    st.lists(st.dictionaries(st.integers(0, 60), st.integers(0, 30), max_size=6), max_size=6),
)
def test_what_is_served_is_what_the_whole_program_says(
    links: dict[tuple[int, int], int],
    wants: dict[tuple[int, int], int],
    changes: list[dict[int, int]],
) -> None:
    """Also without balance at leaves, with other capacities, and in whatever order."""
    graph, capacity_bps = graph_of(links)
    wanted = {(f"n{i}", f"n{j}"): rate * GBPS for (i, j), rate in wants.items()}
    program = ServedProgram(graph, capacity_bps, wanted)
    count = len(graph.edges)
    for change in [{}, *changes, *changes]:
        left = {edge % count: rate * GBPS for edge, rate in change.items()}
        left = {edge: min(rate, capacity_bps[edge]) for edge, rate in left.items()}
        whole = [left.get(edge, most) for edge, most in enumerate(capacity_bps)]
        assert program.served_bps(left) == most_placed_bps(graph, whole, wanted)


def test_a_program_of_hosts_and_parallel_wires() -> None:
    """Plain hosts are two leaves each; the end of wires of two lengths is none."""
    wire = {"rate": "10Gbps", "delay": "1us"}
    topology = Topology(
        title="test",
        nodes=(
            *(Node.model_validate({"name": f"h{i}", "kind": "host"}) for i in range(3)),
            *(Node(name=name) for name in ("one", "two")),
        ),
        links=tuple(
            Link.model_validate({**wire, **one})
            for one in (
                {"between": ("h0", "one")},
                {"between": ("h1", "one")},
                {"between": ("h2", "two"), "rate": "30Gbps"},
                {"between": ("one", "two")},
                {"between": ("one", "two"), "delay": "2us"},
            )
        ),
    )
    graph = Graph(make_edges(topology, by_cable=False))
    capacity_bps = [sum(port.reservable_bps for port in edge.ports) for edge in graph.edges]
    wants = {
        ("h0", "h2"): 8 * GBPS,
        ("h1", "h2"): 20 * GBPS,
        ("h2", "two"): GBPS,
        ("h0", "h1"): 7 * GBPS,
    }
    program = ServedProgram(graph, capacity_bps, wants)
    assert program.served_bps({}) == 21 * GBPS
    for edge in graph.edges:
        whole = [0 if one == edge.number else most for one, most in enumerate(capacity_bps)]
        assert program.served_bps({edge.number: 0}) == most_placed_bps(graph, whole, wants)


def test_three_pairs_on_a_triangle_of_directed_needs() -> None:
    graph, capacity_bps = graph_of({(0, 1): 10, (1, 2): 10, (0, 2): 10})
    wants = {("n0", "n1"): 15 * GBPS, ("n1", "n2"): 10 * GBPS, ("n0", "n2"): 10 * GBPS}
    # n0 sends 20 at most over its two links, n1->n2 has room for its own 10 only.
    assert most_placed_bps(graph, capacity_bps, wants) == 30 * GBPS


def test_flow_takes_the_short_route_first() -> None:
    graph, capacity_bps = graph_of({(0, 1): 10, (1, 5): 10, (0, 5): 10})
    routes = place_flows(graph, capacity_bps, {("n0", "n5"): 8 * GBPS})["n0", "n5"]
    assert [(len(route.edges), rate_bps) for route, rate_bps in routes] == [(1, 8 * GBPS)]


@pytest.mark.parametrize(
    ("flow", "free", "sizes", "expected"),
    [
        (300, [400, 200], [400, 400], [250, 50]),
        (0, [5, 5], [5, 5], [0, 0]),
        (10, [5, 5], [5, 5], [5, 5]),
        (30, [40, 20], [40, 20], [20, 10]),
    ],
)
def test_water_fill(flow: int, free: list[int], sizes: list[int], expected: list[int]) -> None:
    assert water_fill(flow, free, sizes) == expected


@given(st.data(), st.lists(st.integers(0, 10**12), min_size=1, max_size=6))
def test_water_fill_adds_up(data: st.DataObject, free: list[int]) -> None:
    flow = data.draw(st.integers(0, sum(free)))
    shares = water_fill(flow, free, [10**12] * len(free))
    assert sum(shares) == flow
    assert all(0 <= share <= most for share, most in zip(shares, free, strict=True))


@given(st.data(), st.lists(st.integers(10**6, 10**12), min_size=1, max_size=6))
def test_water_fill_keeps_the_same_share_of_every_wire_free(
    data: st.DataObject, sizes: list[int]
) -> None:
    free = [data.draw(st.integers(0, size)) for size in sizes]
    flow = data.draw(st.integers(1, max(sum(free), 1)))
    assume(flow <= sum(free))
    shares = water_fill(flow, free, sizes)
    left = [(one - share) / size for one, share, size in zip(free, shares, sizes, strict=True)]
    level = max(one for one, share in zip(left, shares, strict=True) if share)
    step_bps = max(sizes) / LEVELS + 1
    grain = [(len(sizes) + 1) * step_bps / size for size in sizes]
    for one, share, near in zip(left, shares, grain, strict=True):
        assert one <= level + near
        assert not share or one >= level - near - max(grain)


@given(
    LINKS,
    st.dictionaries(st.tuples(st.sampled_from("012"), st.sampled_from("345")), st.integers(1, 9)),
)
def test_a_large_program_need_not_be_solved_where_all_fits(
    links: dict[tuple[int, int], int], wanted: dict[tuple[str, str], int]
) -> None:
    """Cheapest routes that fit together are what the program finds; others are left to it."""
    wants = {(f"n{one}", f"n{other}"): rate * GBPS for (one, other), rate in wanted.items()}
    graph, capacity_bps = graph_of(links)
    solved = place_flows(graph, list(capacity_bps), wants)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flows, "COLUMNS_HIGHEST", 0)
        free_bps = list(capacity_bps)
        placed = place_flows(graph, free_bps, wants)
    assert min(free_bps, default=0) >= 0
    for answer in (solved, placed):
        assert all(part.rate_bps > 0 for parts in answer.values() for part in parts)
    assert served_bps(placed) == served_bps(solved)
    assert cost(graph, placed) == pytest.approx(cost(graph, solved), rel=1e-5)


def served_bps(placed: dict[tuple[str, str], list[RouteRate]]) -> int:
    return sum(part.rate_bps for parts in placed.values() for part in parts)


def cost(graph: Graph, placed: dict[tuple[str, str], list[RouteRate]]) -> int:
    """Add up flow times delay, with what a hop counts beside it."""
    routes = [part for parts in placed.values() for part in parts]
    longest = max(edge.delay_ps for edge in graph.edges)
    return sum(
        part.rate_bps * (1000 * edge.delay_ps + longest)
        for part in routes
        for edge in part.route.edges
    )

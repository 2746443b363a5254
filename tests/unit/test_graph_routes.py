from itertools import islice

import networkx
from hypothesis import given
from hypothesis import strategies as st

from qnet.graph.pairs import two_node_disjoint_chains
from qnet.graph.routes import Graph, Routes, disjoint, make_edges
from qnet.model.topology import Link, Node, Topology


def network(*links: Link) -> Topology:
    names = sorted({name for link in links for name in link.between})
    return Topology(title="test", nodes=tuple(Node(name=name) for name in names), links=links)


def link(one: str, other: str, delay: str = "1ms", **more: object) -> Link:
    return Link.model_validate({"between": (one, other), "rate": "100Gbps", "delay": delay, **more})


TRAP = network(
    # The shortest route a-b-c-d takes one node of each of the two disjoint routes.
    link("a", "b", "1ms"),
    link("b", "c", "1ms"),
    link("c", "d", "1ms"),
    link("a", "c", "5ms"),
    link("b", "d", "5ms"),
)


@given(
    st.sets(
        st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda pair: pair[0] < pair[1]),
        min_size=1,
    ),
    st.randoms(use_true_random=False),
)
def test_routes_are_those_of_networkx(pairs, random):  # type: ignore[no-untyped-def]
    topology = network(
        *(link(f"n{i}", f"n{j}", f"{random.randint(1, 9)}us") for i, j in sorted(pairs))
    )
    graph = Graph(make_edges(topology, by_cable=False))
    judge = networkx.DiGraph()
    for edge in graph.edges:
        judge.add_edge(edge.source, edge.target, weight=edge.delay_ps)
    ends = topology.nodes[0].name, topology.nodes[-1].name
    try:
        expected = [
            networkx.path_weight(judge, path, "weight")
            for path in islice(networkx.shortest_simple_paths(judge, *ends, weight="weight"), 12)
        ]
    except networkx.NetworkXNoPath:
        expected = []
    found = graph.by_delay(*ends, 12)
    assert [route.delay_ps for route in found] == expected
    assert len({route.edges for route in found}) == len(found)


def test_parallel_wires_of_one_delay_are_one_edge() -> None:
    topology = network(
        link("a", "b", name="north", members=3),
        link("a", "b", name="south", members=2),
        link("a", "b", "2ms", name="east"),
    )
    edges = Routes(topology).graph.edges
    assert [len(edge.ports) for edge in edges if edge.source == "a"] == [5, 1]


def test_pair_is_found_where_the_shortest_route_blocks_all_others() -> None:
    pair = Routes(TRAP).pair("a", "d", 0)
    assert pair is not None
    assert disjoint(*pair)
    assert [[edge.target for edge in route.edges] for route in pair] == [["b", "d"], ["c", "d"]]


def test_flow_finds_the_pair_of_the_trap() -> None:
    arcs = [(edge.source, edge.target, edge.delay_ps) for edge in Routes(TRAP).graph.edges]
    chains = two_node_disjoint_chains(arcs, "a", "d")
    assert chains is not None
    assert sorted([arcs[index][1] for index in chain] for chain in chains) == [
        ["b", "d"],
        ["c", "d"],
    ]


def test_two_cables_between_the_ends_are_a_pair() -> None:
    topology = network(link("a", "b", name="north"), link("a", "b", "2ms", name="south"))
    pair = Routes(topology).pair("a", "b", 0)
    assert pair is not None
    assert [route.cables for route in pair] == [{"north"}, {"south"}]


def test_reasons_without_a_pair_name_what_all_routes_share() -> None:
    node = network(
        link("a", "b", name="x"),
        link("a", "b", name="y"),
        link("b", "c", name="p"),
        link("b", "c", name="q"),
    )
    assert Routes(node).pair("a", "c", 0) is None
    assert Routes(node).why_no_pair("a", "c") == (
        "no disjoint second path: every route passes node b"
    )
    cable = network(
        link("a", "b", cable="duct"), link("b", "d"), link("a", "c", cable="duct"), link("c", "d")
    )
    assert Routes(cable).pair("a", "d", 0) is None
    assert Routes(cable).why_no_pair("a", "d") == (
        "no disjoint second path: every route uses cable duct"
    )

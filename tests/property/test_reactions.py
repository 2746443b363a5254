"""Whatever breaks, is announced, or befalls the controller: what is done about it is proven.

Plans are proven in every epoch, with old and new reservations at once, and what is simulated keeps
within what is proven.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from qnet.check.plan import prove
from qnet.check.verdict import judge
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.simulate.run import simulate
from tests.builders import network, plan_for, profile

LINKS = ["ab", "bd", "ac", "cd", "ae", "ed", "bc", "ce"]
WIRES = st.sampled_from(["--".join(ends) for ends in LINKS])
NODES = st.sampled_from("abcde")
AT = st.integers(0, 20_000).map(lambda us: f"{us}us")
LASTS = st.integers(1, 12_000).map(lambda us: f"{us}us")
EVENTS = st.one_of(
    st.fixed_dictionaries(
        {"change": st.just("cut"), "target": WIRES, "at": AT, "for": LASTS,
         "where": st.integers(0, 100).map(lambda share: f"{share}%")}
    ),
    st.fixed_dictionaries(
        {"change": st.just("maintenance"), "target": WIRES | NODES, "at": AT, "for": LASTS}
    ),
    st.fixed_dictionaries({"change": st.just("down"), "target": NODES, "at": AT, "for": LASTS}),
    st.fixed_dictionaries(
        {"change": st.just("controller"), "lost": st.just(True), "at": AT, "for": LASTS}
    ),
    st.fixed_dictionaries(
        {"change": st.just("controller"), "slow-by": st.sampled_from(["40us", "2ms"]), "at": AT}
    ),
    st.fixed_dictionaries(
        {"change": st.just("flap"), "target": WIRES, "at": AT, "every": st.just("2500us"),
         "for": st.just("8ms")}
    ),
)  # fmt: skip


def _reactions(*policies: str) -> st.SearchStrategy[dict[str, Any]]:
    def made(policy: str, bfd: bool, back: str | None, other: bool) -> dict[str, Any]:
        one: dict[str, Any] = {"policy": policy}
        one |= {"wait-to-restore": back} if back else {}
        missed = {"detection": "bfd", "bfd-interval": "300us"}
        one |= missed if bfd else {"detection-time": "700us"}
        if policy == "failover":
            return one | {"switching": "500us", "repair": "local" if other else "head-end"}
        one |= {"planning": "700us", "restore-second": other}
        central = {"telemetry": "900us", "flows-per-second": 20_000}
        return one | (central if policy == "central" else {})

    back = st.sampled_from([None, "0ms", "1500us"])
    return st.builds(made, st.sampled_from(policies), st.booleans(), back, st.booleans())


def _network(lengths: list[int]) -> Topology:
    return network(
        [
            {"between": list(ends), "length": f"{length}km", "members": 1 + length % 2}
            for ends, length in zip(LINKS, lengths, strict=True)
        ],
        node={"processing": "1us..2us", "buffer": "5000B"},
        link={"rate": "1Gbps"},
        tcqf={"cycle": "20us", "buffers": 4},
    )


SINGLE = st.fixed_dictionaries(
    {
        "ends": st.permutations("abcde").map(lambda names: names[:2]),
        "interval": st.sampled_from(["100us", "200us"]),
        "rank": st.integers(1, 5),
    }
)
DOUBLE = st.sampled_from("re")
"""The class of a stream over two paths."""


def _asked(
    single: list[dict[str, Any]],
    double: list[str],
    demands: int,
    reactions: list[dict[str, Any]],
    events: list[Any],
    mechanism: str = "tcqf",
) -> Profile:
    streams: list[dict[str, Any]] = [
        {"from": one["ends"][0], "to": one["ends"][1], "interval": one["interval"], "count": 3,
         "max-payload-size": "500B", "class": "r", "rank": one["rank"]}
        for one in single
    ]  # fmt: skip
    streams += [
        {"from": "a", "to": "d", "interval": "200us", "max-payload-size": "400B", "class": name,
         "paths": 2, "recovery": {"history": 100, "reset": "10ms"}}
        for name in double
    ]  # fmt: skip
    return profile(
        streams,
        [{"from": "a", "to": "d", "rate": "150Mbps", "class": "e"}] * demands,
        classes=[
            {"name": "r", "priority": 6, "mechanism": mechanism, "reaction": reactions[0]},
            {"name": "e", "priority": 1, "mechanism": "strict-priority", "reaction": reactions[1]},
        ],
        events=events,
        simulation={"duration": "25ms"},
    )


@given(
    events=st.lists(EVENTS, min_size=1, max_size=6),
    reserved=_reactions("failover", "local", "central"),
    other=_reactions("local", "central"),
    lengths=st.lists(st.integers(1, 30), min_size=8, max_size=8),
    single=st.lists(SINGLE, min_size=1, max_size=6),
    double=st.lists(DOUBLE, max_size=4),
    demands=st.integers(0, 2),
    mechanism=st.sampled_from(["tcqf", "tcqf", "csqf"]),
)
def test_all_that_is_done_is_proven_and_seen(
    events: list[dict[str, Any]],
    reserved: dict[str, Any],
    other: dict[str, Any],
    lengths: list[int],
    single: list[dict[str, Any]],
    double: list[str],
    demands: int,
    mechanism: str,
) -> None:
    topology = _network(lengths)
    asked = _asked(single, double, demands, [reserved, other], events, mechanism)
    made = plan_for(topology, asked)
    for move in made.moves:
        acts = (move.detected_ps, move.decided_ps, move.installed_ps)
        known = [time for time in (0, *acts) if time is not None]
        assert known == sorted(known)
        assert move.repaired_at or move.at_ps >= known[-1]
    proof = prove(topology, asked, made)
    assert not proof.findings
    assert not any(one.findings for one in proof.epochs)
    seen = simulate(topology, asked, made)
    assert not judge(topology, asked, made, proof, [seen]).findings

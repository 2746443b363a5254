"""Small networks, profiles and plans, out of the words of files with what is usual left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.schedule.run import schedule

NOTHING: Mapping[str, Any] = {}


def network(
    links: Iterable[Mapping[str, Any]],
    *,
    nodes: Iterable[str | Mapping[str, Any]] | None = None,
    node: Mapping[str, Any] = NOTHING,
    link: Mapping[str, Any] = NOTHING,
    **more: Any,
) -> Topology:
    """Return a network of links and the nodes that they join, in order of their names.

    `nodes` are names in another order, or nodes that are whole; `node` and `link` are keys of each
    that is not, or does not say otherwise.
    """
    every = [{**link, **one} for one in links]
    ends = sorted({name for one in every for name in one["between"]})
    made = [{**node, "name": one} if isinstance(one, str) else one for one in nodes or ends]
    return Topology.model_validate({"title": "t", "nodes": made, "links": every, **more})


def profile(
    streams: Sequence[Any] = (),
    demands: Sequence[Any] = (),
    *,
    mechanisms: Mapping[str, str] = NOTHING,
    stream: Mapping[str, Any] = NOTHING,
    demand: Mapping[str, Any] = NOTHING,
    **more: Any,
) -> Profile:
    """Return a profile for such a network; `stream` and `demand` are keys of each.

    `mechanisms` of classes are by their names, unless there are `classes`: the first has priority
    6, the second 0. Streams without a name are called s0, s1 ..., by their place.
    """
    if mechanisms and "classes" not in more:
        classes = zip(mechanisms.items(), (6, 0), strict=False)
        more["classes"] = [
            {"name": name, "priority": priority, "mechanism": mechanism}
            for (name, mechanism), priority in classes
        ]
    return Profile.model_validate(
        {
            "title": "p",
            "topology": "t",
            "streams": [_with(stream, one, f"s{i}") for i, one in enumerate(streams)],
            "demands": [_with(demand, one, f"d{i}") for i, one in enumerate(demands)],
            **more,
        }
    )


def _with(usual: Mapping[str, Any], one: Any, name: str) -> Any:
    """Put what is usual into a mapping; what is a noun already stays."""
    return {"name": name, **usual, **one} if isinstance(one, Mapping) else one


def plan_for(topology: Topology, profile: Profile) -> Plan:
    """Plan a network and its traffic, which come from no files."""
    return schedule(topology, profile, topology_sha256="", traffic_sha256="")

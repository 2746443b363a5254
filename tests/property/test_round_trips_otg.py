"""Demands out as flows of the Open Traffic Generator model and in again: the same ones."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from qnet.files.read import load
from qnet.interchange import export_network, import_network

NAMES = ["a", "庆阳", "c.d"]
NET = {
    "title": "Three",
    "nodes": [{"name": name} for name in NAMES],
    "links": [
        {"between": ["a", "庆阳"], "rate": "100Gbps", "length": "1km", "members": 3},
        {"between": ["庆阳", "c.d"], "rate": "3Gbps", "length": "1km"},
    ],
}
SIZES = st.one_of(
    st.sampled_from(["imix", "imix-570", "imix-standard", "imix-ipv6"]),
    st.integers(64, 16_000).map(lambda size: f"{size}B"),
    st.dictionaries(st.integers(64, 16_000), st.integers(1, 10**6), min_size=2, max_size=5).map(
        lambda pairs: "+".join(f"{weight}x{size}B" for size, weight in pairs.items())
    ),
)


@st.composite
def demands(draw: st.DrawFn, index: int) -> dict[str, Any]:
    near, far = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=2, unique=True))
    bursts = draw(st.booleans())
    highest = 3 * 10**9 if bursts else 10**12
    return {
        "name": f"{draw(st.sampled_from(['f', 'x.y', '流']))}{index}",
        "from": near,
        "to": far,
        "class": f"priority-{draw(st.integers(1, 7))}",
        "rate": f"{draw(st.integers(672, highest))}bps",
        "sizes": draw(SIZES),
        "arrival": "bursts" if bursts else "constant-rate",
        **({"burst": draw(st.integers(2, 100_000))} if bursts else {}),
    }


@given(data=st.data())
def test_demands(data: st.DataObject) -> None:
    drawn = [data.draw(demands(index)) for index in range(data.draw(st.integers(1, 4)))]
    priorities = sorted({one["class"][-1] for one in drawn})
    strict = "strict-priority"
    classes = [
        {"name": f"priority-{n}", "priority": int(n), "mechanism": strict} for n in priorities
    ]
    traffic = {"title": "x", "topology": "net", "classes": classes, "demands": drawn}
    case = load(traffic, topology=NET)
    made = export_network("otg", case)
    said = {one.what for one in made.left_out}
    assert said <= {"speeds of ports left out that the model has no word for"}
    with tempfile.TemporaryDirectory() as folder:
        file, net = Path(folder) / "flows.json", Path(folder) / "net.yaml"
        file.write_text(made.text)
        net.write_text(yaml.safe_dump(NET))
        again = import_network("otg", str(file), topology=str(net)).profile
    assert again is not None
    assert again.demands == case.profile.demands
    assert again.classes == case.profile.classes

"""Whatever a file holds, the reader answers with nouns or with an InputError."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from qnet.errors import InputError
from qnet.files import tree
from qnet.files.read import kind_of, load, read_plan, read_topology
from qnet.units import LENGTH, RATE, RATIO, SIZE, TIME, Dimension, format_quantity, parse

KEYS = [
    "title",
    "description",
    "assumptions",
    "tcqf",
    "cycle",
    "buffers",
    "nodes",
    "name",
    "site",
    "position",
    "processing",
    "clock",
    "phase",
    "links",
    "between",
    "rate",
    "members",
    "length",
    "delay",
    "topology",
    "parameters",
    "classes",
    "priority",
    "mechanism",
    "streams",
    "from",
    "to",
    "class",
    "count",
    "interval",
    "max-payload-size",
    "paths",
    "demands",
    "sizes",
    "egress",
    "simulation",
    "duration",
    "seed",
    "defaults",
    "node",
    "link",
    "stream",
    "demand",
    "<<",
    "x",
]

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ["a", "b", "10us", "1km", "100Gbps", "0", "${x}", "${", "imix", "tcqf", "1..", "35N 1E"]
    ),
)

VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    ),
    max_leaves=25,
)

NODES = st.lists(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4), max_size=3)

FILES = st.one_of(
    st.fixed_dictionaries({"title": st.just("t"), "nodes": NODES, "links": NODES}),
    st.fixed_dictionaries(
        {"title": st.just("t"), "topology": st.just("qingyang"), "streams": NODES},
        optional={"demands": NODES, "classes": NODES, "parameters": VALUES, "defaults": VALUES},
    ),
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8),
    VALUES,
)


def check_complaint(read: Callable[[str], object], path: str) -> None:
    try:
        read(path)
    except InputError as error:
        lines, problems = str(error).encode("utf-8").splitlines(), error.problems
    else:
        return
    assert len(lines) == len(problems) + 1


def read_all(raw: bytes) -> None:
    """Try every reader on the same bytes; only an InputError may come of it, and it prints."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "hostile.yaml"))
        Path(path).write_bytes(raw)
        for read in (kind_of, read_topology, load, read_plan):
            check_complaint(read, path)


@pytest.fixture(params=sorted({yaml.SafeLoader, tree.LOADER}, key=str), scope="module")
def loader(request: pytest.FixtureRequest) -> Any:
    kept, tree.LOADER = tree.LOADER, request.param
    yield
    tree.LOADER = kept


@pytest.mark.usefixtures("loader")
class TestHostileFiles:
    @given(st.binary(max_size=300))
    @example(b"%YAML 1." + b"9" * 5000 + b"\n---\na: 1\n")
    @example(b'"\\UFFFFFFFF"')
    @example(b'title: "\\ud800"\nnodes: []\n')
    @example(b"\xef\xbb\xbf\xef\xbb\xbfa: 1")
    @example(b"[" * 100_000)
    @example(b"- " * 100_000)
    @example(b"? " * 100_000)
    @example(b"{a: " * 5000)
    @example(b"&a [*a, *a]")
    @example(b"!<tag:x> !!int 5")
    @example(b"{nodes: [{name: {}}], defaults: {node: []}}")
    def test_bytes(self, raw: bytes) -> None:
        read_all(raw)

    @given(st.text(st.characters(codec="utf-8"), max_size=200))
    def test_text(self, text: str) -> None:
        read_all(text.encode())

    @given(st.text(alphabet="ab:-[]{},\n \t\"'&*!|>#?%@`~${}0159.", max_size=120))
    def test_text_of_yaml_signs(self, text: str) -> None:
        read_all(text.encode())

    @given(FILES)
    def test_trees(self, data: Any) -> None:
        read_all(yaml.safe_dump(data, allow_unicode=True).encode("utf-8", "surrogatepass"))
        read_all(json.dumps(data).encode())


@given(st.sampled_from([TIME, RATE, SIZE, LENGTH, RATIO]), st.data())
def test_quantities_survive_being_written(dimension: Dimension, data: st.DataObject) -> None:
    amount = data.draw(st.integers(0, dimension.highest))
    assert parse(dimension, format_quantity(dimension, amount)) == amount

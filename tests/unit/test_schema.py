from __future__ import annotations

from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from qnet.files.read import FOLDERS, Kind
from qnet.files.schema import schema, tables

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs" / "files.md"
BEGIN, END = "<!-- tables: begin -->\n", "<!-- tables: end -->\n"

KINDS: tuple[Kind, ...] = ("topology", "traffic")
FILES = [(kind, path) for kind in KINDS for path in sorted((ROOT / FOLDERS[kind]).glob("*.yaml"))]


def validator(kind: Kind) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(schema(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_schema_is_a_schema(kind: Kind) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(kind))


@pytest.mark.parametrize(("kind", "path"), FILES, ids=[f"{k}-{p.stem}" for k, p in FILES])
def test_bundled_files_fit_the_schema(kind: Kind, path: Path) -> None:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert [error.message for error in validator(kind).iter_errors(data)] == []


def test_schema_knows_keys_units_and_references() -> None:
    stream = schema("traffic")["$defs"]["Stream"]
    assert "max-latency-variation" in stream["properties"]
    assert stream["properties"]["encapsulation"]["default"] == "18B"
    assert stream["required"] == ["name"]
    good = {
        "title": "t",
        "topology": "${net}",
        "defaults": {"stream": {"interval": "${every}", "paths": 2}},
        "streams": [{"name": "one", "count": "${n}", "from": "a", "to": "${far}"}],
    }
    assert list(validator("traffic").iter_errors(good)) == []
    for path in ("streams", "defaults"):
        bad = {**good, path: {"stream": {"intervall": "1us"}}}
        assert list(validator("traffic").iter_errors(bad))


def test_schema_refuses_numbers_without_units() -> None:
    link = {"between": ["a", "b"], "rate": 400}
    data = {"title": "t", "nodes": [{"name": "a"}], "links": [link]}
    assert list(validator("topology").iter_errors(data))


def test_tables_in_the_docs_are_fresh(update_expected: bool) -> None:
    text = DOCS.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    fresh = f"{head}{BEGIN}\n{tables()}\n{END}{tail}"
    if update_expected:
        DOCS.write_text(fresh, encoding="utf-8")
    assert DOCS.read_text(encoding="utf-8") == fresh, (
        "docs/files.md is stale; run: pytest tests/unit/test_schema.py --update-expected"
    )

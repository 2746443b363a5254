"""What files may say, for editors (JSON Schema) and for readers (Markdown tables).

Both come from the models, so they cannot say anything that the reader of files does not accept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from qnet.files.faults import annotation_parts_of, dimension_of, file_keys, inner_model
from qnet.files.read import DEFAULTS, Kind, bundled_scenes
from qnet.layers import ROOTS, extended, models
from qnet.model.fields import IMIX, PER_DIRECTION, BothWays, TimeRange
from qnet.model.timeline import Timeline
from qnet.units import TIME, format_quantity

FileKind = Kind | Literal["events"]

KINDS: tuple[FileKind, ...] = ("topology", "traffic", "events")

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_NO_DEFAULT = ("name", "between")
_CALLED = "what its streams and demands are called; default the scene's name"
_REFERENCE = {"type": "string", "pattern": r"\$\{[^{}]+\}"}


def schema(kind: FileKind) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of topologies, traffic files or files of events.

    It allows all that the reader accepts. The reader asks for more, such as names that exist.
    """
    root = _root(kind)
    made = root.model_json_schema(by_alias=True)
    for model in _models(root):
        part = made if model is root else made["$defs"][model.__name__]
        _respell_defaults(part, model)
        if kind == "traffic":
            _allow_references(part)
    if kind != "events":
        made["properties"]["defaults"] = _defaults_block(kind, made["$defs"])
    if kind == "traffic":
        made["properties"]["scenes"] = _scenes_block()
    return {"$schema": DIALECT, **made}


def _root(kind: FileKind) -> type[BaseModel]:
    """Return what a file can hold, keys of all layers with it; those have none in events."""
    if kind == "events":
        return Timeline
    return extended(ROOTS[kind], models(kind))


def _models(root: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Walk through the models of a file in the order of its keys, the file itself first."""
    yield root
    for info in root.model_fields.values():
        model = inner_model(info)
        if model is not None:
            yield from _models(model)


def _respell_defaults(part: dict[str, Any], model: type[BaseModel]) -> None:
    for key, info in file_keys(model).items():
        value = part["properties"][key]
        value.pop("default", None)
        spelled = spell_default(info)
        if spelled is not None:
            value["default"] = spelled


def spell_default(info: FieldInfo) -> str | int | None:
    """Spell a default as a file would; None when there is none, or it is a list or mapping."""
    default = info.default
    dimension = dimension_of(info)
    if isinstance(default, TimeRange):
        return "..".join(format_quantity(TIME, bound) for bound in sorted(set(default)))
    if default == IMIX:
        return "imix"
    if isinstance(default, BothWays) and default.there == default.back:
        default = default.there
    if isinstance(default, int) and dimension is not None:
        return format_quantity(dimension, default)
    return default if isinstance(default, str | int) else None


def _allow_references(part: dict[str, Any]) -> None:
    """Let `${name}` stand where a number, a word of a list or a name is asked for."""
    for key, value in part["properties"].items():
        choices = value.get("anyOf", [value])
        strict = any(
            choice.get("type") == "integer" or "enum" in choice or "pattern" in choice
            for choice in choices
        )
        if strict and key != "parameters":
            kept = {name: value.pop(name) for name in ("description", "default") if name in value}
            value["anyOf"] = [*value.pop("anyOf", [dict(value)]), _REFERENCE]
            for name in set(value) - {"anyOf"}:
                del value[name]
            value.update(kept)


def _defaults_block(kind: Kind, definitions: dict[str, Any]) -> dict[str, Any]:
    """Describe the block `defaults:`; what it gives is not required of the elements."""
    block: dict[str, Any] = {}
    for part, model in DEFAULTS[kind].items():
        definition = definitions[model.__name__]
        definition["required"] = [key for key in definition["required"] if key in _NO_DEFAULT]
        keys = {
            key: value for key, value in definition["properties"].items() if key not in _NO_DEFAULT
        }
        block[part] = {
            "type": "object",
            "additionalProperties": False,
            "description": f"keys that every {part} has unless it says otherwise",
            "properties": keys,
        }
    return {
        "type": "object",
        "additionalProperties": False,
        "description": "keys filled into every element of a list that lacks them",
        "properties": block,
    }


def _scenes_block() -> dict[str, Any]:
    """Describe the list `scenes:`; every scene has parameters of its own."""
    names = [scene.name for scene in bundled_scenes()]
    called = {"type": "string", "description": _CALLED}
    return {
        "type": "array",
        "description": "named scenes, written out as streams, demands and events",
        "items": {
            "type": "object",
            "required": ["scene"],
            "properties": {"scene": {"anyOf": [{"enum": names}, _REFERENCE]}, "name": called},
        },
    }


def tables() -> str:
    """Return a Markdown table of the keys of every mapping that a file may hold."""
    return "\n".join(_file_tables(kind) for kind in KINDS)


def _file_tables(kind: FileKind) -> str:
    made = schema(kind)
    titles = {"topology": "Topology files", "traffic": "Traffic files", "events": "Event files"}
    title = titles[kind]
    parts = [f"## {title}\n"]
    root = _root(kind)
    for key, model in _titled(root, ""):
        definition = made if model is root else made["$defs"][model.__name__]
        parts.append(f"### {key}\n" if key else "")
        parts.append(_table(model, definition["properties"]))
    if kind == "events":
        return "\n".join(part for part in parts if part)
    parts.append("### defaults\n")
    filled = " and ".join(f"`{part}:` fills `{part}s:`" for part in DEFAULTS[kind])
    parts.append(f"{filled}; all keys of these but {_ticked(_NO_DEFAULT[: _kept(kind)])}.\n")
    if kind == "traffic":
        parts.append("### scenes[]\n")
        parts.append(
            "`scene`, one of the names that `qnet list` has; `name`, what its streams and demands "
            "are called; and what the scene lets be set ([profiles.md](profiles.md)).\n"
        )
    return "\n".join(part for part in parts if part)


def _kept(kind: Kind) -> int:
    """Count the keys without a default; only links have `between`."""
    return 2 if kind == "topology" else 1


def _titled(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield prefix, model
    for key, info in file_keys(model).items():
        inner = inner_model(info)
        if inner is not None:
            listed = "[]" if "tuple" in str(info.annotation) else ""
            yield from _titled(inner, f"{prefix}.{key}{listed}".lstrip("."))


def _table(model: type[BaseModel], properties: Mapping[str, Any]) -> str:
    lines = ["| Key | Kind | Default | Meaning |", "|---|---|---|---|"]
    for key, info in file_keys(model).items():
        cells = (f"`{key}`", _kind(info, properties[key]), _default(info), info.description or "")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    spelled = spell_default(info)
    # A file says true where Python says True.
    spelled = str(spelled).lower() if isinstance(spelled, bool) else spelled
    return f"`{spelled}`" if spelled is not None else "-"


def _kind(info: FieldInfo, value: Mapping[str, Any]) -> str:
    choice = next((one for one in value.get("anyOf", ()) if one.get("type") != "null"), value)
    dimension = dimension_of(info)
    both = ", or two" if PER_DIRECTION in annotation_parts_of(info) else ""
    if dimension is not None:
        return f"{dimension.name}, `{dimension.example}`{both}"
    words = choice.get("examples") or choice.get("enum")
    if words:
        return " or ".join(f"`{word}`" for word in words) + both
    if choice.get("type") == "boolean":
        return "`true` or `false`"
    if choice.get("type") == "integer":
        return _whole_kind(choice.get("minimum"), choice.get("maximum"))
    if choice.get("type") == "string":
        return "name" if "pattern" in choice else "text"
    return _list_kind(choice) if choice.get("type") == "array" else "mapping"


def _whole_kind(low: int | None, high: int | None) -> str:
    """Say which whole numbers there are; keys of layers need not have both bounds."""
    if low is not None and high is not None:
        return f"whole number, {low:,} to {high:,}"
    bounds = (("at least", low), ("at most", high))
    return ", ".join(
        ["whole number", *(f"{word} {one:,}" for word, one in bounds if one is not None)]
    )


def _list_kind(choice: Mapping[str, Any]) -> str:
    if "prefixItems" in choice:
        return "two names"
    if choice["items"].get("type") == "array":
        return "list of lists"
    return "list" if "$ref" in choice["items"] else "list of texts"


def _ticked(words: tuple[str, ...]) -> str:
    return " and ".join(f"`{word}`" for word in words)

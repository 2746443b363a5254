"""The validator's complaints in our words, each at its place in the file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError, WithJsonSchema
from pydantic.fields import FieldInfo

from qnet.files.tree import PROBLEMS_HIGHEST, Branch, Location, Source
from qnet.units import Dimension, describe

_HUGE = re.compile(r"-?[0-9]{19,}")


def file_keys(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a model by their spelling in files."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def annotation_parts(annotation: object) -> Iterator[object]:
    """Walk through an annotation: unions, lists and what `Annotated` adds."""
    yield annotation
    for argument in get_args(annotation):
        yield from annotation_parts(argument)
    yield from getattr(annotation, "__metadata__", ())


def annotation_parts_of(info: FieldInfo) -> list[object]:
    """Return all parts of a field's annotation."""
    return [*info.metadata, *annotation_parts(info.annotation)]


def inner_model(info: FieldInfo) -> type[BaseModel] | None:
    """Return the model that a field, or each element of its list, holds."""
    for part in annotation_parts(info.annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def dimension_of(info: FieldInfo) -> Dimension | None:
    """Return the dimension of a quantity, None for other fields."""
    for part in annotation_parts_of(info):
        if isinstance(part, Dimension):
            return part
    return None


def example_of(info: FieldInfo) -> str | None:
    """Return an example of a field's value in a file."""
    for part in annotation_parts_of(info):
        if isinstance(part, WithJsonSchema) and part.json_schema:
            schema = part.json_schema
            examples = schema.get("anyOf", [schema])[0].get("examples", [])
            return str(examples[0]) if examples else None
    return None


def translate(
    source: Source,
    model: type[BaseModel],
    error: ValidationError,
    more: Callable[[], Iterable[str]] = tuple,
) -> None:
    """Report every complaint about a file of the given model.

    `more` returns keys that the file could have beside those of the model.
    """
    details = error.errors(include_url=False)
    most = max(PROBLEMS_HIGHEST - len(source.problems), 0)
    source.unlisted += len(details[most:])
    for detail in details[:most]:
        kind, location = detail["type"], tuple(detail["loc"])
        if kind == "too_short" and _has_elements(source.root, location):
            continue
        if kind == "extra_forbidden":
            message = _no_such_key(source, model, location, more)
        else:
            message = _message(source, model, kind, location, detail)
        source.fault(location, message, at_key=kind == "extra_forbidden")


def _has_elements(root: Branch | None, location: Location) -> bool:
    """Say whether a list has elements; the validator does not count those that are wrong."""
    branch = _branch_at(root, location)
    return branch is not None and len(branch.content) > 0


def _branch_at(root: Branch | None, location: Location) -> Branch | None:
    branch = root
    for step in location:
        branch = branch.child(step) if branch else None
    return branch


def _message(
    source: Source, model: type[BaseModel], kind: str, location: Location, detail: Any
) -> str:
    context: Mapping[str, Any] = detail.get("ctx", {})
    if kind == "value_error":
        return str(context["error"])
    if kind == "missing":
        return _missing(model, location)
    shown = _shown(source.root, location, detail["input"])
    say = _SAYINGS.get(kind)
    return say(shown, context) if say else f"{shown}: {detail['msg'].lower()}"


def _no_such_key(
    source: Source,
    model: type[BaseModel],
    location: Location,
    more: Callable[[], Iterable[str]],
) -> str:
    keys = list(file_keys(_model_at(model, location[:-1]) or model))
    if len(location) == 1:
        keys = list(dict.fromkeys([*keys, *more()]))
    hint = source.guess(str(location[-1]), keys)
    return f"no such key{hint or '; one of ' + ', '.join(keys)}"


def _missing(model: type[BaseModel], location: Location) -> str:
    step = location[-1]
    if isinstance(step, int):
        return "missing; the list has two names, like '[a, b]'"
    info = file_keys(_model_at(model, location[:-1]) or model).get(step)
    if info is None:
        return "missing"
    example = example_of(info)
    return f"missing; {info.description or 'needed'}{f', like {example!r}' if example else ''}"


def _model_at(model: type[BaseModel] | None, location: Location) -> type[BaseModel] | None:
    for step in location:
        if isinstance(step, str) and model is not None:
            info = file_keys(model).get(step)
            model = inner_model(info) if info else None
    return model


def _shown(root: Branch | None, location: Location, value: object) -> str:
    """Spell a value as the file does, `true` and not `True`."""
    branch = _branch_at(root, location)
    if branch is not None and value is not None and isinstance(branch.content, str):
        return describe(branch.content)
    return describe(value)


def _not_whole(shown: str, _: Mapping[str, Any]) -> str:
    if _HUGE.fullmatch(shown.strip("'").removesuffix("...")):
        return f"{shown} is out of range; at most 18 digits"
    if shown.strip("'").isdecimal():
        return f"{shown} is a text; write the number without quotes"
    return f"{shown} is not a whole number; write it like '4'"


def _not_text(shown: str, _: Mapping[str, Any]) -> str:
    if shown in {"nothing", "a list", "a mapping"}:
        return f"{shown} is not a text"
    return f"{shown} is not a text; put it in quotes"


def _too_short(_: str, context: Mapping[str, Any]) -> str:
    return f"the list has {context['actual_length']}; at least {context['min_length']}"


def _too_long(_: str, context: Mapping[str, Any]) -> str:
    return f"the list is too long; at most {context['max_length']}"


_SAYINGS: Mapping[str, Callable[[str, Mapping[str, Any]], str]] = {
    "json_invalid": lambda _, ctx: f"not JSON: {ctx['error']}",
    "int_type": _not_whole,
    "int_parsing": _not_whole,
    "int_from_float": _not_whole,
    "greater_than_equal": lambda shown, ctx: f"{shown} is out of range; at least {ctx['ge']}",
    "less_than_equal": lambda shown, ctx: f"{shown} is out of range; at most {ctx['le']:,}",
    "greater_than": lambda shown, ctx: f"{shown} is out of range; more than {ctx['gt']}",
    "bool_type": lambda shown, _: f"{shown} is neither true nor false",
    "literal_error": lambda shown, ctx: f"{shown} is none of {ctx['expected']}",
    "string_type": _not_text,
    "string_too_long": lambda shown, ctx: (
        f"{shown} is too long; at most {ctx['max_length']:,} characters"
    ),
    "string_too_short": lambda *_: "the text is empty; write something or leave the key out",
    "string_unicode": lambda *_: "the text is not valid Unicode",
    "tuple_type": lambda shown, _: f"{shown} is not a list; write it like '[a, b]'",
    "too_short": _too_short,
    "too_long": _too_long,
    "model_type": lambda shown, _: f"{shown} is not a mapping; write it as 'key: value' lines",
    "mapping_type": lambda shown, _: f"{shown} is not a mapping; write it as 'key: value' lines",
    "dict_type": lambda shown, _: f"{shown} is not a mapping; write it as 'key: value' lines",
}
"""What to say for each of the validator's error types that a file can cause."""

"""Layers: what a network is asked for beside forwarding, reservation and proof.

A layer is one package. It says which key of a topology or traffic file is its own, what that key
holds, and what it does at the stages from files to the report; all of it may be left out. It meets
the core and other layers in the nouns of `qnet.model` only.

Layers that come with qnet are the packages here; another distribution adds one with an entry point
of the group `qnet.layers`. A layer is loaded when a file has its key, or when all keys are asked
for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar, cast

from pydantic import Field, JsonValue, create_model

from qnet.errors import EnvironmentMissing
from qnet.model.fields import Noun
from qnet.model.observation import Observation
from qnet.model.plan import Plan
from qnet.model.proof import Finding, Proof
from qnet.model.requirement import Figure, Requirement
from qnet.model.topology import Topology
from qnet.model.traffic import Profile
from qnet.model.verdict import Row

GROUP = "qnet.layers"
"""Entry points of other distributions: `name = "package.module:layer"`."""

FileKind = Literal["topology", "traffic"]

ROOTS: Mapping[FileKind, type[Noun]] = MappingProxyType({"topology": Topology, "traffic": Profile})

File = TypeVar("File", bound=Noun)


class Faults(Protocol):
    """Where a layer reports what is wrong in a file; the file's reader says at which place."""

    def fault(self, location: tuple[str | int, ...], message: str, *, at_key: bool = False) -> None:
        """Note a fault of the value at a location, from the file's root on."""

    def guess(self, word: str, known: Collection[str]) -> str:
        """Return "; did you mean 'x'?" when a known word resembles `word`, else nothing."""


class Section(NamedTuple):
    """A layer's part of the report, on the page and on the terminal: sentences, then a table.

    The first column of the table is a name, the others are figures.
    """

    title: str
    lines: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


class Layer:
    """What a layer is; one overrides what it needs.

    A hook is called only where a file has the layer's key. `self.of(topology)` and
    `self.of(profile)` return what the key holds.
    """

    name: ClassVar[str]
    """The layer's name, and its key in files."""
    models: ClassVar[Mapping[FileKind, type[Noun]]]
    """What the key holds, in each kind of file that may have it."""

    def of(self, noun: Topology | Profile) -> Any:
        """Return what the layer's key holds in a file, or None where the file has none."""
        return getattr(noun, _field(self.name), None)

    def check(
        self, topology: Topology, profile: Profile, faults: Mapping[FileKind, Faults]
    ) -> None:
        """Report what no single value of the files shows."""

    def plan(self, topology: Topology, profile: Profile, plan: Plan) -> JsonValue:
        """Return what the layer adds to the plan, or None; the plan has it in `layers[name]`."""
        return None

    def require(self, topology: Topology, profile: Profile, plan: Plan) -> Iterable[Requirement]:
        """Yield what is asked for, and what is only to be shown: without a promise."""
        return ()

    def prove(
        self, topology: Topology, profile: Profile, plan: Plan, proof: Proof
    ) -> Iterable[Figure | Finding]:
        """Yield figures that follow from the plan, and rules of the layer that the plan breaks."""
        return ()

    def observe(
        self, topology: Topology, profile: Profile, plan: Plan, observation: Observation
    ) -> Iterable[Figure]:
        """Yield figures of what a witness saw."""
        return ()

    def report(
        self, topology: Topology, profile: Profile, plan: Plan, rows: Sequence[Row]
    ) -> Section | None:
        """Return the layer's section of the report; `rows` are all of the verdict."""
        return None


def names() -> list[str]:
    """Return the names of all layers that there are; none of them is loaded."""
    return sorted({*_bundled(), *_others()})


def _bundled() -> dict[str, str]:
    """Return the packages of qnet's own layers by their names: `a_b` is that of layer `a-b`."""
    packages = (one.name for one in iter_modules(__path__) if one.ispkg)
    return {one.replace("_", "-"): f"{__name__}.{one}" for one in packages}


def _others() -> dict[str, EntryPoint]:
    return {one.name: one for one in entry_points(group=GROUP)}


def load(name: str) -> Layer:
    """Load a layer by its name; raises EnvironmentMissing when it cannot be."""
    try:
        bundled = _bundled().get(name)
        found = import_module(bundled).layer if bundled else _others()[name].load()
    except (ImportError, AttributeError) as error:
        raise EnvironmentMissing(f"layer '{name}' cannot be loaded: {error}") from None
    if not isinstance(found, Layer) or found.name != name:
        raise EnvironmentMissing(f"layer '{name}' is no layer of that name: see docs/layers.md")
    return found


def models(kind: FileKind, given: Iterable[str] | None = None) -> dict[str, type[Noun]]:
    """Return what the keys of layers hold in a kind of file: of all layers, or of these keys."""
    base = ROOTS[kind]
    own = {info.alias or name for name, info in base.model_fields.items()}
    asked = None if given is None else set(given) - own
    if asked == set():
        return {}
    known = [one for one in names() if asked is None or one in asked]
    loaded = {one: load(one).models.get(kind) for one in known if one not in own}
    return {one: model for one, model in loaded.items() if model is not None}


def keys(kind: FileKind) -> list[str]:
    """Return the keys of all layers that can be loaded: what a file could say beside the core's."""
    found = []
    for name in names():
        with suppress(EnvironmentMissing):
            found += [name] if kind in load(name).models else []
    return found


def active(topology: Topology, profile: Profile) -> Iterator[Layer]:
    """Yield the layers whose keys the files have, in the order of their names."""
    fields: set[str] = set()
    for noun in (topology, profile):
        fields |= {one for one in _extra(noun) if getattr(noun, one) is not None}
    for name in names() if fields else ():
        if _field(name) in fields:
            yield load(name)


def _field(name: str) -> str:
    return name.replace("-", "_")


def _extra(noun: Topology | Profile) -> set[str]:
    base = Topology if isinstance(noun, Topology) else Profile
    return set(type(noun).model_fields) - set(base.model_fields)


# Files with keys of layers


def extended(base: type[File], parts: Mapping[str, type[Noun]]) -> type[File]:
    """Return the noun of a file with keys of layers; the noun itself where there are none."""
    return _extended(base, tuple(sorted(parts.items()))) if parts else base


@cache
def _extended(base: type[File], parts: tuple[tuple[str, type[Noun]], ...]) -> type[File]:
    fields: dict[str, Any] = {
        _field(name): (model | None, Field(None, alias=name, description=_said(model)))
        for name, model in parts
    }
    bases: Any = (_Kept, base)
    made = create_model(base.__name__, __base__=bases, __doc__=base.__doc__, **fields)
    _MADE_OF[made] = base, parts
    return cast("type[File]", made)


_MADE_OF: dict[type[Any], tuple[type[Any], tuple[tuple[str, type[Noun]], ...]]] = {}


def _said(model: type[Noun]) -> str:
    """Return the first line of a noun's docstring, as the tables of keys have it."""
    first = (model.__doc__ or model.__name__).strip().partition("\n")[0].rstrip(".")
    return first[:1].lower() + first[1:]


class _Kept:
    """Lets a noun with keys of layers go to another process, where its class is made again."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, _MADE_OF[type(self)], self.__getstate__()


def _again(base: type[File], parts: tuple[tuple[str, type[Noun]], ...]) -> File:
    made: Any = _extended(base, parts)
    return cast("File", made.__new__(made))

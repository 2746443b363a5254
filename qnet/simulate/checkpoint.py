"""A run on disk: all that it has become so far, to go on from after whatever may happen."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qnet import __version__
from qnet.errors import EnvironmentMissing, InputError, Interrupted, Problem
from qnet.files.write import to_json, writing
from qnet.kernel import aligned
from qnet.model.plan import Plan
from qnet.model.topology import Topology
from qnet.model.traffic import Profile

if TYPE_CHECKING:
    from qnet.simulate.run import Course
    from qnet.simulate.tracing import Recorder

Ints = NDArray[np.int64]

HASH = "hash"
"""The array that tells whether all others are as they were written."""

SAVES, SAVES_MOST = 10, 1000
"""Checkpoints of a run: where no time between them is given, and whatever time is given."""

SAME = {
    "version": "qnet's version",
    "code": "qnet's simulator",
    "topology": "the topology",
    "traffic": "the traffic",
    "plan": "the plan",
    "duration": "the duration",
    "seed": "the seed",
    "trace": "the trace",
}
"""What must be as it was, and how it is called in a message."""


@dataclass(frozen=True)
class Checkpoint:
    """Where a run is kept, and when.

    `every_ps` is network time between two saves, a thousandth of the run at least; None is a tenth.
    With `resume` the run goes on from the file, if there is one. `asked` is looked at every
    fraction of a second: when it says yes, the run is saved and ends with Interrupted. `failed` is
    told when the file cannot be written; the run goes on, and the file is the last one that could.
    """

    path: Path
    every_ps: int | None = None
    resume: bool = False
    asked: Callable[[], bool] = lambda: False
    failed: Callable[[str], None] = lambda _: None


class Keeper:
    """Keeps one run in one file, with what a recorder has written down of it so far."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        topology: Topology,
        profile: Profile,
        plan: Plan,
        recorder: Recorder | None = None,
    ) -> None:
        self.checkpoint, self.recorder = checkpoint, recorder
        self.about = about(topology, profile, plan)
        # Ports hold their frames in another way while a trace is written.
        self.about["trace"] = "none" if recorder is None else f"{recorder.frames} frames"
        self.end_ps = profile.simulation.duration_ps
        # Saved oftener, a run would do nothing else.
        every_ps = checkpoint.every_ps or self.end_ps // SAVES
        self.every_ps = max(every_ps, self.end_ps // SAVES_MOST, 1)
        self.due_ps = self.every_ps

    def begin(self, course: Course) -> None:
        """Go on from the file, where that is wanted and there is one."""
        if self.checkpoint.resume and self.checkpoint.path.exists():
            restore(self.checkpoint.path, course, self.about, self.recorder)
            self.due_ps = (course.now_ps // self.every_ps + 1) * self.every_ps

    def look(self, course: Course) -> None:
        """Save the run when it is time to; raises Interrupted when it is asked to end."""
        if course.is_done:
            return
        asked = self.checkpoint.asked()
        if course.now_ps < self.due_ps and not asked:
            return
        self.due_ps = (course.now_ps // self.every_ps + 1) * self.every_ps
        kept = True
        try:
            save(self.checkpoint.path, course, self.about, self.recorder)
        except EnvironmentMissing as error:
            kept = False
            self.checkpoint.failed(str(error))
        if asked:
            raise Interrupted(course.now_ps, self.end_ps, self.checkpoint.path if kept else None)


def about(topology: Topology, profile: Profile, plan: Plan) -> dict[str, str]:
    """Say what a run follows from; nothing else has a part in it."""
    simulation = profile.simulation
    return {
        "version": __version__,
        "code": _code(),
        "topology": _hash(to_json(topology)),
        "traffic": _hash(json.dumps(profile.model_dump(mode="json", exclude={"simulation"}))),
        "plan": _hash(to_json(plan)),
        "duration": f"{simulation.duration_ps} ps",
        "seed": str(simulation.seed),
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _code() -> str:
    """Hash the simulator's source: versions are numbered more seldom than it changes."""
    sources = sorted(
        (room, one.name, one.read_bytes())
        for room in (
            "qnet.simulate",
            "qnet.simulate.clocks",
            "qnet.simulate.kernels",
            "qnet.simulate.ports",
            "qnet.simulate.ports.kernels",
            "qnet.simulate.windows",
        )
        for one in files(room).iterdir()
        if one.name.endswith(".py")
    )
    return hashlib.sha256(repr(sources).encode()).hexdigest()


def _parts(course: Course) -> Iterator[tuple[str, str, Ints]]:
    """Yield part, field and array of all that changes in a course."""
    for part, fields in (*course.world._asdict().items(), ("parts", course.parts)):
        if part != "network" and fields is not None:
            for field, array in fields._asdict().items():
                if isinstance(array, np.ndarray):
                    yield part, field, array


def save(
    path: Path, course: Course, about: dict[str, str], recorder: Recorder | None = None
) -> None:
    """Write a run as it is between two windows; raises EnvironmentMissing when that fails.

    The file is NumPy's .npz, with a hash over all arrays. It takes the place of an older one only
    when it is whole and on the disk.
    """
    arrays: dict[str, Any] = {f"{part}.{field}": array for part, field, array in _parts(course)}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
    arrays["now_ps"] = np.array([course.now_ps])
    arrays["series.rows"] = course.series.counts.rows
    if recorder is not None:
        written = recorder.so_far()._asdict()
        arrays |= {f"trace.{field}": array for field, array in written.items()}
    arrays[HASH] = _digest(arrays)
    with writing(path, durable=True) as file:
        np.savez(file, **arrays)


def restore(
    path: Path, course: Course, about: dict[str, str], recorder: Recorder | None = None
) -> None:
    """Put a run where its checkpoint left it.

    Raises InputError when the file is no checkpoint, not whole, or of something else.
    """
    arrays = _read(path)
    was = json.loads(arrays["about"].tobytes())
    differs = [name for key, name in SAME.items() if was.get(key) != about[key]]
    if differs:
        which = "another one" if len(differs) == 1 else "others"
        raise _refused(
            path, f"{', '.join(differs)}: the checkpoint was made with {which}; it cannot go on"
        )
    changed: dict[str, dict[str, Ints]] = {}
    for part, field, old in _parts(course):
        changed.setdefault(part, {})[field] = aligned(_like(old, f"{part}.{field}", arrays, path))
    if recorder is not None:
        none = recorder.so_far()
        written = {
            field: _like(old, f"trace.{field}", arrays, path)
            for field, old in none._asdict().items()
        }
        recorder.found = [none._replace(**written)]
    parts = changed.pop("parts", None)
    if parts is not None and course.parts is not None:
        course.parts = course.parts._replace(**parts)
    course.world = course.world._replace(
        **{part: getattr(course.world, part)._replace(**new) for part, new in changed.items()}
    )
    course.now_ps = int(arrays["now_ps"][0])
    course.series.counts.rows[:] = arrays["series.rows"]


def _like(old: Ints, name: str, arrays: dict[str, Ints], path: Path) -> Ints:
    new = arrays.get(name)
    if new is None or new.dtype != old.dtype or new.ndim != old.ndim:
        raise _refused(path, f"damaged: {name} is missing or has another shape")
    return new


def _read(path: Path) -> dict[str, Ints]:
    """Return the arrays of a checkpoint that is whole: nothing else is believed or looked at."""
    try:
        # NumPy leaves a file open that it opens itself and cannot read.
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with np.load(file, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            if np.array_equal(arrays.pop(HASH), _digest(arrays)):
                return arrays
    except OSError as error:
        if error.errno is not None:
            why = f"cannot be read: {(error.strerror or str(error)).lower()}"
            raise _refused(path, why) from None
    except Exception:  # what NumPy and zipfile raise for what they cannot read has no end
        raise _refused(path, "not a checkpoint of qnet, or not whole") from None
    raise _refused(path, "not a checkpoint of qnet, or not whole")


def _digest(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """Hash names, types, shapes and bytes of all arrays."""
    digest = hashlib.blake2b()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return np.frombuffer(digest.digest(), dtype=np.uint8)


def _refused(path: Path, why: str) -> InputError:
    return InputError([Problem(str(path), 0, 0, "", why)])

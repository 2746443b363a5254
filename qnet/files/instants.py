"""Wall-clock times in a file's tree, made times from the start of the run before values are judged.

`at: 2001-06-15T08:40+08:00` with `epoch: 2001-06-15T08:00+08:00` is `at: 40min`.
"""

from __future__ import annotations

from datetime import datetime

from qnet.files.tree import Branch, Source
from qnet.model.calendar import EXAMPLE, is_moment, ps_since, read_moment
from qnet.units import UnitError, describe

_KEYS = {"events": ("at",), "processes": ("from", "until")}


def fill_instants(source: Source, general: object = None) -> None:
    """Replace wall-clock times of events and processes; an epoch of the file's own goes first.

    `general` is the epoch of the traffic file that a file of events goes with.
    """
    root = source.root
    if root is None or not isinstance(root.content, dict):
        return
    own = root.content.get("epoch")
    epoch = own.value() if own is not None else general
    if own is not None and general is not None and not _is_same(own.value(), general):
        words = f"the traffic file has the epoch {describe(general)}; a run starts once"
        source.fault(("epoch",), words)
        own.broken = True
        epoch = general
    for part, keys in _KEYS.items():
        listed = root.content.get(part)
        if listed is None or not isinstance(listed.content, list):
            continue
        for place, one in enumerate(listed.content):
            for key in keys:
                branch = one.child(key)
                if branch is not None and isinstance(branch.content, str):
                    message = _fill(branch, epoch, is_broken=own is not None and own.broken)
                    if message:
                        source.fault((part, place, key), message)
                        branch.broken = True


def _fill(branch: Branch, epoch: object, *, is_broken: bool) -> str:
    """Replace one time; return what is wrong with it."""
    assert isinstance(branch.content, str)
    if not is_moment(branch.content):
        return ""
    try:
        at_ps = instant_ps(branch.content, epoch)
    except UnitError as error:
        return str(error)
    branch.broken = is_broken or at_ps is None
    branch.content, branch.plain = f"{at_ps or 0}ps", True
    return ""


def instant_ps(text: str, epoch: object) -> int | None:
    """Return what a wall-clock time is from an epoch on; None where the epoch is none itself.

    Raises UnitError for what is no such time, is before the epoch, or has none to count from.
    """
    moment = read_moment(text)
    if epoch is None:
        raise UnitError(
            f"{describe(text)} is a wall-clock time, and no 'epoch' says when the run starts; "
            f"write it like 'epoch: {EXAMPLE}'"
        )
    starts = _read(epoch)
    if starts is None:
        return None
    at_ps = ps_since(starts, moment)
    if at_ps < 0:
        raise UnitError(f"{describe(text)} is before the epoch, {describe(epoch)}")
    return at_ps


def _is_same(one: object, other: object) -> bool:
    """Tell whether two epochs are one instant, whatever zone they are told in."""
    moments = _read(one), _read(other)
    return one == other or (None not in moments and moments[0] == moments[1])


def _read(epoch: object) -> datetime | None:
    try:
        return read_moment(epoch) if isinstance(epoch, str) else None
    except UnitError:
        return None

"""What is sampled: of all paths of a stream the same frames are real."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qnet.emulate.frames.sample import SampledPath
from tests.emulate.networks import golden

STREAM = golden("two-paths").streams[0]


@given(
    skipped=st.lists(st.integers(0, 30), min_size=2, max_size=2),
    stride=st.integers(1, 12),
    places=st.integers(1, 20),
)
def test_paths_that_begin_later_have_the_same_frames(
    skipped: list[int], stride: int, places: int
) -> None:
    """The first frames of a path may be left out: its starts would be before time zero."""
    stream = STREAM
    one, other = (
        SampledPath(0, stream, stream.paths[0], (), 0, stride, skipped=left_out)
        for left_out in skipped
    )
    numbers = [[path.number(place) for place in range(places)] for path in (one, other)]
    for path, mine in zip((one, other), numbers, strict=True):
        assert [path.place(number) for number in mine] == list(range(places))
        assert path.number(0) >= path.skipped
        assert path.number(0) - path.skipped < stride, "none is left out that could be real"
    first, last = max(mine[0] for mine in numbers), min(mine[-1] for mine in numbers)
    common = [{number for number in mine if first <= number <= last} for mine in numbers]
    assert common[0] == common[1]

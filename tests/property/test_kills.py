"""What a killed command leaves is whole: a sample of `python -m tests.kills 200`."""

from __future__ import annotations

import pytest

from tests.kills import KINDS, kill


@pytest.mark.parametrize("what", KINDS)
def test_a_killed_command_leaves_a_whole_result(what: str) -> None:
    found = kill(KINDS[what], 4)
    assert found["old"] + found["new"] == 4

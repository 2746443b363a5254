"""What the commands' stages share."""

from __future__ import annotations

import signal

import pytest

from qnet.cli.stages import progress_bar


class Finalized:
    """Is interrupted where no exception gets out of: as a finalizer of the compiler may be."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_that_a_finalizer_swallows_is_heard_later() -> None:
    with progress_bar("simulate") as show:
        show(1, 3)
        Finalized()
        with pytest.raises(KeyboardInterrupt):
            show(2, 3)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

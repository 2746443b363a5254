import os
import signal
from pathlib import Path

import pytest


@pytest.mark.qnet(topology="two.yaml", controller=f"tcp:127.0.0.1:{os.environ['PORT']}")
def test_until_it_stands_still(qnet_testbed):
    assert qnet_testbed.reaches("a", "b")
    os.kill(int(Path("hub.pid").read_text()), signal.SIGSTOP)
    assert qnet_testbed.reaches("a", "b")

import os
import time

import pytest


@pytest.mark.qnet(topology="two.yaml", controller=f"tcp:127.0.0.1:{os.environ['PORT']}")
def test_until_it_stands_still(qnet_testbed):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        assert qnet_testbed.reaches("a", "b")

import os

import pytest


@pytest.mark.qnet(topology="two.yaml", controller=f"tcp:127.0.0.1:{os.environ['PORT']}")
def test_hosts_reach_each_other(qnet_testbed):
    assert qnet_testbed.reaches("a", "b")

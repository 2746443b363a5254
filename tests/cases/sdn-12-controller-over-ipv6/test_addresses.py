import os

import pytest


@pytest.mark.qnet(topology="line.yaml", controller=f"tcp:[::1]:{os.environ['PORT']}")
def test_ipv6(qnet_testbed):
    assert qnet_testbed.reaches("a", "b")


@pytest.mark.qnet(topology="line.yaml", controller="localhost:6653")
def test_no_address(qnet_testbed):
    pass

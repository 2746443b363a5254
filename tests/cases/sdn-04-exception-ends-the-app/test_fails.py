import pytest


@pytest.mark.qnet(topology="line.yaml", app="ends")
def test_that_frames_come(qnet_testbed):
    qnet_testbed.udp("a", "b")
    assert qnet_testbed.reaches("a", "b")


@pytest.mark.qnet(topology="line.yaml", app="nowhere")
def test_that_an_app_is_there(qnet_testbed):
    pass

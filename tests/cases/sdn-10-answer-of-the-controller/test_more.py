import pytest

pytestmark = pytest.mark.qnet(topology="line.yaml", app="arp_proxy")


def test_the_answer_is_the_controllers_and_is_kept_for_the_host(qnet_testbed):
    assert qnet_testbed.received("a") == ()
    trip = qnet_testbed.arp("a", "d")
    assert [(one.host, one.path) for one in trip.deliveries] == [("a", ())]
    assert trip.answers == ()
    (reply,) = qnet_testbed.received("a")
    assert reply.data[28:32] == bytes([10, 0, 0, 4])
    assert qnet_testbed.received("a") == ()
    assert qnet_testbed.reaches("a", "d")
    assert qnet_testbed.received("d")[-1].path == ("a", "b", "c", "d")

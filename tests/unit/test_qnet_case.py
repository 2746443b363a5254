"""The fixture `qnet_case`, as a project that has a network would use it."""

import pytest

NETWORK = """\
title: Two switches
nodes: [{name: a}, {name: b}]
links: [{between: [a, b], rate: 10Gbps, length: 10km}]
"""
TRAFFIC = """\
title: One stream
topology: network
streams:
  - {name: s, from: a, to: b, interval: 10us, max-payload-size: 1kB, max-latency: MOST}
simulation: {duration: 1ms}
"""
TEST = """
def test_promises(qnet_case):
    result = qnet_case("traffic.yaml", duration="500us")
    assert result.observation.duration_ps == 5 * 10**8
    assert result.passed, result.reasons

def test_more(qnet_case):
    assert qnet_case("traffic.yaml", scale=2).streams.rows == 2
"""


def project(pytester: pytest.Pytester, promise: str, test: str = TEST) -> pytest.RunResult:
    pytester.path.joinpath("network.yaml").write_text(NETWORK)
    pytester.path.joinpath("traffic.yaml").write_text(TRAFFIC.replace("MOST", promise))
    pytester.makepyfile(test)
    return pytester.runpytest("-p", "no:cacheprovider")


def test_a_network_that_keeps_its_promises(pytester: pytest.Pytester) -> None:
    project(pytester, "1ms").assert_outcomes(passed=2)


def test_a_network_that_does_not_shows_why(pytester: pytest.Pytester) -> None:
    result = project(pytester, "50us")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.re_match_lines([".*- qnet -.*", "FAIL  One stream on Two switches", ".*not kept"])
    assert "takes at least 59.000 us with its cycles, of 50.000 us" in result.stdout.str()


def test_faults_of_files_are_said_in_their_own_words(pytester: pytest.Pytester) -> None:
    result = project(pytester, "1")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*traffic.yaml:4:*: streams[[]0].max-latency: 1 has no unit*"])
    assert "Traceback" not in result.stdout.str()


def test_another_topology_lies_beside_the_test_too(pytester: pytest.Pytester) -> None:
    pytester.path.joinpath("slow.yaml").write_text(NETWORK.replace("10km", "2000km"))
    test = (
        'def test_slow(qnet_case):\n assert qnet_case("traffic.yaml", topology="slow.yaml").passed'
    )
    result = project(pytester, "1ms", test)
    result.assert_outcomes(failed=1)

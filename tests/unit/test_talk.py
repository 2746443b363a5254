"""What logs of Open vSwitch 3.1 say of a controller: lines as it wrote them."""

from __future__ import annotations

import pytest

from qnet.emulate.switches.talk import (
    ControllerGone,
    Talk,
    explained,
    hung_up,
    never_connected,
    read_talks,
    told,
    unspoken,
)

AT = "tcp:127.0.0.1:6653"


def line(module: str, words: str, level: str = "INFO") -> str:
    return f"2026-11-28T18:17:26.254Z|00050|{module}|{level}|{words}\n"


def rconn(words: str, bridge: str = "br0") -> str:
    return line("rconn", f"{bridge}<->{AT}: {words}")


def of(*lines: str) -> Talk:
    return read_talks("".join(lines), ["br0"])["br0"]


def test_a_connection_and_its_end() -> None:
    assert of(rconn("connecting...")) == Talk()
    assert of(rconn("connected")) == Talk(connected=True, connections=1)
    assert hung_up({"a": of(rconn("connected"))}, AT) is None
    closed = of(rconn("connected"), rconn("connection closed by peer"))
    assert hung_up({"a": closed}, AT) == f"the controller at {AT} closed the connections of a"
    gone = of(
        rconn("connected"),
        rconn("connection closed by peer"),
        rconn("connecting..."),
        rconn("connection failed (Connection refused)"),
        rconn("waiting 1 seconds before reconnect"),
    )
    words = hung_up({"a": gone, "b": closed}, AT)
    assert words is not None
    assert words.endswith("closed the connections of a, b; nobody listens there any more")
    mute = of(
        rconn("connected"), rconn("no response to inactivity probe after 5 seconds, disconnecting")
    )
    asked = "said nothing for 5 s after it was asked for a sign of life (echo request)"
    assert hung_up({"a": mute}, AT, "after frame 7") == (
        f"the controller at {AT} {asked}, so a closed its connection after frame 7"
    )
    assert hung_up({"a": mute, "b": closed, "c": mute}, AT) == (
        f"the controller at {AT} closed the connections of b; "
        f"the controller at {AT} {asked}, so a, c closed their connections"
    )


def test_a_controller_that_is_back_is_there() -> None:
    back = of(rconn("connected"), rconn("connection closed by peer"), rconn("connected"))
    assert back.connected
    assert hung_up({"a": back}, AT) is None
    assert told({"a": back}) == ("the controller hung up on a once and was there again",)
    garbled = rconn("connection dropped (Protocol error)")
    back = of(rconn("connected"), garbled, rconn("connected"), garbled, rconn("connected"))
    assert told({"a": back}) == (
        "the controller sent what is no OpenFlow, so a closed the connection and opened it anew, "
        "up to 2 times",
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        (
            "versions 0x04, 0x06",
            "version 0x01",
            "speaks OpenFlow 1.0; the switches speak 1.3 and 1.5",
        ),
        (
            "version 0x01",
            "versions 0x02, 0x04",
            "speaks OpenFlow 1.1 and 1.3; the switches speak 1.0",
        ),
    ],
)
def test_versions_that_do_not_meet(ours: str, theirs: str, words: str) -> None:
    failed = line(
        "vconn", f"{AT}: version negotiation failed (we support {ours}, peer supports {theirs})"
    )
    talks = {"a": of(failed, rconn("connection dropped (Protocol error)"))}
    assert words in (unspoken(talks, AT) or "")
    assert words in (never_connected(talks, AT, 3) or "")
    assert unspoken({"a": of(failed, rconn("connected"))}, AT) is None


def test_nobody_and_somebody_silent() -> None:
    refused = {"a": of(rconn("connection failed (Connection refused)"))}
    assert "nobody listens" in (never_connected(refused, AT, 20) or "")
    silent = {"a": of(rconn("connecting..."), rconn("connection timed out"))}
    assert "takes connections and says no OpenFlow" in (never_connected(silent, AT, 20) or "")
    assert never_connected({"a": of(rconn("connected"))}, AT, 20) is None


def test_bridges_are_told_apart_and_refusals_counted() -> None:
    error = f"<->{AT}: sending OFPBIC_UNKNOWN_INST error reply to OFPT_FLOW_MOD message"
    log = (
        rconn("connected", "s1") + line("connmgr", f"s2{error}") * 2 + line("connmgr", f"s1{error}")
    )
    talks = read_talks(log, ["s1", "s2", "s3"])
    assert talks["s3"] == Talk()
    assert told(talks) == (
        "s1, s2 refused 3 messages of the controller: OFPBIC_UNKNOWN_INST for OFPT_FLOW_MOD",
    )


def test_findings_need_a_controller_that_is_there() -> None:
    gone = {"a": of(rconn("connected"), rconn("connection closed by peer"))}
    assert explained([], gone, AT) == ()
    with pytest.raises(ControllerGone, match="closed the connections of a; nothing is known"):
        explained(["a: no rule matches"], gone, AT)
    assert explained(["x"], {"a": of(rconn("connected"))}, AT) == ("x",)

"""Controllers that speak TLS: the relay does for the switches, and says what is wrong."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qnet.emulate.process.controller import Controller, ShownCertificate, missing_controller
from qnet.emulate.process.tls import TlsFiles, context
from qnet.emulate.switches.ovs import missing_switch
from qnet.emulate.testbed.certificates import Authority, missing_openssl
from qnet.emulate.testbed.controller_set import ControllerSet
from qnet.emulate.testbed.testbed import Testbed
from qnet.emulate.testbed.topologies import drawn
from qnet.emulate.tiers.probe import missing_tools
from qnet.errors import ArgumentError, EnvironmentMissing
from qnet.model.emulation import Tier

REASON = missing_switch() or missing_controller() or missing_openssl()
pytestmark = [
    pytest.mark.xdist_group("mininet"),
    pytest.mark.skipif(bool(REASON), reason=str(REASON)),
]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


def under(target: str, tls: TlsFiles | None, tier: Tier = "lockstep") -> Testbed:
    topology = drawn("line:2")
    assert topology is not None
    return Testbed(topology, ControllerSet(target, tls), tier=tier, connect_s=5)


@pytest.mark.parametrize("tier", ["lockstep", "mininet"])
def test_what_is_said_over_tls_is_judged_and_kept(tier: Tier, authority: Authority) -> None:
    reason = missing_tools()
    if tier == "mininet" and reason is not None:
        pytest.skip(reason)
    with Controller(["learning"], tls=authority.for_controllers()) as app:
        assert app.target.startswith("ssl:")
        with under(app.target, authority.for_switches(), tier) as testbed:
            assert testbed.reaches("s1", "s2")
            assert testbed.channel.counts()["s1"]["packet-in"] >= 2, "the relay reads it"
            with testbed.slow_controller(0.7):
                assert testbed.ping("s2", "s1", count=1).received == 1
            with testbed.controller_away():
                assert testbed.udp("s1", "s2").hosts == ("s2",)
            assert testbed.control() == ()
            assert "Traceback" not in app.words(99), "nobody looks in without a certificate"


def refused(target: str, tls: TlsFiles | None) -> str:
    with pytest.raises(EnvironmentMissing) as caught, under(target, tls):
        pass
    words = str(caught.value)
    assert words.startswith(f"the controller at {target}: "), words
    return words.removeprefix(f"the controller at {target}: ")


def test_certificates_that_do_not_fit_are_told_apart(authority: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    mine = authority.for_switches()
    with Controller(["learning"], tls=authority.for_controllers()) as app:
        wrong = refused(app.target, mine._replace(ca=other.ca))
        assert f"its certificate is not signed by the CA in {other.ca}" in wrong
        none = refused(app.target, TlsFiles(mine.ca))
        assert none == "it asks for a certificate: give --tls-cert and --tls-key"
        cert, key = other.sign("stranger")
        stranger = refused(app.target, TlsFiles(mine.ca, cert, key))
        assert stranger == f"it does not take the certificate in {cert} (unknown ca)"
        late = refused(app.target, TlsFiles(mine.ca, *authority.sign("late", -1)))
        assert "late.pem (certificate expired)" in late
        assert refused(app.target.replace("ssl:", "tcp:"), None).startswith("it wants TLS")
    with Controller(["learning"], tls=authority.for_controllers(-1)) as app:
        assert refused(app.target, mine) == "its certificate is not taken: certificate has expired"
    with Controller(["learning"]) as app:
        plain = refused(app.target.replace("tcp:", "ssl:"), mine)
        assert plain == "what it says is no TLS; is it one for tcp:?"


@contextmanager
def mute() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def take() -> None:
            try:
                while True:
                    held.append(listener.accept()[0])
            except OSError:
                pass

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield f"ssl:127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in held:
            one.close()


def test_who_takes_connections_and_says_nothing_is_no_tls(authority: Authority) -> None:
    with mute() as target:
        words = refused(target, authority.for_switches())
    assert words == "it says no TLS in 5 s; is it one for tcp:?"


def test_files_that_are_no_use_are_refused_at_once(authority: Authority, tmp_path: Path) -> None:
    ca, cert, key = authority.for_switches()
    assert cert is not None
    assert key is not None
    text = tmp_path / "text"
    text.write_text("no PEM\n")
    locked = tmp_path / "locked.key"
    locked.write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    _, stranger = authority.sign("another")
    for files, *words in (
        (TlsFiles(text), f"{text} has no certificate in PEM"),
        (TlsFiles(tmp_path / "no"), "tls-ca: ", "no cannot be read: No such file"),
        (TlsFiles(ca, cert), "tls-key: ", "go together"),
        (TlsFiles(ca, cert, stranger), f"{stranger} is not the key of {cert}"),
        (TlsFiles(text, text, key), f"{text} has no certificate", f"{text} and {key} are no"),
    ):
        with pytest.raises(ArgumentError) as caught:
            context(files)
        assert all(one in str(caught.value) for one in words), str(caught.value)
    assert ShownCertificate(cert, key, ca).ca == ca

"""A private Open vSwitch: its own database, sockets, logs and daemons, gone when the run is over.

Nothing of a system-wide Open vSwitch is touched. With the `dummy` datapath a bridge needs no
network device and no privilege: each port is a Unix socket, on which a frame is two bytes of
length, big-endian, and the frame (see `lib/netdev-dummy.c` of Open vSwitch).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Literal

from qnet.emulate.process.all_or_nothing import AllOrNothing
from qnet.emulate.process.cleanup import private_prefix
from qnet.emulate.process.daemons import end, tied
from qnet.emulate.process.watch import LOOK_S, Part, Watch
from qnet.emulate.switches.talk import PROTOCOLS, USUAL, Talk, Version, read_talks
from qnet.errors import EnvironmentMissing, QnetError
from qnet.formats import pcap, pcapng

SCHEMA = Path("/usr/share/openvswitch/vswitch.ovsschema")
PROGRAMS = ("ovsdb-tool", "ovsdb-server", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl")
INSTALL = "apt-get install openvswitch-switch"

READY_S = 20.0
"""Longest wait for a daemon or for one of its answers; it takes hundredths of a second."""

REPEATS = 3
"""So often a question is asked again when the switch takes no connection: seen at high load."""

REFUSED = "failed to connect to socket"

LOG_LINES_SHOWN = 8

ADDRESS_BYTES = 108
"""Of a Unix socket's path and the zero behind it (unix(7))."""

MTU_BYTES = 16_200
"""Of dummy ports: the longest frame of qnet with label and trailer; longer ones are dropped."""

WARP_MS, WARP_STEP_MS = 60_000, 500
"""A clock is put forward by so much at once, and the main thread goes round after each step."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NOT_TAKEN = re.compile(
    r",(?:(?:tp_src|tp_dst|vlan_tci1|dl_vlan1|dl_vlan_pcp1|mpls_lse\d)=[^,]*"
    r"|nd_[st]ll=00:00:00:00:00:00)"
)
"""Of flows that `ovs-ofctl` writes, what `ofproto/trace` has no name for."""

_ASKS = re.compile(r"^ *CONTROLLER", re.MULTILINE)
"""Where `ofproto/trace` tells of an action that gives a frame to the controller."""

_RECEIVED = re.compile(r"packets received: (\d+)")


class SwitchFailure(QnetError):
    """Open vSwitch refused a command, or a daemon of it ended while it was needed."""

    exit_code = 3


@dataclass(frozen=True)
class SwitchPort:
    """A port of a bridge.

    `device` is a network device that exists already; without one the port is a Unix socket.
    """

    name: str
    number: int
    """OpenFlow port number, 1 or more."""
    device: str | None = None


@dataclass(frozen=True)
class Bridge:
    """One OpenFlow switch."""

    name: str
    datapath_id: int
    ports: tuple[SwitchPort, ...]
    controllers: tuple[str, ...] = ()
    """Where it connects to, such as tcp:127.0.0.1:6653; none leaves it to `Ovs.ofctl`."""
    datapath: Literal["dummy", "netdev"] = "dummy"
    fail_mode: Literal["secure", "standalone"] = "secure"
    other_config: tuple[tuple[str, str], ...] = field(default=())
    rules: tuple[str, ...] = ()
    """What it has from the start, as ovs-ofctl takes it, where it has no controller."""


def program(name: str) -> str:
    """Return the path of an Open vSwitch program; raises EnvironmentMissing without it."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/local/sbin")
    if found is None:
        raise EnvironmentMissing(f"{name} is not here; it comes with: {INSTALL}")
    return found


def _as_asked(flow: str, port: int) -> str:
    """Write a flow as `ofproto/trace` takes it, which does not take the names that it gives."""
    kind = re.match(r"(udp|tcp|sctp)6?,", flow)
    if kind is not None:
        flow = flow.replace(",tp_", f",{kind[1]}_")
    elif flow.startswith("icmp6,"):
        flow = flow.replace(",icmp_", ",icmpv6_")
    return _NOT_TAKEN.sub("", flow).replace("in_port=ANY", f"in_port={port}")


def missing_switch() -> str | None:
    """Say what keeps a private Open vSwitch from running here, or None when nothing does."""
    try:
        for name in PROGRAMS:
            program(name)
    except EnvironmentMissing as error:
        return str(error)
    return None if SCHEMA.exists() else f"{SCHEMA} is not here; it comes with: {INSTALL}"


@contextlib.contextmanager
def unwinding() -> Iterator[None]:
    """Turn SIGTERM into SystemExit, so that what is open is closed; in the main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Ovs(AllOrNothing):
    """One ovsdb-server and one ovs-vswitchd in a temporary folder; a context manager.

    Raises EnvironmentMissing where Open vSwitch is not installed and SwitchFailure where it does
    not come up, and TestbedBroken when a daemon ends or stops. `dummy` takes network devices away
    from all bridges and gives them sockets.
    """

    def __init__(
        self,
        *,
        dummy: bool = True,
        folder: Path | None = None,
        whose: str = "",
        versions: Sequence[Version] = USUAL,
    ) -> None:
        """Prepare to run in `folder`, by default a temporary one of this process's own.

        `whose` is the node that the daemons are of, where there are others. `versions` are those of
        OpenFlow that bridges speak.
        """
        self.versions = tuple(versions)
        self.dummy = dummy
        self.whose = whose
        self._watch = Watch()
        self.folder = folder
        self._own_folder = folder is None
        self._daemons: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._control: _Control | None = None

    def _start(self) -> None:
        reason = missing_switch()
        if reason is not None:
            raise EnvironmentMissing(reason)
        if self.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix=private_prefix()))
        self._start_daemons()

    def close(self) -> None:
        """Stop the daemons and remove the folder; may be called at any time, and again."""
        close_all([self])

    # Commands

    def add_bridges(self, bridges: Iterable[Bridge]) -> None:
        """Make bridges with their ports, all in one transaction; returns when they are there."""
        arguments: list[str] = []
        made = tuple(bridges)
        for bridge in made:
            arguments += ["--", "add-br", bridge.name, "--", "set", "bridge", bridge.name]
            arguments += [
                f"datapath_type={bridge.datapath}",
                f"protocols={','.join(PROTOCOLS[one] for one in self.versions)}",
                f"fail_mode={bridge.fail_mode}",
                f"other_config:datapath-id={bridge.datapath_id:016x}",
                "other_config:disable-in-band=true",
                *(f"other_config:{key}={value}" for key, value in bridge.other_config),
            ]
            for port in bridge.ports:
                arguments += ["--", "add-port", bridge.name, port.device or port.name]
                arguments += ["--", "set", "interface", port.device or port.name]
                arguments += [f"ofport_request={port.number}"]
                if port.device is None:
                    socket_path = self.socket_path(port.name)
                    arguments += ["type=dummy", f"options:pstream=punix:{socket_path.name}"]
                    arguments += [f"mtu_request={MTU_BYTES}"]
            ids = [f"@{bridge.name}-{place}" for place, _ in enumerate(bridge.controllers)]
            for name, target in zip(ids, bridge.controllers, strict=True):
                arguments += ["--", f"--id={name}", "create", "controller"]
                # Soon back at a controller that starts late, or anew.
                arguments += [f"target={json.dumps(target)}", "max_backoff=1000"]
            if ids:
                arguments += ["--", "set", "bridge", bridge.name, f"controller=[{','.join(ids)}]"]
        self.vsctl(*arguments)
        for bridge in made:
            if bridge.rules:
                self.ofctl("add-flows", bridge.name, "-", stdin="\n".join(bridge.rules))

    def socket_path(self, port_name: str) -> Path:
        """Return the Unix socket of a dummy port."""
        return self._folder / f"{port_name}.sock"

    def connect(self, port_name: str) -> socket.socket:
        """Connect to a dummy port as the device at its other end."""
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._wait(lambda: _connects(end, self.socket_path(port_name)), f"port {port_name}")
        except BaseException:
            end.close()
            raise
        return end

    def vsctl(self, *arguments: str) -> str:
        """Change or ask the database; returns when the switch has followed."""
        return self._run("ovs-vsctl", "--db=unix:db.sock", f"--timeout={READY_S:.0f}", *arguments)

    def ofctl(self, command: str, bridge: str, *arguments: str, stdin: str | None = None) -> str:
        """Run ovs-ofctl on a bridge's own socket, over OpenFlow 1.3 where the bridge speaks it."""
        version = "1.3" if "1.3" in self.versions else self.versions[-1]
        words = ("-O", PROTOCOLS[version], command, f"unix:{bridge}.mgmt", *arguments)
        for _ in range(REPEATS if command.startswith("dump") else 0):
            try:
                return self._run("ovs-ofctl", *words, stdin=stdin)
            except SwitchFailure as error:
                if REFUSED not in str(error):
                    raise
            time.sleep(0.1)
        return self._run("ovs-ofctl", *words, stdin=stdin)

    def dump(self, what: Literal["flows", "groups", "meters"], bridge: str) -> str:
        """Return the entries of a bridge in the words of ovs-ofctl, ports as numbers.

        Nothing for groups and meters where the bridge speaks a version that has none.
        """
        if max(self.versions) < {"flows": "1.0", "groups": "1.1", "meters": "1.3"}[what]:
            return ""
        return self.ofctl(f"dump-{what}", bridge, "--no-names", "--no-stats")

    def statistics(
        self, what: Literal["flows", "ports", "ports-desc", "groups", "meters"], bridge: str
    ) -> str:
        """Return what a bridge has counted, in the words of ovs-ofctl, ports as numbers.

        Nothing for groups and meters where the bridge speaks a version that has none.
        """
        if max(self.versions) < {"groups": "1.1", "meters": "1.3"}.get(what, "1.0"):
            return ""
        command = {"groups": "dump-group-stats", "meters": "meter-stats"}.get(what, f"dump-{what}")
        return self.ofctl(command, bridge, "--no-names")

    def appctl(self, command: str, *arguments: str) -> str:
        """Ask ovs-vswitchd; faster than the program of that name, which starts a process."""
        try:
            if self._control is None:
                self._control = _Control(self._folder / "switch.ctl", self.check)
            return self._control.ask(command, arguments)
        except OSError as error:
            raise self.broken(f"ovs-vswitchd does not answer {command}: {error}") from error

    def fence(self) -> None:
        """Make rule changes hold for every later frame: empty the datapath's flow cache.

        An OpenFlow barrier answers when the tables are changed; cached flows may live on for
        milliseconds.
        """
        self.appctl("revalidator/purge")

    def advance(self, seconds: float, bridge: str) -> None:
        """Put the switch's clock forward: entries whose time is out then are gone.

        Its other clocks go with it, so for that long it does not ask the controller of the bridge
        whether it is still there, which it would have no time to answer. The dummy datapath only.
        """
        ids = _UUID.findall(self.vsctl("get", "bridge", bridge, "controller"))
        for one in ids:
            self.vsctl("set", "controller", one, "inactivity_probe=0")
        left_ms = round(seconds * 1000)
        while left_ms > 0:
            now_ms = min(left_ms, WARP_MS)
            self.appctl("time/warp", str(now_ms), str(min(now_ms, WARP_STEP_MS)))
            left_ms -= now_ms
        # Entries are looked at after what the datapath's flows have seen has been read.
        self.appctl("revalidator/wait")
        self.turn()
        for one in ids:
            self.vsctl("clear", "controller", one, "inactivity_probe")

    def trace(self, bridge: str, port: int, data: bytes) -> str:
        """Have a switch explain what it does with a frame that comes in by an OpenFlow port.

        A frame that entries give to the controller is described to it, not shown: of one that is
        shown, the controller would get another packet-in. What is behind a label that is taken off
        is then not known.
        """
        with tempfile.NamedTemporaryFile(dir=self._folder, suffix=pcap.SUFFIX) as capture:
            packet = pcapng.Packet(0, 0, data, len(data))
            capture.write(b"".join(pcap.nanosecond_capture([packet])))
            capture.flush()
            flow = self._run("ovs-ofctl", "parse-pcap", capture.name).strip()
        described = self.appctl("ofproto/trace", bridge, _as_asked(flow, port))
        if _ASKS.search(described):
            return described
        return self.appctl("ofproto/trace", bridge, f"in_port={port}", data.hex())

    def talks(
        self, bridges: Iterable[str], targets: Mapping[str, str] | None = None
    ) -> dict[str, Talk]:
        """Return what bridges have with their controller: of several, the one at `targets`.

        From the log: the database learns of it only every five seconds.
        """
        text = (self._folder / "ovs-vswitchd.log").read_text(errors="replace")
        return read_talks(text, bridges, targets)

    def frames_seen(self) -> int:
        """Return how many frames have come into the datapath by its ports since it began.

        Not its look-ups: there are two for a frame that is looked at again once a label is off.
        With the dummy datapath one thread forwards frames, answers this and writes to the sockets,
        in this order and round and round: what frames counted here have become is in the sockets
        some turns later.
        """
        return sum(map(int, _RECEIVED.findall(self.appctl("dpif-netdev/pmd-stats-show"))))

    def turn(self) -> None:
        """Wait until the main thread has gone round and written to every socket that waits.

        In one round it writes one frame at most to a socket. It answers up to ten questions of one
        connection in one round, but takes up a new connection in a round that begins after this
        call: so between the answers of two calls there is a time when it writes.
        """
        try:
            with contextlib.closing(_Control(self._folder / "switch.ctl", self.check)) as control:
                control.ask("version", ())
        except OSError as error:
            raise self.broken(f"ovs-vswitchd does not answer: {error}") from error

    def parts(self) -> list[Part]:
        """Return the daemons, for who looks whether they are at work."""
        whose = f"{self.whose}: " if self.whose else ""
        return [
            Part(f"{whose}{name}", daemon, partial(self._log, name))
            for name, daemon in list(self._daemons)
        ]

    def check(self) -> None:
        """Raise TestbedBroken, with the end of its log, when a daemon has ended or stands still."""
        self._watch.check(self.parts())

    def broken(self, words: str) -> SwitchFailure:
        """Return an error in these words; raises what a daemon's end says of it, if one ended."""
        self._watch.blame(self.parts)
        return SwitchFailure(f"{self.whose}: {words}" if self.whose else words)

    # Inside

    def _end_talk(self) -> list[subprocess.Popen[bytes]]:
        """Close the control socket; return the daemons, which are to be ended."""
        if self._control is not None:
            self._control.close()
            self._control = None
        return [daemon for _, daemon in self._daemons]

    def _forget(self) -> None:
        """Remove what daemons that have ended leave."""
        self._daemons.clear()
        if self.folder is not None and self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None

    @property
    def _folder(self) -> Path:
        assert self.folder is not None, "use Ovs in a with statement"
        return self.folder

    def _start_daemons(self) -> None:
        folder = self._folder
        database = str(folder / "conf.db")
        self._run("ovsdb-tool", "create", database, str(SCHEMA))
        self._daemon("ovsdb-server", database, "--remote=punix:db.sock", ctl="database")
        self._wait((folder / "db.sock").exists, "ovsdb-server")
        kind = ("--enable-dummy=override", "--disable-system") if self.dummy else ()
        self._daemon("ovs-vswitchd", "unix:db.sock", *kind, ctl="switch")
        self._wait((folder / "switch.ctl").exists, "ovs-vswitchd")

    def _daemon(self, name: str, *arguments: str, ctl: str) -> None:
        command = [
            program(name),
            *arguments,
            f"--unixctl={ctl}.ctl",
            f"--pidfile={ctl}.pid",
            f"--log-file={name}.log",
            "-vconsole:off",
        ]
        # In a session of its own, a daemon does not see the terminal's Ctrl-C.
        daemon = subprocess.Popen(
            tied(command),
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._daemons.append((name, daemon))

    def _environment(self) -> dict[str, str]:
        # Names without a path are in here: a path's own letters mean something in an address.
        folder = str(self._folder)
        return {**os.environ, "OVS_RUNDIR": folder, "OVS_LOGDIR": folder, "OVS_DBDIR": folder}

    def _wait(self, ready: Callable[[], bool], what: str) -> None:
        """Wait until `ready()`; the pause between looks grows from a millisecond."""
        deadline = time.monotonic() + READY_S
        pause = 0.001
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise SwitchFailure(f"{what} was not there after {READY_S:.0f} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.05)

    def _run(self, name: str, *arguments: str, stdin: str | None = None) -> str:
        asked = f"{name} {' '.join(arguments)[:200]}"
        child = subprocess.Popen(
            [program(name), *arguments],
            cwd=self._folder,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        give_up = time.monotonic() + 3 * READY_S
        given: str | None = stdin or ""
        try:
            while True:
                try:
                    out, words = child.communicate(given, timeout=LOOK_S)
                    break
                except subprocess.TimeoutExpired:
                    given = None  # it has what it was given, or gets it as it reads
                    self.check()
                    if time.monotonic() > give_up:
                        words = f"{asked}: no answer in {3 * READY_S:.0f} s"
                        raise SwitchFailure(words) from None
        finally:
            if child.poll() is None:
                child.kill()
                child.communicate()
        if child.returncode:
            raise self.broken(f"{asked}: {words.strip() or out.strip()}")
        return out

    def _log(self, name: str) -> str:
        try:
            lines = (self._folder / f"{name}.log").read_text(errors="replace").splitlines()
        except OSError:
            return "(no log)"
        return "\n".join(lines[-LOG_LINES_SHOWN:]) or "(empty log)"


def close_all(every: Sequence[Ovs]) -> None:
    """Stop the daemons of many, which end side by side, and remove the folders; as `close`."""
    end(*(daemon for one in every for daemon in one._end_talk()))
    for one in every:
        one._forget()


def _connect(end: socket.socket, path: Path) -> None:
    """Connect to a Unix socket, of which the path may be longer than the 107 bytes of an address:
    Open vSwitch goes by the folder's number then, too.
    """
    if len(os.fsencode(path)) < ADDRESS_BYTES:
        end.connect(str(path))
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        end.connect(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)


def _connects(end: socket.socket, path: Path) -> bool:
    try:
        _connect(end, path)
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    return True


class _Control:
    """The control socket of a daemon: JSON-RPC 1.0 (Open vSwitch's `lib/unixctl.c`)."""

    def __init__(self, path: Path, look: Callable[[], None]) -> None:
        """Connect; `look` is called while an answer is waited for, and raises when none comes."""
        self._look = look
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(LOOK_S)
        try:
            _connect(self._socket, path)
        except BaseException:
            self._socket.close()
            raise
        self._rest = ""

    def close(self) -> None:
        self._socket.close()

    def ask(self, command: str, arguments: Sequence[str]) -> str:
        request = {"id": 0, "method": command, "params": list(arguments)}
        self._socket.sendall(json.dumps(request).encode())
        decoder = json.JSONDecoder()
        while True:
            with contextlib.suppress(json.JSONDecodeError):
                answer, end = decoder.raw_decode(self._rest)
                self._rest = self._rest[end:].lstrip()
                if answer.get("error") is not None:
                    raise SwitchFailure(f"{command}: {answer['error'].strip()}")
                return str(answer.get("result") or "")
            received = self._received()
            if not received:
                raise ConnectionResetError("it closed its control socket")
            self._rest += received.decode()

    def _received(self) -> bytes:
        give_up = time.monotonic() + READY_S
        while True:
            try:
                return self._socket.recv(1 << 16)
            except TimeoutError:
                self._look()
                if time.monotonic() > give_up:
                    raise

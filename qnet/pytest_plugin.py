"""Two fixtures: `qnet_case` asks whether a network keeps its promises, `qnet_testbed` has real
switches for the tests of a controller project.

    def test_our_network_keeps_its_promises(qnet_case):
        result = qnet_case("traffic.yaml", scale=1.2, duration="5ms")
        assert result.passed, result.reasons

`qnet_case` takes what `qnet.run` takes and gives its Result; files are found beside the test, by
their whole path, or bundled. Faults of files fail the test in their own words, a witness that this
machine lacks skips it, and a test that fails shows the verdicts that it asked for, in a section
"qnet".

    @pytest.mark.qnet(topology="ring.yaml", app="my_controller")
    def test_hosts_reach_each_other(qnet_testbed):
        assert qnet_testbed.reaches("a", "c")

`topology` is a topology file, beside the test or by its whole path, a bundled name, or a kind and
size such as "ring:4" (line, ring, star, tree, mesh). With several, as in ["line:2..4", "ring:3..6",
"dual-node"], the test runs on each, the smallest first; once it has failed on one, larger ones are
skipped, and the summary says from which on it fails.

The controller is one of `app`, a module beside the test or any that os-ken can load, started for
the test (with `framework="ryu"` and `python=...` under Ryu, and with `arguments=[...]`);
`controller`, such as tcp:127.0.0.1:6653; or the one that --qnet-controller names.
Several are a list, or go by names: app={"first": "ha", "second": "ha"}; `arguments` then may be by
these names too. `tls=True` has apps speak TLS, with certificates made for the test;
tls={"ca": "ca.pem", "cert": "switch.pem", "key": "switch.key"} are files for a `controller` at
ssl:HOST:PORT.
`tier="mininet"`, or --qnet-tier=mininet for all tests that do not say, gives real hosts and needs
root. `settle="30s"`
gives the controller time before the test begins, `patience="1s"` for each frame at each switch;
with `arp=True` hosts know each other's addresses, and `openflow="1.0"` names the version that
switches speak. `scope="module"`, in the marker of a whole module, has its tests share one network
and one controller: each finds what those before it have left in the tables. Tests are skipped
where the machine lacks what their tier needs; with --qnet-require they fail, or, where the
environment's QNET_REQUIRE has names such as "lockstep,ryu", those fail that need one of these. A
test that fails shows, in a section "controller", what the controller wrote last and what switches
say of it.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import pytest

if TYPE_CHECKING:
    from qnet.emulate.process.controller import Controller
    from qnet.emulate.testbed.controller_set import ControllerSet
    from qnet.emulate.testbed.testbed import Testbed
    from qnet.model.topology import Topology
    from qnet.result import Result

TIERS = ("lockstep", "mininet")

KEYS: Mapping[str, tuple[type, ...]] = {
    "topology": (str, list, tuple),
    "app": (str, list, tuple, dict),
    "arguments": (list, tuple, dict),
    "framework": (str,),
    "python": (str,),
    "controller": (str, list, tuple, dict),
    "tier": (str,),
    "settle": (str, int, float),
    "patience": (str, int, float),
    "arp": (bool,),
    "openflow": (str,),
    "tls": (bool, dict),
    "scope": (str,),
}
"""What the marker knows, and which types each may have; times are text such as '1s', or seconds."""

VERSIONS = ("1.0", "1.1", "1.2", "1.3", "1.4", "1.5")

WIDTH = 120
"""Of a verdict that is shown, in characters."""

LINES_SHOWN = 40
"""Of what a controller wrote, when its test fails."""

REQUIRE = "QNET_REQUIRE"
"""What of `REQUIRABLE` must be here, separated by commas: its tests fail without it."""

REQUIRABLE = ("lockstep", "mininet", "os_ken", "ryu")

SCOPES = ("function", "module")

CHOICES: Mapping[str, tuple[str, ...]] = {
    "tier": TIERS,
    "framework": ("os_ken", "ryu"),
    "scope": SCOPES,
    "openflow": VERSIONS,
}

OF_APP = ("arguments", "framework", "python")


class _Told:
    """What the controller's side of a test can say when it fails."""

    def __init__(self) -> None:
        self.controllers: Mapping[str, Controller] = {}
        self.testbed: Testbed | None = None
        self._lines: list[str] | None = None

    def keep(self) -> None:
        """Take down what there is to say: switches are gone, the controller is about to be."""
        self.testbed = None
        self._lines = self.lines()

    def lines(self) -> list[str]:
        """Return the words of switches and controller."""
        if self._lines is not None:
            return self._lines
        lines = [] if self.testbed is None else [*_why(self.testbed), *_control(self.testbed)]
        for name, one in self.controllers.items():
            lines += [f"{name}:"] if len(self.controllers) > 1 else []
            lines += one.words(LINES_SHOWN).splitlines()
            state = one.state()
            lines += [state] if state else []
        return lines


def _why(testbed: Testbed) -> list[str]:
    """Say why the last check that failed did so."""
    from qnet.emulate.testbed.findings import explanations  # noqa: PLC0415

    of = testbed.suspect
    if of is None:
        return []
    found = explanations(testbed, of)
    lines = [line for one in found.values() for line in one.lines()]
    return [f"{of.who}, {', '.join(found)}:", *(f"  {line}" for line in lines)] if found else []


def _control(testbed: Testbed) -> tuple[str, ...]:
    from qnet.errors import QnetError  # noqa: PLC0415

    try:
        return testbed.control()
    except (QnetError, OSError) as error:  # it is broken
        return (str(error),)


class _Shared:
    """A testbed of a module's tests, open until the module is over or another one is wanted."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values
        self.told = _Told()
        self.open = ExitStack()

    def is_at_work(self) -> bool:
        """Tell whether nothing has ended or hung up since the last test."""
        return (
            self.told.testbed is not None
            and not _control(self.told.testbed)
            and not any(one.state() for one in self.told.controllers.values())
        )


FAILED: pytest.StashKey[dict[str, str]] = pytest.StashKey()
"""By test, without its topology: the smallest one on which it has failed."""

TRIED = "qnet_topology"
"""Property of a test's report: the topology."""

SHARED: pytest.StashKey[_Shared] = pytest.StashKey()
TOLD: pytest.StashKey[_Told] = pytest.StashKey()
RESULTS: pytest.StashKey[list[Result]] = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the controller's side, or the verdict, has to say of a test that failed."""
    report = yield
    for result in item.stash.get(RESULTS, []) if report.failed and call.when == "call" else []:
        report.sections.append(("qnet", _words(result)))
    for test, topology in _tried(item.nodeid, item.user_properties) if report.failed else ():
        item.session.stash.setdefault(FAILED, {}).setdefault(test, topology)
    told = item.stash.get(TOLD, None)
    if told is not None and report.failed and call.when != "teardown" and (lines := told.lines()):
        report.sections.append(("controller", "\n".join(lines)))
    return report


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Show differences of tables as a diff."""
    if "qnet.emulate.openflow.diff" not in sys.modules:
        return None
    from qnet.emulate.openflow.diff import Differences  # noqa: PLC0415

    if op == "==" and right == () and isinstance(left, Differences):
        return ["tables are not as wanted", *str(left).splitlines()]
    return None


def _words(result: Result) -> str:
    """Return a verdict as the command line prints it."""
    from rich.console import Console  # noqa: PLC0415

    from qnet.report.text import print_verdict  # noqa: PLC0415

    text = StringIO()
    print_verdict(result.verdict, Console(file=text, width=WIDTH))
    return text.getvalue()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --qnet-controller, --qnet-tier and --qnet-require."""
    group = parser.getgroup("qnet")
    group.addoption(
        "--qnet-controller",
        metavar="tcp:HOST:PORT",
        help="controller for tests that use qnet_testbed and name none",
    )
    group.addoption(
        "--qnet-tier",
        choices=TIERS,
        default="lockstep",
        help="tier for tests that use qnet_testbed and name none (mininet needs root)",
    )
    group.addoption(
        "--qnet-require",
        action="store_true",
        help="tests that would be skipped since this machine lacks what they need fail",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Say what the marker is for."""
    config.addinivalue_line(
        "markers",
        "qnet(topology, app=None, arguments=(), controller=None, framework='os_ken', python=None, "
        "tier=None, settle=0, patience='400ms', arp=False, openflow=None, tls=False, "
        "scope='function'): the network and the controller of qnet_testbed",
    )
    unknown = sorted(required() - set(REQUIRABLE))
    if unknown:
        raise pytest.UsageError(f"{REQUIRE}: no '{unknown[0]}'; one of {', '.join(REQUIRABLE)}")


def required() -> set[str]:
    """Return what must be here by the environment."""
    return {name for name in os.environ.get(REQUIRE, "").split(",") if name}


def _lacks(config: pytest.Config, what: str, reason: str) -> NoReturn:
    """Skip a test for want of something, or fail it where that is required."""
    if config.getoption("--qnet-require"):
        pytest.fail(f"{reason} (required by --qnet-require)", pytrace=False)
    if what in required():
        pytest.fail(f"{reason} ({what} is required by {REQUIRE})", pytrace=False)
    pytest.skip(reason)


def _values(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the marker's values, times in seconds; fail with all that is wrong with them."""
    marker = request.node.get_closest_marker("qnet")
    values: dict[str, Any] = dict(marker.kwargs) if marker else {}
    faults = [f"{one!r} has no name; write it like topology={one!r}" for one in _unnamed(marker)]
    for key, value in values.items():
        if key not in KEYS:
            close = difflib.get_close_matches(key, KEYS, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else f"; it knows {', '.join(KEYS)}"
            faults.append(f"no key {key!r}{hint}")
        elif value is not None and not _fits(value, KEYS[key]):
            kinds = " or ".join(one.__name__ for one in KEYS[key])
            faults.append(f"{key}={value!r} is not {kinds}")
    values = {key: value for key, value in values.items() if value is not None}
    for key, there in CHOICES.items():
        if key in values and values[key] not in there:
            joined = (" and " if len(there) == 2 else ", ").join(there)
            faults.append(f"{key}={values[key]!r}; there are {joined}")
    if "topology" not in values:
        faults.append("qnet_testbed needs @pytest.mark.qnet(topology=...)")
    topology = values.get("topology", "")
    if not isinstance(topology, str) and not _names(topology):
        faults.append(f"topology={topology!r} is not names of topologies")
    faults += _faults_of_controllers(values)
    for key in {"settle", "patience"} & values.keys():
        _read_time(values, key, faults)
    if faults:
        pytest.fail("@pytest.mark.qnet: " + "\n".join(faults), pytrace=False)
    return values


def _faults_of_controllers(values: Mapping[str, Any]) -> Iterator[str]:
    """Say what is wrong with who is to be controller."""
    if "app" in values and "controller" in values:
        yield "give 'app', which is started, or 'controller', which runs already"
    if "app" not in values:
        yield from (f"{one!r} goes with 'app'" for one in OF_APP if one in values)
    for key in sorted({"app", "controller"} & values.keys()):
        given = values[key]
        every = list(given.values()) if isinstance(given, dict) else given
        if not isinstance(every, str) and not (_names(every) and _names(list(given))):
            yield f"{key}={given!r} is not one or several, nor several by their names"
        elif key == "controller" and not isinstance(every, str) and len(set(every)) < len(every):
            yield f"controller={given!r} has one twice"
    tls = values.get("tls")
    if isinstance(tls, dict):
        good = {"ca"} <= tls.keys() <= {"ca", "cert", "key"} and _names(list(tls.values()))
        if "app" in values or not good:
            yield f"tls={tls!r}: files 'ca', 'cert', 'key' go with 'controller'; for apps tls=True"
    elif tls and "app" not in values:
        yield "tls=True goes with 'app'; with 'controller' give tls={'ca': 'ca.pem'}"
    own, apps = values.get("arguments"), values.get("app")
    if isinstance(own, dict) and isinstance(apps, dict):
        yield from (f"arguments: there is no app {one!r}" for one in own if one not in apps)
    elif isinstance(own, dict):
        yield "arguments by name go with apps by name: app={'first': ...}"


def _names(given: Sequence[object]) -> bool:
    """Tell whether a list has names, one at least."""
    return bool(given) and all(isinstance(one, str) for one in given)


def _unnamed(marker: pytest.Mark | None) -> tuple[Any, ...]:
    return () if marker is None else marker.args


def _fits(value: object, kinds: tuple[type, ...]) -> bool:
    """Tell whether a value has one of the types; True is no number here."""
    return isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))


def _read_time(values: dict[str, Any], key: str, faults: list[str]) -> None:
    """Turn a time such as '30s' into seconds."""
    from qnet.units import PS_PER_S, TIME, UnitError, parse  # noqa: PLC0415

    value = values[key]
    try:
        seconds = parse(TIME, value) / PS_PER_S if isinstance(value, str) else value
    except UnitError as error:
        faults.append(f"{key}: {error}")
        return
    if not isinstance(seconds, (int, float)):
        return
    least = "more than 0" if key == "patience" else "0 or more"
    if not (seconds > 0 or (seconds == 0 and key == "settle")):
        faults.append(f"{key}={value!r} is not {least}")
    values[key] = float(seconds)


def _read(folder: Path, name: str) -> Topology:
    """Read a topology beside the test, by its path, bundled, or by kind and size.

    Raises QnetError or ValueError with its faults.
    """
    from qnet.emulate.testbed.topologies import drawn  # noqa: PLC0415
    from qnet.files.read import read_topology  # noqa: PLC0415

    beside = folder / name
    return drawn(name) or read_topology(str(beside) if beside.exists() else name)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test on each of several topologies, the smallest first."""
    if "qnet_topology" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("qnet")
    given = marker.kwargs.get("topology") if marker else None
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, (list, tuple)) or not _names(names):
        return  # the fixture says what is wrong
    every = _sorted(metafunc.definition.path.parent, names)
    if every != [given]:
        shared = marker is not None and marker.kwargs.get("scope") == "module"
        scope: Literal["module", "function"] = "module" if shared else "function"
        metafunc.parametrize("qnet_topology", every, indirect=True, scope=scope)


def _sorted(folder: Path, names: Sequence[str]) -> list[str]:
    """Return all topologies that names stand for, by size; what cannot be read comes first."""
    from qnet.emulate.testbed.topologies import expand  # noqa: PLC0415

    every: dict[str, None] = {}
    for name in names:
        try:
            every |= dict.fromkeys(expand(name))
        except ValueError:
            every[name] = None
    if len(every) == 1:  # most tests have one, which need not be read to be first
        return list(every)
    return sorted(every, key=lambda one: _size(folder, one))


def _size(folder: Path, name: str) -> tuple[int, int]:
    """Return how many nodes and links a topology has; none where it cannot be read."""
    from qnet.errors import QnetError  # noqa: PLC0415

    try:
        topology = _read(folder, name)
    except (QnetError, ValueError):
        return 0, 0
    return len(topology.nodes), len(topology.links)


@pytest.fixture
def qnet_topology(request: pytest.FixtureRequest) -> str | None:
    """Name of the topology that the test runs on, where its marker has several."""
    return getattr(request, "param", None)


def _tried(node: str, properties: Iterable[tuple[str, object]]) -> Iterator[tuple[str, str]]:
    """Give a test, without its topology, and the topology, where it has several."""
    for name, value in properties:
        if name == TRIED:
            test, _, parameters = node.partition("[")
            yield f"{test}[{parameters.replace(str(value), '*')}", str(value)


def _try(request: pytest.FixtureRequest, topology: str) -> None:
    """Take note of the topology of a test; skip it where it has failed on a smaller one."""
    request.node.user_properties.append((TRIED, topology))
    ((test, _),) = _tried(request.node.nodeid, request.node.user_properties)
    failed = request.session.stash.get(FAILED, {}).get(test)
    if failed is not None:
        pytest.skip(f"fails from {failed} on, the smallest of its topologies")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say on which topologies tests passed, and from which on they fail."""
    tried: dict[str, dict[str, list[str]]] = {}
    for outcome in ("passed", "failed", "error"):
        for report in terminalreporter.stats.get(outcome, []):
            for test, topology in _tried(report.nodeid, getattr(report, "user_properties", ())):
                seen = tried.setdefault(test, {"passed": [], "failed": []})
                seen["passed" if outcome == "passed" else "failed"].append(topology)
    lines = []
    for test, seen in tried.items():
        if seen["failed"]:
            good = ", ".join(seen["passed"])
            words = f"; it passes on {good}" if good else ", the smallest"
            lines.append(f"{test.replace('[*]', '')} fails from {seen['failed'][0]} on{words}")
    if lines:
        terminalreporter.section("qnet: the smallest topologies that fail")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture
def qnet_case(request: pytest.FixtureRequest) -> Callable[..., Result]:
    """Answer for a network, as `qnet.run` does: `qnet_case("traffic.yaml", duration="5ms")`."""
    from qnet import api  # noqa: PLC0415
    from qnet.errors import EnvironmentMissing, InputError  # noqa: PLC0415

    results = request.node.stash.setdefault(RESULTS, [])

    def beside(what: Any) -> Any:
        """Return the path of a file beside the test, or what was given."""
        path = request.path.parent / what if isinstance(what, str) else None
        return path if path is not None and path.is_file() else what

    def answer(scenario: Any, *, topology: Any = None, **how: Any) -> Result:
        try:
            made = api.run(beside(scenario), topology=beside(topology), **how)
        except InputError as error:
            pytest.fail(str(error), pytrace=False)
        except EnvironmentMissing as error:
            _lacks(request.config, str(how.get("emulate", "")), str(error))
        results.append(made)
        return made

    return answer


@pytest.fixture
def qnet_testbed(request: pytest.FixtureRequest, qnet_topology: str | None) -> Iterator[Testbed]:
    """Real switches of the marked topology, connected to the marked controller."""
    values = _values(request)
    if qnet_topology is not None:
        values["topology"] = qnet_topology
        _try(request, qnet_topology)
    if values.get("scope") == "module":
        yield _of_module(request, values)
        return
    told = request.node.stash[TOLD] = _Told()
    with ExitStack() as stack:
        yield _open(request, values, told, stack)


def _of_module(request: pytest.FixtureRequest, values: Mapping[str, Any]) -> Testbed:
    """Return the testbed of the test's module: the one that is open, if it is as it should be."""
    module: pytest.Module = request.node.getparent(pytest.Module)
    shared = module.stash.get(SHARED, None)
    if shared is not None and (shared.values != values or not shared.is_at_work()):
        shared.open.close()
        shared = None
    if shared is None:
        shared = module.stash[SHARED] = _Shared(values)
        module.addfinalizer(shared.open.close)
    told = request.node.stash[TOLD] = shared.told
    testbed = told.testbed or _open(request, values, told, shared.open)
    testbed.forget()
    return testbed


def _open(
    request: pytest.FixtureRequest, values: Mapping[str, Any], told: _Told, stack: ExitStack
) -> Testbed:
    """Start controller and switches; `stack` is to end them."""
    from qnet.emulate.testbed.testbed import PATIENCE_S, Testbed  # noqa: PLC0415
    from qnet.errors import QnetError  # noqa: PLC0415

    tier = values.get("tier") or request.config.getoption("--qnet-tier")
    try:
        topology = _read(request.path.parent, values["topology"])
    except (QnetError, ValueError) as error:
        words = f"@pytest.mark.qnet(topology={values['topology']!r}): {error}"
        pytest.fail(words, pytrace=False)
    if tier == "mininet":
        from qnet.emulate.tiers.probe import missing_tools as missing  # noqa: PLC0415
    else:
        from qnet.emulate.switches.ovs import missing_switch as missing  # noqa: PLC0415
    reason = missing()
    if reason is not None:
        _lacks(request.config, tier, reason)
    how = {
        "settle_s": values.get("settle", 0.0),
        "patience_s": values.get("patience", PATIENCE_S),
        "arp": values.get("arp", False),
    }
    if "openflow" in values:
        how["versions"] = (values["openflow"],)
    controllers = _controllers(request, values, told, stack)
    testbed = stack.enter_context(Testbed(topology, controllers, tier=tier, **how))
    told.testbed = testbed
    return testbed


def _controllers(
    request: pytest.FixtureRequest, values: Mapping[str, Any], told: _Told, stack: ExitStack
) -> ControllerSet:
    """Return the controllers: they are started here, or run already."""
    from qnet.emulate.process.address import read_address  # noqa: PLC0415
    from qnet.emulate.process.tls import TlsFiles  # noqa: PLC0415
    from qnet.emulate.testbed.controller_set import ControllerSet  # noqa: PLC0415

    if "app" in values:
        return _started(request, values, told, stack)
    given = values.get("controller") or request.config.getoption("--qnet-controller")
    if not given:
        pytest.fail("no controller: give the marker 'app' or 'controller', or --qnet-controller")
    files = {name: request.path.parent / path for name, path in values.get("tls", {}).items()}
    try:
        if isinstance(given, dict):
            named = {name: read_address(one) for name, one in given.items()}
        else:
            every = [given] if isinstance(given, str) else given
            named = {(found := read_address(one)): found for one in every}
    except ValueError as error:
        pytest.fail(f"controller: {error}", pytrace=False)
    return ControllerSet(named, TlsFiles(**files) if files else None)


def _started(
    request: pytest.FixtureRequest, values: Mapping[str, Any], told: _Told, stack: ExitStack
) -> ControllerSet:
    """Start the marked apps, over TLS with certificates made for them where that is asked for."""
    from qnet.emulate.process.controller import missing_controller  # noqa: PLC0415
    from qnet.emulate.testbed.apps import named, started  # noqa: PLC0415
    from qnet.emulate.testbed.certificates import Authority, missing_openssl  # noqa: PLC0415
    from qnet.emulate.testbed.controller_set import ControllerSet  # noqa: PLC0415

    chosen = {one: values[one] for one in ("framework", "python") if one in values}
    lacking = missing_controller(**chosen)
    if lacking:
        _lacks(request.config, values.get("framework", "os_ken"), lacking)
    tls = None
    if values.get("tls"):
        if lacking := missing_openssl():
            _lacks(request.config, "tls", lacking)
        folder = stack.enter_context(TemporaryDirectory(prefix="qnet-tls-"))
        authority = Authority(Path(folder))
        chosen["tls"], tls = authority.for_controllers(), authority.for_switches()
    apps, arguments = named(values["app"]), values.get("arguments", ())
    beside_test = started(apps, arguments, request.path.parent, chosen)
    told.controllers = stack.enter_context(beside_test)
    stack.callback(told.keep)
    controllers = ControllerSet({name: one.target for name, one in told.controllers.items()}, tls)
    controllers.apps.update(told.controllers)
    return controllers

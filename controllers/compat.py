"""One door to os-ken and to Ryu 4.34: the same apps run on either, whichever is installed.

os-ken comes first, unless QNET_FRAMEWORK says `ryu`. Beside the names that apps need, this module
has the launcher (`launch`), since os-ken has no manager command, and the cures of what hinders
either framework on today's Python.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

FRAMEWORK = os.environ.get("QNET_FRAMEWORK") or (
    "os_ken" if importlib.util.find_spec("os_ken") else "ryu"
)

if FRAMEWORK == "ryu":
    # Ryu 4.34 asks for a name that eventlet gave up after 0.30.2.
    wsgi: Any = importlib.import_module("eventlet.wsgi")
    if not hasattr(wsgi, "ALREADY_HANDLED"):
        wsgi.ALREADY_HANDLED = object()


def framework(path: str) -> Any:
    """Import a module of the framework: framework('lib.packet.arp')."""
    return importlib.import_module(f"{FRAMEWORK}.{path}")


hub = framework("lib.hub")
hub.patch()
if FRAMEWORK == "os_ken" and hub.HUB_TYPE == "native":
    hub.Event = threading.Event  # os-ken's own never comes back from wait(timeout)

    class TaskExit(Exception):
        """Asks a thread to end. os-ken's own is any exception: a handler's would end the app."""

    hub.TaskExit = TaskExit

app_manager = framework("base.app_manager")
App = getattr(app_manager, "RyuApp", None) or app_manager.OSKenApp
CONF = framework("cfg").CONF
options = framework("cfg")
framework("flags")
framework("controller.controller")  # registers the options of the OpenFlow listener
ofp_event = framework("controller.ofp_event")
handler = framework("controller.handler")
set_ev_cls = handler.set_ev_cls
ofproto_v1_3 = framework("ofproto.ofproto_v1_3")
parser = framework("ofproto.ofproto_v1_3_parser")

LOOPBACK = "127.0.0.1"

Contents = TypeVar("Contents")

_OUT = threading.Lock()


def tell(event: str, **values: object) -> None:
    """Write one event as a line of JSON on standard output: what a launcher of the app reads."""
    line = json.dumps({"event": event, **values})
    with _OUT, contextlib.suppress(BrokenPipeError):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


class FileRefused(Exception):
    """A file that an app was given and cannot use; launching ends with exit code 2."""


def read_file(option: str, path: str | None, read: Callable[[str], Contents]) -> Contents:
    """Read a file that an option names; raises FileRefused with all its faults, one a line."""
    if path is None:
        raise FileRefused(f"--{option} is missing; it names a file")
    try:
        return read(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise FileRefused(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise FileRefused(
            "\n".join(f"{path}: {line}" for line in str(error).splitlines())
        ) from None


def spawn(body: Any, *arguments: object) -> None:
    """Run a body in a thread of the framework and log what it raises, which the framework hides."""

    def run() -> None:
        try:
            body(*arguments)
        except Exception:
            logging.getLogger("qnet").exception("a thread of the controller failed")

    hub.spawn(run)


def launch(apps: Sequence[str], arguments: Sequence[str]) -> None:
    """Run apps, by module name, until the process is told to end.

    `arguments` are options of the framework and of the apps, such as `--ofp-tcp-listen-port 6653`.
    Only this machine is listened to, unless `--ofp-listen-host` says other.
    """
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s", stream=sys.stderr)
    sys.path.insert(0, str(Path(__file__).parent))
    sys.modules.setdefault("compat", sys.modules[__name__])
    for name in apps:
        importlib.import_module(name)  # registers its options, which must be there to be read
    for option in ("ofp_listen_host", "wsapi_host"):  # either framework's default is any interface
        if option in CONF:
            CONF.set_default(option, LOOPBACK)
    CONF(list(arguments), project=FRAMEWORK, prog=FRAMEWORK, default_config_files=[])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))  # threads of the native hub do not end
    manager = app_manager.AppManager.get_instance()
    listener = f"{FRAMEWORK}.controller.ofp_handler"  # else only apps that handle events bring it
    manager.load_apps([*apps, listener])
    contexts = manager.create_contexts()
    try:
        manager.instantiate_apps(**contexts)
    except FileRefused as refused:
        sys.stderr.write(f"{refused}\n")
        sys.stderr.flush()
        os._exit(2)  # nothing has been started but threads of the framework
    secure = CONF.ctl_privkey is not None and CONF.ctl_cert is not None
    port = CONF.ofp_ssl_listen_port if secure else CONF.ofp_tcp_listen_port
    host = CONF.ofp_listen_host or LOOPBACK
    places = [(host, port)]
    web: Any = sys.modules.get(f"{FRAMEWORK}.app.wsgi")  # there if an app answers by HTTP
    service = None if web is None else web.start_service(manager)
    if service is not None:
        hub.spawn(service)
        places.append((CONF.wsapi_host, CONF.wsapi_port))
    for place in places:
        while not (_has_listener(place[1]) if secure else _listens(*place)):
            hub.sleep(0.02)
    tell("listening", host=host, port=port, framework=FRAMEWORK)
    while True:
        hub.sleep(3600)


def _has_listener(port: int) -> bool:
    """Tell whether somebody listens at a port: one that wants TLS would log who only looks in."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text(encoding="ascii").splitlines()[1:]:
                address, state = line.split()[1], line.split()[3]
                if state == "0A" and int(address.rpartition(":")[2], 16) == port:
                    return True
    return False


def _listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1).close()
    except OSError:
        return False
    return True

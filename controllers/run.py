"""Run controller apps on os-ken or Ryu.

    python controllers/run.py APP... [--ofp-listen-host 127.0.0.1] [--ofp-tcp-listen-port 6653] ...

An app is the name of a module: one beside this file (`reservation`), or any other, such as
`ryu.app.simple_switch_13`. Events come on standard output, one JSON object a line; the first is
'listening', after which switches can connect.
"""

from __future__ import annotations

import os
import sys
from itertools import takewhile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
# Last, so that an environment of Ryu's keeps its own packages and takes only qnet from there.
sys.path.append(os.environ.get("QNET_ROOT") or str(Path(__file__).parent.parent))

import compat


def main() -> None:
    """Read apps up to the first option and launch them."""
    arguments = sys.argv[1:]
    apps = list(takewhile(lambda word: not word.startswith("-"), arguments))
    if not apps:
        sys.exit(__doc__)
    compat.launch(apps, arguments[len(apps) :])


if __name__ == "__main__":
    main()

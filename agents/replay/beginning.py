"""How the process that runs handlers again begins: nothing that its environment names is run before it is sealed.

Owns what is held back from the interpreter when it starts (Python imports `sitecustomize` from PYTHONPATH by itself,
the loader what LD_PRELOAD names), and what is made up for once the seal holds. Leaves the sealing to `process`. What is
installed for this Python is trusted, as what asks for the replay was started from it.
"""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Mapping
from importlib.machinery import PathFinder
from pathlib import Path

import msgspec

#: Variables by which code is run before the first line of a program.
_HELD = ("PYTHONPATH", "LD_PRELOAD", "LD_AUDIT")
_USER_BASE = "PYTHONUSERBASE"
_FIRST_LINES = """\
import json, sys
told = json.loads(sys.argv.pop())
own = [*sys.path]
sys.path[:] = [told["framework"], *own, *told["path"]]
import twelvefold
sys.path.pop(0)
from twelvefold.agents.replay.process import main
sys.exit(main(told["held"], own))
"""


def beginning(environ: Mapping[str, str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the command of a process that is to have this environment, and the one that it is to be started with.

    What that command imports of ours, and of what we need, is what is imported here, wherever it lies.
    """
    given = dict(environ)
    held = {name: given.pop(name) for name in _HELD if name in given}
    if _USER_BASE in given:
        held[_USER_BASE], given[_USER_BASE] = given[_USER_BASE], site.getuserbase()
    told = {
        "framework": str(Path(__file__).absolute().parents[3]),
        "path": [str(Path(entry).absolute()) for entry in sys.path if entry],
        "held": held,
    }
    return (sys.executable, "-P", "-c", _FIRST_LINES, msgspec.json.encode(told).decode()), given


def make_up_for(held: Mapping[str, str], own: list[str]) -> None:
    """Have the environment, and the import path, that the process would have begun with; `own` is the path without."""
    os.environ.update(held)
    given = held.get("PYTHONPATH", "")
    front = [str(Path(entry).absolute()) for entry in given.split(os.pathsep)] if given else []
    sys.path[:] = dict.fromkeys([*front, *own])
    customize = {"sitecustomize": site.execsitecustomize}
    if site.ENABLE_USER_SITE:
        customize["usercustomize"] = site.execusercustomize
    for name, execute in customize.items():
        if front and PathFinder.find_spec(name, front) is not None:
            sys.modules.pop(name, None)
            execute()

"""`run --require-sandbox`: no work where it couldn't be contained."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..settings import Settings

#: How long agents of a running `up` that are just starting are waited for.
_PATIENCE_S = 10.0


def refuse_uncontained() -> None:
    """Raise NotContained where agents of this home are not, or would not be, held by file rules.

    Agents that are started from now on by this process's environment refuse to work without.
    """
    from ..agents.sandbox.confine import available
    from ..agents.sandbox.errors import NotContained
    from ..settings import load_settings

    settings = load_settings()
    possible = available()
    if not possible.contained:
        raise NotContained(possible.reason)
    if settings.sandbox == "off":
        raise NotContained(f"the sandbox is switched off ({settings.origins['sandbox']})")
    os.environ["TWELVEFOLD_SANDBOX"] = "required"
    open_ones = _uncontained(settings)
    if open_ones:
        raise NotContained(f"of what runs already, {', '.join(open_ones)} isn't in the sandbox")


def _uncontained(settings: Settings) -> list[str]:
    """Return the names of agents that run already without file rules; those that publish have none."""
    import msgspec

    from ..agents.sandbox.agent import TRUSTED
    from ..orchestration.confined_callers import is_confined
    from ..orchestration.control import ControlRequest, ProcessStatus, ask
    from ..orchestration.errors import NotUp

    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            told = ask(settings.home, settings.runtime_dir, ControlRequest("ps"))
        except NotUp:
            return []
        rows = msgspec.convert(told, list[ProcessStatus])
        agents = [row for row in rows if row.pid is not None and _is_agent(row.pid)]
        found = [row.name for row in agents if not is_confined(row.pid or 0) and not _names(row.pid or 0, TRUSTED)]
        # One that is starting may not have come to it.
        starting = any(row.name in found and row.state == "starting" for row in rows)
        if not starting or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _is_agent(pid: int) -> bool:
    return b" agent " in _command(pid)


def _names(pid: int, targets: frozenset[str]) -> bool:
    return any(target.encode() in _command(pid).split() for target in targets)


def _command(pid: int) -> bytes:
    """Return a process's command line, its title where it has set one."""
    from pathlib import Path

    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return b""

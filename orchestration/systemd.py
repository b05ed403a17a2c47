"""The systemd user unit that keeps an `up` running over log-outs and reboots. Pure: returns text.

One unit for the whole: the supervisor under it starts, watches and stops the processes, and only it can tell the bus
that one is gone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_PLAIN = re.compile(r"[A-Za-z0-9_@+=:,./-]+")


def unit_name(project: str) -> str:
    """Return the unit's file name for a project's name."""
    return f"twelvefold-{re.sub(r'[^A-Za-z0-9_-]+', '-', project).strip('-') or 'home'}.service"


def unit(
    *, project: str, command: Sequence[str], folder: str, home: str, runtime_dir: str | None, stop_s: float
) -> str:
    """Return the unit's text; `stop_s` is how long the processes may take to stop."""
    environment = {"TWELVEFOLD_HOME": home}
    if runtime_dir is not None:
        environment["TWELVEFOLD_RUNTIME_DIR"] = runtime_dir
    lines = [
        "[Unit]",
        f"Description=Twelvefold: {_value(project)}",
        "",
        "[Service]",
        "Type=exec",
        f"WorkingDirectory={_value(folder)}",
        *(f"Environment={_word(f'{name}={value}')}" for name, value in environment.items()),
        f"ExecStart={' '.join(_word(word, command=True) for word in command)}",
        "# The supervisor stops its processes in their order; what is left after that is killed.",
        "KillMode=mixed",
        f"TimeoutStopSec={int(stop_s * 3 + 15)}",
        "SuccessExitStatus=130 143",
        "Restart=on-failure",
        "LimitNOFILE=524288",
        "# So that limits of Procfile.options are bound by the kernel, for each process with all that it starts.",
        "Delegate=memory pids cpu",
        "",
        "[Install]",
        "WantedBy=default.target",
    ]
    return "\n".join(lines) + "\n"


def _value(text: str) -> str:
    """Write a value that systemd takes whole: only `%` begins an expansion, and a line ends it."""
    return text.replace("%", "%%").replace("\n", " ")


def _word(text: str, *, command: bool = False) -> str:
    """Write one word of a list (systemd.syntax(7)); in a command `$` begins a variable too."""
    text = text.replace("%", "%%")
    if command:
        text = text.replace("$", "$$")
    if _PLAIN.fullmatch(text.replace("%%", "").replace("$$", "") or "-"):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escaped}"'

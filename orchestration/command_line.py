"""What a Procfile line's command asks for: a fork of the zygote, a plain `exec`, or a shell. Pure.

Also the environment that a child gets. Invariant: no variable of an outer supervisor (its instance, its incarnation)
reaches a child of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

#: Nothing that a shell would touch: words of these letters mean themselves.
_PLAIN = re.compile(r"[A-Za-z0-9_@%+:,./ \t=-]+")
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
#: Letters that end a simple command, or start something that is not one.
_COMPOUND = re.compile(r"[|&;<>()`\n]|\$\(")
_COMMAND_WORD = re.compile(r"[A-Za-z0-9_./+-]+")
_NOT_PROGRAM = re.compile(
    r"alias|bg|break|case|cd|command|continue|do|done|elif|else|esac|eval|exec|exit|export|fc|fg|fi|for|function"
    r"|getopts|hash|if|jobs|local|read|readonly|return|select|set|shift|source|then|time|times|trap|type|typeset"
    r"|ulimit|umask|unalias|unset|until|wait|while|\."
)

#: Set for each child; never taken over from the environment in which `up` was called.
OWN_VARIABLES = (
    "TWELVEFOLD_INSTANCE",
    "TWELVEFOLD_PROCESS",
    "TWELVEFOLD_INCARNATION",
    "TWELVEFOLD_KEYS",
    "PS",
)


def plain_words(command: str) -> list[str] | None:
    """Return a command's words where a shell would take each as it is, else None."""
    if not _PLAIN.fullmatch(command):
        return None
    words = command.split()
    return None if not words or _ASSIGNMENT.match(words[0]) else words


def agent_arguments(command: str) -> list[str] | None:
    """Return what follows `twelvefold agent` where a command is that and nothing a shell would touch, else None."""
    words = plain_words(command)
    return words[2:] if words is not None and words[:2] == ["twelvefold", "agent"] else None


def speaks_to_bus(command: str) -> bool:
    """Tell whether some word of a command runs an agent, so that its first sign of life is the bus's to see."""
    return re.search(r"(?:^|[\s/;&|(])twelvefold\s+(?:agent|orchestrator)\b", command) is not None


def runs_agent(command: str) -> bool:
    """Tell whether a command's process is an agent itself, and not a shell or another program around it."""
    return not _COMPOUND.search(command) and re.match(r"(?:exec\s+)?twelvefold\s+agent\s", command) is not None


def is_service_line(command: str, service: str) -> bool:
    """Tell whether a command runs `twelvefold SERVICE` (`bus`, `orchestrator`)."""
    return re.match(r"(?:exec\s+)?(?:\S*/)?twelvefold\s+" + service + r"(?:\s|$)", command) is not None


def shell_arguments(command: str) -> list[str]:
    """Return the arguments that run a command; a simple one replaces its shell, so that signals reach it."""
    words = command.split(None, 1)
    first = words[0] if words else ""
    simple = not _COMPOUND.search(command) and _COMMAND_WORD.fullmatch(first) and not _NOT_PROGRAM.fullmatch(first)
    return ["/bin/sh", "-c", f"exec {command}" if simple else command]


def shared_environment(
    base: Mapping[str, str], *, home: str, runtime_dir: str | None, incarnation: str, scripts: str
) -> dict[str, str]:
    """Return the variables that all children of one `up` have in common.

    `scripts`, the folder where `twelvefold` lies, comes last on PATH, so that a line finds it even where `up` was
    called by its full path (as systemd does).
    """
    environ = {name: value for name, value in base.items() if name not in OWN_VARIABLES}
    environ["TWELVEFOLD_HOME"] = home
    if runtime_dir is not None:
        environ["TWELVEFOLD_RUNTIME_DIR"] = runtime_dir
    environ["TWELVEFOLD_INCARNATION"] = incarnation
    path = environ.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    if scripts not in path.split(":"):
        environ["PATH"] = f"{path}:{scripts}"
    return environ


def own_environment(key: str, instance: str, port: int | None) -> dict[str, str]:
    """Return the variables that one child has for itself."""
    own = {"TWELVEFOLD_INSTANCE": instance, "TWELVEFOLD_PROCESS": key, "PS": key}
    return own if port is None else {**own, "PORT": str(port)}


def sandbox_environment(sandbox: str | None, writable: Sequence[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the agents of one line are told of their sandbox, by variables, beyond what all are told."""
    own = {} if sandbox is None else {"TWELVEFOLD_SANDBOX": sandbox}
    if writable:
        own["TWELVEFOLD_WRITABLE"] = ":".join(filter(None, (environ.get("TWELVEFOLD_WRITABLE", ""), *writable)))
    return own

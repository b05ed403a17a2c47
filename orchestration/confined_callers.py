"""What a process in the sandbox may ask of the supervisor, which is in none: no command of its own choice.

Owns how a caller is judged: by what the kernel says of its process. Keeps: who is bound to file rules has nothing
started that isn't.
"""

from __future__ import annotations

import os
from pathlib import Path

from .command_line import agent_arguments
from .control import ControlRequest
from .errors import SupervisorRefused


def refuse_confined(request: ControlRequest, peer: int) -> None:
    """Raise SupervisorRefused where a confined process asks for a command that isn't an agent's.

    Agents are bound to rules of their own when they start. Where this process is confined too, nothing is refused.
    """
    commands = [line.command for line in request.lines] + ([request.agent.command] if request.agent else [])
    if all(agent_arguments(command) is not None for command in commands):
        return
    if is_confined(peer) and not is_confined(os.getpid()):
        raise SupervisorRefused("a process in the sandbox may have agents started, and no other commands")


def is_confined(pid: int) -> bool:
    """Tell whether a process can gain no rights any more, as all in the sandbox; also where it is gone or unknown."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return Path("/proc/self/status").exists()
    return "\nNoNewPrivs:\t1\n" in status

"""The process in which agents' handlers are run again: sealed before the first line of theirs is imported.

Owns its beginning, its end, and waiting, which takes no time here. Takes tasks on standard input and answers on what
was standard output when it began; what handlers print goes nowhere. Keeps: no task is begun before the seal holds.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...eventstore.errors import TwelvefoldError
from ...orchestration.prctl import die_with
from ..agent_settings import AgentSettings, agent_settings
from ..context import current_task
from ..errors import AgentNotLoadable, InvalidTool
from ..faults import whole
from ..models import choose
from ..sandbox.errors import NotSealed
from ..sandbox.sealed import seal
from ..store import Stores
from .beginning import make_up_for
from .files import Lacking
from .found import RecordEnds, Rerun
from .imported import ImportedAgents
from .models import recorded_model
from .places import Places, PlacesThen
from .rerun import ReplayContext, rerun
from .wire import Done, LaidOut, LayOutFiles, Sealed, Work, receive, send

log = logging.getLogger("twelvefold.replay")

#: What is said to standard error is kept in a file of at most so many bytes.
_SAID_BYTES_MAX = 16 << 20


class _Pipe:
    """The way to the process that asked for the replay."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing

    def next(self) -> Work | None:
        """Wait for the next task; None at the end."""
        message = receive(self._reading)
        assert message is None or isinstance(message, Work)
        return message

    def say(self, message: Done | Sealed) -> None:
        """Answer."""
        send(self._writing, message)

    def lay_out(self, store: str, key: str, commit: str, folder: str) -> tuple[str, str]:
        """Have files laid out; raises Lacking."""
        send(self._writing, LayOutFiles(store, key, commit, folder))
        answer = receive(self._reading)
        if not isinstance(answer, LaidOut) or answer.problem:
            raise Lacking(answer.problem if isinstance(answer, LaidOut) else "nobody lays files out any more")
        return answer.folder, answer.store


def main(held: Mapping[str, str], path: list[str]) -> int:
    """Run tasks again until there are no more of them; the exit status. What was `held` back: see `beginning`."""
    die_with(os.getppid())
    reading, writing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):
        os.dup2(nothing, number)
    os.close(nothing)
    os.set_inheritable(reading, False)
    os.set_inheritable(writing, False)
    sys.dont_write_bytecode = True
    resource.setrlimit(resource.RLIMIT_FSIZE, (_SAID_BYTES_MAX, _SAID_BYTES_MAX))
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    settings = agent_settings(os.environ)
    Stores.read_only = True
    choose.stand_in.append(recorded_model)
    _let_time_fly()
    pipe = _Pipe(reading, writing)
    try:
        seal()
    except NotSealed as error:
        pipe.say(Sealed(error.reason))
        return error.exit_code
    pipe.say(Sealed())
    make_up_for(held, path)
    agents = ImportedAgents()
    while (work := pipe.next()) is not None:
        pipe.say(Done(_done(work, agents, settings, pipe)))
    return 0


def _done(work: Work, agents: ImportedAgents, settings: AgentSettings, pipe: _Pipe) -> Rerun:
    """Run one task again; where it differs, once more, as code that does not agree with itself is another matter."""
    first = _once(work, agents, settings, pipe)
    if first.status != "different":
        return first
    again = _once(work, agents, settings, pipe)
    steady = again.status == "different" and again.found == first.found
    return Rerun(first.status, first.found, first.problem, first.served, first.code, steady)


def _once(work: Work, agents: ImportedAgents, settings: AgentSettings, pipe: _Pipe) -> Rerun:
    code = ""
    try:
        Stores.recorded = {repo: Path(store) for repo, store in work.repositories.items()}
        agent, code = agents.make(work.target, Path(work.folder))
        places = PlacesThen(Path(work.home), Path(work.place))
        found = rerun(agent, work.record, places, settings, Places(pipe.lay_out))
    except (AgentNotLoadable, InvalidTool) as error:
        return Rerun("unloadable", problem=error.message())
    except Lacking as error:
        return Rerun("lacking", problem=str(error), code=code)
    except (TwelvefoldError, OSError) as error:
        log.error("task %s can't be run again: %s", work.record.path, whole(error))
        said = error.message() if isinstance(error, TwelvefoldError) else str(error)
        return Rerun("lacking", problem=said, code=code)
    except Exception as error:  # noqa: BLE001 - what handlers raise is their outcome; this is a record of some other shape
        log.error("the record of task %s can't be read: %s", work.record.path, whole(error))
        problem = f"its record has a shape that no agent writes: {type(error).__name__}: {error}"
        return Rerun("lacking", problem=problem, code=code)
    return Rerun(found.status, found.found, found.problem, found.served, code)


def _let_time_fly() -> None:
    """Have waiting take no time: what a handler waits for outside of its effects doesn't happen here.

    Where a task never came to its end, waiting after all that is recorded of it is where its record ends.
    """
    pause = asyncio.sleep

    def wait(seconds: Any) -> None:
        context = current_task()
        if isinstance(context, ReplayContext) and context.cancelled:
            raise RecordEnds

    async def sleep(delay: float, result: Any = None) -> Any:
        wait(delay)
        await pause(0)
        return result

    time.sleep = wait
    asyncio.sleep = sleep

"""The rehearsal: agents live whole lives in the zygote, on a bus that is made for it, before any is forked.

What code does at its first runs (caches filled, instructions specialised, shared keys of instances laid out) it writes
into memory that forks share; done here it is done once, and not in a copy of each agent. Owns the stage: a folder, a
bus over a log in memory in a process of its own, an agent's module. Leaves this process as a fork needs it: one
thread, no ZeroMQ context, its signal handlers, import path and standard error as before.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from ..eventstore.event import NewEvent
from ..orchestration.memory_layout import Recorder, close_holes, pack
from ..orchestration.pausing import LOOK
from ..orchestration.prctl import die_with
from ..orchestration.private_folders import remove_all_private
from .errors import RehearsalFailed
from .journal import fresh_id

#: Python 3.11 specialises code at its eighth run; what is asked for in an agent's life but once needs as many lives.
LIVES = 10
TASKS_A_LIFE = 6
#: On a busy machine no life begins after so long, and none waits longer for its bus: agents must not wait for this.
BUDGET_S = 3.0
#: The life in which it is noted which code is run: the first one that runs nothing only once.
_NOTED_LIFE = 1
_QUEUE = "rehearsed"
_MODULE = "twelvefold_rehearsed"
_SOURCE = f'''"""The agent of the rehearsal."""

import os
import signal

import twelvefold as tf


class Rehearsed(tf.BaseAgent):
    """Does a few tasks and ends as its supervisor would have it."""

    done = 0

    def execute_task(self, task: str, context: tf.TaskContext) -> tf.ToolResponse:
        """Go through one effect."""
        self.done += 1
        if self.done == {TASKS_A_LIFE}:
            os.kill(os.getpid(), signal.SIGTERM)
        return tf.ToolResponse.succeeded(context.effect("process", "rehearse", {{}}, lambda: task))
'''


def rehearse(main: Callable[[list[str]], int]) -> None:
    """Run an agent's `main` for several lives. Raises RehearsalFailed, or OSError where there is no stage for it."""
    with tempfile.TemporaryDirectory(prefix="twelvefold-") as name:
        folder = Path(name)
        (folder / f"{_MODULE}.py").write_text(_SOURCE)
        own = {
            "TWELVEFOLD_HOME": name,
            "TWELVEFOLD_RUNTIME_DIR": name,
            "TWELVEFOLD_INSTANCE": "rehearsal",
            "TWELVEFOLD_TIMEOUT_S": str(BUDGET_S),
            "TWELVEFOLD_SANDBOX": "files",
        }
        try:
            with _bus(folder), _stage(folder, own):
                _live(main)
        finally:
            remove_all_private(folder)


def _live(main: Callable[[list[str]], int]) -> None:
    """Run the lives, and lay out the memory of the code that they run before most of them."""
    recorder = Recorder()
    deadline = time.monotonic() + BUDGET_S
    for number in range(LIVES):
        if time.monotonic() > deadline:
            return
        with recorder.recording() if number == _NOTED_LIFE else contextlib.nullcontext():
            status = main([f"{_MODULE}:Rehearsed", "--name", _QUEUE])
        sys.modules.pop(_MODULE, None)
        if status != 0:
            raise RehearsalFailed(status)
        if number == _NOTED_LIFE:
            close_holes()
            pack(recorder.seen)


#: The signals that an agent heeds, whose handlers the zygote must not keep.
_HANDLED = (signal.SIGTERM, signal.SIGINT, LOOK)


@contextlib.contextmanager
def _stage(folder: Path, own: dict[str, str]) -> Iterator[None]:
    """Set the agent's variables, let its module be found and its messages go nowhere; all is as before afterwards."""
    before = {name: os.environ.get(name) for name in own}
    handlers = {number: signal.getsignal(number) for number in _HANDLED}
    errors = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    sys.path.insert(0, str(folder))
    os.environ.update(own)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(errors, 2)
        os.close(errors)
        os.close(nowhere)
        sys.path.remove(str(folder))
        sys.path_importer_cache.pop(str(folder), None)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _bus(folder: Path) -> Iterator[None]:
    """Have a bus with tasks for all lives, in a process of its own: its modules are none of an agent's."""
    parent = os.getpid()
    pid = os.fork()
    if not pid:
        try:
            die_with(parent)
            _serve(folder)
        except BaseException:  # noqa: BLE001  this copy of the zygote must end here, whatever happened
            traceback.print_exc()
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _serve(folder: Path) -> None:
    from ..bus.broker import Broker, Options
    from ..bus.endpoints import endpoints
    from ..bus.keys import write_keys
    from ..eventstore.log import Append
    from ..eventstore.memory_log import MemoryLog

    log = MemoryLog()
    # A life may do a few more before it notices that it is to end.
    for _ in range(LIVES * TASKS_A_LIFE * 4):
        log.append(Append(events=[_task()]))
    Broker(endpoints(folder, folder), log, None, write_keys(folder), Options()).run()


def _task() -> NewEvent:
    run = fresh_id().hex()
    payload = '{"path":"0","agent":"rehearsed","input":"a line","attempt":1,"requires":[]}'
    return NewEvent(type="task.requested", payload=payload, stream=f"run.{run}", id=fresh_id(), to=_QUEUE, run=run)

"""One call of a tool, to its end or for as long as it may take.

Owns waiting for what is `async`, and the clock of a call. One whose time is up is told to stop: an `async` tool is
cancelled, a tool in a thread may ask `stopping()`, and whatever runs under a guard is ended by it. A thread can't be
ended from outside: one that goes on after GRACE_S is given up and reported, and the process that it is in must not take
another task. Keeps: what a tool answers late, but answers, is its answer; it has happened.
"""

from __future__ import annotations

import contextvars
import inspect
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from .errors import InvalidResponse
from .response import ToolResponse
from .tool_errors import ToolTimedOut

if TYPE_CHECKING:
    import asyncio

    from .tool import Tool

#: How long a tool may need to stop.
GRACE_S = 5.0
#: How often a turn is asked for that another call has.
_TURN_INTERVAL_S = 0.01

_stop: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("stop", default=None)


def stopping() -> bool:
    """Tell whether the time of the tool call in which this is asked is up; false where it has no end."""
    told = _stop.get()
    return told is not None and told.is_set()


def timed(name: str, timeout_s: float, do: Callable[[], Any], give_up: Callable[[threading.Thread], None]) -> Any:
    """Call a function on a thread of its own and return what it returns; raises what it raises.

    Raises ToolTimedOut; a thread that goes on nevertheless is handed to `give_up`.
    """
    told, over = threading.Event(), threading.Event()
    answers: list[Any] = []
    errors: list[BaseException] = []

    def work() -> None:
        _stop.set(told)
        try:
            answers.append(do())
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread, which raises it
            errors.append(error)
        finally:
            over.set()

    thread = threading.Thread(target=contextvars.copy_context().run, args=[work], name=f"tool {name}", daemon=True)
    thread.start()
    in_time = over.wait(timeout_s)
    told.set()
    if not in_time and not over.wait(GRACE_S):
        give_up(thread)
        raise ToolTimedOut(name, timeout_s, returned=False)
    if errors and in_time:
        raise errors[0]
    if errors:
        raise ToolTimedOut(name, timeout_s) from errors[0]
    return answers[0]


async def timed_async(name: str, timeout_s: float, do: Callable[[], Awaitable[Any]]) -> Any:
    """Await a call for so long, then cancel it and raise ToolTimedOut."""
    import asyncio

    told = threading.Event()

    async def work() -> Any:
        _stop.set(told)
        return await do()

    task = asyncio.ensure_future(work())
    try:
        await asyncio.wait({task}, timeout=timeout_s)
        if not task.done():
            told.set()
            task.cancel()
            await asyncio.wait({task}, timeout=GRACE_S)
    except BaseException:  # the waiting handler itself is cancelled
        task.cancel()
        raise
    return _answer(task, name, timeout_s, told.is_set())


def _answer(task: asyncio.Future[Any], name: str, timeout_s: float, late: bool) -> Any:
    if not task.done():
        raise ToolTimedOut(name, timeout_s, returned=False)
    if late and (task.cancelled() or task.exception() is not None):
        raise ToolTimedOut(name, timeout_s)
    return task.result()


def executed(tool: Tool, parameters: dict[str, Any], give_up: Callable[[threading.Thread], None]) -> Any:
    """Run a tool to its end from blocking code, for as long as it may take.

    An `async` one runs on a loop of its own that exists only meanwhile.
    """
    if tool.timeout_s is None:
        result = tool.execute(parameters)
        return finished(result) if inspect.isawaitable(result) else result
    timeout_s = tool.timeout_s

    def work() -> Any:
        begun = time.monotonic()
        result = tool.execute(parameters)
        if not inspect.isawaitable(result):
            return result
        return finished(timed_async(tool.name, max(timeout_s - (time.monotonic() - begun), 0.0), _awaiting(result)))

    return timed(tool.name, timeout_s, work, give_up)


async def executed_async(tool: Tool, parameters: dict[str, Any], give_up: Callable[[threading.Thread], None]) -> Any:
    """Run a tool to its end from an `async` handler without holding up its event loop, for as long as it may take.

    What begins by awaiting is awaited here; a function that blocks gets a thread.
    """
    import asyncio

    begun = time.monotonic()
    do = partial(tool.execute, parameters)
    if inspect.iscoroutinefunction(tool.execute):
        result: Any = do()
    elif tool.timeout_s is None:
        result = await asyncio.to_thread(do)
    else:
        result = await asyncio.to_thread(timed, tool.name, tool.timeout_s, do, give_up)
    if not inspect.isawaitable(result):
        return result
    if tool.timeout_s is None:
        return await result
    left = max(tool.timeout_s - (time.monotonic() - begun), 0.0)
    return await timed_async(tool.name, left, _awaiting(result))


def _awaiting(result: Awaitable[Any]) -> Callable[[], Awaitable[Any]]:
    async def wait() -> Any:
        return await result

    return wait


@contextmanager
def in_turn(tool: Tool) -> Iterator[None]:
    """Hold the turn of a tool from its intent to its result, where it shares one with others."""
    with tool.turn or nullcontext():
        yield


@asynccontextmanager
async def in_turn_async(tool: Tool) -> AsyncIterator[None]:
    """Do so in an `async` handler; waiting for it takes no thread, as the call that has it may need one."""
    import asyncio

    while tool.turn is not None and not tool.turn.acquire(blocking=False):
        await asyncio.sleep(_TURN_INTERVAL_S)
    try:
        yield
    finally:
        if tool.turn is not None:
            tool.turn.release()


def finished(waiting: Awaitable[Any]) -> Any:
    """Wait for an awaitable from blocking code; beside a running loop, on a thread of its own."""
    import asyncio

    async def wait() -> Any:
        return await waiting

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(wait())
    outcome: list[Any] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(asyncio.run(wait()))
        except BaseException as error:  # noqa: BLE001 - handed to the waiting thread, which raises it
            failure.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=[work], name="async-tool")
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def response_of(result: Any, tool: Tool) -> ToolResponse:
    """Return what a tool answered; raises InvalidResponse where that is no ToolResponse."""
    try:
        return msgspec.convert(result, ToolResponse)
    except (msgspec.ValidationError, ValueError) as error:
        raise InvalidResponse(f"tool {tool.name}", f"did not answer with a ToolResponse: {error}") from error

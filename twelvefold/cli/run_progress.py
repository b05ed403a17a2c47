"""What a person sees while a run is at work: a live list of its tasks on a terminal, a line an event elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from ..eventstore.event import Event
from ..orchestration.result import RunView
from .output import Style, note, redraws

#: What the run itself says of a task: what is asked for, what counts, and what is taken back.
_DECIDED = ("requested", "started", "joined", "cancelled")
#: How many parts a line names.
_NAMED_MAX = 8
_SIGNS = {"succeeded": "✓", "nothing_to_do": "–", "failed": "✗", "needs_human": "?", None: "…"}


@contextlib.contextmanager
def progress(run: str, *, quiet: bool) -> Iterator[Callable[[Event], None]]:
    """Yield a function that takes each event of the run. `quiet` shows no live list, as the output is for programs."""
    if not quiet and redraws(sys.stderr):
        with _live(run) as show:
            yield show
    else:
        yield _line


def _line(event: Event) -> None:
    """Show one event as a plain line on stderr, if it is one that people follow."""
    family, _, fact = event.type.partition(".")
    if family not in ("run", "task") or fact in ("progressed", "metrics"):
        return
    data = event.data if isinstance(event.data, dict) else {}
    path = data.get("path") or (event.stream.split(".", 2)[2] if event.stream.startswith("task.") else "")
    if family == "task" and fact not in _DECIDED and not event.stream.startswith("task."):
        return
    told = data.get("message") or data.get("reason") or data.get("agent") or ""
    if event.type == "task.joined":
        told = f"counted: {_parts(data.get('counted'))}; taken back: {_parts(data.get('unneeded'))}"
    note(" ".join(filter(None, (event.run[:8], path, event.type, str(told)))))


def _parts(numbers: object) -> str:
    """Name parts by their numbers, the first ones of many."""
    names = [str(number) for number in numbers] if isinstance(numbers, (list, tuple)) else []
    more = f" and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return (", ".join(names[:_NAMED_MAX]) or "none") + more


@contextlib.contextmanager
def _live(run: str) -> Iterator[Callable[[Event], None]]:
    """Keep a list of the run's tasks on the terminal up to date."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    view, style = RunView(run), Style(sys.stderr)
    stages: dict[str, str] = {}

    def picture() -> Text:
        lines = [f"run {run}"]
        for task in view.result().tasks:
            sign = _SIGNS.get(task.outcome, "…")
            paint = {"✓": style.green, "✗": style.red}.get(sign, style.yellow)
            told = task.message or task.reason or stages.get(task.path, "")
            lines.append(f"  {paint(sign)} {task.path:<8} {task.agent:<14} {style.dim(str(told)[:100])}")
        return Text.from_ansi("\n".join(lines))

    console = Console(file=sys.stderr, highlight=False)
    with Live(picture(), console=console, auto_refresh=False, transient=True) as live:

        def show(event: Event) -> None:
            view.take(event)
            data = event.data if isinstance(event.data, dict) else {}
            if event.type == "task.progressed" and event.stream.startswith("task."):
                stages[event.stream.split(".", 2)[2]] = str(data.get("stage") or "")
            live.update(picture(), refresh=True)

        yield show

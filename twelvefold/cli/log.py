"""`twelvefold log`: events of the home's log, whether anything runs or not.

Reads the file itself, read-only and in short pages, so it needs no bus and disturbs none. Following is reading on.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer

from ..errors import NameInvalid, UsageInvalid
from ..eventstore.event import Event
from ..eventstore.names import is_pattern
from ..eventstore.reader import LogReader
from ..eventstore.run import parts_of
from ..moments import parse_moment, position_before
from ..run_place import open_own_log, open_run
from ..settings import load_settings
from .event_lines import EventLines, envelope
from .output import note, write, write_jsonl

PAGE_SIZE = 1000
#: How often a followed log is looked at: soon enough for a person, and next to nothing for the machine.
FOLLOW_INTERVAL_S = 0.1


def log(
    type: Annotated[str | None, typer.Option("--type", metavar="PATTERN", help="Only types such as 'task.*'.")] = None,
    stream: Annotated[str | None, typer.Option("--stream", metavar="S", help="Only this stream, or 'S.*'.")] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="R", help="Only this run; a prefix will do.")] = None,
    source: Annotated[str | None, typer.Option("--source", metavar="A", help="Only what this process wrote.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="T", help="Only from a moment on: 5m, 2026-01-31T12:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="T", help="Only up to a moment.")] = None,
    after: Annotated[int, typer.Option(metavar="POS", min=0, help="Only positions greater than this.")] = 0,
    limit: Annotated[int | None, typer.Option(metavar="N", min=0, help="At most so many events.")] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="Newest first.")] = False,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is appended from now on.")] = False,
    data: Annotated[bool, typer.Option("--data", help="Show each event's data below it.")] = False,
    oneline: Annotated[bool, typer.Option("--oneline", help="One line each: position, type, stream, data.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a line.")] = False,
) -> None:
    """Show events, oldest first.

    Works while a bus runs and when none does. Of a fork --run shows the shared past, too. A moment is a span that
    counts back from now (90s, 5m, 1h30m, 2d) or ISO 8601, in UTC unless it says otherwise. With --jsonl each line has
    the keys position, stream, version, id, type, schema, time, source, run, cause, trace, data, hash.
    """
    if follow and (reverse or as_json or until is not None):
        other = "--reverse" if reverse else "--json" if as_json else "--until"
        hint = "; --jsonl gives one object a line" if as_json else ""
        raise UsageInvalid(f"--follow has no end, so it cannot be combined with {other}{hint}", "twelvefold log")
    if as_json and as_jsonl:
        raise UsageInvalid("--json and --jsonl are two forms, choose one", "twelvefold log")
    for what, pattern in (("type pattern", type), ("stream", stream)):
        if pattern is not None and not is_pattern(pattern):
            raise NameInvalid(what, pattern)
    now = time.time_ns()
    low, high = (None if text is None else parse_moment(text, now) for text in (since, until))
    home = load_settings().home
    with contextlib.ExitStack() as stack:
        if run is not None:
            reader: LogReader
            reader, run, _ = stack.enter_context(open_run(home, run, "twelvefold log --run"))
        else:
            reader = stack.enter_context(open_own_log(home))
        if low is not None:
            after = max(after, position_before(reader, low))
        last = None if high is None else position_before(reader, high + 1)
        filters = {"stream": stream, "type": type, "run": run, "source": source}
        pages = _pages if run is None else _of_run
        found = pages(reader, filters, after, last, limit, reverse=reverse, follow=follow)
        _write(found, data=data, oneline=oneline, as_json=as_json, as_jsonl=as_jsonl, follow=follow)


def _of_run(
    reader: LogReader,
    filters: dict[str, Any],
    after: int,
    last: int | None,
    limit: int | None,
    *,
    reverse: bool,
    follow: bool,
) -> Iterator[list[Event]]:
    """Yield the pages of one run: of a fork also what it shares with the runs that it comes from."""
    parts = parts_of(reader, filters["run"], reader.head if last is None else last)
    left = limit
    for part in parts if reverse else reversed(parts):
        own = part is parts[0]
        until = last if own else part.until
        wanted = {**filters, "run": part.run}
        for page in _pages(reader, wanted, after, until, left, reverse=reverse, follow=follow and own):
            left = None if left is None else left - len(page)
            yield page


def _pages(
    reader: LogReader,
    filters: dict[str, Any],
    after: int,
    last: int | None,
    limit: int | None,
    *,
    reverse: bool,
    follow: bool,
) -> Iterator[list[Event]]:
    """Yield pages until the log, or the limit, is at its end; a followed log never is."""
    left = limit
    until = last
    while left is None or left > 0:
        size = PAGE_SIZE if left is None else min(PAGE_SIZE, left)
        # Taken before the page, so that a page which holds nothing of interest isn't scanned again.
        head = reader.head
        page = reader.read(after=after, until=until, limit=size, reverse=reverse, **filters)
        yield page
        left = None if left is None else left - len(page)
        if len(page) == size:
            after, until = (after, page[-1].position - 1) if reverse else (page[-1].position, until)
        elif follow:
            after = max(after, head, page[-1].position if page else 0)
            while reader.head <= after:
                time.sleep(FOLLOW_INTERVAL_S)
        else:
            return


def _write(
    pages: Iterator[list[Event]], *, data: bool, oneline: bool, as_json: bool, as_jsonl: bool, follow: bool
) -> None:
    """Write all pages in the form that was asked for; what is followed is flushed page by page."""
    import sys

    lines = EventLines(data=data, oneline=oneline)
    between = "[\n"
    for page in pages:
        for event in page:
            if as_jsonl:
                write_jsonl(envelope(event))
            elif as_json:
                # One document, though never all of it in memory.
                sys.stdout.write(between + msgspec.json.encode(envelope(event)).decode())
                between = ",\n"
            else:
                lines.write(event)
        if follow:
            sys.stdout.flush()
    if as_json:
        write("[]" if between == "[\n" else "\n]")
    elif not (as_jsonl or lines.begun):
        note("no events match")

"""`twelvefold inbox`, `approve`, `reject` and `answer`: what waits for a human, and what the human says.

Reading needs the log's file only; an answer is an event, so it needs a bus, and counts whenever an orchestrator runs.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from ..connection import connect_sync
from ..errors import DataInvalid, DataUnreadable, PrefixAmbiguous
from ..orchestration.inbox import Waiting, find_waiting, read_inbox
from ..plan_runs import revive
from ..run_ids import resolve_run
from ..run_log import RunLog
from ..run_place import open_own_log
from ..settings import load_settings
from .output import note, write, write_json, write_jsonl, write_table
from .run_documents import age, asked_line, waiting_document

_ID = Annotated[str, typer.Argument(metavar="ID", help="The id that `twelvefold inbox` shows, or its first digits.")]
_NOTE = Annotated[str, typer.Option("--note", metavar="TEXT", help="Why; it stands in the log, and agents get it.")]
_JSON = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def inbox(
    run: Annotated[str | None, typer.Option("--run", metavar="R", help="Only of this run; a prefix will do.")] = None,
    as_json: _JSON = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a line.")] = False,
) -> None:
    """List what waits for a human, oldest first.

    The kinds are question (of an agent), approval, in_doubt (an effect that may have happened), compensation (one that
    failed), stuck (work that failed beyond the point of no return). The keys with --json are id, kind, run, path,
    agent, reason, question, takes (the answers that count; empty for any), since, expires (null: never), has_default,
    default (what counts then; without one the task fails), error (what failed work said; null where nothing failed).
    """
    home = load_settings().home
    open_own_log(home).close()
    with RunLog(home) as log:
        only = None if run is None else [resolve_run(log, run, "twelvefold inbox --run")]
        found = read_inbox(log, only, log.load)
        parked = _parked(log) if run is None else []
    if as_json:
        write_json([waiting_document(one) for one in found])
    elif as_jsonl:
        for one in found:
            write_jsonl(waiting_document(one))
    else:
        now = time.time_ns()
        columns: tuple[str, ...] = ("id", "kind", "run", "task", "since", "takes", "question")
        if any(one.expires for one in found):
            columns = (*columns[:5], "expires", *columns[5:])
        write_table([_row(one, now) for one in found], columns, empty="nothing waits for a human")
        if found:
            note("answer with: twelvefold approve ID, twelvefold reject ID, or twelvefold answer ID TEXT")
        if parked:
            note(f"parked beside runs, see `twelvefold state`: {', '.join(parked)}")


def _parked(log: RunLog) -> list[str]:
    """Return the projections that an event has parked, until another one tells that they go on; of those there are."""
    if not log.last_position("projection.parked"):
        return []
    from ..projections.registry import names

    last = {event.stream: event.type for event in reversed(log.read(type="projection.*", reverse=True))}
    return [f"projection {name}" for name in names() if last.get(f"projection.{name}") == "projection.parked"]


def approve(id: _ID, note: _NOTE = "", as_json: _JSON = False) -> None:
    """Approve what waits for an approval, or answer a question with yes.

    An agent's question gets the answer `approve`. The keys with --json are those of `twelvefold answer`.
    """
    _answer(id, "approve", None, note, as_json, "approve")


def reject(id: _ID, note: _NOTE = "", as_json: _JSON = False) -> None:
    """Reject what waits for an approval, or answer a question with no.

    A rejected task has failed, reason `rejected`, with the note as its error; an agent's question gets the answer
    `reject`. The keys with --json are those of `twelvefold answer`.
    """
    _answer(id, "reject", None, note, as_json, "reject")


def answer(
    id: _ID,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="The answer; `@FILE` for what is in a file.")],
    value: Annotated[
        str | None, typer.Option("--value", metavar="JSON", help="With done: what counts as the result.")
    ] = None,
    note: _NOTE = "",
    as_json: _JSON = False,
) -> None:
    """Answer what waits for a human.

    An issue without explicit edits is answered by their text: `answer ID @edits.md`.
    Stuck work, failed compensations and effects in doubt take `retry` (do it again), `done` (it is done, with --value
    as its result) and `give_up` (it has failed). Exit status: 3 if there is nothing with this id, 4 if it is answered
    already. The keys with --json are id, run, path, answer and position (of the answer in the log).
    """
    _answer(id, text, value, note, as_json, "answer")


def _answer(given: str, text: str, value: str | None, note_text: str, as_json: bool, command: str) -> None:
    result = _json_of(value)
    settings = load_settings()
    with RunLog(settings.home) as log:
        one = _the_one(find_waiting(log, given, log.load), given, command)
        plan = log.view(one.run)[0].state.plan
    said = one.check(_text_of(text))
    revive(settings, os.environ, plan)
    with connect_sync() as bus:
        event = bus.answer(one.run, said, path=one.path, question=one.id, value=result, note=note_text)
    if as_json:
        write_json({"id": one.id, "run": one.run, "path": one.path, "answer": said, "position": event.position})
    else:
        write(one.id)
        note(f"answered; follow the run with: twelvefold tree {one.run} -f")


def _the_one(found: list[Waiting], given: str, command: str) -> Waiting:
    if len(found) > 1:
        raise PrefixAmbiguous("question", given, tuple(one.id for one in found[:5]), f"twelvefold {command}")
    return found[0]


def _text_of(given: str) -> str:
    """Return the answer that is meant: what stands in a file for `@FILE`; raises DataUnreadable."""
    if not given.startswith("@"):
        return given
    try:
        return Path(given[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataUnreadable(given[1:], getattr(error, "strerror", None) or str(error)) from error


def _json_of(value: str | None) -> Any:
    if value is None:
        return None
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError as error:
        raise DataInvalid("--value", 1, 1, value, str(error).lower()) from None


def _row(one: Waiting, now: int) -> dict[str, Any]:
    return {
        "id": one.id,
        "kind": one.kind,
        "run": one.run[:13],
        "task": f"{one.path} {one.agent}".strip(),
        "since": age(one.since, now),
        "expires": age(one.expires, now) if one.expires else None,
        "takes": ", ".join(map(str, one.takes)) or "any text",
        "question": asked_line(waiting_document(one)),
    }

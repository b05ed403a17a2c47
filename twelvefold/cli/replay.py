"""`twelvefold replay`: a run step by step, forward and back, and whether today's code would do the same again.

Reads the log's file; nothing is appended, and nothing outside is touched.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ..errors import UsageInvalid
from ..eventstore.run import read_run
from ..orchestration.errors import RunNotFound
from ..projections.stepping import Step
from ..run_place import open_run
from ..run_steps import change_document, run_stepper, state_document
from ..settings import load_settings
from .event_lines import envelope
from .output import write_json, write_jsonl
from .replay_lines import StepLines, walk

_COMMAND = "twelvefold replay"


def replay(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Its id, or the first digits of it.")],
    to: Annotated[int | None, typer.Option(metavar="POS", min=0, help="Only up to this position.")] = None,
    step: Annotated[bool, typer.Option("--step", help="Go through it by keys, forward and back.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print each step as a JSON object.")] = False,
) -> int:
    """Step through a run: each event, and what it changed in the run's state.

    With --step, n (or Enter, space, an arrow) goes forward, b back, g asks for a position, s shows the state, q ends;
    without a terminal the same letters are read from lines of standard input. With --json the document has the keys
    run, head (the last position taken), steps and state (the run's state there); each of steps, and each line with
    --jsonl, has number, event (as `twelvefold log --jsonl` has it) and changes, each with field, before and after.
    """
    if as_json + as_jsonl + step > 1:
        raise UsageInvalid("--json, --jsonl and --step are different forms, choose one", _COMMAND)
    with open_run(load_settings().home, run, _COMMAND) as (log, id, _):
        events = list(read_run(log, id, until=to))
        if not events:
            raise RunNotFound(run)
        stepper = run_stepper(id, events, log.load)
        if as_json:
            end = stepper.state(len(events)).at_head
            head = {"run": id, "head": events[-1].position, "state": state_document(end)}
            write_json(head | {"steps": list(_documents(stepper.all()))})
        elif as_jsonl:
            for document in _documents(stepper.all()):
                write_jsonl(document)
        elif step:
            walk(stepper, StepLines(sys.stdout))
        else:
            lines = StepLines(sys.stdout)
            for one in stepper.all():
                lines.write(one)
    return 0


def _documents(steps: Iterator[Step]) -> Iterator[dict[str, Any]]:
    for one in steps:
        changes = [change_document(change) for change in one.changes]
        yield {"number": one.number, "event": envelope(one.event), "changes": changes}

"""`twelvefold replay`: a run step by step, forward and back, and whether today's code would do the same again.

Reads the log's file; nothing is appended, and nothing outside is touched.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageInvalid
from ..eventstore.forgotten import refuse_forgotten
from ..eventstore.run import read_run
from ..projections.stepping import Step
from ..run_log import RunLog
from ..run_place import open_run
from ..run_steps import change_document, run_stepper, state_document
from ..settings import Settings, load_settings
from .event_lines import envelope
from .output import note, write_json, write_jsonl
from .replay_lines import StepLines, walk

_COMMAND = "twelvefold replay"


def replay(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="Its id, or the first digits of it.")] = None,
    to: Annotated[int | None, typer.Option(metavar="POS", min=0, help="Only up to this position.")] = None,
    step: Annotated[bool, typer.Option("--step", help="Go through it by keys, forward and back.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Tell whether today's code would do the same again.")] = False,
    all_runs: Annotated[bool, typer.Option("--all", help="With --check: every run that is stored.")] = False,
    decisions: Annotated[bool, typer.Option("--decisions", help="With --check: decisions only, no agents.")] = False,
    folder: Annotated[
        Path | None, typer.Option(metavar="DIR", help="With --check: where your agents lie; the project if none.")
    ] = None,
    procfile: Annotated[Path | None, typer.Option("-f", "--procfile", help="With --check: the Procfile.")] = None,
    timeout: Annotated[float, typer.Option(metavar="S", min=0.1, help="With --check: seconds a task may take.")] = 60.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print each step, or run, as a JSON object.")] = False,
) -> int:
    """Step through a run: each event, and what it changed in the run's state; or check that it would be the same.

    With --step, n (or Enter, space, an arrow) goes forward, b back, g asks for a position, s shows the state, q ends;
    without a terminal the same letters are read from lines of standard input. With --json the document has the keys
    run, head (the last position taken), steps and state (the run's state there); each of steps, and each line with
    --jsonl, has number, event (as `twelvefold log --jsonl` has it) and changes, each with field, before and after.

    With --check every decision is decided again and every agent's handler run again by today's code, on recorded
    effects only, in a process that can neither write nor connect. Exit status 1 where a run differs, or could not be
    looked at. The document has run, status (same, different, unchecked, forgotten), difference (kind, position, event,
    field, expected: as recorded, got: what today's code does, path, agent, code: recorded and today, decider, steady,
    note), problems, decisions (how many inputs and decisions, older ones that were not compared, pending inputs) and
    tasks (path, attempt, agent, status: ok, different, unloadable, lacking or stuck, ended, effects that were served,
    code, problem); with --all it has runs, a list of those, and how many are of each status.
    """
    if as_json + as_jsonl + step > 1:
        raise UsageInvalid("--json, --jsonl and --step are different forms, choose one", _COMMAND)
    if step and check:
        raise UsageInvalid("--step goes through a run, and --check through all of it at once; choose one", _COMMAND)
    if all_runs and (run is not None or not check):
        raise UsageInvalid("--all is for --check, and takes no RUN", f"{_COMMAND} --all --check")
    settings = load_settings()
    if check:
        forms = (as_json, as_jsonl)
        return _check(settings, run, to, folder, procfile, timeout, forms, handlers=not decisions, every=all_runs)
    if run is None:
        raise UsageInvalid("name a RUN", _COMMAND)
    return _steps(settings, run, to, step=step, as_json=as_json, as_jsonl=as_jsonl)


def _steps(settings: Settings, run: str, to: int | None, *, step: bool, as_json: bool, as_jsonl: bool) -> int:
    """Show the steps of a run, or go through them by keys; the exit status."""
    with open_run(settings.home, run, _COMMAND) as (log, id, _):
        refuse_forgotten(log, id, "be replayed")
        _refuse_nothing(log, id, to)
        events = list(read_run(log, id, until=to))
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


def _refuse_nothing(log: RunLog, run: str, to: int | None) -> None:
    """Raise UsageInvalid where there is nothing of a run up to a position: nothing is never the same."""
    first = next(read_run(log, run), None)
    if to is not None and first is not None and first.position > to:
        raise UsageInvalid(f"--to {to}: run {run} begins at position {first.position}", _COMMAND)


def _documents(steps: Iterator[Step]) -> Iterator[dict[str, Any]]:
    for one in steps:
        changes = [change_document(change) for change in one.changes]
        yield {"number": one.number, "event": envelope(one.event), "changes": changes}


def _check(
    settings: Settings,
    run: str | None,
    to: int | None,
    folder: Path | None,
    procfile: Path | None,
    timeout_s: float,
    forms: tuple[bool, bool],
    *,
    handlers: bool,
    every: bool,
) -> int:
    """Check one run, or all, and say what came of it; the exit status."""
    from ..agent_environment import agent_environment
    from ..replay_check import Checker, RunCheck
    from ..todays_agents import todays_agents
    from .replay_report import CheckLines, check_document, summary

    if run is None and not every:
        raise UsageInvalid("name a RUN, or check --all", f"{_COMMAND} --check")
    agents = todays_agents(folder or _project(settings), procfile)
    environ = agent_environment(settings, os.environ)
    as_json, as_jsonl = forms
    lines, counts, documents = CheckLines(), Counter[str](), list[dict[str, Any]]()

    def tell(one: RunCheck) -> None:
        counts[one.status] += 1
        if as_json:
            documents.append(check_document(one))
        elif as_jsonl:
            write_jsonl(check_document(one))
        else:
            lines.write(one)

    with Checker(settings.home, agents, environ, handlers=handlers, timeout_s=timeout_s) as checker:
        if run is not None:
            with open_run(settings.home, run, _COMMAND) as (log, id, place):
                refuse_forgotten(log, id, "be checked")
                _refuse_nothing(log, id, to)
                tell(checker.check(log, id, place, to))
        else:
            for one in checker.check_all(to):
                tell(one)
    if as_json:
        write_json(documents[0] if run is not None else {**summary(counts), "runs": documents})
    elif run is None and not as_jsonl:
        lines.write_sum(counts)
    if counts["unchecked"]:
        note("what could not be looked at counts as a failure, as nobody knows")
    return 1 if counts["different"] or counts["unchecked"] else 0


def _project(settings: Settings) -> Path:
    """Return where the agents are looked for: here, or in the project, wherever there is a Procfile."""
    here = Path.cwd()
    return here if (here / "Procfile").exists() or not (settings.project / "Procfile").exists() else settings.project

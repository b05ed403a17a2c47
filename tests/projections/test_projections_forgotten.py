"""What projections hold of a run that is forgotten: nothing that the log does not hold any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from twelvefold.eventstore.event import new_event
from twelvefold.eventstore.forgetting import Forgetting, marks_of
from twelvefold.eventstore.forgotten import REQUESTED
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.reader import LogReader
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.projections.registry import all_projections
from twelvefold.projections.runner import Runner
from twelvefold.projections.state import plain, state_at
from twelvefold.projections.store import Store
from twelvefold.projections.stored import StoredRows

RUN, OTHER = "a" * 32, "b" * 32


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SqliteLog]:
    """A log with two runs that say the same."""
    log = SqliteLog(tmp_path / "log.db")
    for run in (RUN, OTHER):
        usage = {"tokens_in": 5, "tokens_out": 1, "usd": 0.5}
        effect = {"kind": "model", "name": "hush", "effect": "read", "key": "k", "result": "hush", "usage": usage}
        plan = {"pattern": "task", "agent": "hush"}
        told: list[tuple[str, str, Any]] = [
            ("run.requested", f"run.{run}", {"plan": plan, "labels": {"issue": "hush"}}),
            ("run.started", f"run.{run}", {}),
            ("task.requested", f"run.{run}", {"path": "0", "agent": "hush"}),
            ("task.started", f"task.{run}.0", {"instance": "hush.1"}),
            ("effect.completed", f"task.{run}.0", effect),
            ("task.succeeded", f"task.{run}.0", {"value": "hush"}),
            ("run.succeeded", f"run.{run}", {"value": "hush", "reason": "hush"}),
        ]
        for n, (type, stream, data) in enumerate(told):
            id = (run[0] * 15).encode() + bytes([n])
            log.append(Append(events=[new_event(type, data, stream=stream, run=run, id=id)], source="hush.1"))
    yield log
    log.close()


def forget(log: SqliteLog, *runs: str) -> None:
    for run in runs:
        facts = {"outcome": "succeeded", "cost": {"model_calls": 1, "tokens_in": 5, "tokens_out": 1, "usd": 0.5}}
        wish = new_event(REQUESTED, facts, stream=f"request.{run}", run=run, id=run[:16].encode())
        log.append(Append(events=[wish], marks=marks_of(log, [wish])))
    forgetting = Forgetting(log, None)
    while forgetting.pending:
        append, committed = forgetting.step()
        log.append(append)
        committed()


@pytest.mark.parametrize("resumed", [False, True])
def test_rows_are_folded_anew_once_a_run_was_forgotten(log: SqliteLog, tmp_path: Path, *, resumed: bool) -> None:
    """Kept rows are then those of the log as it is now, and hold nothing that it has freed."""
    projections, broken = all_projections()
    assert not broken
    with LogReader(log.path) as reader:
        store = Store(tmp_path)
        runner = Runner(store, reader, projections)
        runner.catch_up(log.head)
        if resumed:
            store.close()
        forget(log, RUN)
        if resumed:
            store = Store(tmp_path)
            runner = Runner(store, reader, projections)
        for _ in range(3):
            runner.catch_up(log.head)
        stored = StoredRows(tmp_path)
        for projection in projections:
            kept = stored.nearest(projection, reader, log.head)
            assert kept is not None
            assert kept.position == log.head
            assert plain(kept.rows) == plain(state_at(reader, projection)), projection.name
        (costs,) = [one for one in projections if one.name == "cost"]
        rows = state_at(reader, costs)
        assert (rows[RUN].model_calls, rows[RUN].usd, rows[RUN].forgotten) == (1, 0.5, True)
        assert (rows[OTHER].model_calls, rows[OTHER].usd, rows[OTHER].other_calls) == (1, 0.5, rows[RUN].other_calls)
        store.close()
        forget(log, OTHER)
        for projection in projections:
            # Nobody has folded it anew: what is kept doesn't count.
            rows = state_at(reader, projection, stored=StoredRows(tmp_path))
            assert plain(rows) == plain(state_at(reader, projection)), projection.name
        with Store(tmp_path) as store:
            Runner(store, reader, projections).catch_up(log.head)
            read = "SELECT key, state FROM rows UNION ALL SELECT key, state FROM history"
            texts = "\n".join(f"{key} {state}" for key, state in store.connection.execute(read))
    assert OTHER in texts
    assert '"hush"' not in texts

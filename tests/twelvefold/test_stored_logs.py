"""Logs that shipped versions wrote: they are read, verified, folded, and replayed by today's code, for ever.

`tests/fixtures/logs/<schema>/<version>/` has a log and what became of its runs; `make_log.py` there made each with the
code of that version. None is ever changed: a version that ships adds one.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from twelvefold.eventstore.integrity import verify_home
from twelvefold.orchestration.result import RunView
from twelvefold.projections.folding import Fold
from twelvefold.projections.registry import BUILT_IN, projection_named
from twelvefold.replay_check import Checker
from twelvefold.run_log import RunLog
from twelvefold.run_steps import run_stepper
from twelvefold.todays_agents import todays_agents

LOGS = Path(__file__).parents[1] / "fixtures" / "logs"
STORED = sorted(path.parent for path in LOGS.glob("*/*/log.db.gz"))


class Stored:
    """One stored log, unpacked into a home."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.home = home
        self.expected: dict[str, dict[str, Any]] = json.loads((folder / "expected.json").read_text())
        with gzip.open(folder / "log.db.gz") as packed, (home / "log.db").open("wb") as log:
            shutil.copyfileobj(packed, log)


@pytest.fixture(scope="module", params=STORED, ids=lambda path: "-".join(path.parts[-2:]))
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    """Each stored log in turn."""
    yield Stored(tmp_path_factory.mktemp("stored"), request.param)


def test_there_is_a_log_of_each_schema() -> None:
    """A schema that ships has a log here."""
    from twelvefold.eventstore.migrations import SCHEMA_VERSION

    assert {path.parent.name for path in STORED} == {str(n) for n in range(1, SCHEMA_VERSION + 1)}


def test_it_is_read_and_verified(stored: Stored) -> None:
    """The chain holds, and every event can be decoded."""
    verdict = verify_home(stored.home)
    with RunLog(stored.home) as log:
        events = log.read(limit=10**6)
        assert len(events) == verdict.head > 300
        assert all(event.payload is not None and event.data is not ... for event in events)
        assert set(log.runs("", 1000)) >= {one["run"] for one in stored.expected.values()}


def test_its_runs_are_what_became_of_them(stored: Stored) -> None:
    """Outcome, reason, value and tasks of each run are folded as they were told then."""
    with RunLog(stored.home) as log:
        for name, expected in stored.expected.items():
            view, events = log.view(expected["run"])
            assert isinstance(view, RunView)
            told = view.result()
            found = {"run": told.run, "outcome": told.outcome, "reason": told.reason, "value": told.value}
            found |= {"tasks": {one.path: one.outcome for one in told.tasks}}
            assert found == expected, name
            stepper = run_stepper(told.run, events, log.load)
            assert stepper.state(len(events)).at_head.outcome == (told.outcome or "")
            assert sum(1 for _ in stepper.all()) == len(events)


def test_every_projection_folds_it(stored: Stored) -> None:
    """No read model stumbles over what was written then, and that of runs says what became of them."""
    with RunLog(stored.home) as log:
        events = log.read(limit=10**6)
        for name in BUILT_IN:
            fold = Fold(projection_named(name), log=log)
            fold.take(events)
            assert fold.states or name in ("repositories", "inbox", "cost"), name
            if name == "runs":
                rows = {key: msgspec.to_builtins(row) for key, row in fold.states.items()}
                for expected in stored.expected.values():
                    assert rows[expected["run"]]["outcome"] == expected["outcome"]


def test_todays_code_does_the_same(stored: Stored) -> None:
    """Every decision that today's deciders made, and every handler, comes out as it was recorded."""
    with Checker(stored.home, todays_agents(LOGS), os.environ) as checker:
        found = {check.run: check for check in checker.check_all()}
    assert {one["run"] for one in stored.expected.values()} <= set(found)
    for check in found.values():
        assert (check.status, check.difference, check.problems) == ("same", None, [])
        assert check.decisions.decisions + check.decisions.older > 0
    assert sum(task.effects for check in found.values() for task in check.tasks) > 30

"""What `run` writes about a run in plain lines, where no terminal can be redrawn."""

from __future__ import annotations

import pytest

from tests.orchestration.conftest import World
from twelvefold.cli.run_progress import progress
from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.plan import Plan, Task

RUN = "0190a0b0c0d0e0f00000000000000001"


def lines(plan: Plan, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines about a run of this plan, without the run's id."""
    here = World({"good": lambda _: ("task.succeeded", {"value": 1, "evidence": []}), "slow": lambda _: None})
    here.submit(plan, run=RUN)
    here.settle_down()
    with progress(RUN, quiet=True) as show:
        for event in here.log.read(limit=10_000):
            show(event)
    return [line.removeprefix(f"{RUN[:8]} ") for line in capsys.readouterr().err.splitlines()]


def test_what_is_taken_back_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """When one branch is enough, a line says which counts, and one for each other that it is taken back, and why."""
    told = lines(ForkJoin([Task("slow"), Task("good"), Task("slow")], join="any"), capsys)
    assert told.count("0 task.joined counted: 1; taken back: 0, 2") == 1
    for path in ("0.0", "0.2"):
        assert told.count(f"{path} task.cancelled not_needed") == 1
    assert told.index("0 task.joined counted: 1; taken back: 0, 2") < told.index("0.0 task.cancelled not_needed")


def test_a_line_names_only_the_first_of_many_parts(capsys: pytest.CaptureFixture[str]) -> None:
    """Of twenty branches that are taken back the line of what counts names eight."""
    told = lines(ForkJoin([Task("good"), *(Task("slow") for _ in range(20))], join="any"), capsys)
    assert "0 task.joined counted: 0; taken back: 1, 2, 3, 4, 5, 6, 7, 8 and 12 more" in told

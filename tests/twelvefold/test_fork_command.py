"""`twelvefold fork` where nothing runs that could go on with a fork."""

from __future__ import annotations

import os

import pytest

from twelvefold.eventstore.event import new_event
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.sqlite_log import SqliteLog

from .conftest import CommandLine

RUN = "0190" + "a" * 28


@pytest.mark.parametrize("arguments", [("--live", "tools", "--yes"), ()])
def test_a_fork_of_a_projects_own_agents_needs_an_up(twelvefold: CommandLine, arguments: tuple[str, ...]) -> None:
    """As for `run`: what is missing is an `up` with those agents, and nothing is appended."""
    home = twelvefold.cwd / ".twelvefold"
    home.mkdir(mode=0o700)
    log = SqliteLog(home / "log.db", durability="relaxed")
    asked = {"plan": {"pattern": "task", "agent": "own", "input": {"word": "tree"}}}
    begin = new_event("run.requested", asked, stream=f"run.{RUN}", run=RUN, id=os.urandom(16))
    log.append(Append(events=[begin], source="test.1"))
    log.close()
    done = twelvefold("fork", RUN, "--at", "1", "--set", "word=leaf", *arguments)
    assert (done.status, done.out) == (5, "")
    assert "error[E307]" in done.err
    assert "--set word: no task of the plan takes that" in done.err
    assert twelvefold("log", "--jsonl").out.count("\n") == 1

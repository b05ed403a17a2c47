"""`connect_sync()` and `connect()`: pausing, resuming, approving, rejecting and answering runs, budgets."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import twelvefold as tf
from twelvefold.orchestration.run_errors import BudgetInvalid

from .conftest import CommandLine

WAIT_S = 60.0
PLAN = tf.Pipeline([tf.Task("echo", "a"), tf.Task("echo", "b", approval="Go on?")])


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """The command line in a project as `init` makes it, up for all tests here."""
    import shutil
    import tempfile

    from .conftest import COMMAND

    work = tmp_path_factory.mktemp("project")
    runtime = tempfile.mkdtemp(prefix="tf-")
    environment = {
        "PATH": f"{COMMAND.parent}:/usr/bin:/bin", "HOME": str(work), "LANG": "C.UTF-8",
        "TWELVEFOLD_RUNTIME_DIR": runtime,
    }  # fmt: skip
    command = CommandLine(work, environment)
    command("init")
    started = command("up", "-d", "--wait")
    assert started.status == 0, started.err
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWELVEFOLD_RUNTIME_DIR", runtime)
        yield command
    assert command("down").status == 0
    shutil.rmtree(runtime)


@pytest.fixture
def home(line: CommandLine) -> Path:
    """Its home."""
    return line.cwd / ".twelvefold"


def test_blocking_control(home: Path) -> None:
    """A run is paused, resumed, approved and rejected from a program; the inbox tells what it asks."""
    with tf.connect_sync(home) as bus:
        approved, rejected = bus.submit(PLAN), bus.submit(PLAN)
        for run in (approved, rejected):
            assert bus.wait(run, WAIT_S).outcome == "needs_human"
        assert {one.run for one in bus.inbox()} == {approved, rejected}
        (asked,) = bus.inbox(approved)
        assert (asked.path, asked.kind, asked.question) == ("0.1", "approval", "Go on?")
        bus.pause(approved)
        bus.approve(approved, note="fine")
        bus.reject(rejected, path="0.1", note="no")
        assert bus.wait(rejected, WAIT_S).reason == "rejected"
        bus.resume(approved)
        events = [event.type for event in bus.follow(approved, WAIT_S)]
        assert events.index("run.paused") < events.index("run.resumed")
        assert bus.wait(approved, WAIT_S).value == "b"
        assert bus.inbox() == []


def test_asyncio_control(home: Path) -> None:
    """The asyncio connection has the same."""

    async def program() -> None:
        async with tf.connect(home) as bus:
            run = await bus.submit(PLAN, budget={"tasks": 5, "wall_s": 600})
            assert (await bus.wait(run, WAIT_S)).outcome == "needs_human"
            (asked,) = await bus.inbox()
            await bus.pause(run)
            await bus.resume(run)
            await bus.answer(run, "approve", question=asked.id)
            assert (await bus.wait(run, WAIT_S)).value == "b"
            other = await bus.submit(PLAN)
            await bus.wait(other, WAIT_S)
            await bus.reject(other)
            assert (await bus.wait(other, WAIT_S)).reason == "rejected"

    asyncio.run(asyncio.wait_for(program(), 2 * WAIT_S))


def test_budgets_are_checked_before_and_kept_during_a_run(home: Path) -> None:
    """A budget that is none starts nothing; one that is too small ends the run."""
    with tf.connect_sync(home) as bus:
        head = bus.head()
        with pytest.raises(BudgetInvalid, match="tokens"):
            bus.submit(PLAN, budget={"tokens": "many"})
        assert not list(bus.read(after=head, type="run.requested"))
        run = bus.submit(tf.Pipeline([tf.Task("echo", "x")] * 3), budget={"tasks": 2})
        result = bus.wait(run, WAIT_S)
        assert (result.outcome, result.reason, len(result.tasks)) == ("failed", "budget", 2)


def test_a_tree_is_followed_on_a_terminal(home: Path, line: CommandLine) -> None:
    """On a terminal the tree is redrawn while the run goes on, and stays there whole at the end."""
    with tf.connect_sync(home) as bus, ThreadPoolExecutor() as aside:
        run = bus.submit(tf.Pipeline([tf.Task("echo", "x", name=f"step-{n}") for n in range(5)]))
        bus.pause(run)
        following = aside.submit(line.on_terminal, "tree", run[:20], "-f")
        bus.resume(run)
        shown = following.result(WAIT_S)
    assert shown.status == 0
    whole = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.out).rstrip().splitlines()[-7:]
    assert whole[0].startswith(f"succeeded  {run}")
    assert [row.split()[2] for row in whole[2:]] == [f"step-{n}" for n in range(5)]
    assert all("✓" in row for row in whole[1:])


def test_a_wrong_terminal_gets_lines(home: Path, line: CommandLine) -> None:
    """A terminal that can't redraw gets a line for each change, like a pipe."""
    with tf.connect_sync(home) as bus:
        run = bus.submit(tf.Task("echo", "x"))
    shown = line.on_terminal("tree", run, "-f", TERM="dumb")
    assert shown.status == 0
    assert "0  echo  succeeded" in shown.out.splitlines()
    assert "\x1b" not in shown.out

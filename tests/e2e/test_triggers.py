"""What starts runs by itself: folders and schedules, by real processes that are killed."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import twelvefold as tf
from tests.twelvefold.conftest import COMMAND, CommandLine
from twelvefold.orchestration.submit import run_of_key
from twelvefold.project_file import Schedule
from twelvefold.settings import load_settings
from twelvefold.triggers.schedule import ScheduleClock
from twelvefold.triggers.starting import Starter

from ..conftest import eventually
from .conftest import BREAKING, CALC, RIGHT, JobHome, git, make_repo

pytestmark = pytest.mark.e2e

PLAN = 'pattern = "pipeline"\nsteps = [{ agent = "echo", input = { "$from" = "input", key = "text" } }]\n'


STARTING = """
import twelvefold as tf


class Starting(tf.BaseAgent):
    \"\"\"Starts runs of their own.\"\"\"

    def execute_task(self, task: str, context: tf.TaskContext) -> tf.ToolResponse:
        return tf.ToolResponse.succeeded(
            [context.submit(tf.Task("echo", task), key=f"told of {task}"), context.submit(tf.Task("echo", "own"))]
        )
"""


def lines_of(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """What a watching process prints, line by line."""
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


def end(process: subprocess.Popen[str], number: int = signal.SIGTERM) -> int:
    """End a process by a signal; return its status."""
    process.send_signal(number)
    process.communicate(timeout=60)
    return process.returncode


def test_issue_files_become_runs_once(own_home: JobHome, tmp_path: Path) -> None:
    """Issues dropped before, while and after a watch is killed become one run each, and each is done truthfully."""
    repo, inbox = make_repo(tmp_path / "calc", CALC), tmp_path / "inbox"
    inbox.mkdir()
    (inbox / "1.md").write_text(RIGHT)
    (inbox / "notes.swp").write_text(RIGHT)
    first = own_home.start("watch", str(inbox), "--repo", str(repo), "--jsonl", cwd=tmp_path)
    told = lines_of(first)
    started = next(told)
    assert started["new"] and started["what"] == str(inbox / "1.md")
    assert next(told)["outcome"] == "succeeded"
    (inbox / ".2.md.tmp").write_text(BREAKING)
    (inbox / ".2.md.tmp").rename(inbox / "2.md")
    second = next(told)
    assert second["what"].endswith("2.md")
    end(first, signal.SIGKILL)
    (inbox / "3.md").write_text("# Nothing\n\nThere is nothing to be done here.\n")
    again = own_home.start("watch", str(inbox), "--repo", str(repo), "--jsonl", "--once", cwd=tmp_path)
    rows = list(lines_of(again))
    again.communicate(timeout=60)
    assert {Path(row["what"]).name: row["new"] for row in rows if "new" in row} == {
        "1.md": False, "2.md": False, "3.md": True,
    }  # fmt: skip
    with own_home.client() as client:
        requested = list(client.read(type="run.requested"))
        assert [event.run for event in requested[:2]] == [started["run"], second["run"]] and len(requested) == 3
        assert requested[0].data["key"] == started["key"] and requested[0].data["caller"]["trigger"]["file"]
    # It goes on without the watch that has started it.
    outcome = eventually(
        lambda: json.loads(own_home("status", second["run"], "--json", cwd=tmp_path).out)["outcome"], 90
    )
    assert outcome == "failed"
    assert len(git(repo, "for-each-ref", "refs/heads/twelvefold").splitlines()) == 1


@pytest.mark.long
def test_a_watch_outlives_what_it_runs_on(own_home: JobHome, tmp_path: Path) -> None:
    """After a `down` the next file starts anew what its job needs."""
    repo, inbox = make_repo(tmp_path / "calc", CALC), tmp_path / "inbox"
    inbox.mkdir()
    watching = own_home.start("watch", str(inbox), "--repo", str(repo), "--jsonl", cwd=tmp_path)
    told = lines_of(watching)
    for name in ("1.md", "2.md"):
        (inbox / name).write_text(RIGHT)
        assert next(told)["what"].endswith(name)
        assert next(told)["outcome"] == "succeeded"
        assert own_home("down", cwd=tmp_path).status == 0
    assert end(watching, signal.SIGINT) == 130


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CommandLine]:
    """A project with an agent that echoes, up."""
    work, runtime = tmp_path_factory.mktemp("project"), tempfile.mkdtemp(prefix="tf-")
    environment = {
        "PATH": f"{COMMAND.parent}:/usr/bin:/bin", "HOME": str(work), "LANG": "C.UTF-8",
        "TWELVEFOLD_RUNTIME_DIR": runtime,
    }  # fmt: skip
    command = CommandLine(work, environment)
    command("init")
    (work / "plan.toml").write_text(PLAN)
    (work / "starting.py").write_text(STARTING)
    with (work / "Procfile").open("a") as procfile:
        procfile.write("starting: twelvefold agent starting:Starting\n")
    (work / "drop").mkdir()
    (work / "twelvefold.toml").write_text(
        '[[folder]]\nname = "drop"\npath = "drop"\npattern = "*.csv"\nplan = "plan.toml"\ninput = { from = "drop" }\n'
        '[[schedule]]\nname = "leap"\ncron = "0 0 29 2 *"\nagent = "echo"\ninput = "leap day"\n'
    )
    started = command("up", "-d", "--wait")
    assert started.status == 0, started.err
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TWELVEFOLD_RUNTIME_DIR", runtime)
        patch.chdir(work)
        yield command
    assert command("down").status == 0
    shutil.rmtree(runtime)


@pytest.fixture
def bus(project: CommandLine) -> Iterator[tf.SyncConnection]:
    """A connection to its bus."""
    with tf.connect_sync(project.cwd / ".twelvefold") as connection:
        yield connection


def test_up_serves_the_project_file(project: CommandLine, bus: tf.SyncConnection) -> None:
    """Under `up` a dropped file becomes a run of its plan, with the file as its input."""
    names = [one["name"] for one in json.loads(project("ps", "--json").out)]
    assert "triggers.1" in names
    (project.cwd / "drop" / "ignored.md").write_text("x")
    (project.cwd / "drop" / "data.csv").write_text("a,b\n")
    run = eventually(lambda: _run_with_key(bus, "data.csv"), 30)
    assert bus.wait(run, 30).value == "a,b\n"
    (requested,) = bus.read(run=run, type="run.requested")
    given = requested.data["input"]
    assert (given["name"], given["from"], len(given["sha256"])) == ("data.csv", "drop", 64)


def _run_with_key(bus: tf.SyncConnection, word: str) -> str | None:
    keys = {event.data.get("key") or "": event.run for event in bus.read(type="run.requested")}
    return next((run for key, run in keys.items() if word in key), None)


@pytest.mark.long
def test_work_that_nobody_takes_is_told(project: CommandLine, tmp_path: Path) -> None:
    """Under an `up` without the job's agents an issue waits, and the watch says for whom."""
    repo, inbox = make_repo(tmp_path / "calc", CALC), tmp_path / "inbox"
    inbox.mkdir()
    assert project("scale", "smart_issue=0").status == 0
    watching = project.start("watch", str(inbox), "--repo", str(repo), "--jsonl")
    told = lines_of(watching)
    (inbox / "1.md").write_text(RIGHT)
    assert next(told)["new"]
    problem = next(told)
    assert problem["what"] == "agents"
    assert "smart_issue" in problem["problem"]
    assert project("scale", "smart_issue=1").status == 0
    assert next(told)["outcome"] == "succeeded"
    assert end(watching, signal.SIGINT) == 130


def test_many_watchers_and_killed_ones_make_one_run_a_file(project: CommandLine, bus: tf.SyncConnection) -> None:
    """Three watch one folder, one after the other is killed and started anew: 20 files, 20 runs."""
    inbox = project.cwd / "many"
    inbox.mkdir()
    command = ("watch", "many", "--plan", "plan.toml", "--pattern", "*.txt", "--jsonl")
    watchers = [project.start(*command) for _ in range(3)]
    for n in range(20):
        (inbox / f"{n}.part").write_text(f"text {n}")
        (inbox / f"{n}.part").rename(inbox / f"{n}.txt")
        if n % 6 == 5:
            end(watchers.pop(0), signal.SIGKILL)
            watchers.append(project.start(*command))

    def runs() -> list[tf.Event]:
        return [event for event in bus.read(type="run.requested") if "/many/" in (event.data.get("key") or "")]

    eventually(lambda: len(runs()) >= 20, 60)
    assert [end(process) for process in watchers] == [0, 0, 0]
    assert sorted(event.data["input"]["text"] for event in runs()) == sorted(f"text {n}" for n in range(20))
    assert project("watch", "many", "--plan", "plan.toml", "--pattern", "*.txt", "--once").status == 0
    assert len(runs()) == 20
    (inbox / "0.txt").write_text("another text")
    once = project("watch", "many", "--plan", "plan.toml", "--pattern", "*.txt", "--once", "--jsonl")
    assert [row["what"][-5:] for row in map(json.loads, once.out.splitlines()) if row.get("new")] == ["0.txt"]


def test_agents_start_runs_of_their_own(project: CommandLine, bus: tf.SyncConnection) -> None:
    """Two tasks that were told of the same thing start one run of its key, and each one of its own."""
    told = bus.wait(bus.submit(tf.ForkJoin([tf.Task("starting", "rain"), tf.Task("starting", "rain")])), 60)
    first, second = told.value
    assert first[0] == second[0] == run_of_key("told of rain") and first[1] != second[1]
    assert [bus.wait(run, 60).value for run in (first[0], first[1], second[1])] == ["rain", "own", "own"]
    (requested,) = bus.read(run=first[0], type="run.requested")
    assert requested.data["caller"]["agent"] == "starting" and requested.data["key"] == "told of rain"


def test_names_of_any_bytes(project: CommandLine, bus: tf.SyncConnection) -> None:
    """Names with control characters and without a UTF-8 form are names of files, and can do no harm in logs."""
    import os

    inbox = project.cwd / "odd"
    inbox.mkdir()
    for n, name in enumerate((b"\xff\xfe.txt", b"a\x1b[2J\nb.txt", "ä b.txt".encode())):
        Path(os.fsdecode(os.path.join(os.fsencode(inbox), name))).write_text(f"text {n}")  # noqa: PTH118
    done = project("watch", "odd", "--plan", "plan.toml", "--once")
    assert done.status == 0 and "\x1b" not in done.out + done.err and done.out.count("started") == 3
    keys = [event.data.get("key") or "" for event in bus.read(type="run.requested")]
    assert len({key for key in keys if "/odd/" in key}) == 3


def test_a_missed_schedule_is_fired_once_after_a_restart(project: CommandLine, bus: tf.SyncConnection) -> None:
    """Of the times that passed while nobody was there the last is fired, by whoever comes, once."""
    stream = "trigger.leap"
    eventually(lambda: next(iter(bus.read(stream=stream)), None), 30)
    assert project("stop", "triggers").status == 0
    words = {"words": "0 0 29 2 * UTC", "name": "leap", "since": "2019-01-01T00:00:00+00:00"}
    bus.emit("trigger.set", words, stream=stream)
    assert project("restart", "triggers").status == 0
    fired = eventually(lambda: [one for one in bus.read(stream=stream) if one.type == "trigger.fired"], 30)
    assert [(one.data["due"], one.data["missed"]) for one in fired] == [("2024-02-29T00:00:00Z", 1)]
    run = fired[0].data["run"]
    assert run == run_of_key("schedule:leap:2024-02-29T00:00:00Z")
    assert bus.wait(run, 30).value == "leap day"
    assert project("restart", "triggers").status == 0
    eventually(lambda: "watching" in project("logs", "triggers").out, 30)
    assert len([one for one in bus.read(stream=stream) if one.type == "trigger.fired"]) == 1


class Clock:
    """A clock that is put."""

    def __init__(self, text: str) -> None:
        self.now = datetime.fromisoformat(text).replace(tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **span: float) -> None:
        """Let time pass."""
        self.now += timedelta(**span)


def test_many_clocks_fire_a_time_once(project: CommandLine, bus: tf.SyncConnection) -> None:
    """Several look after one schedule, at slightly different times and with deaths between run and note."""
    schedule = Schedule(name="ticks", cron="*/10 * * * *", agent="echo", input="tick")
    settings = load_settings()
    starter = Starter(bus, settings, project.cwd)
    clock = Clock("2026-05-01T12:03:00")
    clocks = [ScheduleClock(bus, schedule, clock) for _ in range(3)]
    assert [one.look_after(starter) for one in clocks] == [None, None, None]
    assert clocks[0].due == datetime(2026, 5, 1, 12, 10, tzinfo=UTC)
    for minutes in (6.5, 0.5, 0.1, 9.8, 31):
        clock.pass_by(minutes=minutes)
        for one in clocks:
            one.look_after(starter)
            one.look_after(starter)
    # One that died between starting the run and noting it: the next one only notes it.
    clock.pass_by(minutes=10)
    starter.on_time(schedule, "ticks", "2026-05-01T13:00:00Z")
    found = [one.look_after(starter) for one in [ScheduleClock(bus, schedule, clock), *clocks]]
    assert [one is not None for one in found] == [True, False, False, False]
    assert found[0] is not None and found[0][0].new is False
    fired = [event.data for event in bus.read(stream="trigger.ticks") if event.type == "trigger.fired"]
    assert [(one["due"][11:16], one["missed"]) for one in fired] == [
        ("12:10", 0), ("12:50", 3), ("13:00", 0),
    ]  # fmt: skip
    keys = [event.data.get("key") or "" for event in bus.read(type="run.requested")]
    assert sorted(key for key in keys if "ticks" in key) == [f"schedule:ticks:{one['due']}" for one in fired]
    # A new line counts from now on; the clock being put back fires nothing again.
    changed = ScheduleClock(bus, Schedule(name="ticks", cron="0 * * * *", agent="echo"), clock)
    assert changed.look_after(starter) is None
    clock.pass_by(hours=-5)
    assert changed.look_after(starter) is None and ScheduleClock(bus, schedule, clock).look_after(starter) is None


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("watch", "nowhere", "--plan", "plan.toml"), 3, "E019"),
        (("watch", "plan.toml", "--plan", "plan.toml"), 3, "it is a file"),
        (("watch", "drop", "--plan", "nowhere.toml"), 3, "E010"),
        (("watch", "drop", "--repo", "drop"), 3, "E442"),
    ],
)
def test_what_cannot_be_watched(project: CommandLine, arguments: tuple[str, ...], status: int, words: str) -> None:
    """A folder, plan or repository that is not there is told at once."""
    done = project(*arguments)
    assert (done.status, words in done.err) == (status, True), done.err


def test_nothing_to_watch(twelvefold_alone: CommandLine) -> None:
    """Without a folder and without a project file there is nothing to do."""
    done = twelvefold_alone("watch")
    assert done.status == 2 and "a DIR is needed" in done.err


@pytest.fixture
def twelvefold_alone(tmp_path: Path, runtime_dir: Path) -> CommandLine:
    """The command in an empty folder."""
    environment = {"PATH": f"{COMMAND.parent}:/usr/bin:/bin", "HOME": str(tmp_path), "LANG": "C.UTF-8"}
    return CommandLine(tmp_path, environment | {"TWELVEFOLD_RUNTIME_DIR": str(runtime_dir)})

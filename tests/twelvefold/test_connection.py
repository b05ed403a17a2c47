"""connect, connect_sync and LocalEventSystem: programs of users against a running `up`."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import twelvefold as tf

from .conftest import CommandLine

pytestmark = pytest.mark.e2e
WAIT_S = 60.0


@pytest.fixture
def home(twelvefold: CommandLine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The home of a project as `init` makes it, up; this process stands in it."""
    for name, value in twelvefold.environment.items():
        if name.startswith(("TWELVEFOLD_", "XDG_")):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(twelvefold.cwd)
    twelvefold("init")
    started = twelvefold("up", "-d", "--wait")
    assert started.status == 0, started.err
    yield twelvefold.cwd / ".twelvefold"
    assert twelvefold("down").status == 0


def test_async_connection(home: Path) -> None:
    """Everything that the documentation shows of `connect` does what it says."""

    async def program() -> None:
        async with tf.connect() as bus:
            first = await bus.emit("demo.happened", {"n": 0}, stream="demo.1", expected_version={"demo.1": 0})
            with pytest.raises(tf.VersionConflict):
                await bus.emit("demo.happened", {"n": 0}, stream="demo.1", expected_version={"demo.1": 0})
            more = await bus.emit_many([tf.NewEvent("demo.happened", {"n": n}, stream="demo.1") for n in (1, 2, 3)])
            assert [event.position for event in more] == [first.position + n for n in (1, 2, 3)]
            assert [event.data["n"] async for event in bus.read(stream="demo.1")] == [0, 1, 2, 3]
            seen = []
            async for event in bus.watch("demo.*", after=0):
                seen.append(event.data["n"])
                if len(seen) == 4:
                    break
            assert seen == [0, 1, 2, 3]
            handled = 0
            async for delivery in bus.consume("readers", "demo.happened", after=0):
                await bus.settle(delivery, events=[tf.NewEvent("demo.handled", {"of": delivery.event.position})])
                handled += 1
                if handled == 4:
                    break
            assert len([event async for event in bus.read(type="demo.handled")]) == 4

    asyncio.run(asyncio.wait_for(program(), WAIT_S))


def test_submit_and_wait(home: Path) -> None:
    """A submitted plan is done by agents, and its result tells outcome, value, evidence, tasks, cost and positions."""

    async def program() -> tf.RunResult:
        async with tf.connect() as bus:
            run = await bus.submit(tf.Pipeline([tf.Task("echo", "a"), tf.Task("echo", "b")]), labels={"of": "test"})
            result = await bus.wait(run, WAIT_S)
            assert await bus.wait(run) == result
            return result

    result = asyncio.run(program())
    assert (result.outcome, result.value, result.reason) == ("succeeded", "b", None)
    assert [(task.path, task.agent, task.outcome) for task in result.tasks] == [
        ("0.0", "echo", "succeeded"),
        ("0.1", "echo", "succeeded"),
    ]
    assert result.evidence
    assert result.cost.model_calls == 0
    assert 0 < result.first < result.last
    assert result.elapsed_s > 0


def test_blocking_connection(home: Path) -> None:
    """The blocking connection does the same; a plan may be plain data, and a run can be followed."""
    with tf.connect_sync() as bus:
        assert bus.emit("demo.happened", {"n": 1}).version == 1
        run = bus.submit({"pattern": "pipeline", "steps": [{"agent": "echo", "input": "x"}]})
        assert bus.wait(run, WAIT_S).value == "x"
        types = [event.type for event in bus.follow(run, WAIT_S)]
        assert (types[0], types[-1]) == ("run.requested", "run.succeeded")


def test_values_larger_than_an_event(home: Path) -> None:
    """Plans, inputs, answers and results of megabytes go in and come out whole, by either connection."""
    text = "x" * (3 << 20)
    plan = tf.Pipeline([tf.Task("echo", text), tf.Task("echo", {"$from": "input", "key": "long"})])

    async def program() -> tf.RunResult:
        async with tf.connect() as bus:
            run = await bus.submit(plan, input={"long": text[1:]})
            assert await bus.submit(plan, run=run, input={"long": text[1:]}) == run
            return await bus.wait(run, WAIT_S)

    result = asyncio.run(program())
    assert result.value == text[1:]
    with tf.connect_sync() as bus:
        again = bus.wait(result.run)
        assert (again.value, again.tasks[0].value) == (text[1:], text)
        ended = next(event for event in bus.read(run=result.run, type="run.succeeded"))
        assert ended.data["value"].keys() == {"blob", "size"}
        assert bus.blobs.load(ended.data)["value"] == text[1:]
        run = bus.submit(tf.Task("echo", "a", approval="go on?"))
        assert bus.wait(run, WAIT_S).outcome == "needs_human"
        bus.answer(run, "done", value=[text])
        assert bus.wait(run, WAIT_S).value == [text]


def test_a_run_that_stays_open(home: Path) -> None:
    """Waiting ends with an error of its own while the run goes on; cancelling it ends both."""
    with tf.connect_sync() as bus:
        run = bus.submit(tf.Task("nobody", "x"))
        with pytest.raises(tf.TwelvefoldError) as caught:
            bus.wait(run, 0.1)
        assert (caught.value.code, caught.value.exit_code) == ("E352", 124)

        async def program() -> str | None:
            async with tf.connect() as other:
                with pytest.raises(tf.TwelvefoldError) as caught:
                    await other.wait(run, 0.1)
                assert caught.value.code == "E352"
                waiting = asyncio.create_task(other.wait(run, WAIT_S))
                await other.cancel(run, "enough")
                return (await waiting).outcome

        assert asyncio.run(program()) == "cancelled"


def test_unknown_runs_and_bad_plans(home: Path) -> None:
    """A run that there is not, and a plan that is none, are told apart before anything is sent."""

    async def program() -> None:
        async with tf.connect() as bus:
            head = await bus.head()
            for wrong in (bus.wait("0" * 32), bus.submit({"pattern": "dance"})):
                with pytest.raises(tf.TwelvefoldError) as caught:
                    await wrong
                assert caught.value.code in ("E351", "E350")
            assert await bus.head() == head

    asyncio.run(program())


def test_event_system(home: Path) -> None:
    """LocalEventSystem hands events to handlers in order, across processes, until they are unwatched."""
    seen: list[int] = []
    complete = threading.Event()

    def handler(event: tf.Event) -> None:
        seen.append(event.data)
        if len(seen) == 3:
            complete.set()

    with tf.LocalEventSystem() as ours, tf.LocalEventSystem() as other:
        ours.watch("demo.*", handler)
        other.emit("demo.one", 1)
        ours.emit("demo.two", 2)
        other.emit("demo.three", 3)
        assert complete.wait(WAIT_S)
        assert seen == [1, 2, 3]
        ours.unwatch("demo.*", handler)
        fourth = threading.Event()
        ours.watch("demo.four", lambda event: fourth.set())
        other.emit("demo.four", 4)
        assert fourth.wait(WAIT_S)
    assert seen == [1, 2, 3]


def test_event_system_retries_a_failing_handler(home: Path) -> None:
    """A handler that raises gets its event again, and none is skipped or doubled for it."""
    seen: list[int] = []
    complete = threading.Event()

    def handler(event: tf.Event) -> None:
        if event.data == 1 and seen.count(-1) < 2:
            seen.append(-1)
            raise RuntimeError("not yet")
        seen.append(event.data)
        if event.data == 2:
            complete.set()

    with tf.LocalEventSystem(home) as events:
        events.watch("demo.happened", handler)
        for n in (1, 2):
            events.emit("demo.happened", n)
        assert complete.wait(WAIT_S)
    assert seen == [-1, -1, 1, 2]


def test_nothing_runs(twelvefold: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a bus, connecting fails at once, with the status and words of the command line."""
    monkeypatch.setenv("TWELVEFOLD_RUNTIME_DIR", twelvefold.environment["TWELVEFOLD_RUNTIME_DIR"])
    for connect in (tf.connect, tf.connect_sync, tf.LocalEventSystem):
        with pytest.raises(tf.TwelvefoldError) as caught:
            connect(twelvefold.cwd / "no-home")
        assert (caught.value.code, caught.value.exit_code) == ("E201", 5)


def test_help_of_not_running_leads_to_a_running_system(twelvefold: CommandLine) -> None:
    """Following the help lines from `emit` on an empty folder ends with the event in the log."""
    failed = twelvefold("emit", "demo.happened")
    assert failed.status == 5
    assert "`twelvefold up`" in failed.help
    missing = twelvefold("up", "-d", "--wait")
    assert missing.status == 3
    assert "twelvefold init" in missing.help
    assert twelvefold("init").status == 0
    try:
        assert twelvefold("up", "-d", "--wait").status == 0
        assert twelvefold("emit", "demo.happened").status == 0
    finally:
        assert twelvefold("down").status == 0
    not_up = twelvefold("ps")
    assert not_up.status == 5
    assert twelvefold("log", "--type", "demo.happened", "--jsonl").jsonl != []


def test_openai_agents_name_is_free(tmp_path: Path) -> None:
    """A package named `agents` (as openai-agents installs one) is imported beside us, whatever comes first."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "__init__.py").write_text("WHO = 'theirs'\n")
    for program in (
        "import agents, twelvefold as tf; tf.BaseAgent; print(agents.WHO, tf.BaseAgent.__module__)",
        "import twelvefold as tf; tf.BaseAgent; import agents; print(agents.WHO, tf.BaseAgent.__module__)",
    ):
        done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout == "theirs twelvefold.agents.base\n"

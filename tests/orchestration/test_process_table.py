"""The rules of starting, restarting and stopping, told to a table of processes that has no kernel below it."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from twelvefold.orchestration.process_commands import Command, Record, Signal, Spawn, TellAll
from twelvefold.orchestration.process_table import (
    RANK_BUS,
    RANK_ORCHESTRATOR,
    TELL_WITHIN_S,
    ProcessSpec,
    ProcessTable,
)
from twelvefold.orchestration.procfile_options import Restart

BUS = ProcessSpec(name="bus", number=1, command="twelvefold bus", rank=RANK_BUS)
ORCHESTRATOR = ProcessSpec(
    name="orchestrator", number=1, command="twelvefold orchestrator", rank=RANK_ORCHESTRATOR, after=("bus",)
)


def line(name: str, number: int = 1, **options: object) -> ProcessSpec:
    """A line's place, after the bus like all of them."""
    after = ("bus", *options.pop("after", ()))  # type: ignore[misc]
    return msgspec.convert({"name": name, "number": number, "command": name, "after": after, **options}, ProcessSpec)


class Story:
    """A table with a kernel made of a counter: spawns succeed at once, and what is spawned lives until told to end."""

    def __init__(self, *specs: ProcessSpec, bus_answers: bool = True) -> None:
        self.table = ProcessTable()
        self.bus_answers = bus_answers
        self.now = 100.0
        self.done: list[Command] = []
        self.pid = 1000
        for spec in specs:
            self.table.add(spec, self.now)
            self.table.start(spec.key, self.now)
        self.step()

    def step(self) -> list[Command]:
        """Carry out what the table wants; return it."""
        fresh: list[Command] = []
        while commands := self.table.step(self.now):
            fresh += commands
            for command in commands:
                if isinstance(command, Spawn):
                    assert self.table.entries[command.key].pid is None, "spawned over a living one"
                    self.pid += 1
                    self.table.spawned(command.key, self.pid, f"{command.key}.{self.pid}", self.now)
                elif isinstance(command, TellAll) and self.bus_answers:
                    self.table.told(command.key, self.now)
        self.done += fresh
        return fresh

    def heard_of(self, key: str) -> Story:
        """Let a process be heard after it was wanted and before its birth is told."""
        self.table.exited(key, 1, self.now)
        self.now += 60
        while not any(isinstance(command, Spawn) for command in self.table.step(self.now)):
            self.now += 1
        self.table.ready(key, self.now)
        self.pid += 1
        self.table.spawned(key, self.pid, f"{key}.{self.pid}", self.now)
        return self

    def ready(self, *keys: str) -> Story:
        for key in keys:
            self.table.ready(key, self.now)
            self.step()
        return self

    def exits(self, key: str, status: int = 1) -> Story:
        self.table.exited(key, status, self.now)
        self.step()
        return self

    def waits(self, seconds: float) -> Story:
        self.now += seconds
        self.step()
        return self

    def state(self, key: str) -> str:
        return self.table.entries[key].state

    def events(self, key: str) -> list[str]:
        return [c.type.removeprefix("process.") for c in self.done if isinstance(c, Record) and c.key == key]

    def signals(self) -> list[tuple[str, str]]:
        return [(c.key, c.signal) for c in self.done if isinstance(c, Signal)]


def test_the_bus_comes_first_and_all_others_wait_for_it() -> None:
    """Nothing but the bus is spawned until the bus is ready; then everything is."""
    story = Story(BUS, ORCHESTRATOR, line("web"), line("web", 2))
    assert [c.key for c in story.done if isinstance(c, Spawn)] == ["bus.1"]
    assert story.table.waits_for(story.table.entries["web.1"]) == "bus"
    story.ready("bus.1")
    assert [c.key for c in story.done if isinstance(c, Spawn)] == ["bus.1", "orchestrator.1", "web.1", "web.2"]


def test_a_dead_process_is_started_again_and_hurts_no_other() -> None:
    """One exit leads to a wait and a new start of that place only, told as events in its stream."""
    story = Story(BUS, line("web"), line("worker")).ready("bus.1", "web.1", "worker.1").exits("web.1", -9)
    assert (story.state("web.1"), story.state("worker.1")) == ("backoff", "ready")
    story.waits(0.1)
    assert story.state("web.1") == "starting"
    assert story.table.entries["web.1"].restarts == 1
    assert story.events("web.1") == ["started", "ready", "exited", "started", "restarted"]
    exited = next(c for c in story.done if isinstance(c, Record) and c.type == "process.exited")
    assert (exited.stream, exited.data["exit"], exited.data["signal"]) == ("process.web.1", None, 9)


def test_giving_up_is_visible_and_a_person_can_revive() -> None:
    """After the last try the place is `crashed`, once and as an event; `start` begins a new row of tries."""
    story = Story(BUS, line("web", restart=Restart(attempts_max=2))).ready("bus.1")
    for _ in range(3):
        story.exits("web.1").waits(60)
    assert story.state("web.1") == "crashed"
    assert story.events("web.1").count("started") == 3
    assert story.events("web.1")[-1] == "crashed"
    story.table.start("web.1", story.now)
    story.step()
    assert story.state("web.1") == "starting"


def test_a_process_that_held_out_begins_a_new_row_of_tries() -> None:
    """Exits far apart never lead to giving up."""
    story = Story(BUS, line("web", restart=Restart(attempts_max=1, steady_s=10))).ready("bus.1")
    for _ in range(20):
        story.waits(11).exits("web.1").waits(1)
    assert story.state("web.1") == "starting"


def test_policies_differ_at_a_clean_exit() -> None:
    """`always` restarts after exit 0, `on-failure` and `never` leave it stopped; `never` gives up after a failure."""
    specs = [line(p.replace("-", ""), restart=Restart(p)) for p in ("always", "on-failure", "never")]  # type: ignore[arg-type]
    story = Story(BUS, *specs).ready("bus.1")
    for spec in specs:
        story.exits(spec.key, 0)
    assert [story.state(spec.key) for spec in specs] == ["backoff", "stopped", "stopped"]
    again = Story(BUS, specs[2]).ready("bus.1").exits("never.1", 3)
    assert again.state("never.1") == "crashed"


def test_what_comes_after_a_task_waits_for_its_success() -> None:
    """A line after a task starts when the task has exited with 0, and not when it failed."""
    migrate = line("migrate", task=True, restart=Restart("never"))
    story = Story(BUS, line("web", after=("migrate",)), migrate).ready("bus.1", "migrate.1")
    assert story.table.entries["web.1"].pid is None
    assert story.exits("migrate.1", 0).table.entries["web.1"].pid is not None
    failed = Story(BUS, line("web", after=("migrate",)), migrate).ready("bus.1").exits("migrate.1", 1)
    assert failed.table.waits_for(failed.table.entries["web.1"]) == "migrate"


def test_a_stop_asks_then_kills() -> None:
    """A stop sends the place's signal, and KILL once its time is over; the exit is then expected, not a crash."""
    story = Story(BUS, line("web", stop_signal="SIGINT", stop_timeout_s=3)).ready("bus.1", "web.1")
    story.table.stop("web.1", story.now)
    story.step()
    story.waits(2.9)
    assert story.signals() == [("web.1", "SIGINT")]
    story.waits(0.2)
    assert story.signals() == [("web.1", "SIGINT"), ("web.1", "SIGKILL")]
    assert story.exits("web.1", -9).state("web.1") == "stopped"
    assert story.waits(100).table.entries["web.1"].pid is None


def test_a_shutdown_ends_lines_then_orchestrator_then_bus() -> None:
    """Each rank is asked to stop when the one below has ended; within lines, those that come after others go first."""
    story = Story(BUS, ORCHESTRATOR, line("db"), line("web", after=("db",))).ready("bus.1")
    story.ready("orchestrator.1", "db.1", "web.1")
    story.table.shut_down(story.now)
    story.step()
    for key in ("web.1", "db.1", "orchestrator.1", "bus.1"):
        assert story.signals()[-1] == (key, "SIGTERM")
        assert not story.table.settled()
        story.exits(key, -15)
    assert story.table.settled()


def test_in_a_shutdown_the_bus_stays_until_it_was_told_what_the_others_did() -> None:
    """It is asked to stop once it has taken all that; one that doesn't answer, after a while, with its own grace."""
    story = Story(BUS, line("web"), bus_answers=False).ready("bus.1", "web.1")
    story.table.shut_down(story.now)
    story.step()
    story.exits("web.1", 0).waits(TELL_WITHIN_S - 1)
    assert [command for command in story.done if isinstance(command, TellAll)] == [TellAll("bus.1")]
    assert story.signals() == [("web.1", "SIGTERM")]
    story.waits(1)
    assert story.signals()[1:] == [("bus.1", "SIGTERM")]
    story.waits(BUS.stop_timeout_s - 1)
    assert story.signals()[1:] == [("bus.1", "SIGTERM")]
    story.waits(1)
    assert story.signals()[1:] == [("bus.1", "SIGTERM"), ("bus.1", "SIGKILL")]
    story.table.told("bus.1", story.now)
    assert story.step() == []
    assert story.exits("bus.1", -9).table.settled()
    story.table.told("bus.1", story.now)
    assert story.step() == []


def test_a_shutdown_forgets_restarts_and_waiting_places() -> None:
    """What is in backoff or still waits for its start never starts once the shutdown has begun."""
    story = Story(BUS, line("web"), line("late", after=("web",))).ready("bus.1").exits("web.1")
    story.table.shut_down(story.now)
    story.step()
    story.exits("bus.1", 0).waits(1000)
    assert story.table.settled()
    assert [story.state(key) for key in ("web.1", "late.1")] == ["stopped", "stopped"]


def test_a_stop_before_the_process_is_born_reaches_it() -> None:
    """A place stopped while its process is being forked is signalled as soon as its pid is known."""
    table = ProcessTable()
    table.add(BUS, 0.0)
    table.start("bus.1", 0.0)
    assert table.step(0.0) == [Spawn("bus.1")]
    table.stop("bus.1", 0.0)
    assert table.step(0.0) == []
    table.spawned("bus.1", 7, "bus.1.x", 0.1)
    assert Signal("bus.1", "SIGTERM") in table.step(0.1)


def test_a_birth_that_came_to_nothing_is_repeated_or_forgotten() -> None:
    """When the zygote dies over a request, the place is spawned again; in a shutdown it counts as stopped."""
    table = ProcessTable()
    table.add(BUS, 0.0)
    table.start("bus.1", 0.0)
    assert table.step(0.0) == [Spawn("bus.1")]
    table.unborn("bus.1", 0.1)
    assert table.step(0.1) == [Spawn("bus.1")]
    table.shut_down(0.2)
    assert table.step(0.2) == []
    assert not table.settled()
    table.unborn("bus.1", 0.3)
    assert table.step(0.3) == []
    assert table.settled()


INPUTS = st.lists(
    st.tuples(
        st.sampled_from(["start", "stop", "restart", "remove", "ready", "exit", "kill", "wait", "down", "kill_all"]),
        st.sampled_from(["bus.1", "orchestrator.1", "a.1", "a.2", "b.1", "t.1"]),
        st.integers(0, 40),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(INPUTS)
def test_whatever_happens_one_place_has_one_process_and_every_end_is_told(
    inputs: list[tuple[str, str, int]],
) -> None:
    """Under any order of events: one process a place, starts and exits pair up, and a shutdown comes to an end."""
    story = Story(BUS, ORCHESTRATOR, line("a"), line("a", 2), line("b", after=("t",)), line("t", task=True))
    for what, key, number in inputs:
        entry = story.table.entries.get(key)
        if what == "wait":
            story.waits(number / 4)
        elif what == "down":
            story.table.shut_down(story.now)
        elif what == "kill_all":
            story.table.kill_all(story.now)
        elif entry is None:
            continue
        elif what == "start":
            story.table.start(key, story.now)
        elif what in ("stop", "restart", "remove"):
            then = {"stop": "stay", "restart": "start", "remove": "remove"}[what]
            story.table.stop(key, story.now, then=then)  # type: ignore[arg-type]
        elif entry.pid is not None and what == "ready":
            story.ready(key)
        elif entry.pid is not None and what in ("exit", "kill"):
            story.exits(key, number if what == "exit" else -9)
        story.step()
    story.table.shut_down(story.now)
    for _ in range(10):
        story.waits(10)
        for key in [key for key, entry in story.table.entries.items() if entry.state == "stopping"]:
            story.exits(key, -15)
    assert story.table.settled()
    for key in ("bus.1", "a.1", "b.1"):
        told = [type for type in story.events(key) if type in ("started", "exited")]
        assert told == ["started", "exited"] * (len(told) // 2)


def test_a_process_may_be_heard_before_its_birth_is_told() -> None:
    """Its first sign of life counts, whichever of the two comes first."""
    story = Story(BUS, line("web")).ready("bus.1", "web.1").heard_of("web.1")
    assert story.state("web.1") == "ready"

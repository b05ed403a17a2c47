"""Commands about runs, over a log at rest; those that ask for something with nothing but a bus."""

from __future__ import annotations

import itertools
import json
import subprocess
from typing import Any

import msgspec
import pytest

from tests.orchestration.conftest import World
from twelvefold.eventstore.event import Event, NewEvent
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.orchestration.fork_join import ForkJoin
from twelvefold.orchestration.pipeline import Pipeline
from twelvefold.orchestration.plan import Plan, Retry, Task
from twelvefold.orchestration.saga import Saga

from .conftest import CommandLine

AGENTS: dict[str, Any] = {
    "good": lambda _: ("task.succeeded", {"value": {"n": 1}, "evidence": [{"kind": "value", "ref": "x"}]}),
    "bad": lambda _: ("task.failed", {"reason": "broken", "error": {"message": "no luck"}}),
    "ask": lambda _: ("task.needs_human", {"reason": "which", "question": "A or\nB?", "choices": ["A", "B"]}),
    "slow": lambda _: None,
}
TRIP = Saga([Task("good", name="room", undo=Task("good")), Task("bad", name="flight")])
ASKING = ForkJoin([Task("ask"), Task("good", approval="Ship it?"), Task("good")])


def run_id(n: int) -> str:
    """An id whose order is that of its number."""
    return f"0190a0b0c0d0e0f0{n:016x}"


def played(*plans: Plan, world: World | None = None, **request: Any) -> World:
    """A world in which each plan was submitted a second after the one before, and came to rest or its end."""
    here = world or World(AGENTS)
    for n, plan in enumerate(plans, 1):
        here.submit(plan, run=run_id(n), labels={"job": "trip", "n": str(n)}, **request)
        here.settle_down()
        here.now += 1_000_000_000
    return here


def bare(event: Event) -> NewEvent:
    """What was appended, without what the log has made of it."""
    return NewEvent(**{name: getattr(event, name) for name in NewEvent.__struct_fields__ if hasattr(event, name)})


def stored(twelvefold: CommandLine, here: World) -> None:
    """Write all that happened in a world into the log of a home, with its times and marks."""
    twelvefold("init")
    events = here.log.read(limit=10**6)
    times = iter([*events, events[-1]])
    log = SqliteLog(twelvefold.cwd / ".twelvefold" / "log.db", clock=lambda: next(times).time)
    try:
        for event in events:
            log.append(Append(events=[bare(event)], source=event.source))
        log.append(Append(marks=here.log.marks()))
    finally:
        log.close()


@pytest.fixture
def rested(twelvefold: CommandLine) -> CommandLine:
    """A home with one run of each kind: succeeded, failed and undone, resting on two questions, open."""
    stored(twelvefold, played(Task("good"), TRIP, ASKING, Task("slow")))
    return twelvefold


def test_runs_lists_the_latest_first(rested: CommandLine) -> None:
    """Each run has its state, outcome, reason, labels and times; keys are stable."""
    found = rested("runs", "--json").json
    assert [(one["run"], one["state"], one["outcome"], one["reason"], one["pattern"]) for one in found] == [
        (run_id(4), "open", None, None, "task"),
        (run_id(3), "resting", "needs_human", "which", "fork_join"),
        (run_id(2), "ended", "failed", "broken", "saga"),
        (run_id(1), "ended", "succeeded", None, "task"),
    ]
    assert list(found[0]) == [
        "run", "state", "outcome", "reason", "pattern", "labels", "fork", "requested", "ended", "elapsed_s",
        "positions", "forgotten",
    ]  # fmt: skip
    assert found[3]["ended"] > found[3]["requested"][:10]
    assert found[0]["ended"] is None
    assert found[0]["labels"] == {"job": "trip", "n": "4"}
    lines = rested("runs").out.splitlines()
    assert lines[0].split() == ["RUN", "STATE", "REQUESTED", "ELAPSED", "WHAT", "REASON"]
    assert lines[2].split()[:2] == [run_id(3), "needs_human"]


def test_runs_are_filtered_and_paged(rested: CommandLine) -> None:
    """States, outcomes, labels and times choose among runs; a page tells how to get the next one."""

    def numbers(*options: str) -> list[int]:
        return [int(one["run"], 16) & 0xFF for one in rested("runs", "--json", *options).json]

    assert numbers("--state", "ended") == [2, 1]
    assert numbers("--state", "open", "--state", "resting") == [4, 3]
    assert numbers("--outcome", "failed") == [2]
    assert numbers("--label", "n=3", "--label", "job=trip") == [3]
    assert numbers("--label", "n=9") == []
    assert numbers("--since", "5m") == []
    first = rested("runs", "--limit", "3", "--json")
    assert len(first.json) == 3
    assert first.err == f"there are more: twelvefold runs --before {run_id(2)}\n"
    assert numbers("--before", run_id(2)) == [1]
    for wrong in (("--state", "done"), ("--outcome", "open"), ("--label", "n"), ("--limit", "0")):
        assert rested("runs", *wrong).status == 2


def test_an_old_run_whose_id_tells_no_time_hides_no_later_one(twelvefold: CommandLine) -> None:
    """An id that is derived from a name may stand above all later ones; `--since` goes on beyond it."""
    here = World(AGENTS)
    here.now = 1_720_680_000_000_000_000
    here.submit(Task("good"), run="f" * 32)
    here.settle_down()
    here.now = 1_720_682_860_000_000_000
    stored(twelvefold, played(Task("good"), world=here))
    assert [one["run"] for one in twelvefold("runs", "--json", "--since", "2024-07-11T07:00:00Z").json] == [run_id(1)]


def test_runs_come_in_the_order_in_which_they_were_requested(twelvefold: CommandLine) -> None:
    """Ids that are derived from names, above and below all others, stand where they were requested; pages follow."""
    here = World(AGENTS)
    order = [run_id(1), "f" * 32, "0" * 32, run_id(2), "e" * 32, run_id(3)]
    for run in order:
        here.submit(Task("slow" if run in order[1:3] else "good"), run=run)
        here.settle_down()
        here.now += 60_000_000_000
    stored(twelvefold, here)

    def listed(*options: str) -> list[str]:
        return [one["run"] for one in twelvefold("runs", "--json", *options).json]

    latest = order[::-1]
    assert listed() == latest
    for n in range(len(latest)):
        assert listed("--limit", "2", "--before", latest[n]) == latest[n + 1 : n + 3]
    assert listed("--state", "open") == ["0" * 32, "f" * 32]
    assert listed("--state", "open", "--before", "0" * 32) == ["f" * 32]
    requested = {one["run"]: one["requested"] for one in twelvefold("runs", "--json").json}
    assert listed("--since", requested["0" * 32]) == latest[:4]


def test_ten_thousand_runs_cost_a_page_no_more(twelvefold: CommandLine) -> None:
    """Among ten thousand runs a page reads a few rows for each run that it shows, whatever is asked for."""
    from twelvefold.eventstore.reader import LogReader
    from twelvefold.orchestration.run_index import list_runs

    here = played(Task("good"))
    pattern = here.log.read(limit=100)
    twelvefold("init")
    path = twelvefold.cwd / ".twelvefold" / "log.db"
    log = SqliteLog(path, durability="relaxed")
    try:
        for n in range(1, 10_001):
            events = []
            for event in pattern:
                stream = event.stream.replace(run_id(1), run_id(n))
                id = n.to_bytes(8, "big") + event.position.to_bytes(8, "big")
                events.append(msgspec.structs.replace(bare(event), stream=stream, id=id, run=run_id(n)))
            log.append_many([Append(events=events)])
    finally:
        log.close()
    with LogReader(path) as reader:
        reads = itertools.count()
        read = reader.read

        def counted(**filters: Any) -> Any:
            next(reads)
            return read(**filters)

        reader.read = counted  # type: ignore[method-assign]
        page = list(itertools.islice(list_runs(reader), 20))
        assert [one.run for one in page] == [run_id(n) for n in range(10_000, 9_980, -1)]
        assert {one.outcome for one in page} == {"succeeded"}
        assert next(reads) <= 3 * 20
        # Those that are open are known without a look at all the others.
        assert list(list_runs(reader, begun=True)) == []
        assert next(reads) <= 3 * 20 + 1
    assert len(twelvefold("runs", "--json", "--limit", "5").json) == 5


def test_status_tells_all_of_a_run(rested: CommandLine) -> None:
    """Outcome, reason, tasks with attempts, evidence, what is undone, cost and budget; the exit status is the run's."""
    failed = rested("status", run_id(2), "--json")
    assert failed.status == 1
    document = failed.json
    assert {name: document[name] for name in ("outcome", "state", "pattern", "undone", "not_undone", "waiting")} == {
        "outcome": "failed", "state": "ended", "pattern": "saga", "undone": ["0.0"], "not_undone": [], "waiting": [],
    }  # fmt: skip
    assert document["error"] == {"message": "no luck"}
    assert [(one["path"], one["outcome"], one["state"], one["undo"]) for one in document["tasks"]] == [
        ("0.0", "succeeded", "succeeded", False),
        ("0.0.undo", "succeeded", "succeeded", True),
        ("0.1", "failed", "failed", False),
    ]
    assert document["budget"]["tasks"] == {"limit": None, "spent": 3}
    assert set(rested("status", run_id(1), "--json").json) == set(document)
    assert rested("status", run_id(1), "--json").json["value"] == {"n": 1}
    assert rested("status", run_id(4)).status == 0
    shown = rested("status", run_id(2))
    assert (shown.status, shown.err) == (1, "")
    assert shown.out.splitlines()[0].startswith(f"failed  {run_id(2)}")
    assert "no luck" in shown.out


def test_a_run_that_needs_a_human_says_what_for(rested: CommandLine) -> None:
    """Status of a resting run has the inbox's items, and exit status 7."""
    status = rested("status", run_id(3), "--json")
    assert status.status == 7
    assert status.json["waiting"] == rested("inbox", "--json").json
    shown = rested("status", run_id(3))
    assert "A or B?" in shown.out
    assert "twelvefold inbox" in shown.err


def test_any_unambiguous_beginning_of_an_id_will_do(rested: CommandLine) -> None:
    """A prefix that no other run has is enough; one that others have is refused with a command that works."""
    assert rested("status", run_id(1).upper()).status == 0
    ambiguous = rested("tree", run_id(1)[:20])
    assert (ambiguous.status, ambiguous.help) == (2, f"twelvefold tree {run_id(1)}")
    for command in ("status", "tree", "pause", "resume", "cancel"):
        missing = rested(command, "ffff")
        assert (missing.status, missing.help) == (3, "list them: twelvefold runs")


def test_tree_shows_patterns_tasks_and_compensations(rested: CommandLine) -> None:
    """The tree has each node of the plan; as a document it nests."""
    shown = rested("tree", run_id(2))
    assert shown.status == 1
    assert [line.strip("│├└─ ").split("  ")[0] for line in shown.out.splitlines()[1:]] == [
        "✗ saga",
        "✓ room",
        "✓ good",
        "✗ flight",
    ]
    document = rested("tree", run_id(2), "--json").json
    assert (document["run"], document["outcome"], document["tree"]["pattern"]) == (run_id(2), "failed", "saga")
    (room, flight) = document["tree"]["children"]
    assert (room["name"], room["undone"], room["children"][0]["pattern"]) == ("room", True, "undo")
    assert (flight["state"], flight["reason"], flight["message"]) == ("failed", "broken", "no luck")
    assert [line["path"] for line in rested("tree", run_id(2), "--jsonl").jsonl] == ["0", "0.0", "0.0.undo", "0.1"]
    assert rested("tree", run_id(2), "--json", "-f").status == 2


def test_a_pattern_is_not_shown_as_well_where_a_part_of_it_failed(twelvefold: CommandLine) -> None:
    """Inner patterns have the sign of success only if all of them went well; what was not needed is no failure."""
    stored(twelvefold, played(Pipeline([ForkJoin([Task("good"), Task("slow")], join="any"), Pipeline([Task("bad")])])))
    signs = [line.strip("│├└─ ").split("  ")[0] for line in twelvefold("tree", run_id(1)).out.splitlines()[1:]]
    assert signs == ["✗ pipeline", "✓ fork_join", "✓ good", "– slow", "✗ pipeline", "✗ bad"]


def test_what_tasks_answered_with_is_shown_below_them(twelvefold: CommandLine) -> None:
    """A task that answered with a plan stands as its plan does, at the root and below it."""
    answer = ("task.planned", {"plan": {"pattern": "pipeline", "steps": [{"agent": "bad"}]}})
    stored(twelvefold, played(Pipeline([Task("boss")]), world=World({**AGENTS, "boss": lambda _: answer})))
    signs = [line.strip("│├└─ ").split("  ")[0] for line in twelvefold("tree", run_id(1)).out.splitlines()[1:]]
    assert signs == ["✗ pipeline", "✗ boss", "✗ pipeline", "✗ bad"]


def test_status_tells_the_first_of_many_and_counts_the_others(twelvefold: CommandLine) -> None:
    """A run of many tasks has lines that can be read; as data it has all."""
    stored(twelvefold, played(ForkJoin([Task("good")] * 50)))
    (evidence,) = (line for line in twelvefold("status", run_id(1)).out.splitlines() if line.startswith("  evidence"))
    assert evidence == "  evidence  " + ", ".join(["value x"] * 6) + ", and 44 more"
    assert len(twelvefold("status", run_id(1), "--json").json["evidence"]) == 50


def test_a_wide_tree_is_cut_but_not_as_data(twelvefold: CommandLine) -> None:
    """Of many children only the first are shown and the others counted, unless all are asked for."""
    stored(twelvefold, played(ForkJoin([Task("good")] * 50)))
    lines = twelvefold("tree", run_id(1)).out.splitlines()
    assert len(lines) == 1 + 1 + 30 + 1
    assert lines[-1].endswith("20 more: 20 succeeded")
    assert len(twelvefold("tree", run_id(1), "--all").out.splitlines()) == 52
    assert len(twelvefold("tree", run_id(1), "--json").json["tree"]["children"]) == 50


def test_the_inbox_lists_what_waits(rested: CommandLine) -> None:
    """Each thing has an id, what it is about and which answers count; as a table a line is a line."""
    question, approval = rested("inbox", "--json").json
    assert list(question) == [
        "id", "kind", "run", "path", "agent", "reason", "question", "takes", "since", "expires", "has_default",
        "default", "error",
    ]  # fmt: skip
    assert (question["kind"], question["question"], question["takes"]) == ("question", "A or\nB?", ["A", "B"])
    assert (approval["kind"], approval["path"], approval["takes"]) == ("approval", "0.1", ["approve", "reject"])
    table = rested("inbox")
    assert len(table.out.splitlines()) == 3
    assert "twelvefold approve ID" in table.err
    assert rested("inbox", "--run", run_id(1)).out == ""
    assert [one["id"] for one in rested("inbox", "--jsonl", "--run", run_id(3)).jsonl] == [
        question["id"],
        approval["id"],
    ]


def test_who_is_asked_about_a_parked_saga_hears_why_and_what_stands(twelvefold: CommandLine) -> None:
    """A compensation that failed says what it failed of, and its run what is undone and what is not, from the first."""
    once = Retry(attempts_max=1)
    first = Saga([Task("good", undo=Task("good")), Task("good", undo=Task("full", retry=once)), Task("bad")])
    beyond = Saga([Task("good", pivot=True), Task("full")])
    full = {"full": lambda _: ("task.failed", {"reason": "agent", "error": "the disk\nis full"})}
    stored(twelvefold, played(first, beyond, world=World({**AGENTS, **full})))
    undo, stuck = twelvefold("inbox", "--json").json
    assert (undo["kind"], stuck["kind"]) == ("compensation", "stuck")
    assert undo["error"] == stuck["error"] == "the disk\nis full"
    told = [line.partition("could not be undone: ")[2] for line in twelvefold("inbox").out.splitlines()]
    assert "agent: the disk is full" in told
    lines = twelvefold("status", run_id(1)).out.splitlines()
    assert "  standing  0.0, 0.1" in lines
    assert lines[-1].endswith("compensation 0.1.undo: could not be undone: agent: the disk is full")


def test_what_stands_is_told_in_the_order_of_the_tree(twelvefold: CommandLine) -> None:
    """The eleventh of what stands comes after the third, as in the tree."""
    stored(twelvefold, played(Pipeline([*[Task("good")] * 11, Task("bad")])))
    assert twelvefold("status", run_id(1), "--json").json["not_undone"] == [f"0.{n}" for n in range(11)]


def test_control_needs_a_bus_and_says_so(rested: CommandLine) -> None:
    """Where nothing runs a request can't be made durable: exit status 5, after what is wrong with it was said."""
    question, approval = rested("inbox", "--json").json
    for command in (("pause", run_id(4)), ("approve", approval["id"]), ("answer", question["id"], "A")):
        assert rested(*command).status == 5
    assert rested("cancel", run_id(1)).status == 4
    wrong = rested("answer", question["id"], "C")
    assert (wrong.status, wrong.help) == (2, f"twelvefold answer {question['id']} A")
    assert rested("approve", question["id"]).status == 2
    assert rested("answer", approval["id"], "approve", "--value", "{").status == 2
    assert rested("reject", "0" * 12).status == 3


def test_answers_and_requests_are_events(rested: CommandLine, bus_of_home: subprocess.Popen[str]) -> None:
    """What people say stands in the run's request stream, and an answered question is open no more."""
    question, approval = rested("inbox", "--json").json
    said = rested("answer", question["id"][:6], "B", "--note", "as ever", "--json").json
    assert {name: said[name] for name in ("id", "run", "path", "answer")} == {
        "id": question["id"], "run": run_id(3), "path": "0.0", "answer": "B",
    }  # fmt: skip
    (event,) = rested("log", "--jsonl", "--after", str(said["position"] - 1)).jsonl
    assert (event["type"], event["stream"]) == ("human.answered", f"request.{run_id(3)}")
    assert event["data"]["note"] == "as ever"
    again = rested("answer", question["id"], "A")
    assert (again.status, again.help) == (4, f"see what came of it: twelvefold status {run_id(3)}")
    assert rested("reject", approval["id"], "--note", "no").out == f"{approval['id']}\n"
    assert rested("inbox", "--json").json == []
    for command in ("pause", "resume", "cancel"):
        asked = rested(command, run_id(4), "--json").json
        assert (asked["run"], asked["asked"]) == (run_id(4), command)
    types = [event["type"] for event in rested("log", "--run", run_id(4), "--jsonl").jsonl]
    assert types[-3:] == ["run.pause_requested", "run.resume_requested", "run.cancel_requested"]
    assert rested("runs", "--json").json[0]["state"] == "open"


def test_a_second_pause_says_that_the_run_is_paused_already(
    rested: CommandLine, bus_of_home: subprocess.Popen[str]
) -> None:
    """The first pause tells what it does, the second one that there was nothing to do."""
    told = [rested("pause", run_id(4)).err.partition(";")[0] for _ in range(2)]
    assert told == ["the run starts nothing new", "the run is paused already"]


def test_an_answer_does_not_hide_a_pause(twelvefold: CommandLine) -> None:
    """A run that rests and is paused says both; answered, the list has it as paused until it is resumed."""
    asks = Pipeline([Task("good", approval="Ship it?"), Task("good")])
    here = played(asks, asks)
    for n in (1, 2):
        here.append("run.pause_requested", {}, stream=f"request.{run_id(n)}", run=run_id(n))
    here.answer("approve", run=run_id(2))
    here.settle_down()
    stored(twelvefold, here)
    assert twelvefold("status", run_id(1)).out.splitlines()[0].endswith(f"{run_id(1)}  approval, paused")
    assert [one["run"] for one in twelvefold("runs", "--json", "--state", "paused").json] == [run_id(2)]


def test_a_plan_is_checked_and_shown_by_a_dry_run(twelvefold: CommandLine) -> None:
    """`run PLAN --dry-run` shows the tree and starts nothing; mistakes are pointed at."""
    twelvefold("init")
    plan = twelvefold.cwd / "plan.toml"
    plan.write_text(
        'pattern = "saga"\n[[steps]]\nagent = "a"\nname = "one"\n[[steps]]\nagent = "b"\nundo = {agent = "c"}\n'
    )
    shown = twelvefold("run", str(plan), "--dry-run")
    assert (shown.status, shown.out) == (0, "· saga  0\n├─ · one  0.0  a\n└─ · b  0.1\n")
    document = twelvefold("run", "--plan", str(plan), "--dry-run", "--json").json
    assert (document["plan"]["pattern"], document["queues"]) == ("saga", ["a", "b", "c"])
    assert not (twelvefold.cwd / ".twelvefold" / "log.db").exists()
    plan.write_text('pattern = "saga"\n[[steps]]\nagent = "no name"\n')
    wrong = twelvefold("run", str(plan))
    assert wrong.status == 2
    assert "steps[0].agent" in wrong.err
    assert str(plan) in wrong.err
    absent = twelvefold("run", "--plan", "absent.toml")
    assert (absent.status, absent.help) == (3, "ls -l .")
    assert twelvefold("run").status == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--budget", "task=3"), "task"),
        (("--budget", "tasks"), "tasks"),
        (("--budget", "tasks=1.5"), "tasks"),
        (("--budget", "usd=-1"), "usd"),
        (("--input", "{"), "--input"),
        (("--base", "HEAD"), "--base"),
        (("--input", "1", "a sentence of words", "--plan", "plan.json"), "TARGET"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_starts(
    twelvefold: CommandLine, options: tuple[str, ...], words: str
) -> None:
    """Budgets, inputs and options that can't be are usage errors, and nothing was begun."""
    twelvefold("init")
    (twelvefold.cwd / "plan.json").write_text(json.dumps({"agent": "a"}))
    target = () if "--plan" in options else ("plan.json",)
    wrong = twelvefold("run", *target, *options)
    assert wrong.status == 2
    assert words in wrong.err
    assert wrong.help
    assert not (twelvefold.cwd / ".twelvefold" / "log.db").exists()


def test_a_plan_of_own_agents_needs_them_up(twelvefold: CommandLine) -> None:
    """Nothing is started for a plan whose agents nobody knows: exit status 5, and how they are brought up."""
    twelvefold("init")
    (twelvefold.cwd / "plan.json").write_text(json.dumps({"agent": "mine", "retry": {"attempts_max": 2}}))
    refused = twelvefold("run", "plan.json")
    assert (refused.status, refused.help) == (5, "start it: twelvefold up -d --wait")


@pytest.fixture
def bus_of_home(rested: CommandLine) -> Any:
    """A running bus on the home with its runs."""
    process = rested.start("bus")
    assert process.stderr is not None
    try:
        assert "bus ready" in process.stderr.readline()
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)

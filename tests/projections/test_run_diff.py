"""Two runs compared by what caused each event: what only tells them apart is no difference, what differs is found."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.made_runs import MadeRun
from twelvefold.eventstore.event import Event
from twelvefold.eventstore.memory_log import MemoryLog
from twelvefold.eventstore.run import read_run
from twelvefold.projections.diff import RunDiff, diff
from twelvefold.projections.likeness import ABSENT, differences

A, B = "a" * 32, "b" * 32
OPENING = [("system", "You fix things."), ("user", "Fix it.\nAll of it.")]


def commit_of(text: str) -> str:
    """The id of a commit."""
    return hashlib.sha1(text.encode()).hexdigest()


def job(made: MadeRun, *, reply: str = "change x", tail: str = "1 passed in 0.03s", extra: bool = False) -> None:
    """A run that asks a model, changes a file and tests it."""
    made.begin()
    made.request("0.0", agent="fixer", input={"base": "0" * 40})
    made.laid_out("0.0", "0" * 40)
    made.asked("0.0", OPENING, reply)
    if extra:
        made.effect("0.0", "tool", "read_file", {"path": "x"}, {"text": "y"}, read=True)
    commit = commit_of(made.run)
    made.committed("0.0", commit, 1, "x.py")
    made.effect("0.0", "tool", "edit", {"text": reply}, {"lines": [1]}, commit=commit)
    made.say("task.progressed", "0.0", progress=0.5)
    made.answer("0.0", value={"commit": commit}, message=f"1 file changed in {commit[:12]}")
    made.request("0.1", agent="testing", input={"commit": commit})
    folder = f"{made.home}/workspaces/{made.run}/0.1.after/test_x.py"
    made.effect("0.1", "process", "tests", {"commit": commit}, {"tail": f"{folder}\n{tail}"})
    made.answer("0.1", value={"passed": 1})
    made.end(value={"branch": f"twelvefold/it-{made.run}"})


def compared(a: Callable[[MadeRun], Any], b: Callable[[MadeRun], Any], **trees: str) -> RunDiff:
    """Write two runs into two logs and compare them."""
    sides: list[list[Event]] = []
    for run, write in ((A, a), (B, b)):
        log = MemoryLog()
        write(MadeRun(log, run, home=f"/somewhere/{run[0]}/home"))
        sides.append(list(read_run(log, run)))
    return diff(sides[0], sides[1], ([A], [B]), trees)


def test_the_same_work_is_no_difference() -> None:
    """Ids, folders, commits, clocks and processes of its own don't make a run another one."""
    found = compared(job, job)
    assert found.first is None, found.first
    assert found.same == 11
    assert found.shared == 0


def test_durations_in_texts_are_no_difference() -> None:
    """What a test runner prints of the time it took passes."""
    assert compared(job, lambda made: job(made, tail="1 passed in 1.70s")).first is None
    found = compared(job, lambda made: job(made, tail="1 failed in 0.03s")).first
    assert found is not None
    assert (found.place, found.fields[0].field) == ("0.1 effect process tests", "result.tail")


def test_the_first_difference_is_what_caused_the_others() -> None:
    """A reply of a model that differs comes before all that followed from it, with its field and both positions."""
    found = compared(job, lambda made: job(made, reply="change y"))
    first = found.first
    assert first is not None
    assert (first.kind, first.path, first.type) == ("differs", "0.0", "effect.completed")
    assert [(one.field, one.a, one.b) for one in first.fields] == [("result.text", "change x", "change y")]
    assert first.position_a == first.position_b == 7
    assert [one.place for one in found.events] == ["0.0 effect model", "0.0 effect tool edit"]
    assert not found.prompts


def test_what_only_one_run_did_is_told_and_hides_nothing_after_it() -> None:
    """An effect more in one run doesn't shift those after it."""
    for extra, kind in ((job, "only_b"), (lambda made: job(made, extra=True), "only_a")):
        other = job if kind == "only_a" else lambda made: job(made, extra=True)
        found = compared(extra, other)
        assert [(one.kind, one.place) for one in found.events] == [(kind, "0.0 effect tool read_file")]
        assert (found.events[0].position_a is None) == (kind == "only_b")


def test_another_answer_is_a_difference_of_the_answer() -> None:
    """A task that failed in one run stands beside the success of the other."""

    def failing(made: MadeRun) -> None:
        made.begin()
        made.request("0.0")
        made.answer("0.0", "failed", reason="no")
        made.end("failed", reason="no")

    def passing(made: MadeRun) -> None:
        made.begin()
        made.request("0.0")
        made.answer("0.0", value=1)
        made.end()

    found = compared(passing, failing)
    assert [one.place for one in found.events] == ["0.0 task answered", "run ended"]
    assert found.events[0].fields[0] == type(found.events[0].fields[0])("type", "task.succeeded", "task.failed")


def test_prompts_are_compared_as_whole_conversations() -> None:
    """What a model is asked counts with all that it was told before, however it was recorded."""

    def talking(second: str, since: int) -> Callable[[MadeRun], None]:
        def write(made: MadeRun) -> None:
            made.begin()
            made.request("0.0")
            made.asked("0.0", OPENING, "look")
            new = [("assistant", "look"), ("tool", second)]
            made.asked("0.0", new if since else [*OPENING, *new], "done", since=since)
            made.answer("0.0")
            made.end()

        return write

    assert compared(talking("seen", 2), talking("seen", 0)).first is None
    found = compared(talking("seen", 2), talking("unseen", 2))
    assert [(one.path, one.number) for one in found.prompts] == [("0.0", 2)]
    assert {"-seen", "+unseen"} <= set(found.prompts[0].lines)
    assert "-You fix things." not in found.prompts[0].lines
    assert (found.usage[0].model_calls, found.usage[0].tokens_in, found.usage[0].usd) == (2, 20, 1.0)


def test_commits_count_by_their_files() -> None:
    """Commits whose files are known to be equal are equal, and those with other files differ."""
    trees = {commit_of(A): "1" * 40, commit_of(B): "1" * 40}
    assert compared(job, job, **trees).first is None
    found = compared(job, job, **(trees | {commit_of(B): "2" * 40}))
    assert found.first is not None
    assert (found.first.place, found.first.fields[0].field) == ("0.0 effect tool edit", "commit")


def test_a_fork_shares_its_parents_past_and_is_aligned_after_it() -> None:
    """What a fork requests anew, and serves from its parent's record, is the parent's own work once more."""
    now = 0
    log = MemoryLog(clock=lambda: now)
    parent = MadeRun(log, A)
    parent.begin()
    request = parent.request("0.0")
    now = 3 * 10**9
    cut = parent.asked("0.0", OPENING, "look").position
    parent.asked("0.0", [("tool", "seen")], "done", since=2)
    parent.answer("0.0", value=3)
    parent.end(value=3)
    now = 1000 * 10**9
    fork = MadeRun(log, B)
    fork.own("run.forked", parent=A, at=cut)
    now = 1005 * 10**9
    fork.own("run.started", versions={"twelvefold": "9"})
    fork.request("0.0", fork={"carries": [request.id.hex()]})
    asked = {"model": "m", "prompts": [{"name": "fixer", "hash": "f" * 64}], "since": 2}
    asked["messages"] = [{"role": "tool", "content": "seen"}]
    key = {"kind": "model", "name": "m", "effect": "idempotent", "key": "k"}
    result = {"text": "done", "model": "m", "usage": {"tokens_in": 10, "tokens_out": 2, "usd": 0.5}}
    fork.say("effect.completed", "0.0", **key, parameters=asked, result=result, recorded={"run": A, "position": 9})
    fork.answer("0.0", value=3)
    fork.end(value=3)
    sides = [list(read_run(log, run)) for run in (A, B)]
    found = diff(sides[0], sides[1], ([A], [B, A]))
    assert found.shared_until == cut
    assert found.first is None, found.first
    assert found.elapsed_s == (3.0, 8.0)
    assert diff(sides[1], sides[1], ([B, A], [B, A])).elapsed_s == (8.0, 8.0)
    fork.say("effect.completed", "0.0", **key, parameters=asked, result="more")
    assert diff(sides[0], list(read_run(log, B)), ([A], [B, A])).first is not None


@given(st.permutations([path for path in ("0.0", "0.1", "0.2") for _ in range(4)]))
def test_interleaving_is_no_difference(order: list[str]) -> None:
    """Tasks that ran at once align however their events fell."""

    def write(order: list[str]) -> Callable[[MadeRun], None]:
        def work(made: MadeRun) -> None:
            made.begin()
            for path in ("0.0", "0.1", "0.2"):
                made.request(path)
            count = dict.fromkeys(order, 0)
            for path in order:
                count[path] += 1
                made.effect(path, "tool", "work", {"n": count[path]}, f"{path} {count[path]}")
            made.end()

        return work

    found = compared(write(sorted(order)), write(order))
    assert found.first is None
    assert found.same == 20


def test_a_task_that_was_delivered_again_did_the_same() -> None:
    """What a killed agent had begun is begun anew, and served where it was done: that is no other work."""

    def killed(made: MadeRun) -> None:
        made.begin()
        made.request("0.0")
        made.effect("0.0", "tool", "first", {}, 1)
        facts = {"kind": "tool", "name": "second", "effect": "idempotent", "key": "k", "parameters": {}}
        made.say("effect.intended", "0.0", **facts)
        made.say("task.started", "0.0", instance="worker.2", attempt=1, delivery=2)
        made.say("effect.intended", "0.0", **facts)
        made.say("effect.completed", "0.0", **facts, result=2)
        made.answer("0.0", value=2)
        made.end()

    def whole(made: MadeRun) -> None:
        made.begin()
        made.request("0.0")
        made.effect("0.0", "tool", "first", {}, 1)
        made.effect("0.0", "tool", "second", {}, 2)
        made.answer("0.0", value=2)
        made.end()

    assert compared(killed, whole).first is None
    assert compared(whole, killed).first is None


def test_a_further_attempt_stands_beside_the_first() -> None:
    """A retry is another request of the same task, so that its effects aren't taken for the first one's."""

    def retried(made: MadeRun) -> None:
        made.begin()
        for outcome in ("failed", "succeeded"):
            made.request("0.0")
            made.effect("0.0", "tool", "work", {}, outcome)
            made.answer("0.0", outcome)
        made.end()

    def once(made: MadeRun) -> None:
        made.begin()
        made.request("0.0")
        made.effect("0.0", "tool", "work", {}, "failed")
        made.answer("0.0", "failed")
        made.end()

    found = compared(once, retried)
    assert [(one.kind, one.place) for one in found.events] == [
        ("only_b", "0.0 task.requested of attempt 2"),
        ("only_b", "0.0 task.started of attempt 2"),
        ("only_b", "0.0 effect tool work of attempt 2"),
        ("only_b", "0.0 task answered of attempt 2"),
    ]


def test_whatever_stands_in_a_run_is_compared() -> None:
    """Data of any shape in any event, also of types that nobody knows, hinders nothing and is compared."""
    shapes: list[Any] = [[1], None, "x", {"path": 5, "fork": {"carries": 5}, "kind": [], "commit": 5, "store": 7}]
    shapes += [{"kind": "model", "key": [1], "parameters": {"messages": "x", "since": -3, "prompts": 7}, "recorded": 1}]

    def write(last: int) -> Callable[[MadeRun], None]:
        def work(made: MadeRun) -> None:
            made.begin()
            made.request("0")
            for data in shapes:
                for type in ("effect.completed", "effect.intended", "workspace.committed", "task.unheard"):
                    made.write(type, f"task.{made.run}.0", data, made.requests["0"])
                for type in ("task.requested", "timer.set", "run.started", "run.unheard"):
                    made.write(type, f"run.{made.run}", data)
            made.write("mine.own", "mine", {"position": last})

        return work

    assert compared(write(3), write(3)).first is None
    found = compared(write(3), write(4))
    assert [(one.place, one.fields[0].field) for one in found.events] == [("mine.own in mine", "position")]


def test_differences_name_each_field() -> None:
    """Fields are named as they are reached, and what is there once only has a counterpart that says so."""
    a = {"same": 1, "list": [1, {"x": 2}], "gone": None}
    b = {"same": 1, "list": [1, {"x": 3}, 4], "new": []}
    expected = [("list[1].x", 2, 3), ("list[2]", ABSENT, 4), ("gone", None, ABSENT), ("new", ABSENT, [])]
    assert differences(a, b) == expected
    assert differences(a, b, most=2) == expected[:2]
    assert differences({"n": 1}, {"n": True}) == [("n", 1, True)]

"""From a commit to what made it, read off a run's events."""

from __future__ import annotations

from tests.made_runs import MadeRun
from twelvefold.eventstore.memory_log import MemoryLog
from twelvefold.eventstore.run import read_run
from twelvefold.projections.origins import commits_before, origin_of

A, B = "a" * 32, "b" * 32


def worked(log: MemoryLog) -> MadeRun:
    """A model that looks, edits twice and is done; its steps become one commit."""
    made = MadeRun(log, A)
    made.begin()
    made.request("0.0")
    made.asked("0.0", [("system", "s"), ("user", "u")], "edit one")
    for number in (1, 2):
        action = {"name": "edit", "arguments": {"n": number}}
        made.effect("0.0", "value", "action", None, action, read=True)
        made.committed("0.0", f"step {number}", number, "x.py")
        made.effect("0.0", "tool", "edit", {"n": number}, {}, commit=f"step {number}")
        made.asked("0.0", [("assistant", f"edit {number}"), ("tool", "ok")], "more", since=2 * number)
    made.committed("0.0", "whole", 3, "x.py")
    made.effect("0.0", "git", "commit", {}, {}, commit="whole")
    return made


def test_a_step_leads_to_its_effect_and_the_call_that_chose_it() -> None:
    """Each edit has the model call before it, with all that was said by then, and the action chosen."""
    log = MemoryLog()
    worked(log)
    events = list(read_run(log, A))
    for number, said in ((1, ["s", "u"]), (2, ["s", "u", "edit 1", "ok"])):
        origin = origin_of(events, f"step {number}")
        assert origin is not None
        assert origin.effect is not None
        assert origin.intent is not None
        assert origin.effect.data["name"] == "edit"
        assert origin.intent.data["parameters"] == {"n": number}
        assert origin.model is not None
        assert [one["content"] for one in origin.model.messages] == said
        assert origin.action is not None
        assert origin.action.data["result"]["arguments"] == {"n": number}
    assert commits_before(events, "whole") == ["step 1", "step 2"]


def test_a_commit_outside_of_effects_has_none() -> None:
    """What nobody recorded is told as nothing, never as what stands nearby."""
    log = MemoryLog()
    made = MadeRun(log, A)
    made.begin()
    made.request("0.0")
    made.committed("0.0", "alone", 1, "x.py")
    events = list(read_run(log, A))
    origin = origin_of(events, "alone")
    assert origin is not None
    assert (origin.effect, origin.model, origin.action) == (None, None, None)
    assert origin_of(events, "unknown") is None
    assert commits_before(events, "unknown") == []


def test_a_forks_commit_leads_to_what_its_parent_was_asked() -> None:
    """A fork goes on within its parent's conversation, and what it serves from the record has its own record."""
    log = MemoryLog()
    parent = worked(log)
    cut = next(event.position for event in read_run(log, A) if event.type == "workspace.committed")
    fork = MadeRun(log, B)
    fork.own("run.forked", parent=A, at=cut - 2)
    fork.request("0.0", fork={"carries": [parent.requests["0.0"].hex()]})
    key = {"kind": "tool", "name": "edit", "effect": "idempotent", "key": "k"}
    fork.say("effect.completed", "0.0", **key, parameters={"n": 1}, result={}, commit="step 1", recorded={"run": A})
    events = list(read_run(log, B))
    assert not any(event.type == "workspace.committed" for event in events)
    origin = origin_of(events, "step 1")
    assert origin is not None
    assert origin.event.run == B
    assert origin.model is not None
    assert [one["content"] for one in origin.model.messages] == ["s", "u"]


def test_what_a_task_was_given_is_nothing_that_it_has_made() -> None:
    """An effect that starts from a commit holds it in its result, its own as well as one served from a record."""
    log = MemoryLog()
    parent = MadeRun(log, A)
    parent.begin()
    cut = parent.request("0.0").position
    parent.effect("0.0", "git", "start", {"commit": "given"}, "given", commit="given")
    fork = MadeRun(log, B)
    fork.own("run.forked", parent=A, at=cut)
    fork.request("0.0", fork={"carries": [parent.requests["0.0"].hex()]})
    key = {"kind": "git", "name": "start", "effect": "idempotent", "key": "k"}
    asked = {"parameters": {"commit": "given"}, "result": "given", "commit": "given"}
    fork.say("effect.completed", "0.0", **key, **asked, recorded={"run": A, "position": 4})
    for run in (A, B):
        assert origin_of(list(read_run(log, run)), "given") is None

"""Which files a run's workspaces held, folded from its events alone."""

from __future__ import annotations

from typing import Any

from twelvefold.eventstore.event import Event, new_event
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.memory_log import MemoryLog
from twelvefold.projections.workspace_files import RunFiles, files_of

RUN, STORE, FOLDER = "a" * 32, "/h/stores/repo/" + "a" * 32 + ".git", "/h/workspaces/" + "a" * 32
REQUEST = b"r" * 16


class _Log:
    """The events of one run, as its tasks would have written them."""

    def __init__(self) -> None:
        self._log = MemoryLog()
        self._count = 0

    def say(self, type: str, path: str = "0", **data: Any) -> int:
        stream = f"task.{RUN}.{path}"
        self._count += 1
        id = self._count.to_bytes(16, "big")
        event = new_event(type, data, stream=stream, id=id, run=RUN, cause=REQUEST)
        return self._log.append(Append(events=[event])).events[0].position

    def created(self, commit: str, key: str = "0", path: str = "0", store: str = STORE) -> int:
        return self.say("workspace.created", path, folder=f"{FOLDER}/{key}", store=store, commit=commit)

    def committed(self, commit: str, key: str = "0", path: str = "0", store: str = STORE) -> int:
        ref = f"refs/twelvefold/{RUN}/{key}/1"
        return self.say("workspace.committed", path, store=store, commit=commit, ref=ref, files_changed=[])

    def removed(self, key: str = "0", path: str = "0") -> int:
        return self.say("workspace.removed", path, folder=f"{FOLDER}/{key}")

    def events(self) -> list[Event]:
        return list(self._log.read())

    def files(self, until: int | None = None) -> RunFiles:
        return files_of(self.events(), until)


def test_each_position_has_the_commit_that_was_recorded_last() -> None:
    """As of a position a workspace holds what the events up to there have said."""
    log = _Log()
    positions = [log.created("base"), *(log.committed(f"c{n}") for n in range(10))]
    found = [log.files(position).workspaces["0"].commit for position in positions]
    assert found == ["base", *(f"c{n}" for n in range(10))]
    assert not log.files(positions[0] - 1).workspaces


def test_workspaces_of_one_task_are_told_apart_by_name() -> None:
    """A named workspace is one of its own, of the task at its path."""
    log = _Log()
    log.created("a", key="0.1", path="0.1")
    log.created("b", key="0.1.other", path="0.1", store="/h/stores/second/x.git")
    found = log.files().workspaces
    assert (found["0.1"].path, found["0.1"].name) == ("0.1", "")
    assert (found["0.1.other"].path, found["0.1.other"].name) == ("0.1", "other")


def test_shown_are_the_open_ones_and_else_the_last_of_each_repository() -> None:
    """Between two tasks the files are those that the last one left."""
    log = _Log()
    log.created("base", key="0.0", path="0.0")
    log.committed("first", key="0.0", path="0.0")
    between = log.removed(key="0.0", path="0.0")
    log.created("first", key="0.1", path="0.1")
    assert [(one.key, one.commit) for one in log.files(between).latest()] == [("0.0", "first")]
    assert [(one.key, one.commit) for one in log.files().latest()] == [("0.1", "first")]


def test_shown_is_what_was_changed_last_also_where_others_only_look() -> None:
    """Workspaces that tests or reviews lay out say nothing of what the run has made of the files."""
    log = _Log()
    log.created("base", key="0.0", path="0.0")
    log.committed("made", key="0.0", path="0.0")
    log.removed(key="0.0", path="0.0")
    log.created("base", key="0.1.before", path="0.1")
    looking = log.created("made", key="0.1.after", path="0.1")
    after = log.removed(key="0.1.after", path="0.1")
    log.removed(key="0.1.before", path="0.1")
    assert [one.key for one in log.files(looking).latest()] == ["0.1.after", "0.1.before"]
    assert [one.key for one in log.files(after).latest()] == ["0.0", "0.1.before"]
    assert [(one.key, one.commit) for one in log.files().latest()] == [("0.0", "made")]


def test_a_published_ref_is_where_it_was_put_until_it_is_taken_back() -> None:
    """Publishing and taking back are both told, by repository and ref."""
    log = _Log()
    put = log.say("workspace.published", repo="/r", commit="c", ref="refs/heads/twelvefold/x")
    gone = log.say("workspace.unpublished", repo="/r", commit="c", ref="refs/heads/twelvefold/x")
    ref = ("/r", "refs/heads/twelvefold/x")
    assert log.files(put).published[ref].commit == "c"
    assert log.files(gone).published[ref].commit == ""


def test_payloads_that_are_gone_or_of_any_shape_are_told_and_survived() -> None:
    """What was forgotten is named by position; what has a wrong shape says nothing."""
    log = _Log()
    for word in ("created", "committed", "removed", "published"):
        log.say(f"workspace.{word}", commit=7, folder=None, ref=[], store={})
    events = log.events()
    assert files_of(events) == RunFiles()
    lost = [
        Event(*[None if name == "payload" else getattr(one, name) for name in one.__struct_fields__]) for one in events
    ]
    assert files_of(lost).forgotten == (1, 2, 3, 4)


def test_files_are_where_a_served_effect_left_them() -> None:
    """In a fork, what is answered from its parent's record commits nothing, but its files count."""
    log = _Log()
    log.created("base")
    log.created("other", key="0.more")
    log.say("effect.completed", kind="tool", key="k", commit="done", commits={"more": "rest"}, recorded={"run": "b"})
    held = {key: one.commit for key, one in log.files().workspaces.items()}
    assert held == {"0": "done", "0.more": "rest"}
    log.say("effect.completed", kind="tool", key="l", commit="own")
    assert log.files().workspaces["0"].commit == "done"

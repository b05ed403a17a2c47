"""`twelvefold state` over a log at rest: forms, positions and moments, one run, differences, and what isn't there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from twelvefold.cli.boundary import rendered
from twelvefold.eventstore.event import new_event
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.projections.errors import ProjectionFailed

from .conftest import CommandLine

RUN_A, RUN_B = "0190" + "a" * 28, "0191" + "b" * 28
BEGIN_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
MINUTE_NS = 60_000_000_000


@pytest.fixture
def home(twelvefold: CommandLine) -> Path:
    """A home with two runs, an event a minute from 2026 on."""
    home = twelvefold.cwd / ".twelvefold"
    home.mkdir(mode=0o700)
    times = iter(range(BEGIN_NS, BEGIN_NS + 20 * MINUTE_NS, MINUTE_NS))
    log = SqliteLog(home / "log.db", clock=lambda: next(times))

    def append(type: str, data: Any, stream: str, run: str, **fields: Any) -> None:
        id = os.urandom(16)
        log.append(Append(events=[new_event(type, data, stream=stream, run=run, id=id, **fields)], source="fixer.1"))

    for run in (RUN_A, RUN_B):
        append("run.requested", {"plan": {"agent": "fixer"}, "labels": {"issue": "12"}}, f"run.{run}", run)
        append("run.started", {}, f"run.{run}", run, seen=1)
        append("task.requested", {"path": "0", "agent": "fixer", "attempt": 1}, f"run.{run}", run, seen=1, to="fixer")
    append("task.failed", {"reason": "bad"}, f"task.{RUN_A}.0", RUN_A)
    append("run.failed", {"reason": "bad"}, f"run.{RUN_A}", RUN_A, seen=7)
    log.close()
    return home


def test_rows_as_of_the_end(twelvefold: CommandLine, home: Path) -> None:
    """Each row has the parts of its key and its fields; times are RFC 3339; position and time say as of when."""
    shown = twelvefold("state", "runs", "--json")
    assert (shown.status, shown.err) == (0, "")
    assert {name: shown.json[name] for name in ("projection", "run", "position", "time")} == {
        "projection": "runs", "run": None, "position": 8, "time": "2026-01-01T00:07:00.000000Z"
    }  # fmt: skip
    first, second = shown.json["rows"]
    assert (first["run"], first["state"], first["outcome"], first["reason"]) == (RUN_A, "ended", "failed", "bad")
    assert (first["requested"], first["ended"]) == ("2026-01-01T00:00:00.000000Z", "2026-01-01T00:07:00.000000Z")
    assert (second["state"], second["outcome"], second["labels"]) == ("open", None, {"issue": "12"})
    assert [row["run"] for row in twelvefold("state", "runs", "--jsonl").jsonl] == [RUN_A, RUN_B]
    table = twelvefold("state", "runs")
    assert table.out.splitlines()[0].split() == ["RUN", "STATE", "OUTCOME", "REQUESTED", "TASKS", "REASON"]
    assert "as of position 8" in table.err


@pytest.mark.parametrize(
    ("at", "position"),
    [
        ("0", 0),
        ("1", 1),
        ("7", 7),
        ("end", 8),
        ("2026-01-01T00:02:30Z", 3),
        ("2026-01-01T00:02Z", 3),
        ("2025-01-01", 0),
    ],
)
def test_positions_and_moments(twelvefold: CommandLine, home: Path, at: str, position: int) -> None:
    """A position counts itself, a moment all that had happened by then."""
    shown = twelvefold("state", "tasks", "--at", at, "--json").json
    assert shown["position"] == position
    assert len(shown["rows"]) == (position >= 3) + (position >= 6)


def test_one_run(twelvefold: CommandLine, home: Path) -> None:
    """All that is known of a run, and what the run alone did to what others share in."""
    whole = twelvefold("state", "--run", RUN_A[:6], "--json").json
    assert whole["run"] == RUN_A
    assert [row["state"] for row in whole["projections"]["tasks"]] == ["failed"]
    assert twelvefold("state", "agents", "--json").json["rows"][0]["requested"] == 2
    assert twelvefold("state", "agents", "--run", RUN_A, "--json").json["rows"][0]["requested"] == 1
    assert twelvefold("state", "tasks", "--run", RUN_A, "--at", "3", "--json").json["rows"][0]["state"] == "requested"


def test_the_difference_of_two_positions(twelvefold: CommandLine, home: Path) -> None:
    """Rows that came, went and changed, each with the fields that differ, before and after."""
    shown = twelvefold("state", "runs", "--at", "3", "--at", "end", "--json").json
    assert (shown["from"]["position"], shown["to"]["position"]) == (3, 8)
    changed, added = shown["changes"]
    assert (changed["change"], changed["row"]) == ("changed", {"run": RUN_A})
    assert changed["fields"]["outcome"] == {"before": None, "after": "failed"}
    assert changed["fields"]["ended"] == {"before": None, "after": "2026-01-01T00:07:00.000000Z"}
    assert "requested" not in changed["fields"]
    assert (added["change"], added["row"]) == ("added", {"run": RUN_B})
    (gone,) = twelvefold("state", "tasks", "--at", "end", "--at", "3", "--jsonl").jsonl[1:]
    assert (gone["change"], gone["row"]) == ("removed", {"run": RUN_B, "path": "0"})
    words = twelvefold("state", "runs", "--at", "3", "--at", "8").out
    assert f"~ runs {RUN_A}" in words
    assert "    outcome: null -> failed" in words


def test_the_list(twelvefold: CommandLine, home: Path) -> None:
    """What there is, and how far each is folded: nothing is, where nobody has asked for much yet."""
    shown = twelvefold("state", "--json").json
    assert shown["head"] == 8
    runs = next(row for row in shown["projections"] if row["projection"] == "runs")
    assert (runs["state"], runs["position"], runs["lag"]) == ("behind", 0, 8)


@pytest.mark.parametrize(
    ("arguments", "status", "code"),
    [
        (("state", "nothing"), 3, "E500"),
        (("state", "runs", "--at", "9"), 3, "E506"),
        (("state", "runs", "--at", "yesterday-ish"), 2, "E0"),
        (("state", "runs", "--run", "ffff"), 3, "E3"),
        (("state", "runs", "--at", "1", "--at", "2", "--at", "3"), 2, "E0"),
        (("state", "runs", "--json", "--jsonl"), 2, "E0"),
    ],
)
def test_what_is_not_there(
    twelvefold: CommandLine, home: Path, arguments: tuple[str, ...], status: int, code: str
) -> None:
    """Each wrong question has its exit status and a code."""
    shown = twelvefold(*arguments)
    assert (shown.status, shown.out) == (status, "")
    assert f"error[{code}" in shown.err


def test_a_home_without_a_log(twelvefold: CommandLine) -> None:
    """Without a log there is no state of anything, said as other commands say it."""
    (twelvefold.cwd / ".twelvefold").mkdir()
    assert twelvefold("state", "runs").status == twelvefold("log").status != 0


def test_a_task_whose_plan_was_taken_is_planned(twelvefold: CommandLine, home: Path) -> None:
    """It doesn't read `open`, which would say that it still works, neither in rows nor in differences."""
    log = SqliteLog(home / "log.db")
    request = log.read(run=RUN_B, type="task.requested")[0]
    planned = new_event(
        "task.planned", {"plan": {"agent": "x"}}, stream=f"task.{RUN_B}.0", run=RUN_B, id=b"p" * 16, cause=request.id
    )
    log.append(Append(events=[planned], source="fixer.1"))
    log.close()
    (row,) = twelvefold("state", "tasks", "--run", RUN_B, "--json").json["rows"]
    assert row["state"] == "planned"
    assert "planned" in twelvefold("state", "tasks").out
    (change,) = twelvefold("state", "tasks", "--at", "8", "--at", "9", "--json").json["changes"]
    assert change["fields"]["state"] == {"before": "requested", "after": "planned"}


@pytest.mark.parametrize(
    "arguments", [("runs",), ("state",), ("state", "tasks"), ("log",), ("trace", "export", "--status")]
)
def test_where_only_imported_runs_are(twelvefold: CommandLine, home: Path, arguments: tuple[str, ...]) -> None:
    """What asks for the home's own log says that imported runs are there and how to see them."""
    assert twelvefold("export", RUN_A, "a.run").status == 0
    elsewhere = {"TWELVEFOLD_HOME": str(twelvefold.cwd / "elsewhere")}
    assert twelvefold("import", "a.run", **elsewhere).status == 0
    shown = twelvefold(*arguments, **elsewhere)
    assert (shown.status, shown.out) == (3, "")
    assert "only imported runs are here" in shown.err
    assert "help: twelvefold runs --imported" in shown.err
    assert RUN_A in twelvefold("runs", "--imported", **elsewhere).out
    assert "failed" in twelvefold("state", "tasks", "--run", RUN_A, **elsewhere).out


def test_no_words_of_an_event_steer_a_terminal(twelvefold: CommandLine, home: Path) -> None:
    """Controls in a reason are written as escapes, in tables, differences and errors; a row stays one line."""
    log = SqliteLog(home / "log.db")
    hostile = {"reason": "\x1b]0;owned\x07\nsecond \x9b31m\u202e line"}
    event = new_event("run.failed", hostile, stream=f"run.{RUN_B}", run=RUN_B, id=os.urandom(16), seen=6)
    position = log.append(Append(events=[event], source="test.1"))
    log.close()
    assert position
    outputs = [twelvefold("state", "runs", *arguments) for arguments in ((), ("--at", "8", "--at", "9"))]
    for said in [
        *(done.out + done.err for done in outputs),
        rendered(ProjectionFailed("mine", 1, "a.b", "\x1b[31mred")),
    ]:
        assert "\\u001b" in said
        assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(said)
    assert len(twelvefold("state", "runs").out.splitlines()) == 3


def test_a_narrow_terminal_hides_no_column(twelvefold: CommandLine, home: Path) -> None:
    """Where the headings don't fit any more, rows are broken by the terminal, and every value is there in one piece."""
    narrow = twelvefold.on_terminal("state", "runs", columns=40, NO_COLOR="1")
    assert all(word in narrow.out for word in ("OUTCOME", "REASON", "failed", RUN_A, "2026-01-01T00:00:00.000000Z"))


@pytest.mark.parametrize("options", [("--check", "--decisions"), ("--json",), ()])
def test_a_replay_up_to_before_the_beginning_is_refused(
    twelvefold: CommandLine, home: Path, options: tuple[str, ...]
) -> None:
    """There is a run, and nothing of it up to there: that is neither the same as today's, nor a run that is missing."""
    done = twelvefold("replay", RUN_B, "--to", "3", *options)
    assert (done.status, done.out) == (2, "")
    assert f"run {RUN_B} begins at position 4" in done.err
    assert twelvefold("replay", RUN_B, "--to", "4", "--check", "--decisions").status == 0


def test_the_inbox_tells_of_parked_projections(twelvefold: CommandLine, home: Path) -> None:
    """Until the event that tells that it goes on, and not of those that aren't there any more."""
    log = SqliteLog(home / "log.db")

    def happen(type: str, name: str) -> str:
        event = new_event(type, {"projection": name}, stream=f"projection.{name}", id=os.urandom(16))
        log.append(Append(events=[event], source="projector.1"))
        said = twelvefold("inbox")
        assert (said.status, said.out) == (0, "")
        return said.err

    assert "projection runs\n" in happen("projection.parked", "runs")
    assert "projection runs, projection tasks\n" in happen("projection.parked", "tasks")
    assert "projection tasks\n" in happen("projection.resumed", "runs")
    assert happen("projection.resumed", "tasks") == "nothing waits for a human\n"
    assert happen("projection.parked", "removed") == "nothing waits for a human\n"
    log.close()


def test_sums_are_shown_in_their_table(twelvefold: CommandLine, home: Path) -> None:
    """A row of the metrics that has more than one value shows them all."""
    lines = [line.split(maxsplit=2) for line in twelvefold("state", "metrics").out.splitlines()]
    assert ["type", "run.requested", "2"] in lines
    assert [told for kind, _, told in lines if kind == "runs" and "ended.failed 1" in told]
    assert "-" not in [told for _, _, told in lines]

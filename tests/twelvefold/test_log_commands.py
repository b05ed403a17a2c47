"""log, verify and backup over a log at rest: filters, forms, following, and damage."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from twelvefold.errors import MomentInvalid
from twelvefold.eventstore.event import NewEvent, new_event
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.moments import parse_moment

from .conftest import CommandLine

ENVELOPE = [
    "position",
    "stream",
    "version",
    "id",
    "type",
    "schema",
    "time",
    "source",
    "run",
    "cause",
    "trace",
    "data",
    "hash",
]
RUN_A, RUN_B = "0190" + "a" * 28, "0191" + "b" * 28
BEGIN_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
MINUTE_NS = 60_000_000_000


def append(log: SqliteLog, type: str, data: Any = None, source: str = "fixer.1", **fields: Any) -> None:
    log.append(Append(events=[new_event(type, data, id=os.urandom(16), **fields)], source=source))


@pytest.fixture
def home(twelvefold: CommandLine) -> Path:
    """A home with ten events, a minute apart from 2026 on."""
    home = twelvefold.cwd / ".twelvefold"
    home.mkdir(mode=0o700)
    times = iter(range(BEGIN_NS, BEGIN_NS + 20 * MINUTE_NS, MINUTE_NS))
    log = SqliteLog(home / "log.db", clock=lambda: next(times))
    for n in range(4):
        append(log, "demo.happened", {"n": n, "text": "é\u009b[31m"}, stream="demo.1")
    append(log, "run.requested", {"plan": {}}, stream=f"run.{RUN_A}", run=RUN_A, source="cli.1")
    append(log, "task.requested", {"path": "0"}, stream=f"run.{RUN_A}", run=RUN_A, to="echo", source="orchestrator.1")
    append(log, "task.failed", {"reason": "x"}, stream=f"task.{RUN_A}.0", run=RUN_A)
    append(log, "run.requested", {"plan": {}}, stream=f"run.{RUN_B}", run=RUN_B, source="cli.1")
    append(log, "demo.ended", None, stream="demo.2")
    append(log, "demo.happened", [1.10, 12345678901234567890], stream="demo.1")
    log.close()
    return home


def positions(twelvefold: CommandLine, *arguments: str) -> list[int]:
    shown = twelvefold("log", "--jsonl", *arguments)
    assert (shown.status, shown.err) == (0, "")
    return [row["position"] for row in shown.jsonl]


def test_envelope(twelvefold: CommandLine, home: Path) -> None:
    """Each JSON line has exactly the promised keys in their order; ids are hex, times RFC 3339, absent things null."""
    first, *_, last = twelvefold("log", "--jsonl").jsonl
    assert list(first) == ENVELOPE
    assert (first["position"], first["stream"], first["version"]) == (1, "demo.1", 1)
    assert re.fullmatch("[0-9a-f]{32}", first["id"])
    assert re.fullmatch("[0-9a-f]{64}", first["hash"])
    assert (first["type"], first["source"], first["time"]) == (
        "demo.happened",
        "fixer.1",
        "2026-01-01T00:00:00.000000Z",
    )
    assert (first["run"], first["cause"], first["trace"]) == (None, None, None)
    assert first["data"] == {"n": 0, "text": "é\u009b[31m"}
    assert last["data"] == [1.1, 12345678901234567890]


def test_json_is_one_document(twelvefold: CommandLine, home: Path) -> None:
    """`--json` prints what `--jsonl` prints, as one list; an empty one where nothing matches."""
    assert twelvefold("log", "--json").json == twelvefold("log", "--jsonl").jsonl
    assert twelvefold("log", "--json", "--type", "nothing.*").json == []
    assert positions(twelvefold, "--type", "nothing.*") == []


def test_one_event_is_one_line_however_its_data_was_written(twelvefold: CommandLine, home: Path) -> None:
    """Data that came from a laid-out file, line breaks and all, breaks no line of `--jsonl` and `--oneline`."""
    log = SqliteLog(home / "log.db")
    event = NewEvent(type="demo.laid_out", payload='{\r\n  "a": [1e999,\r\n 2],\n "b": "x\\ny"\r}', id=os.urandom(16))
    log.append(Append(events=[event]))
    log.close()
    asked = ("--type", "demo.laid_out")
    (line,) = twelvefold("log", "--jsonl", *asked).out.encode().splitlines()
    assert json.loads(line)["data"] == {"a": [float("inf"), 2], "b": "x\ny"}
    (line,) = twelvefold("log", "--oneline", *asked).out.encode().splitlines()
    assert b"\r" not in line and b'"b"' in line


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (["--type", "demo.happened"], [1, 2, 3, 4, 10]),
        (["--type", "demo.*"], [1, 2, 3, 4, 9, 10]),
        (["--type", "*"], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),
        (["--stream", "demo.1"], [1, 2, 3, 4, 10]),
        (["--stream", "demo.*"], [1, 2, 3, 4, 9, 10]),
        (["--run", RUN_A], [5, 6, 7]),
        (["--run", "0190"], [5, 6, 7]),
        (["--run", "run.0191"], [8]),
        (["--run", RUN_A, "--type", "task.*"], [6, 7]),
        (["--source", "cli.1"], [5, 8]),
        (["--after", "8"], [9, 10]),
        (["--limit", "3"], [1, 2, 3]),
        (["--limit", "0"], []),
        (["--reverse", "--limit", "3"], [10, 9, 8]),
        (["--reverse", "--type", "demo.*", "--after", "2", "--limit", "3"], [10, 9, 4]),
        (["--since", "2026-01-01T00:04:00Z"], [5, 6, 7, 8, 9, 10]),
        (["--since", "2026-01-01T01:04:00.5+01:00", "--until", "2026-01-01T00:07"], [6, 7, 8]),
        (["--until", "2026-01-01T00:00:00Z"], [1]),
        (["--until", "2025-12-31"], []),
        (["--since", "2030-01-01"], []),
        (["--until", "2026-01-01T00:05Z", "--reverse", "--limit", "2"], [6, 5]),
    ],
)
def test_filters(twelvefold: CommandLine, home: Path, arguments: list[str], expected: list[int]) -> None:
    """Each option narrows what is shown, alone and together with others."""
    assert positions(twelvefold, *arguments) == expected


def test_more_than_a_page(twelvefold: CommandLine, home: Path) -> None:
    """Logs longer than a page come whole, in order, forwards and backwards, with and without a limit."""
    log = SqliteLog(home / "log.db")
    log.append(Append(events=[new_event("bulk.added", n, stream="bulk.1", id=os.urandom(16)) for n in range(2500)]))
    log.close()
    assert positions(twelvefold) == list(range(1, 2511))
    assert positions(twelvefold, "--reverse") == list(range(2510, 0, -1))
    assert positions(twelvefold, "--limit", "1500", "--after", "5") == list(range(6, 1506))
    assert positions(twelvefold, "--type", "bulk.*") == list(range(11, 2511))


def test_lines_for_people(twelvefold: CommandLine, home: Path) -> None:
    """Without a form asked for, there is a line for each event, `--data` adds its data, `--oneline` has all in one."""
    lines = twelvefold("log").out.splitlines()
    assert len(lines) == 11
    assert lines[0].split() == ["POSITION", "TIME", "TYPE", "STREAM@VERSION", "SOURCE"]
    assert lines[7].split() == ["7", "2026-01-01T00:06:00.000000Z", "task.failed", f"task.{RUN_A}.0@1", "fixer.1"]
    with_data = twelvefold("log", "--data", "--after", "6", "--limit", "1").out
    assert '"reason": "x"' in with_data
    assert (
        twelvefold("log", "--oneline", "--after", "9").out == "10 demo.happened demo.1@5 [1.1,12345678901234567890]\n"
    )


def test_data_cannot_command_the_terminal(twelvefold: CommandLine, home: Path) -> None:
    """Control characters in somebody's data are shown as escapes, in every form that people read."""
    for form in ("--data", "--oneline"):
        shown = twelvefold("log", form, "--limit", "1").out
        assert "\u009b" not in shown
        assert "\\u009b" in shown
        assert "é" in shown


def test_oneline_fits_a_terminal(twelvefold: CommandLine, home: Path) -> None:
    """On a terminal a line ends at its edge."""
    shown = twelvefold.on_terminal("log", "--oneline", columns=50, NO_COLOR="1").out.splitlines()
    assert len(shown) == 10
    assert "…" in shown[0]
    assert max(len(line) for line in shown[:4]) == 50


def test_no_match_is_said_to_people(twelvefold: CommandLine, home: Path) -> None:
    """Nothing found is an empty answer with status 0, and a word on stderr."""
    shown = twelvefold("log", "--type", "nothing.*")
    assert (shown.status, shown.out, shown.err) == (0, "", "no events match\n")


def test_ambiguous_prefix(twelvefold: CommandLine, home: Path) -> None:
    """A prefix of two runs is exit 2 and names both; the command in its help works."""
    shown = twelvefold("log", "--run", "019")
    assert (shown.status, shown.out) == (2, "")
    assert shown.err.startswith("error[E008]")
    assert RUN_A in shown.err
    assert RUN_B in shown.err
    assert twelvefold.shell(shown.help).status == 0


def test_unknown_run(twelvefold: CommandLine, home: Path) -> None:
    """A run that there is not is exit 3."""
    shown = twelvefold("log", "--run", "ffff")
    assert (shown.status, shown.out) == (3, "")
    assert "ffff" in shown.err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--type", "Task.*"], "E011"),
        (["--stream", "a b"], "E011"),
        (["--since", "yesterday"], "E007"),
        (["--follow", "--json"], "E004"),
        (["--follow", "--reverse"], "E004"),
        (["--follow", "--until", "1h"], "E004"),
        (["--json", "--jsonl"], "E004"),
    ],
)
def test_senseless_options(twelvefold: CommandLine, home: Path, arguments: list[str], code: str) -> None:
    """Options that make no sense are exit 2, with a help line that works."""
    shown = twelvefold("log", *arguments)
    assert (shown.status, shown.out) == (2, "")
    assert shown.err.startswith(f"error[{code}]")
    assert twelvefold.shell(shown.help).status == 0


def test_follow_shows_what_is_appended(twelvefold: CommandLine, home: Path) -> None:
    """`-f` goes on with events appended by another process, filtered, and ends at Ctrl-C with 130."""
    process = twelvefold.start("log", "-f", "--jsonl", "--type", "demo.*", "--after", "9")
    assert process.stdout is not None
    assert '"position":10,' in process.stdout.readline()
    log = SqliteLog(home / "log.db")
    append(log, "other.happened", stream="demo.1")
    append(log, "demo.happened", {"new": True}, stream="demo.1")
    assert '"position":12,' in process.stdout.readline()
    append(log, "demo.happened", stream="demo.1")
    assert '"position":13,' in process.stdout.readline()
    log.close()
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest, errors) == (130, "", "")


def test_follow_ends_at_its_limit(twelvefold: CommandLine, home: Path) -> None:
    """`-f --limit N` waits for N events and is done, so that a script can wait for one."""
    process = twelvefold.start("log", "-f", "--jsonl", "--after", "10", "--limit", "1")
    log = SqliteLog(home / "log.db")
    append(log, "demo.happened", stream="demo.1")
    log.close()
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert '"position":11,' in out


def test_sigterm_ends_with_143(twelvefold: CommandLine, home: Path) -> None:
    """SIGTERM is 143 and says nothing."""
    process = twelvefold.start("log", "-f", "--jsonl", "--after", "9")
    assert process.stdout is not None
    process.stdout.readline()
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (143, "")


def test_follow_into_a_closed_pipe_ends(twelvefold: CommandLine, home: Path) -> None:
    """`log -f | head -1` ends by itself with status 0 when the next event comes."""
    process = twelvefold.start("log", "-f", "--jsonl", "--after", "9")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    log = SqliteLog(home / "log.db")
    append(log, "demo.happened", stream="demo.1")
    log.close()
    assert process.wait(60) == 0
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()


def test_reading_a_log_in_use(twelvefold: CommandLine, home: Path) -> None:
    """log, verify and backup work while another process owns the log, and don't disturb it."""
    log = SqliteLog(home / "log.db")
    append(log, "demo.happened", stream="demo.1")
    assert positions(twelvefold, "--after", "10") == [11]
    assert twelvefold("verify").status == 0
    assert twelvefold("backup", "copy.db").status == 0
    append(log, "demo.happened", stream="demo.1")
    log.close()


def test_looking_leaves_the_log_alone(twelvefold: CommandLine, home: Path) -> None:
    """Reading and verifying change no byte of the log."""
    before = (home / "log.db").read_bytes()
    for arguments in (["log"], ["verify"], ["log", "--run", RUN_A]):
        assert twelvefold(*arguments).status == 0
    assert (home / "log.db").read_bytes() == before


@pytest.mark.parametrize("arguments", [["log"], ["log", "-f"], ["verify"], ["backup", "copy.db"]])
def test_without_a_log(twelvefold: CommandLine, arguments: list[str]) -> None:
    """Where nothing was ever started there is nothing to read: exit 3, in words, and nothing is made."""
    shown = twelvefold(*arguments)
    assert (shown.status, shown.out) == (3, "")
    assert shown.err.startswith("error[E111]")
    assert list(twelvefold.cwd.iterdir()) == []


def test_verify_a_sound_log(twelvefold: CommandLine, home: Path) -> None:
    """A sound log is ok, with its head and streams."""
    shown = twelvefold("verify", "--json")
    assert shown.status == 0
    keys = {"ok", "head", "hash", "forgotten", "streams", "blobs", "imports", "commits", "workspaces", "projections"}
    assert set(shown.json) == keys
    assert (shown.json["ok"], shown.json["head"], shown.json["streams"]) == (True, 10, 5)
    assert "10 events in 5 streams" in twelvefold("verify").out


def tamper(home: Path, statement: str) -> None:
    connection = sqlite3.connect(home / "log.db")
    for trigger in ("events_refuse_update", "events_refuse_delete"):
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute(statement)
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("statement", "position"),
    [
        ("UPDATE events SET data = '{\"n\":7}' WHERE position = 3", 3),
        ("UPDATE events SET type = 'demo.forged' WHERE position = 6", 6),
        ("DELETE FROM events WHERE position = 8", 8),
    ],
)
def test_verify_names_the_first_bad_position(
    twelvefold: CommandLine, home: Path, statement: str, position: int
) -> None:
    """A changed or missing event is exit 6, and its position is named, in words and in JSON."""
    tamper(home, statement)
    shown = twelvefold("verify")
    assert (shown.status, shown.out) == (6, "")
    assert f"at position {position}:" in shown.err
    told = twelvefold("verify", "--json")
    assert told.status == 6
    assert set(told.json) == {"ok", "code", "position", "message"}
    assert (told.json["ok"], told.json["position"]) == (False, position)


def test_verify_names_what_a_witness_misses(twelvefold: CommandLine, home: Path) -> None:
    """Where the end of the log is missing, the first missing position is named; damage outside of events has none."""
    words = (home / "log.head").read_text().split()
    (home / "log.head").write_text(" ".join(["12", *words[1:]]))
    told = twelvefold("verify", "--json")
    assert (told.status, told.json["code"], told.json["position"]) == (6, "E112", 11)
    (home / "log.head").unlink()
    tamper(home, "DROP INDEX events_to")
    told = twelvefold("verify", "--json")
    assert (told.status, told.json["code"], told.json["position"]) == (6, "E108", None)


def test_backup_is_a_log(twelvefold: CommandLine, home: Path) -> None:
    """A backup put into a new home shows and verifies the same events."""
    made = twelvefold("backup", "copy.db", "--json")
    assert made.status == 0
    assert set(made.json) == {"file", "head", "blobs_folder", "blobs", "imported_runs"}
    assert (made.json["file"], made.json["head"]) == (str(twelvefold.cwd / "copy.db"), 10)
    other = twelvefold.cwd / "other"
    other.mkdir()
    (twelvefold.cwd / "copy.db").rename(other / "log.db")
    assert twelvefold("verify", TWELVEFOLD_HOME=str(other)).status == 0
    assert twelvefold("log", "--jsonl", TWELVEFOLD_HOME=str(other)).out == twelvefold("log", "--jsonl").out


def test_backup_tells_of_imported_runs_that_it_leaves_out(twelvefold: CommandLine, home: Path) -> None:
    """They have a log of their own each, and lie beside this one."""
    assert "imported" not in twelvefold("backup", "none.db").err
    (home / "imports" / ("a" * 32)).mkdir(parents=True)
    assert "without 1 imported run:" in twelvefold("backup", "copy.db").err
    assert twelvefold("backup", "again.db", "--json").json["imported_runs"] == 1


def test_backup_never_overwrites(twelvefold: CommandLine, home: Path) -> None:
    """A file in the target's place is kept: exit 4."""
    (twelvefold.cwd / "copy.db").write_text("precious")
    shown = twelvefold("backup", "copy.db")
    assert (shown.status, shown.out) == (4, "")
    assert (twelvefold.cwd / "copy.db").read_text() == "precious"


def test_backup_into_a_missing_folder(twelvefold: CommandLine, home: Path) -> None:
    """The folder has to be there; the command in the help makes it."""
    shown = twelvefold("backup", "not/there/copy.db")
    assert shown.status == 3
    assert twelvefold.shell(f"{shown.help} && twelvefold backup not/there/copy.db").status == 0


NOW_NS = 1_800_000_000_000_000_000


@pytest.mark.parametrize(
    ("text", "back"),
    [
        ("5m", timedelta(minutes=5)),
        ("90s", timedelta(seconds=90)),
        ("1h30m", timedelta(hours=1.5)),
        ("1.5d", timedelta(days=1.5)),
        ("2w", timedelta(weeks=2)),
        ("250ms", timedelta(milliseconds=250)),
        ("now", timedelta(0)),
    ],
)
def test_spans(text: str, back: timedelta) -> None:
    """A span counts back from now."""
    assert parse_moment(text, NOW_NS) == NOW_NS - back // timedelta(microseconds=1) * 1000


def test_dates() -> None:
    """Dates and times are ISO 8601, in UTC unless they say otherwise."""
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    expected = (noon - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000
    for text in ("2026-01-31T12:00", "2026-01-31 12:00:00", "2026-01-31T12:00:00Z", "2026-01-31T14:00+02:00"):
        assert parse_moment(text, NOW_NS) == expected


@pytest.mark.parametrize("text", ["", "5", "m", "5 parsecs", "-5m", "2026-13-01", "5mm", "9" * 30 + "w"])
def test_no_moments(text: str) -> None:
    """Anything else is refused."""
    with pytest.raises(MomentInvalid):
        parse_moment(text, NOW_NS)

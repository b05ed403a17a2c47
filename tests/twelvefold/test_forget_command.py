"""`twelvefold forget`, over a log at rest and beside a bus."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from twelvefold.eventstore.event import new_event
from twelvefold.eventstore.forgetting import Forgetting, marks_of
from twelvefold.eventstore.forgotten import REQUESTED
from twelvefold.eventstore.log import Append
from twelvefold.eventstore.sqlite_log import SqliteLog
from twelvefold.orchestration.plan import Task

from ..conftest import eventually
from .conftest import COMMAND, DEADLINE_S, CommandLine
from .test_run_commands import TRIP, played, run_id, stored

FIXTURES = Path(__file__).parents[1] / "fixtures"
FIRST, SECOND, THIRD = run_id(1), run_id(2), run_id(3)


def home_of(twelvefold: CommandLine) -> Path:
    return twelvefold.cwd / ".twelvefold"


@pytest.fixture
def home(twelvefold: CommandLine) -> Path:
    """A home with a run that was undone, one that succeeded, and one that is open, each with files beside the log."""
    stored(twelvefold, played(TRIP, Task("good"), Task("slow")))
    home = home_of(twelvefold)
    for run in (FIRST, SECOND, THIRD):
        for file in (
            f"stores/abc/{run}.git/objects/one",
            f"workspaces/{run}/0/notes",
            f"patches/calc-1a2b3c/fix-{run}.patch",
        ):
            (home / file).parent.mkdir(parents=True, exist_ok=True)
            (home / file).write_text("x" * 5000)
    return home


def leftovers(home: Path, run: str) -> list[str]:
    """What lies beside the log of a run."""
    return sorted(str(file.relative_to(home)) for file in home.rglob("*") if run in file.name)


def test_nothing_is_forgotten_before_somebody_has_confirmed(twelvefold: CommandLine, home: Path) -> None:
    """A preview comes first; without a terminal only `--yes` goes on, on one a person is asked."""
    before = (home / "log.db").read_bytes()
    shown = twelvefold("forget", FIRST)
    assert (shown.status, FIRST in shown.out) == (2, True)
    assert f"twelvefold forget {FIRST} --yes" in shown.help
    assert twelvefold("forget", FIRST, "--dry-run").status == 0
    document = twelvefold("forget", FIRST, "--json").json
    assert (document["done"], document["runs"][0]["outcome"], document["runs"][0]["stores"]) == (False, "failed", 1)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "forget", FIRST], cwd=twelvefold.cwd, env=twelvefold.environment,
        stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs,
    )  # fmt: skip
    os.write(ours, b"n\n")
    assert process.wait(DEADLINE_S) == 1
    os.close(ours)
    os.close(theirs)
    assert (home / "log.db").read_bytes() == before
    assert len(leftovers(home, FIRST)) == 3


def test_an_imported_copy_is_removed_from_a_home_with_and_without_a_log(twelvefold: CommandLine, home: Path) -> None:
    """It says how much that has freed; the home's own runs aren't touched, and nothing is left to name afterwards."""
    os.mkfifo(home / "pipe")
    assert "E541" in twelvefold("import", str(home / "pipe")).err
    file = FIXTURES / "exported" / "format-1.run"
    told = twelvefold("import", str(file), "--json")
    assert told.status == 0, told.err
    run = told.json["run"]
    own = (home / "log.db").read_bytes()
    for has_log in (True, False):
        if not has_log:
            (home / "log.db").rename(home / "other.db")
            assert twelvefold("import", str(file)).status == 0
            assert "only imported runs are here" in twelvefold("inbox").err
        done = twelvefold("forget", run[:8], "--yes", "--json")
        assert done.status == 0, done.err
        freed = done.json["freed"]
        assert (freed["runs"], freed["payloads"], freed["disk_bytes"] > 0) == (1, 0, True)
        assert list((home / "imports").iterdir()) == []
        assert twelvefold("forget", run, "--yes").status == 3
    assert (home / "other.db").read_bytes() == own


@pytest.mark.parametrize("beside_a_bus", [False, True])
def test_a_forgotten_run_keeps_its_headers_and_its_outcome(
    twelvefold: CommandLine, home: Path, *, beside_a_bus: bool
) -> None:
    """Payloads, stores, workspaces and patches go; commands tell what there was, and what is gone."""
    whole = twelvefold("status", FIRST, "--json").json
    bus = twelvefold.start("bus") if beside_a_bus else None
    if bus is not None:
        eventually(lambda: twelvefold("emit", "demo.happened").status == 0)
    done = twelvefold("forget", FIRST, "--yes", "--json", "--reason", "too old")
    assert done.status == 0, done.err
    freed, log = done.json["freed"], done.json["log"]
    assert (freed["runs"], freed["stores"], freed["workspaces"], freed["patches"]) == (1, 1, 1, 1)
    assert freed["payloads"] == 10
    assert log["by"] == ("bus" if beside_a_bus else "command")
    assert leftovers(home, FIRST) == []
    assert len(leftovers(home, SECOND)) == 3

    left = twelvefold("status", FIRST, "--json")
    assert left.status == 1, "what became of it is still its outcome"
    assert left.json["forgotten"]["why"] == "too old"
    for key in ("run", "outcome", "reason", "requested", "ended", "elapsed_s", "undone", "cost"):
        assert left.json[key] == whole[key], key
    told = [[(one["path"], one["agent"], one["outcome"]) for one in of["tasks"]] for of in (left.json, whole)]
    assert told[0] == told[1]
    assert "was forgotten" in twelvefold("status", FIRST).err
    assert "good" in twelvefold("tree", FIRST).out
    assert "(forgotten)" in twelvefold("log", "--run", FIRST, "--data").out
    verdict = twelvefold("verify", "--json").json
    assert (verdict["ok"], verdict["forgotten"]) == (True, freed["payloads"])
    again = twelvefold("forget", FIRST, "--yes", "--json")
    assert (again.status, again.json["runs"][0]["already"], again.json["done"]) == (0, True, False)
    if bus is not None:
        bus.terminate()
        bus.communicate(timeout=DEADLINE_S)


def test_an_open_run_is_refused_and_age_leaves_it_out(twelvefold: CommandLine, home: Path) -> None:
    """By name an open or unknown run is an error, and nothing is done; by age what ended before a moment goes."""
    refused = twelvefold("forget", SECOND, THIRD, "--yes")
    assert (refused.status, "has not ended" in refused.err) == (4, True)
    assert twelvefold("forget", "ffff", "--yes").status == 3
    assert twelvefold("forget", "--yes").status == 2
    assert len(leftovers(home, SECOND)) == 3
    ended = twelvefold("status", FIRST, "--json").json["ended"]
    aged = twelvefold("forget", "--older-than", ended, "--dry-run", "--json").json["runs"]
    assert aged == []
    done = twelvefold("forget", "--older-than", "90d", "--yes", "--json").json
    assert sorted(one["run"] for one in done["runs"]) == [FIRST, SECOND]
    assert leftovers(home, SECOND) == []
    assert len(leftovers(home, THIRD)) == 3
    assert twelvefold("forget", "--older-than", "90d", "--yes").status == 0


@pytest.mark.parametrize("kind", ["stores", "workspaces", "patches"])
def test_what_a_killed_command_has_left_goes_with_the_next(twelvefold: CommandLine, home: Path, kind: str) -> None:
    """What lies beside the log of a run that counts as forgotten is freed by whoever forgets next."""
    (kept,) = (home / path for path in leftovers(home, FIRST) if path.startswith(kind))
    aside = home / "aside"
    kept.rename(aside)
    assert twelvefold("forget", FIRST, "--yes").status == 0
    aside.rename(kept)
    (home / "stores/abc/.forgotten-half.git").mkdir()
    assert leftovers(home, FIRST) == [str(kept.relative_to(home))]
    assert twelvefold("forget", SECOND, "--yes").status == 0
    assert leftovers(home, FIRST) == leftovers(home, SECOND) == leftovers(home, ".forgotten") == []


def test_what_a_killed_command_has_begun_is_brought_to_its_end(twelvefold: CommandLine, home: Path) -> None:
    """A run counts as forgotten from the request on; whoever forgets by age next frees what is still there of it."""
    with closing(SqliteLog(home / "log.db")) as log:
        wish = new_event(REQUESTED, {"outcome": "failed"}, stream=f"request.{FIRST}", run=FIRST, id=bytes(16))
        log.append(Append(events=[wish], marks=marks_of(log, [wish])))
        append, _ = Forgetting(log, None).step()
        log.append(Append(marks={}, frees=append.frees[:3]))
    assert twelvefold("status", FIRST, "--json").json["forgotten"]["done"] is False
    done = twelvefold("forget", "--older-than", "90d", "--yes", "--json")
    assert done.status == 0, done.err
    left = twelvefold("status", FIRST, "--json").json["forgotten"]
    assert (left["done"], left["freed"]["payloads"]) == (True, 7)
    assert leftovers(home, FIRST) == []


def test_the_guide_s_commands_do_what_it_says(twelvefold: CommandLine, home: Path) -> None:
    """Each command of docs/forget.md works, one after the other; a failed run's status is 1."""
    guide = (Path(__file__).parents[2] / "docs/forget.md").read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```", guide, re.MULTILINE | re.DOTALL)
    lines = [line.replace("RUN", FIRST) for block in blocks for line in block.splitlines()]
    assert len(lines) == 7
    for line in lines:
        done = twelvefold.shell(line)
        assert done.status == (1 if re.match("twelvefold (status|tree)", line) else 0), (line, done.err)
    assert leftovers(home, FIRST) == leftovers(home, SECOND) == []

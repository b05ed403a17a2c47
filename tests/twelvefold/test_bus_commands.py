"""emit and bus: events from the command line into a running bus, and what is said when none runs."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from .conftest import DEADLINE_S, CommandLine

Bus = subprocess.Popen[str]


def test_emit_prints_the_position(twelvefold: CommandLine, bus: Bus) -> None:
    """Each emit appends one event and prints where it stands; by then any reader sees it."""
    for n in (1, 2, 3):
        shown = twelvefold("emit", "demo.happened", "--data", json.dumps({"n": n}), "--stream", "demo.1")
        assert (shown.status, shown.out, shown.err) == (0, f"{n}\n", "")
        (event,) = twelvefold("log", "--jsonl", "--after", str(n - 1)).jsonl
        assert (event["type"], event["stream"], event["version"], event["data"]) == (
            "demo.happened",
            "demo.1",
            n,
            {"n": n},
        )


def test_emit_json_is_the_envelope(twelvefold: CommandLine, bus: Bus) -> None:
    """`emit --json` prints the event as `log --json` does; data defaults to null, stream to the type's first word."""
    shown = twelvefold("emit", "demo.happened", "--json")
    assert [shown.json] == twelvefold("log", "--json").json
    assert (shown.json["data"], shown.json["stream"]) == (None, "demo")


def test_data_is_kept_as_it_was_written(twelvefold: CommandLine, bus: Bus) -> None:
    """Data comes from the option, a file or standard input, and neither numbers nor letters change on the way."""
    text = '{"big": 12345678901234567890123, "cents": 1.10, "é": "\\u00e9"}'
    (twelvefold.cwd / "data.json").write_text(text + "\n")
    assert twelvefold("emit", "demo.happened", "--data", text).status == 0
    assert twelvefold("emit", "demo.happened", "--data", "@data.json").status == 0
    assert twelvefold("emit", "demo.happened", "--data", "-", stdin=text).status == 0
    lines = twelvefold("log", "--jsonl").out.splitlines()
    assert len(lines) == 3
    assert all(f'"data":{text}' in line for line in lines)


@pytest.mark.parametrize(
    ("data", "place"),
    [
        ("{n: 1}", "--data:1:2"),
        ('{"n": 1,\n "m": }', "--data:2:7"),
        ("", "--data:1:1"),
        ("[1, 2, NaN]", "--data:1:8"),
        ("{" * 3, "--data:1:2"),
        ("[" * 100_000, "--data:1:1"),
    ],
)
def test_bad_data_is_shown_with_its_place(twelvefold: CommandLine, data: str, place: str) -> None:
    """What isn't JSON is exit 2 with line, column and caret, found without a bus."""
    shown = twelvefold("emit", "demo.happened", "--data", "-" if len(data) > 1000 else data, stdin=data)
    assert (shown.status, shown.out) == (2, "")
    assert shown.err.startswith("error[E009]")
    assert place.replace("--data", "<stdin>" if len(data) > 1000 else "--data") in shown.err
    assert max(len(line) for line in shown.err.splitlines()) < 200


def test_missing_data_file(twelvefold: CommandLine) -> None:
    """A file that isn't there is exit 3 and named."""
    shown = twelvefold("emit", "demo.happened", "--data", "@nothing.json")
    assert shown.status == 3
    assert "nothing.json" in shown.err
    assert twelvefold.shell(shown.help).status == 0


@pytest.mark.parametrize("arguments", [["Demo.Happened"], ["demo..happened"], ["demo.happened", "--stream", "a b"]])
def test_bad_names(twelvefold: CommandLine, arguments: list[str]) -> None:
    """Names outside of the grammar are exit 2, found without a bus."""
    shown = twelvefold("emit", *arguments)
    assert (shown.status, shown.out) == (2, "")
    assert shown.err.startswith("error[E011]")


def test_reserved_types_are_refused(twelvefold: CommandLine, bus: Bus) -> None:
    """`emit` cannot forge what only the orchestrator may say; nothing is appended."""
    shown = twelvefold("emit", "run.succeeded", "--stream", "run." + "0" * 32)
    assert (shown.status, shown.out) == (4, "")
    assert shown.err.startswith("error[E205]")
    assert twelvefold("log", "--jsonl").jsonl == []


def test_emit_when_nothing_runs(twelvefold: CommandLine) -> None:
    """Without a bus `emit` ends at once with 5, and following its help leads to an event in the log."""
    twelvefold("init")
    shown = twelvefold("emit", "demo.happened")
    assert (shown.status, shown.out) == (5, "")
    assert shown.err.startswith("error[E201]")
    assert "twelvefold up" in shown.help


def test_emit_after_the_bus_was_killed(twelvefold: CommandLine, bus: Bus) -> None:
    """A socket that a killed bus left behind is not taken for a bus."""
    bus.kill()
    bus.wait(DEADLINE_S)
    assert twelvefold("emit", "demo.happened").status == 5


def test_a_home_has_one_bus(twelvefold: CommandLine, bus: Bus) -> None:
    """A second bus on the same home is refused with 4 and names the first; that one goes on."""
    shown = twelvefold("bus")
    assert shown.status == 4
    assert str(bus.pid) in shown.err
    assert twelvefold("emit", "demo.happened").out == "1\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_bus_ends_when_told(twelvefold: CommandLine, bus: Bus, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C end the bus with status 0; the next one goes on with the same log."""
    assert twelvefold("emit", "demo.happened").out == "1\n"
    bus.send_signal(number)
    assert bus.wait(DEADLINE_S) == 0
    again = twelvefold.start("bus")
    assert again.stderr is not None
    again.stderr.readline()
    assert twelvefold("emit", "demo.happened").out == "2\n"
    again.terminate()
    again.communicate(timeout=DEADLINE_S)


def test_reading_while_the_bus_runs(twelvefold: CommandLine, bus: Bus) -> None:
    """log, verify, backup and doctor work beside a running bus."""
    twelvefold("emit", "demo.happened")
    for arguments in (["log"], ["verify"], ["backup", "copy.db"], ["doctor"]):
        assert twelvefold(*arguments).status == 0, arguments
    findings = {finding["check"]: finding["message"] for finding in twelvefold("doctor", "--json").json}
    assert findings["bus"] == "the bus is running"


def test_follow_a_running_bus(twelvefold: CommandLine, bus: Bus) -> None:
    """`log -f` shows what is emitted while it runs."""
    process = (
        twelvefold.start("log", "-f", "--jsonl", "--limit", "2") if (twelvefold("emit", "a.b").status == 0) else None
    )
    assert process is not None
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["type"] == "a.b"
    twelvefold("emit", "c.d")
    out, _ = process.communicate(timeout=DEADLINE_S)
    assert json.loads(out)["type"] == "c.d"


def test_home_of_the_bus_is_private(twelvefold: CommandLine, bus: Bus, runtime_dir: Path) -> None:
    """Neither the home nor the sockets can be reached by other users."""
    for folder in (twelvefold.cwd / ".twelvefold", *runtime_dir.iterdir()):
        assert folder.stat().st_mode & 0o077 == 0

"""Output of processes: lines, log files, following them."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twelvefold.orchestration import process_output
from twelvefold.orchestration.errors import UnknownProcess
from twelvefold.orchestration.log_reading import LogFolder, LogLine
from twelvefold.orchestration.process_output import LINE_BYTES_MAX, Console, LineSplitter, LogFile, timestamp


@given(st.binary(max_size=200), st.lists(st.integers(0, 200)))
def test_lines_do_not_depend_on_how_the_bytes_arrive(data: bytes, cuts: list[int]) -> None:
    """However a stream is cut into reads, the same lines come out, and nothing but line ends is lost."""
    splitter = LineSplitter()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    lines = [line for start, end in itertools.pairwise(edges) for line in splitter.feed(data[start:end])]
    rest = splitter.rest()
    *whole, last = data.split(b"\n")
    assert lines == [line.removesuffix(b"\r") for line in whole]
    assert rest == ([last] if last else [])


def test_a_line_without_end_comes_in_pieces_of_bounded_size() -> None:
    """Megabytes without a newline are handed on piece by piece, all of them, and never held whole."""
    splitter = LineSplitter()
    pieces = [piece for _ in range(64) for piece in splitter.feed(b"x" * 65_536)]
    assert all(len(piece) <= LINE_BYTES_MAX for piece in pieces)
    assert sum(map(len, pieces)) + sum(map(len, splitter.rest())) == 64 * 65_536
    [whole, tail] = LineSplitter().feed(b"y" * (LINE_BYTES_MAX + 1) + b"\n")
    assert (len(whole), tail) == (LINE_BYTES_MAX, b"y")


def shown(folder: Path, *names: str) -> list[LogLine]:
    """What `logs` shows."""
    logs = LogFolder(folder, names)
    try:
        return list(logs.lines())
    finally:
        logs.close()


def test_log_files_are_turned_over_and_read_back_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that grows too large becomes `.log.1`, and both are shown in order; bytes that are no text too."""
    monkeypatch.setattr(process_output, "LOG_BYTES_MAX", 500)
    log = LogFile(tmp_path / "web.1.log")
    for number in range(15):
        log.write([b"line %d \xff" % number], 1_700_000_000 + number)
    log.close()
    assert (tmp_path / "web.1.log.1").exists()
    lines = shown(tmp_path)
    assert [line.text for line in lines] == [f"line {number} \ufffd" for number in range(15)]
    assert lines[0].time == timestamp(1_700_000_000) == "2023-11-14T22:13:20.000000Z"
    assert {line.name for line in lines} == {"web.1"}


def test_a_disk_that_takes_nothing_costs_lines_only(tmp_path: Path) -> None:
    """A log file that cannot be written says why, and works again once it can be."""
    folder = tmp_path / "logs"
    log = LogFile(folder / "web.1.log")
    log.write([b"lost"], 0)
    assert log.failed == "No such file or directory"
    folder.mkdir()
    log.write([b"kept"], 0)
    assert log.failed is None
    log.close()
    assert [line.text for line in shown(folder)] == ["kept"]


def test_logs_of_several_processes_are_merged_by_time_and_chosen_by_name(tmp_path: Path) -> None:
    """Lines of all processes come in the order of time; NAME takes all of a line, NAME.N one; others are refused."""
    for name, times in (("web.1", (1, 4)), ("web.2", (2, 5)), ("db.1", (3,)), ("supervisor", (0,))):
        log = LogFile(tmp_path / f"{name}.log")
        for time in times:
            log.write([name.encode()], time)
        log.close()
    texts = [[line.text for line in shown(tmp_path, *names)] for names in ((), ("WEB",), ("web.2", "db"))]
    assert texts[0] == ["supervisor", "web.1", "web.2", "db.1", "web.1", "web.2"]
    assert texts[1] == ["web.1", "web.2", "web.1", "web.2"]
    assert texts[2] == ["web.2", "db.1", "web.2"]
    with pytest.raises(UnknownProcess) as caught:
        LogFolder(tmp_path, ["nobody"]).check()
    assert caught.value.known == ("db", "supervisor", "web")


def test_following_sees_each_line_once_over_new_files_and_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower misses nothing and repeats nothing while files appear, grow by parts of lines, and are turned over."""
    monkeypatch.setattr(process_output, "LOG_BYTES_MAX", 300)
    first = LogFile(tmp_path / "web.1.log")
    first.write([b"before"], 1)
    folder = LogFolder(tmp_path)
    assert [line.text for line in folder.lines()] == ["before"]
    second = LogFile(tmp_path / "web.2.log")
    rounds = iter(range(12))

    def more() -> None:
        number = next(rounds)
        first.write([b"web.1 %d" % number], 2 + number)
        if number == 3:
            second.write([b"web.2 here"], 2.5 + number)

    seen: list[str] = []
    for line in folder.follow(more):
        seen.append(line.text)
        if line.text == "web.1 11":
            break
    folder.close()
    first.close()
    second.close()
    assert seen == [f"web.1 {n}" for n in range(4)] + ["web.2 here"] + [f"web.1 {n}" for n in range(4, 12)]


def test_a_terminal_that_does_not_read_costs_bounded_memory_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines for a stopped terminal are dropped beyond a bound; once it reads again it learns how many it missed."""
    monkeypatch.setattr(process_output, "CONSOLE_BYTES_MAX", 10_000)
    reader, writer = os.pipe()
    console = Console(writer, writer, colour=False)
    for number in range(20_000):
        console.lines("web.1", [b"line %d" % number], 0)
    received = b""
    while b"line 0\n" not in received:
        received += os.read(reader, 65_536)
    console.lines("web.1", [b"x" * 20_000], 0)
    while b"not shown" not in received:
        console.lines("web.1", [b"later"], 0)
        received += os.read(reader, 65_536)
    assert len(received) < 1_000_000
    os.close(reader)
    console.lines("web.1", [b"nobody reads this"], 0)
    console.close(10)
    os.close(writer)

"""Reads the log files that `process_output` writes: merged in the order of time, and followed as they grow.

Works on the files alone, so also after everything has ended. Holds one open file a process.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import msgspec

from .errors import UnknownProcess
from .process_output import LINE_BYTES_MAX, READ_BYTES, LineSplitter

_SUFFIX = ".log"
#: A line and the time before it.
_ENTRY_BYTES_MAX = LINE_BYTES_MAX + 64


class LogLine(msgspec.Struct, frozen=True, order=True):
    """One line that a process printed; `time` as in the file (RFC 3339, UTC)."""

    time: str
    name: str
    text: str


@dataclass
class _Followed:
    """One file that is being followed; survives its being turned over."""

    name: str
    path: Path
    file: BinaryIO
    splitter: LineSplitter = field(default_factory=lambda: LineSplitter(_ENTRY_BYTES_MAX))


class LogFolder:
    """The log files of one home; `names` (NAME or NAME.N, all where empty) chooses among them."""

    def __init__(self, folder: Path, names: Sequence[str] = ()) -> None:
        self._folder = folder
        self._names = [name.lower() for name in names]
        self._open: dict[str, _Followed] = {}

    def check(self) -> None:
        """Raise UnknownProcess where nothing has been printed under one of the names."""
        known = [path.name.removesuffix(_SUFFIX) for path in self._all_files()]
        for name in self._names:
            if not any(_fits(one, name) for one in known):
                raise UnknownProcess(name, tuple(sorted({_line_name(one) for one in known})))

    def lines(self) -> Iterator[LogLine]:
        """Yield what has been printed so far, in the order of time; `follow` continues after it."""
        streams = []
        for path in self._files():
            turned = path.with_name(path.name + ".1")
            name = path.name.removesuffix(_SUFFIX)
            if turned.exists():
                streams.append(_read(_Followed(name, turned, turned.open("rb")), close=True))
            if followed := self._follow_file(path):
                streams.append(_read(followed, close=False))
        yield from heapq.merge(*streams, key=lambda line: line.time)

    def follow(self, pause: Callable[[], None]) -> Iterator[LogLine]:
        """Yield what is printed from now on, for ever; calls `pause` when there is nothing new."""
        while True:
            fresh: list[LogLine] = []
            for path in self._files():
                if followed := self._follow_file(path):
                    fresh += _read(followed, close=False)
                    if not _is_current(followed):
                        followed.file.close()
                        del self._open[followed.name]
                        if again := self._follow_file(path):
                            fresh += _read(again, close=False)
            yield from sorted(fresh, key=lambda line: line.time)
            if not fresh:
                pause()

    def close(self) -> None:
        """Close the files."""
        for followed in self._open.values():
            followed.file.close()
        self._open.clear()

    def _all_files(self) -> list[Path]:
        # Not by `glob`: from Python 3.13 on it takes a closed folder for an empty one.
        try:
            return sorted(path for path in self._folder.iterdir() if path.suffix == _SUFFIX)
        except FileNotFoundError:
            return []

    def _files(self) -> list[Path]:
        found = self._all_files()
        chosen = [path.name.removesuffix(_SUFFIX) for path in found]
        if not self._names:
            return found
        return [path for path, one in zip(found, chosen, strict=True) if any(_fits(one, name) for name in self._names)]

    def _follow_file(self, path: Path) -> _Followed | None:
        name = path.name.removesuffix(_SUFFIX)
        if name not in self._open:
            try:
                self._open[name] = _Followed(name, path, path.open("rb"))
            except FileNotFoundError:
                return None  # turned over at this moment; the next look finds the new one
        return self._open[name]


def _read(followed: _Followed, *, close: bool) -> Iterator[LogLine]:
    """Yield the whole lines from where the file was read to."""
    while chunk := followed.file.read(READ_BYTES):
        for raw in followed.splitter.feed(chunk):
            stamp, _, text = raw.partition(b" ")
            yield LogLine(stamp.decode("ascii", "replace"), followed.name, text.decode("utf-8", "replace"))
    if close:
        followed.file.close()


def _is_current(followed: _Followed) -> bool:
    """Tell whether the open file is still the one under its name."""
    try:
        return os.path.samestat(os.fstat(followed.file.fileno()), followed.path.stat())
    except FileNotFoundError:
        return False


def _fits(one: str, name: str) -> bool:
    return name in (one.lower(), _line_name(one).lower())


def _line_name(one: str) -> str:
    """Return the name of the line that a place such as `fixer.1` belongs to."""
    stem, dot, number = one.rpartition(".")
    return stem if dot and number.isdigit() else one

"""Moves what processes print from their pipes to their log files and to the console, as the selector reports it."""

from __future__ import annotations

import selectors
import time
from pathlib import Path

from .process_output import Console, LogFile, OutputPipe

#: The supervisor's own messages lie in this log file.
SUPERVISOR_LOG = "supervisor"


class OutputPump:
    """All pipes of one supervisor; `console` is None where nobody looks."""

    def __init__(self, selector: selectors.BaseSelector, logs: Path, console: Console | None) -> None:
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._selector = selector
        self._logs = logs
        self._console = console
        self._files: dict[str, LogFile] = {}
        self._pipes: set[OutputPipe] = set()
        self._told: set[str] = set()

    def open(self, key: str) -> OutputPipe:
        """Make the pipe of a new process of a place, and its log file, which says that it has printed nothing yet."""
        pipe = OutputPipe(key)
        self._file(key).write([], time.time())
        self._pipes.add(pipe)
        self._selector.register(pipe.reader, selectors.EVENT_READ, lambda: self._move(pipe))
        return pipe

    def say(self, text: str) -> None:
        """Write a message of the supervisor itself."""
        self._write("", [text.encode()])

    def drain(self, timeout_s: float) -> None:
        """Move what is left, until all pipes have ended or the time is over; close them."""
        deadline = time.monotonic() + timeout_s
        while self._pipes and time.monotonic() < deadline:
            for pipe in list(self._pipes):
                self._move(pipe)
            if self._pipes:
                self._selector.select(0.02)
        for pipe in list(self._pipes):
            self._selector.unregister(pipe.reader)
            self._write(pipe.key, pipe.close())
        self._pipes.clear()
        for file in self._files.values():
            file.close()

    def _move(self, pipe: OutputPipe) -> None:
        before = pipe.reader
        lines, ended = pipe.read()
        if ended:
            self._selector.unregister(before)
            self._pipes.discard(pipe)
        self._write(pipe.key, lines)

    def _write(self, key: str, lines: list[bytes]) -> None:
        if not lines:
            return
        now = time.time()
        name = key or SUPERVISOR_LOG
        file = self._file(name)
        file.write(lines, now)
        if self._console is not None:
            self._console.lines(key, lines, now)
            if file.failed and name not in self._told:
                self._told.add(name)
                self._console.lines("", [f"cannot write {file.path}: {file.failed}".encode()], now)

    def _file(self, name: str) -> LogFile:
        if name not in self._files:
            self._files[name] = LogFile(self._logs / f"{name}.log")
        return self._files[name]

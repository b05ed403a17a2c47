"""What processes print: cut into lines, kept in a log file each, and shown with a prefix.

Memory is bounded whatever they print: a line is cut after LINE_BYTES_MAX, a log file is turned over at
LOG_BYTES_MAX, and a terminal that doesn't keep up misses lines (which it is told; the log file has them).
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from pathlib import Path
from typing import BinaryIO

LINE_BYTES_MAX = 16 * 1024
READ_BYTES = 64 * 1024
LOG_BYTES_MAX = 16 * 1024 * 1024
CONSOLE_BYTES_MAX = 4 * 1024 * 1024
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)


class LineSplitter:
    """Cuts a stream of bytes into lines without their end; holds at most one unfinished line of bytes_max."""

    def __init__(self, bytes_max: int = LINE_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that chunk completes; a line beyond the bound comes in pieces."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        lines = [piece for line in whole for piece in self._pieces(line.removesuffix(b"\r"))]
        while len(self._rest) > self._bytes_max:
            lines.append(self._rest[: self._bytes_max])
            self._rest = self._rest[self._bytes_max :]
        return lines

    def rest(self) -> list[bytes]:
        """Return the unfinished line, if there is one, and forget it."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []

    def _pieces(self, line: bytes) -> list[bytes]:
        if len(line) <= self._bytes_max:
            return [line]
        return [line[start : start + self._bytes_max] for start in range(0, len(line), self._bytes_max)]


class LogFile:
    """The log file of one place: each line with its time (RFC 3339, UTC), turned over to `….log.1` when large.

    A disk that takes no more costs lines, never the process: `failed` holds the reason until a write works again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.failed: str | None = None
        self._file: BinaryIO | None = None
        self._size = 0

    def write(self, lines: list[bytes], now: float) -> None:
        """Append lines."""
        stamp = timestamp(now).encode() + b" "
        text = b"".join(stamp + line + b"\n" for line in lines)
        try:
            if self._file is None or self._size + len(text) > LOG_BYTES_MAX:
                self._open(len(text))
            assert self._file is not None
            self._file.write(text)
            self._size += len(text)
            self.failed = None
        except OSError as error:
            self.failed = error.strerror or str(error)
            self.close()

    def close(self) -> None:
        """Close the file until the next write."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # a full disk again; `failed` has told it
                self._file.close()
            self._file = None

    def _open(self, more: int) -> None:
        self.close()
        self._size = self.path.stat().st_size if self.path.exists() else 0
        if self._size + more > LOG_BYTES_MAX:
            self.path.replace(self.path.with_name(self.path.name + ".1"))
            self._size = 0
        self._file = self.path.open("ab", buffering=0)


class OutputPipe:
    """The reading end of one process's stdout and stderr."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.reader, False)
        self._splitter = LineSplitter()

    def give_away(self) -> None:
        """Close the writing end here, once a child holds it."""
        if self.writer >= 0:
            os.close(self.writer)
            self.writer = -1

    def read(self) -> tuple[list[bytes], bool]:
        """Return the lines that are there, and whether this was the end (the pipe is closed then)."""
        try:
            chunk = os.read(self.reader, READ_BYTES)
        except BlockingIOError:
            return [], False
        if chunk:
            return self._splitter.feed(chunk), False
        os.close(self.reader)
        return self._splitter.rest(), True

    def close(self) -> list[bytes]:
        """Give up on a pipe that somebody still holds open; return its unfinished line."""
        self.give_away()
        os.close(self.reader)
        return self._splitter.rest()


class Console:
    """Prints prefixed lines from a thread of its own, so that a stopped terminal stops nobody's work."""

    def __init__(self, output: int, errors: int, colour: bool) -> None:
        self._fds = (output, errors)
        self._colour = colour
        self._width = 10
        self._queue: deque[tuple[int, bytes]] = deque()
        self._bytes = 0
        self._missed = 0
        self._changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._print, name="console", daemon=True)
        self._thread.start()

    def widen(self, keys: list[str]) -> None:
        """Make room for the prefixes of these processes."""
        self._width = max([self._width, *(len(key) for key in keys)])

    def lines(self, key: str, lines: list[bytes], now: float) -> None:
        """Show lines of a process on stdout; of the supervisor itself (key "") on stderr."""
        prefix = f"{time.strftime('%H:%M:%S', time.localtime(now))} {key or 'supervisor':<{self._width}} | ".encode()
        if self._colour and key:
            colour = _COLOURS[sum(key.encode()) % len(_COLOURS)]
            prefix = b"\x1b[%dm%b\x1b[0m" % (colour, prefix)
        text = b"".join(prefix + line.decode("utf-8", "replace").encode() + b"\n" for line in lines)
        with self._changed:
            if self._bytes + len(text) > CONSOLE_BYTES_MAX:
                self._missed += len(lines)
                return
            self._tell_missed()
            self._queue.append((0 if key else 1, text))
            self._bytes += len(text)
            self._changed.notify()

    def close(self, timeout_s: float) -> None:
        """Print what is left, for at most timeout_s."""
        with self._changed:
            self._tell_missed()
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def _tell_missed(self) -> None:
        if self._missed:
            note = f"… {self._missed} lines not shown, as this terminal is slow: twelvefold logs has them\n"
            self._queue.append((1, note.encode()))
            self._missed = 0

    def _print(self) -> None:
        closed = [False, False]
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if not self._queue:
                    return
                where, text = self._queue.popleft()
                self._bytes = max(0, self._bytes - len(text))
            while text and not closed[where]:
                try:
                    text = text[os.write(self._fds[where], text) :]
                except OSError:
                    closed[where] = True  # nobody reads any more (`up | head`): processes go on, log files have it all


def timestamp(now: float) -> str:
    """Return a Unix time as RFC 3339 in UTC with microseconds."""
    whole = int(now)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((now - whole) * 1e6):06d}Z"

"""Processes of a benchmark: a script started with a role, that speaks lines over its standard streams."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path


class Role:
    """One child process; `hear` waits for its line that starts with a word and returns the rest."""

    def __init__(self, script: str, *arguments: str, python: str = sys.executable) -> None:
        self.process = subprocess.Popen(
            [python, script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def hear(self, word: str) -> list[str]:
        """Wait for the line that starts with a word."""
        assert self.process.stdout
        for line in self.process.stdout:
            if line.startswith(word):
                return line.split()[1:]
        raise SystemExit(f"{self.process.args} ended before it said '{word}' (exit {self.process.wait()})")

    def tell(self, line: str) -> None:
        """Write a line to it."""
        assert self.process.stdin
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def stop(self) -> None:
        """End it, by force if it doesn't."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()


@contextlib.contextmanager
def stage() -> Iterator[tuple[Path, list[Role]]]:
    """A folder on the disk that the project lies on, and a list of roles that are stopped in reverse at the end."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    roles: list[Role] = []
    try:
        yield folder, roles
    finally:
        for role in reversed(roles):
            role.stop()
        shutil.rmtree(folder, ignore_errors=True)


def say(*words: object) -> None:
    """Tell the parent one line."""
    print(*words, flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def median(values: Sequence[float]) -> float:
    """The median, of at least one value."""
    return statistics.median(values)

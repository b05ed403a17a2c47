"""Where spans are sent: a file, standard output, or (in `otlp`) a receiver.

Owns the contract of a sink and those that need nothing but this process. Keeps: a file is whole or not there, unless it
is followed; then it grows by whole lines. A device or a pipe is written to, and never replaced.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

import msgspec

from ..errors import NotAccessible, OutputUnwritable
from ..projections.otlp_json import TAIL, document, head, span_json
from ..projections.span import Span
from .settings import TraceSettings


class Sent(msgspec.Struct, frozen=True):
    """What became of spans: how many arrived, how many the receiver will never take, and why not all have arrived.

    Those that are neither may be sent again.
    """

    delivered: int
    rejected: int = 0
    reason: str = ""


class Sink(Protocol):
    """Somewhere that spans go. `target` names it, for people and for what is remembered of it."""

    target: str

    def send(self, spans: Sequence[Span]) -> Sent:
        """Deliver spans; says what became of them, and raises only for what concerns this machine (NotAccessible)."""

    def close(self, *, good: bool = True) -> None:
        """Come to an end; what was sent stands if all went well."""


class FileSink:
    """A file of OTLP/JSON that is written anew: one document, which stands under its name when it is whole."""

    def __init__(self, path: Path, settings: TraceSettings) -> None:
        self.target = str(path)
        self._is_special = _is_special(path)
        #: A link to a file stays one: what it leads to is written.
        self._path = path if self._is_special else Path(os.path.realpath(path))
        self._making = self._path.with_name(f".{self._path.name}.{os.getpid()}.making")
        self._limits = settings.limits
        self._head = head(settings.resource)
        self._between = b""
        self._file: IO[bytes] | None = None

    def send(self, spans: Sequence[Span]) -> Sent:
        """Write spans behind those before them."""
        try:
            file = self._opened()
            for span in spans:
                file.write(self._between + span_json(span, self._limits))
                self._between = b","
        except OSError as error:
            raise _unwritable(self._path, error) from error
        return Sent(len(spans))

    def close(self, *, good: bool = True) -> None:
        """Give the file its name, or take it away."""
        try:
            if good:
                file = self._opened()
                file.write(TAIL)
                file.close()
                if not self._is_special:
                    self._making.replace(self._path)
        except OSError as error:
            good = False
            raise _unwritable(self._path, error) from error
        finally:
            if not good and self._file is not None:
                # A full disk refuses what is held back, too, and that the file can't be whole is known already.
                with suppress(OSError):
                    self._file.close()
                if not self._is_special:
                    self._making.unlink(missing_ok=True)

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            self._file = (self._path if self._is_special else self._making).open("wb")
            self._file.write(self._head)
        return self._file


class OutputSink:
    """Standard output: one document of OTLP/JSON."""

    target = "console"

    def __init__(self, settings: TraceSettings) -> None:
        self._limits = settings.limits
        self._between = head(settings.resource).decode()

    def send(self, spans: Sequence[Span]) -> Sent:
        """Write spans behind those before them; raises BrokenPipeError where nobody reads."""
        for span in spans:
            _put(self._between + span_json(span, self._limits).decode())
            self._between = ","
        return Sent(len(spans))

    def close(self, *, good: bool = True) -> None:
        """Write the end, if there was a beginning or all of it went well."""
        if good:
            begun = "" if self._between == "," else self._between
            _put(begun + TAIL.decode())


class LinesSink:
    """A file that grows by a document of OTLP/JSON a line, as collectors follow it; or standard output, where each span
    is such a line, as those who show what processes print cut lines that are long.
    """

    def __init__(self, path: Path | None, settings: TraceSettings) -> None:
        self.target = "console" if path is None else str(path)
        self._path = path
        self._settings = settings
        #: Not before the first line: until this process may export there, another one may be writing.
        self._is_mended = False

    def send(self, spans: Sequence[Span]) -> Sent:
        """Write spans as one line."""
        if not spans:
            return Sent(0)
        resource, limits = self._settings.resource, self._settings.limits
        if self._path is None:
            _put("".join(document(resource, [span], limits).decode() for span in spans), at_once=True)
            return Sent(len(spans))
        line = document(resource, list(spans), limits)
        if not self._is_mended:
            self._mend(self._path)
            self._is_mended = True
        try:
            with self._path.open("ab") as file:
                file.write(line)
        except OSError as error:
            raise _unwritable(self._path, error) from error
        return Sent(len(spans))

    def close(self, *, good: bool = True) -> None:
        """Nothing is held."""

    def _mend(self, path: Path) -> None:
        """Take away the half of a line that a killed process has left."""
        try:
            if not path.exists() or _is_special(path):
                return
            with path.open("r+b") as file:
                end = file.seek(0, os.SEEK_END)
                while end:
                    start = max(0, end - 65_536)
                    file.seek(start)
                    found = file.read(end - start).rfind(b"\n")
                    if found >= 0:
                        end = start + found + 1
                        break
                    end = start
                file.truncate(end)
        except OSError as error:
            raise _unwritable(path, error) from error


def _is_special(path: Path) -> bool:
    """Tell whether something is there that is neither a file nor a folder."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _put(text: str, *, at_once: bool = False) -> None:
    """Write to standard output; raises OutputUnwritable, and BrokenPipeError where nobody reads."""
    try:
        sys.stdout.write(text)
        if at_once:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputUnwritable(error.strerror or str(error)) from None


def _unwritable(path: Path, error: OSError) -> NotAccessible:
    return NotAccessible(str(path), error.strerror or str(error), f"ls -ld {path.parent}")

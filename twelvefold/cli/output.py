"""What commands print: styles, times, ids, JSON documents, JSON lines and tables.

Data goes to stdout; colour only to a terminal, as NO_COLOR, FORCE_COLOR and TERM=dumb say. A table on a terminal is
rich's and fits its width, where its headings do; elsewhere it is plain columns that are never cut.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, Any

import msgspec

from ..errors import OutputUnwritable

#: What a terminal obeys, but for the ends of lines and tabs: controls, DEL, the C1 controls (one of them begins an
#: escape sequence), and letters that turn the direction of a line.
_CONTROLS = (
    *(*range(9), *range(11, 32), *range(0x7F, 0xA0)),
    *(0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),
)
_ESCAPES = {code: f"\\u{code:04x}" for code in _CONTROLS}


class Style:
    """ANSI styles for one stream; returns texts unchanged where colour is not wanted."""

    def __init__(self, stream: IO[str] | None) -> None:
        self.coloured = wants_colour(stream)

    def _wrap(self, codes: str, text: str) -> str:
        return f"\x1b[{codes}m{text}\x1b[0m" if self.coloured and text else text

    def bold(self, text: str) -> str:
        """Return text in bold."""
        # A reset inside would end the bold too early.
        return self._wrap("1", text.replace("\x1b[0m", "\x1b[0;1m"))

    def dim(self, text: str) -> str:
        """Return text for what matters less."""
        return self._wrap("2", text)

    def red(self, text: str) -> str:
        """Return text for what has failed."""
        return self._wrap("1;31", text)

    def green(self, text: str) -> str:
        """Return text for what is well."""
        return self._wrap("32", text)

    def yellow(self, text: str) -> str:
        """Return text for what needs attention."""
        return self._wrap("33", text)

    def cyan(self, text: str) -> str:
        """Return text for names and hints."""
        return self._wrap("36", text)


def wants_colour(stream: IO[str] | None) -> bool:
    """Tell whether to colour what goes to a stream."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR", "") not in ("", "0"):
        return True
    return redraws(stream)


def on_terminal() -> bool:
    """Tell whether stdout is a terminal that a person looks at."""
    return sys.stdout is not None and sys.stdout.isatty()


def rfc3339(time_ns: int) -> str:
    """Return nanoseconds since the epoch as RFC 3339 in UTC, cut to microseconds."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds // 1000:06d}Z"


def in_units(size: int) -> str:
    """Return a number of bytes in its largest unit: 512 B, 1.5 KiB, 20 MiB."""
    amount, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB"]
    while amount >= 1024 and len(units) > 1:
        amount /= 1024
        units.pop(0)
    return f"{amount:.0f} {units[0]}" if amount >= 10 or units[0] == "B" else f"{amount:.1f} {units[0]}"


def harmless(text: str) -> str:
    """Return text with what a terminal would obey written as escapes, of which JSON has none left but a few."""
    return text.translate(_ESCAPES)


def write(text: str) -> None:
    """Write one line of data to stdout; raises OutputUnwritable, and BrokenPipeError where nobody reads."""
    if sys.stdout is not None:
        try:
            sys.stdout.write(text + "\n")
        except OSError as error:
            raise unwritable(sys.stdout, error) from None


def flush() -> None:
    """Send what was written to stdout on its way; raises as `write` does."""
    if sys.stdout is not None:
        try:
            sys.stdout.flush()
        except OSError as error:
            raise unwritable(sys.stdout, error) from None


def unwritable(stream: IO[str], error: OSError) -> OSError | OutputUnwritable:
    """Silence a stream that takes nothing any more, and return what is to be raised for it."""
    silence(stream)
    return error if isinstance(error, BrokenPipeError) else OutputUnwritable(error.strerror or str(error))


def note(text: str) -> None:
    """Write one line of progress or a hint to stderr; where nobody reads it the work goes on all the same."""
    if sys.stderr is not None:
        try:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
        except OSError:
            silence(sys.stderr)


def redraws(stream: IO[str] | None) -> bool:
    """Tell whether a line on this stream can be written anew: a terminal that understands more than letters."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def silence(stream: IO[str]) -> None:
    """Point a stream that takes nothing any more at nothing, so that the interpreter's last flush doesn't complain."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


def write_json(document: Any) -> None:
    """Write one JSON document, indented, to stdout."""
    write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def write_jsonl(line: Any) -> None:
    """Write one JSON object as one line to stdout."""
    write(msgspec.json.encode(line).decode())


def write_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, empty: str) -> None:
    """Write rows as a table; where there are none, only `empty` as a hint on stderr."""
    if not rows:
        note(empty)
        return
    cells = [[harmless(_cell(row.get(column))) for column in columns] for row in rows]
    headings = [column.replace("_", " ").upper() for column in columns]
    # Where not even the headings have room, columns would vanish: lines that the terminal breaks can be read.
    least = max(len(row[0]) for row in [headings, *cells]) + sum(2 + len(heading) for heading in headings[1:])
    if on_terminal() and least <= shutil.get_terminal_size().columns:
        _write_rich(headings, cells)
        return
    cells = [[cell.replace("\n", "\\n") for cell in row] for row in cells]
    widths = [max(len(row[n]) for row in [headings, *cells]) for n in range(len(columns))]
    for row in [headings, *cells]:
        write("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _write_rich(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    """Write a table that fits the terminal, long texts folded."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    coloured = wants_colour(sys.stdout)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for number, heading in enumerate(headings):
        # The first column names the row, so that it stays in one piece.
        table.add_column(heading, overflow="fold", no_wrap=number == 0)
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    # Without a colour system rich writes no escape codes at all, bold included.
    console = Console(color_system="auto" if coloured else None, highlight=False, force_terminal=coloured or None)
    console.print(table)

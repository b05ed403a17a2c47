"""How the steps of a run are shown to people, and the keys by which they go through them."""

from __future__ import annotations

import os
import shutil
import sys
from typing import IO, Any

import msgspec

from ..orchestration.run_fold import RunFold
from ..projections.stepping import ABSENT, Change, Step, Stepper
from ..run_steps import plain, state_document
from .event_lines import painted
from .output import Style, flush, harmless, note, on_terminal, rfc3339, write

#: A value takes so many letters at most where lines are not cut at the terminal's edge.
_VALUE_LENGTH_MAX = 200
_FORWARD = frozenset({"n", "j", "", " ", "\r", "\n", "\x1b[C", "\x1b[B"})
_BACK = frozenset({"b", "p", "k", "\x7f", "\x08", "\x1b[D", "\x1b[A"})
_KEYS = "n next, b back, g go to a position, s state, q quit"


class StepLines:
    """Writes steps: the event in one line, and below it each field that it changed."""

    def __init__(self, stream: IO[str]) -> None:
        self._style = Style(stream)
        self._width = shutil.get_terminal_size().columns if on_terminal() else None

    def write(self, step: Step, *, undone: bool = False) -> None:
        """Write one step; where it is `undone`, what was after it comes first."""
        event, style = step.event, self._style
        kind = painted(style, event.type, f"{event.type:<20}")
        sign = style.yellow("-") if undone else " "
        line = (
            f"{sign}{event.position:>8}  {style.dim(rfc3339(event.time)[11:])}  {kind}  {event.stream}@{event.version}"
        )
        write(f"{line}  {style.dim(event.source)}".rstrip())
        for change in step.changes:
            self._write_change(change, undone=undone)

    def _write_change(self, change: Change, *, undone: bool) -> None:
        style = self._style
        before, after = (change.after, change.before) if undone else (change.before, change.after)
        room = _VALUE_LENGTH_MAX if self._width is None else max((self._width - len(change.field) - 20) // 2, 16)
        old, new = (shown(value, room) for value in (before, after))
        write(f"{'':>11}{style.cyan(harmless(change.field))}  {style.dim(old)} → {new}")

    def write_state(self, fold: RunFold) -> None:
        """Write the state of a run, a field a line."""
        for name, value in state_document(fold.at_head).items():
            text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
            write(f"{self._style.cyan(name)}: {harmless(text)}")


def shown(value: Any, room: int = _VALUE_LENGTH_MAX) -> str:
    """Return a value as short text of at most so many letters; what isn't there is a dash."""
    if value is ABSENT:
        return "-"
    text = harmless(msgspec.json.encode(plain(value)).decode())
    return text if len(text) <= room else text[: room - 1] + "…"


def walk(stepper: Stepper[RunFold], lines: StepLines) -> None:
    """Go through a run as keys say, or the lines of standard input where it is no terminal, to their end."""
    with Keys() as keys:
        note(f"{len(stepper.events)} events; {_KEYS}")
        while (key := keys.next()) not in ("q", "\x04", None):
            word, _, rest = key.partition(" ") if key.strip() else (key, "", "")
            if key in _FORWARD or key in _BACK:
                forward = key in _FORWARD
                step = stepper.forward() if forward else stepper.back()
                if step is None:
                    note("this is the end" if forward else "this is the beginning")
                else:
                    lines.write(step, undone=not forward)
            elif word == "g" and (place := rest or keys.line("position: ").strip()).isdigit():
                stepper.go(int(place))
                note(f"after {stepper.number} of {len(stepper.events)} events")
                if stepper.number:
                    lines.write(stepper.step(stepper.number))
            elif word == "s":
                lines.write_state(stepper.state(stepper.number))
            else:
                note(_KEYS)
            flush()


class Keys:
    """The keys of a terminal, one by one without Enter, for as long as a `with` block lasts; elsewhere whole lines."""

    def __init__(self) -> None:
        self._number = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._before: list[Any] = []
        self._waiting = ""

    def __enter__(self) -> Keys:
        if self._number is not None:
            import termios
            import tty

            self._before = termios.tcgetattr(self._number)
            # What was typed ahead stays.
            tty.setcbreak(self._number, termios.TCSANOW)
        return self

    def __exit__(self, *_: object) -> None:
        if self._number is not None:
            import termios

            termios.tcsetattr(self._number, termios.TCSANOW, self._before)

    def next(self) -> str | None:
        """Return the next key, an arrow being one, or the next line; None at the end."""
        if self._number is None:
            line = sys.stdin.readline() if sys.stdin is not None else ""
            return line.rstrip("\n") if line else None
        if not self._waiting:
            self._waiting = os.read(self._number, 1024).decode("utf-8", "replace")
        length = 3 if self._waiting.startswith(("\x1b[", "\x1bO")) else 1
        key, self._waiting = self._waiting[:length], self._waiting[length:]
        return key.replace("\x1bO", "\x1b[") or None

    def line(self, prompt: str) -> str:
        """Ask for a line, shown as it is typed; "" where there is no terminal."""
        if self._number is None:
            return ""
        text = ""
        while True:
            sys.stderr.write(f"\r\x1b[K{prompt}{text}")
            sys.stderr.flush()
            key = self.next()
            if key in ("\r", "\n", None):
                sys.stderr.write("\n")
                return text
            text = text[:-1] if key in _BACK else text + key

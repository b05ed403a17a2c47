"""How far the export to a place has come: what survives the exporter, and what people are shown of it.

Owns the files `<home>/exports/<place>.json`, one for each place, and the rule that one process exports to a place. All
spans that closed up to `position` were delivered, or refused for good; what comes after is in the log. A file that is
lost or can't be read is an export from the beginning, which gives the same spans again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

_FOLDER = "exports"


class Progress(msgspec.Struct, kw_only=True):
    """How far an export is. Times are Unix times in nanoseconds, 0 for none.

    `open_runs` are the runs with open spans at `position`, and from where each is folded. `undelivered` counts spans
    that have closed and wait for a receiver that doesn't take them, `rejected` those it will never take. `log_hash` is
    the hash of the event at `position`, "" where it isn't known: it tells whether the log is still the same.
    """

    target: str
    position: int = 0
    log_hash: str = ""
    open_runs: dict[str, int] = {}
    delivered: int = 0
    rejected: int = 0
    undelivered: int = 0
    failing_since: int = 0
    reason: str = ""
    updated: int = 0


def progress_path(home: Path, place: str) -> Path:
    """Return the file of the export to a place; `place` is the whole URL or path, `target` may be shown."""
    return home / _FOLDER / f"{hashlib.sha256(place.encode()).hexdigest()[:16]}.json"


def read_progress(path: Path) -> Progress | None:
    """Return how far an export is, None where nothing is known of it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Progress)
    except (OSError, msgspec.DecodeError):
        return None


def all_progress(home: Path) -> list[Progress]:
    """Return how far each export of a home is, by its target."""
    return [one for one, _ in running_progress(home)]


def running_progress(home: Path) -> list[tuple[Progress, bool]]:
    """Return how far each export of a home is, by its target, and whether a process exports there now."""
    paths = (home / _FOLDER).glob("*.json")
    found = [(one, path) for path in paths if (one := read_progress(path)) is not None]
    return [
        (one, _is_locked(path.with_suffix(".lock"))) for one, path in sorted(found, key=lambda pair: pair[0].target)
    ]


def write_progress(path: Path, progress: Progress) -> None:
    """Write how far an export is, all of it or nothing; not synced, as an export may be repeated."""
    making = path.with_suffix(".making")
    making.write_bytes(msgspec.json.encode(progress))
    making.replace(path)


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


@contextmanager
def only_exporter(path: Path) -> Iterator[bool]:
    """Yield whether this process may export to a place; no other may until the end of the block."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        with suppress(OSError):
            os.close(lock)

"""The lock that keeps one supervisor a home."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from twelvefold.orchestration.errors import AlreadyUp
from twelvefold.orchestration.home_lock import Holder, HomeLock, holder_of


def test_one_has_it_and_others_are_told_who(tmp_path: Path) -> None:
    """The second is refused with the pid of the first, and let in once the first has let go."""
    lock = HomeLock.acquire(tmp_path, Holder(4711, "a"))
    with pytest.raises(AlreadyUp, match="4711"):
        HomeLock.acquire(tmp_path, Holder(4712, "b"))
    assert holder_of(tmp_path) == Holder(4711, "a")
    lock.release()
    assert holder_of(tmp_path) is None
    HomeLock.acquire(tmp_path, Holder(4712, "b")).release()


def test_looking_never_keeps_anybody_out(tmp_path: Path) -> None:
    """While others look who has it, as `ps` does, a free lock can be had each time."""
    HomeLock.acquire(tmp_path, Holder(1, "a")).release()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            holder_of(tmp_path)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    try:
        for _ in range(300):
            HomeLock.acquire(tmp_path, Holder(2, "b")).release()
    finally:
        done.set()
        for looker in lookers:
            looker.join()

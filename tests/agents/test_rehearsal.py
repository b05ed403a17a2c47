"""The rehearsal that agents share their memory by: it must leave the zygote fit for a fork, and change no behaviour."""

from __future__ import annotations

import json
import subprocess
import sys
from types import CodeType

import pytest

from twelvefold.agents.errors import RehearsalFailed
from twelvefold.agents.rehearsal import rehearse
from twelvefold.orchestration.memory_layout import Recorder, close_holes, pack

LOOK = """
import json, os, signal, sys
from twelvefold.agents.process import warm_up

def look():
    targets = sorted(os.path.basename(os.readlink(f"/proc/self/fd/{fd}")) for fd in os.listdir("/proc/self/fd")
                     if os.path.exists(f"/proc/self/fd/{fd}"))
    return {
        "threads": len(os.listdir("/proc/self/task")),
        "descriptors": [name for name in targets if name not in ("fd", "anon_inode:[landlock-ruleset]")],
        "path": sys.path,
        "handlers": [str(signal.getsignal(number)) for number in (signal.SIGTERM, signal.SIGINT)],
        "errors": os.fstat(2).st_ino,
        "variables": dict(os.environ),
    }

before = look()
warm_up()
print(json.dumps([before, look()]))
"""


def test_rehearsal_leaves_the_process_fit_for_a_fork() -> None:
    """After it there is one thread, no path entry, signal handler or descriptor more than before, and stderr works."""
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=60, check=True)
    before, after = json.loads(done.stdout)
    assert after == before
    assert before["threads"] == 1
    assert "rehearsed" not in done.stderr, "the lives of the rehearsal are nobody's news"


def test_rehearsal_tells_of_an_agent_that_fails() -> None:
    """A life that ends badly ends the rehearsal with its status."""
    with pytest.raises(RehearsalFailed) as raised:
        rehearse(lambda arguments: 7)
    assert raised.value.status == 7


def _adder(step: int):  # type: ignore[no-untyped-def]
    def add(number: int, *, more: int = 0) -> int:
        return number + step + sum(map(lambda each: each + step, [more]))  # noqa: C417  a function within it is the point

    return add


def test_packed_code_means_what_it_meant() -> None:
    """Closures, defaults and functions within functions work on after their code was moved, and are the same ones."""
    two, recorder = _adder(2), Recorder()
    with recorder.recording():
        assert two(1, more=5) == 10
    code: CodeType = two.__code__
    assert code in recorder.seen
    close_holes()
    pack(recorder.seen)
    assert two.__code__ is not code, "it was moved"
    assert two.__code__ == code
    assert (two(1, more=5), two(1), _adder(3)(1)) == (10, 5, 7)

"""Running tasks again, seen from outside: starts the sealed process, hands it tasks, and lays out files for it.

Owns how long a task may take, and what a process that ends in the middle of one means. Keeps: whatever a handler does
to its process, the other tasks are run; nothing that was started or laid out is left at the end.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import msgspec

from ..sandbox.errors import NotSealed
from .beginning import beginning
from .found import Rerun
from .kept import KeptRun
from .laying_out import LayingOut
from .record import TaskRecord
from .wire import HEAD_SIZE, Done, FromChild, LayOutFiles, Sealed, Work, from_child, send, size_of

#: How long the process may need to begin; a machine may be very busy.
_BEGIN_S = 120.0
#: How long it may need to end by itself.
_FAREWELL_S = 0.5
_SAID_LENGTH_MAX = 2000
#: No answer is as long as that.
_MESSAGE_BYTES_MAX = 1 << 30


class Replayer:
    """A sealed process that runs tasks again, one at a time; started when it is first needed, or by `begin`.

    `environ` is what agents find as their environment. A task that takes longer than `timeout_s` is `stuck`.
    """

    def __init__(self, environ: Mapping[str, str], timeout_s: float = 60.0) -> None:
        self.timeout_s = timeout_s
        self._environ = dict(environ)
        self._files = LayingOut()
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._sealed = False
        self._buffer = bytearray()

    def __enter__(self) -> Replayer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self) -> None:
        """Start the process without waiting for it, so that it gets ready meanwhile."""
        if self._process is None:
            self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
            command, environ = beginning(self._environ)
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
                env=environ, start_new_session=True,
            )  # fmt: skip
            self._sealed = False
            self._buffer.clear()

    def rerun(self, record: TaskRecord, target: str, folder: Path, kept: KeptRun) -> Rerun:
        """Run a task again; raises NotSealed where this machine can't keep the process from acting.

        `folder` is where the agent `target` is imported from, `kept` where the run's files are.
        """
        self.begin()
        self._await_seal()
        assert self._process is not None and self._process.stdin is not None
        deadline = time.monotonic() + self.timeout_s
        try:
            named = (target, str(folder), str(kept.home), str(kept.place))
            send(self._process.stdin.fileno(), Work(record, *named, kept.repositories))
            while True:
                said = self._next(deadline)
                if isinstance(said, Done):
                    return said.rerun
                if isinstance(said, LayOutFiles):
                    send(self._process.stdin.fileno(), self._files.answer(said, record.request.run, kept.place))
        except TimeoutError:
            self._end()
            return Rerun("stuck", problem=f"it has come to no end within {self.timeout_s:g} s")
        except msgspec.DecodeError:
            self._end()
            return Rerun("stuck", problem="its process has said what is no answer: something else wrote to its pipe")
        except (BrokenPipeError, EOFError):
            return Rerun("stuck", problem=f"its process has ended: {self._last_words()}")

    def close(self) -> None:
        """End the process, which holds nothing that is wanted any more, and remove all files."""
        self._end(wait_s=0.0)
        self._files.forget()

    def _await_seal(self) -> None:
        if self._sealed:
            return
        try:
            said = self._next(time.monotonic() + _BEGIN_S)
        except (TimeoutError, EOFError) as error:
            raise NotSealed(f"its process could not begin: {self._last_words()}") from error
        if not isinstance(said, Sealed) or said.problem:
            self._end()
            raise NotSealed(said.problem if isinstance(said, Sealed) else "it speaks out of turn")
        self._sealed = True

    def _next(self, deadline: float) -> FromChild:
        """Read the next message; raises TimeoutError, EOFError, and DecodeError for what is none."""
        size = size_of(self._read(HEAD_SIZE, deadline))
        if size > _MESSAGE_BYTES_MAX:
            raise msgspec.DecodeError
        return from_child(self._read(size, deadline))

    def _read(self, size: int, deadline: float) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        while len(self._buffer) < size:
            ready, _, _ = select.select([pipe], [], [], max(deadline - time.monotonic(), 0.0))
            if not ready:
                raise TimeoutError
            part = os.read(pipe, 1 << 20)
            if not part:
                raise EOFError
            self._buffer += part
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found

    def _last_words(self) -> str:
        """End the process and return how it ended, and what it said last."""
        process, errors = self._process, self._errors
        assert process is not None and errors is not None
        size = errors.seek(0, os.SEEK_END)
        errors.seek(max(size - _SAID_LENGTH_MAX, 0))
        said = errors.read().decode("utf-8", "replace").strip()
        status = self._end()
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        return f"{how}: {said.splitlines()[-1]}" if said else how

    def _end(self, wait_s: float = _FAREWELL_S) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        for pipe in (process.stdin, process.stdout, self._errors):
            if pipe is not None:
                pipe.close()
        deadline = time.monotonic() + wait_s
        # It is looked at without being reaped, so that its number, which names its group, is nobody else's yet.
        while not os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if time.monotonic() > deadline:
                break
            time.sleep(0.002)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # it, and whatever a handler started beside it
        return process.wait()

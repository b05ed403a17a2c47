"""The engine `command`: any coding program, run as a child in the workspace; its files are looked at afterwards.

Owns what such a program is given and how its end is judged. Leaves its containment to `guarded`, what is committed to
`finish`. Keeps: the program's own words never make a success, only files that differ do; whatever it did to `.git`,
left running or wrote elsewhere is no part of the result; and its changes go on only where it ended with 0.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

import msgspec

from ..context import TaskContext
from ..errors import TaskWithdrawn
from ..guarded import Execution, Limits, alone, run_guarded
from ..issue import Issue
from ..repositories.allowed import require
from ..repository_errors import RepositoryForbidden
from ..sandbox.confine import available
from ..tools.bench import Bench
from ..tools.commands import command_places
from ..working_copy import work_name
from ..workspace import Workspace, clear_strays
from .command_environment import command_environment, without_secrets
from .engine import FixResult, FixTask
from .finish import GROWTH_BYTES_MAX, disk_usage, finish, issue_hash
from .own_git import look_at, told_differences

#: How much of what the program says is kept.
TRANSCRIPT_BYTES_MAX = 4 << 20
MEMORY_BYTES_MAX = 8 << 30
#: How often the disk is looked at while the program is at work.
_DISK_INTERVAL_S = 2.0
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[^\n\t\x20-\x7e\u00a0-\U0010ffff]")
_DENIED = re.compile(r"permission denied|read-only file system|operation not permitted|\bEACCES\b|\bEPERM\b", re.I)
_HOW = "TWELVEFOLD_FIXER_COMMAND says which, such as 'claude -p'; it gets the issue on its standard input"


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one run of the program, as the log keeps it: the result, how it ended, all that it said."""

    result: FixResult
    command: list[str]
    exit_code: int | None
    stopped: str
    elapsed_s: float
    output_bytes: int
    contained: bool
    left_behind: list[str]
    transcript: str


class CommandEngine:
    """Runs the program that `task.command` or the setting `fixer_command` names."""

    name = "command"

    def fix(self, task: FixTask, issue: Issue, workspace: Workspace, context: TaskContext) -> FixResult | None:
        """Have the program change the workspace's files, as one effect that can be repeated, and commit them."""
        command = (task.command or context.settings.fixer_command).strip()
        if not command:
            message = f"no coding program is set ({_HOW})"
            return FixResult(outcome="needs_human", reason="no_command", message=message, mine=False)
        try:
            words = shlex.split(command)
        except ValueError as error:
            return FixResult(outcome="failed", reason="invalid_command", message=f"the command {command!r}: {error}")
        try:
            require(context, Path(task.repo), "commands", words)
        except RepositoryForbidden as error:
            return FixResult(outcome="failed", reason="repository_forbidden", message=error.message())
        if context.settings.sandbox == "required" and not (possible := available()).contained:
            message = f"commands must be held by file rules, and can't: {possible.reason}"
            return FixResult(outcome="failed", reason="not_contained", message=message)
        time_s = context.record("time_s", lambda: int(time.time()))
        parameters = {
            "command": words,
            "issue": issue_hash(task),
            "requirement": task.requirement,
            "files": list(task.files),
            "repo": task.repo,
            "base": task.origin,
            "time_s": time_s,
        }
        made = FixResult(outcome="")

        def work() -> Done:
            nonlocal made
            done = _Attempt(task, issue, workspace, context, time_s).run(words)
            made = done.result
            return done

        context.attach_workspace(lambda: made.commit or None)
        # Run again after a crash it begins with the same files and the same issue; nothing of the first run is left.
        done: Done = context.effect("process", "fixer command", parameters, work, effect="idempotent", result=Done)
        effect = context.ledger.done[-1][1].id.hex()
        transcript = {"effect": effect, "bytes": done.output_bytes, "end": readable(done.transcript[-4000:])[-2000:]}
        return msgspec.structs.replace(done.result, transcript=transcript)


class _Attempt:
    """One run of the program in a workspace."""

    def __init__(self, task: FixTask, issue: Issue, workspace: Workspace, context: TaskContext, time_s: int) -> None:
        self.task = task
        self.issue = issue
        self.workspace = workspace
        self.context = context
        self.time_s = time_s
        self._looked_at = time.monotonic()
        self._free = 0
        self._filled = False

    def run(self, words: list[str]) -> Done:
        """Run it to its end, look at what it left, and clear its own folders away."""
        workspace, context = self.workspace, self.context
        with alone(work_name(context, context.path)):
            pass  # the program of a killed holder has ended
        if workspace.commit != self.task.origin or not workspace.is_clean():
            workspace.reset(self.task.origin)
        settings = context.settings
        with (
            command_places(Bench(workspace, context)) as (scratch, temporary),
            alone(work_name(context, context.path)) as held,
        ):
            issue_file = scratch / "issue.md"
            issue_file.write_text(self._issue_text(), encoding="utf-8", errors="replace", newline="")
            env, notes = command_environment(settings, scratch, temporary, workspace.folder, issue_file)
            argv = [_filled(word, issue_file, workspace.folder) for word in words]
            program = shutil.which(argv[0], path=env["PATH"])
            before, size = look_at(workspace.folder), disk_usage(workspace.folder)
            identity = _identity(workspace.folder)
            ended = self._execute([program or argv[0], *argv[1:]], env, scratch, temporary, held, size)
            if context.cancelled:
                raise TaskWithdrawn(context.run, context.path)
            said = without_secrets(_output(scratch / "output", ended), settings)
            notes += self._notes(ended, said)
            clear_strays(workspace.folder.parent)
            if _identity(workspace.folder) != identity:
                # What lies there now is somewhere else; not one byte of it is looked at.
                result = FixResult(
                    outcome="failed", reason="workspace_replaced", message="the workspace itself is gone"
                )
            else:
                notes += told_differences(before, look_at(workspace.folder))
                result = self._result(ended, said, size, Path(argv[0]).name)
        return Done(
            result=msgspec.structs.replace(result, notes=notes),
            command=words,
            exit_code=ended.exit_code,
            stopped=ended.stopped,
            elapsed_s=ended.elapsed_s,
            output_bytes=ended.output_bytes,
            contained=ended.contained,
            left_behind=[readable(line) for line in ended.left_behind],
            transcript=said,
        )

    def _execute(
        self, argv: list[str], env: dict[str, str], scratch: Path, temporary: Path, held: int, size: int
    ) -> Execution:
        settings, folder = self.context.settings, self.workspace.folder
        own = [folder, scratch / "home", temporary]
        given = [place.expanduser() for place in settings.writable]
        self._free = shutil.disk_usage(folder).free
        limits = Limits(
            timeout_s=settings.fixer_timeout_s,
            memory_bytes_max=MEMORY_BYTES_MAX,
            output_bytes_max=TRANSCRIPT_BYTES_MAX,
        )
        return run_guarded(
            argv,
            folder=folder,
            env=env,
            scratch=scratch,
            limits=limits,
            cancelled=lambda: self.context.cancelled or self._fills_the_disk(own, size),
            leave=[temporary],
            held=[held],
            writable=None if settings.sandbox == "off" else [*own, *(place for place in given if place.exists())],
            stdin=scratch / "issue.md",
        )

    def _result(self, ended: Execution, said: str, size: int, program: str) -> FixResult:
        """Judge how the program ended, and commit what it left where that counts."""
        tail = readable(said[-4000:]).strip()[-500:]
        speech = f"; its last words: {tail}" if tail else "; it said nothing"
        failure: Any = None
        if ended.problem:
            failure = ("command_not_started", f"{program} could not be started: {ended.problem}")
        elif self._filled or disk_usage(self.workspace.folder) - size > GROWTH_BYTES_MAX:
            failure = ("disk_filled", f"{program} wrote more than {GROWTH_BYTES_MAX >> 20} MiB and was stopped")
        elif ended.stopped == "timeout":
            failure = (
                "command_timeout",
                f"{program} had not ended after {ended.elapsed_s:.0f} s and was killed{speech}",
            )
        elif ended.stopped:
            failure = ("command_stopped", f"{program} was {ended.stopped}{speech}")
        elif ended.exit_code is not None and ended.exit_code < 0:
            failure = ("command_failed", f"{program} was ended by signal {-ended.exit_code}{speech}")
        elif ended.exit_code != 0:
            failure = ("command_failed", f"{program} ended with exit code {ended.exit_code}{speech}")
        if failure is not None:
            return FixResult(outcome="failed", reason=failure[0], message=f"{failure[1]}; none of its changes is kept")
        run = self.context.run
        made_by = f"Made by the command `{program}`."
        found = finish(
            self.task, self.workspace, run, self.time_s, title=self.issue.title, made_by=made_by, engine="command"
        )
        if found.reason == "no_change":
            message = f"{program} ended with 0 and left every file as it was{speech}"
            return msgspec.structs.replace(found, message=message)
        return found

    def _notes(self, ended: Execution, said: str) -> list[str]:
        notes = []
        if ended.left_behind:
            count = len(ended.left_behind)
            notes.append(f"the command left {count} process{'es' if count > 1 else ''} behind, which were killed: ")
            notes[-1] += ", ".join(readable(line)[:80] for line in ended.left_behind[:3])
        if not ended.contained and not ended.problem:
            notes.append("no file rules held the command: it could write wherever its user may")
        denied = next((line.strip() for line in readable(said).split("\n") if _DENIED.search(line)), "")
        if denied:
            notes.append(f"its output speaks of something that it was denied: {denied[:200]}")
        if ended.output_bytes > TRANSCRIPT_BYTES_MAX:
            left = ended.output_bytes - TRANSCRIPT_BYTES_MAX
            notes.append(f"the last {left} bytes of its output were not kept")
        return notes

    def _issue_text(self) -> str:
        """Return the issue as the program gets it, with the part that is asked for and the bounds, where there are."""
        text = self.task.issue.text
        if self.task.requirement:
            text += f"\n\n---\nOnly this part of it is asked for now:\n\n{self.task.requirement}\n"
        if self.task.files:
            text += f"\n\n---\nOnly these files may be changed: {', '.join(self.task.files)}\n"
        return text

    def _fills_the_disk(self, own: list[Path], size: int) -> bool:
        """Tell whether the program has written more than it may; looked at closely only where the disk gets fuller."""
        now = time.monotonic()
        if self._filled or now - self._looked_at < _DISK_INTERVAL_S:
            return self._filled
        self._looked_at = now
        free = shutil.disk_usage(self.workspace.folder).free
        if self._free - free > GROWTH_BYTES_MAX // 4:
            self._free = free
            grown = sum(map(disk_usage, own)) - size
            self._filled = grown > 4 * GROWTH_BYTES_MAX or disk_usage(self.workspace.folder) - size > GROWTH_BYTES_MAX
        return self._filled


def _output(path: Path, ended: Execution) -> str:
    """Return what was said; its end where something else lies in the file's place."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ended.tail
    with open(handle, "rb") as file:  # noqa: PTH123 - a descriptor
        return file.read(TRANSCRIPT_BYTES_MAX).decode("utf-8", "replace")


def _identity(folder: Path) -> tuple[int, int]:
    """Return what tells a folder from any other that may have taken its place, a link to one included."""
    try:
        facts = folder.lstat()
    except FileNotFoundError:
        return (0, 0)
    return (facts.st_dev, facts.st_ino)


def _filled(word: str, issue_file: Path, folder: Path) -> str:
    return word.replace("{issue_file}", str(issue_file)).replace("{repo}", str(folder))


def readable(text: str) -> str:
    """Return what a program said without the sequences by which it would steer a terminal."""
    return _CONTROL.sub("", text.replace("\r\n", "\n"))

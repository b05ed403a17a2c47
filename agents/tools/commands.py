"""The tool `run_command`: one program with its arguments, in the workspace, under limits.

Owns which program a word names, and what a command gets to see. Leaves limits and containment to `guarded`. Keeps: no
shell is involved unless the rules say so, so that no text of a file or an issue becomes another command; when a call
returns, nothing of the command is left; it writes in the workspace and in folders of its own, which are removed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct

from ..errors import TaskWithdrawn
from ..guarded import Execution, Limits, alone, run_guarded
from ..response import ToolResponse
from ..sandbox.confine import available
from ..sandbox.private import private_environment, toolchains
from ..source_roots import source_roots
from ..test_environment import own_environments
from ..test_sources import read_tree
from ..tool_calls import stopping
from ..tool_errors import CommandRefused
from ..working_copy import work_name
from ..workspace import clear_folder
from .bench import Bench, WorkspaceTool, refused
from .rules import CommandRules
from .tree import check_path

#: How much longer than a command its call may take: laying out and clearing away.
MARGIN_S = 60.0
#: Nothing that a command leaves there is kept, and no program asks or decorates.
_QUIET = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTEST_ADDOPTS": "-p no:cacheprovider",
    "NO_COLOR": "1",
    "TERM": "dumb",
    "CI": "true",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "GIT_TERMINAL_PROMPT": "0",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
}
_Timeout = Annotated[float, Meta(gt=0, le=86_400, description="Seconds after which it is ended")]
_Folder = Annotated[str, Meta(max_length=4096, description="Folder to run it in; the top of the repository if empty")]
_Stdin = Annotated[str, Meta(max_length=1_000_000, description="What it reads from standard input")]


class CommandParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """A program and its arguments."""

    command: Annotated[
        list[Annotated[str, Meta(max_length=100_000)]],
        Meta(min_length=1, max_length=1000, description='Program and arguments, such as ["python", "-m", "pytest"]'),
    ]
    folder: _Folder = ""
    stdin: _Stdin = ""
    timeout_s: _Timeout = 120.0


class ShellParameters(Struct, kw_only=True, forbid_unknown_fields=True):
    """A program and its arguments, or a text for the shell."""

    command: Annotated[
        list[Annotated[str, Meta(max_length=100_000)]] | str,
        Meta(description="Program and arguments as a list, or one text for /bin/sh"),
    ]
    folder: _Folder = ""
    stdin: _Stdin = ""
    timeout_s: _Timeout = 120.0


class RunCommand(WorkspaceTool):
    """Run a program in the repository and answer with its exit code and what it said. It is ended, with all that it
    started, when its time is up or it returns. What it changes in the repository stays; its HOME and TMPDIR do not."""

    title = "run_command"

    def __init__(self, bench: Bench, rules: CommandRules) -> None:
        super().__init__(bench)
        self.rules = rules
        self.effect = rules.effect
        self.timeout_s = rules.timeout_s + MARGIN_S
        self.parameters = ShellParameters if rules.shell else CommandParameters
        if rules.programs is not None:
            self.description += f" Programs: {', '.join(rules.programs)}."

    def doing(self, given: Any) -> str:
        """Return the command as it would be typed, shortened."""
        words = given.command if isinstance(given.command, str) else " ".join(given.command)
        return f"{self.name} {' '.join(words.split())}"[:100]

    def perform(self, given: CommandParameters | ShellParameters) -> ToolResponse:
        """Answer with exit code, output, time, and whether the file rules held it."""
        self.bench.require_commands(given.command)
        sandbox = self.bench.context.settings.sandbox
        if sandbox == "required" and not (possible := available()).contained:
            return refused("not_contained", f"commands must be held by file rules, and can't: {possible.reason}")
        folder = self._folder(given.folder)
        with (
            command_places(self.bench) as (scratch, temporary),
            alone(work_name(self.bench.context, self.bench.workspace.path)) as held,
        ):
            env = self._environment(scratch, temporary)
            argv = self._argv(given.command, env)
            stdin = scratch / "stdin"
            stdin.write_bytes(given.stdin.encode("utf-8", "replace"))
            limits = Limits(
                timeout_s=min(given.timeout_s, self.rules.timeout_s),
                memory_bytes_max=self.rules.memory_bytes_max,
                file_bytes_max=self.rules.file_bytes_max,
                tail_bytes_max=self.rules.output_length_max,
            )
            own = [self.bench.workspace.folder, Path(env["HOME"]), temporary]
            ended = run_guarded(
                argv, folder=folder, env=env, scratch=scratch, limits=limits, cancelled=self._unwanted,
                leave=[temporary], held=[held], writable=None if sandbox == "off" else own, stdin=stdin,
            )  # fmt: skip
            if ended.stopped == "cancelled" and self.bench.context.cancelled:
                raise TaskWithdrawn(self.bench.context.run, self.bench.context.path)
            return _answer(ended, scratch / "output", self.rules.output_length_max)

    def _unwanted(self) -> bool:
        return self.bench.context.cancelled or stopping()

    def _folder(self, path: str) -> Path:
        """Return the folder to run in, which no link leads to."""
        path = path.strip().removeprefix("./").rstrip("/")
        if path in ("", "."):
            return self.bench.tree.folder
        check_path(path)
        with self.bench.tree.open_folder(path.split("/")):
            return self.bench.tree.folder / path

    def _argv(self, command: list[str] | str, env: dict[str, str]) -> list[str]:
        """Return the words to execute, with the program's full path."""
        if isinstance(command, str):
            return ["/bin/sh", "-c", command]
        program = command[0]
        if "\0" in "".join(command):
            raise CommandRefused(program, "has a NUL among its words")
        if "/" in program:
            return [self._own_program(program), *command[1:]]
        if self.rules.programs is not None and program not in self.rules.programs:
            raise CommandRefused(program, "is none of the programs that may be run")
        found = shutil.which(program, path=env["PATH"])
        if found is None:
            raise CommandRefused(program, "is not installed")
        return [found, *command[1:]]

    def _own_program(self, program: str) -> str:
        """Return the full path of an executable of the workspace."""
        path = program.removeprefix("./")
        if not self.rules.own_programs:
            raise CommandRefused(program, "is a path: programs are named without their folder")
        check_path(path)
        found = self.bench.tree.look(path)
        if found is None or found.kind != "file" or not found.mode & 0o111:
            raise CommandRefused(program, "is no executable file of the repository")
        return str(self.bench.tree.folder / path)

    def _environment(self, scratch: Path, temporary: Path) -> dict[str, str]:
        """Return all that a command sees: what the rules let through, and places of its own."""
        outer = self.bench.environ
        passed = {name: outer[name] for name in self.rules.variables if name in outer}
        repo, workspace = self.bench.repo, self.bench.workspace
        path = [str(folder / "bin") for folder in own_environments(repo)]
        path += [str(repo / "node_modules/.bin"), *passed.get("PATH", os.defpath).split(":")]
        tree = read_tree(workspace.git, workspace.store.git_dir, workspace.commit)
        # Before any environment's packages, where the repository may be installed from the user's checkout.
        roots = [str(workspace.folder / root) for root in source_roots(tree.paths, tree.contents, ())]
        home = Path(outer.get("HOME") or "/nonexistent")
        return {
            **toolchains(home, passed),
            **passed,
            **_QUIET,
            "PYTHONPATH": ":".join(roots),
            **self.rules.environment,
            **private_environment(scratch, temporary),
            "PATH": ":".join(entry for entry in dict.fromkeys(path) if entry.startswith("/")),
        }


@contextmanager
def command_places(bench: Bench) -> Iterator[tuple[Path, Path]]:
    """Make the folders of one command and remove them: one beside the workspace, and one with a short path."""
    workspace = bench.workspace.folder
    scratch = workspace.with_name(f"{workspace.name}~command")
    clear_folder(scratch)
    scratch.mkdir(mode=0o700)
    temporary = Path(tempfile.mkdtemp(prefix="tf-")).resolve()
    try:
        yield scratch.resolve(), temporary
    finally:
        clear_folder(scratch)
        clear_folder(temporary)


def _answer(ended: Execution, output: Path, length_max: int) -> ToolResponse:
    if ended.problem:
        return refused("not_started", f"the command could not be started: {ended.problem}")
    data: dict[str, Any] = {
        "exit_code": ended.exit_code,
        "output": _shown(ended, output, length_max),
        "output_bytes": ended.output_bytes,
        "truncated": ended.output_bytes > length_max,
        "elapsed_s": ended.elapsed_s,
        "contained": ended.contained,
    }
    if ended.left_behind:
        data["left_behind"] = list(ended.left_behind)
    if ended.stopped:
        word = "timeout" if ended.stopped == "cancelled" else ended.stopped
        return refused(word, f"the command was ended after {ended.elapsed_s:.1f} s ({word})", data)
    if ended.exit_code != 0:
        code = ended.exit_code or 0
        how = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return refused("exit_code", f"the command {how}", data)
    return ToolResponse.succeeded(data)


def _shown(ended: Execution, output: Path, length_max: int) -> str:
    """Return what was said, or its beginning and its end where that is too long."""
    if ended.output_bytes <= length_max:
        return ended.tail
    handle = os.open(output, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(handle, "rb") as file:  # noqa: PTH123 - a descriptor
        head = file.read(length_max // 4).decode("utf-8", "replace")
    tail = ended.tail[-(length_max - len(head)) :]
    left = ended.output_bytes - len(head) - len(tail)
    return f"{head}\n[… {left} bytes left out …]\n{tail}"

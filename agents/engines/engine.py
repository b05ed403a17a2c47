"""What an engine of the fixer is, what it is given and what it answers; and the engines that there are.

Owns the contract and the registry: those built in, and those that installed distributions offer by an entry point of
the group `twelvefold.engines`. Leaves the work to the engines and their order to `auto`. Keeps: importing this costs an
agent nothing of what an engine needs; an engine is imported when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from .errors import EngineNotLoadable, UnknownEngine

if TYPE_CHECKING:
    from ..context import TaskContext
    from ..issue import Issue
    from ..workspace import Workspace

GROUP = "twelvefold.engines"
#: The word that stands for all of them, in their order.
AUTO = "auto"


class IssueText(msgspec.Struct, frozen=True):
    """An issue as it was read: the name of its file, and its text."""

    name: str
    text: str


class FixTask(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be fixed: the issue, in the repository at `repo`, from the full commit `base` on.

    `start`: the commit of the same run that work goes on from, where an earlier task has changed files already; or the
    first of `after` that is one, as an earlier task may have had nothing to do.
    `requirement`: the part of the issue that is asked for, in words; empty for all of it. `files`: the only paths that
    may be changed; empty for any. `command`: the command line for the engine of that name, in place of the setting.
    `beside`: this is work beside what was done before, which stands without it: where it can't be done, that is told,
    and is no failure. `needs`: the commits of the tasks whose work it goes on with, None for one that wasn't done.
    """

    issue: IssueText
    repo: str
    base: str
    engine: str = AUTO
    start: str | None = None
    after: tuple[str | None, ...] = ()
    requirement: str = ""
    files: tuple[str, ...] = ()
    command: str | None = None
    beside: bool = False
    needs: tuple[str | None, ...] = ()

    @property
    def origin(self) -> str:
        """The commit that work starts from."""
        return self.start or next(filter(None, self.after), self.base)


class FixResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an attempt: either a commit, or a reason (a word), sentences and facts.

    `mine`: False says that the issue is none for this engine, so that `auto` tries the next one; the rest tells why,
    and is the answer where there is no next one. `engine` and `tried` are filled in by the fixer. `transcript` refers
    to what an engine's program has said, `notes` are facts that a person should know although they decided nothing.
    """

    outcome: str
    reason: str = ""
    message: str = ""
    commit: str = ""
    files_changed: list[str] = []
    edits: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    engine: str = ""
    tried: list[dict[str, str]] = []
    transcript: Any = None
    notes: list[str] = []
    mine: bool = True


class Engine(Protocol):
    """One way to fix an issue; made anew for each task, without arguments."""

    name: str

    def fix(self, task: FixTask, issue: Issue, workspace: Workspace, context: TaskContext) -> FixResult | None:
        """Change the workspace's files, which are those of `task.origin`, commit them, and say how it ended.

        The workspace is laid out when it is first used: do that within an effect, so that a task which is delivered
        again, and a replay, need none. It may hold what an engine before has left: reset it to `task.origin` unless
        work goes on from what this engine has recorded in an earlier delivery. None: not mine, try the next; a
        FixResult with `mine=False` says why as well. Everything that touches the world goes through `context`. No
        success without a commit that changes something.
        """


_BUILT_IN = {"patch": "patch:PatchEngine", "model": "model:ModelEngine", "command": "command:CommandEngine"}
_registered: dict[str, Callable[[], Engine]] = {}


def register_engine(name: str, make: Callable[[], Engine]) -> None:
    """Offer an engine in this process under a name, in place of one that has the name already."""
    _registered[name] = make


def engine_names() -> list[str]:
    """Return the names of all engines, those built in first, in the order in which `auto` tries them."""
    offered = [point.name for point in entry_points(group=GROUP)]
    return list(dict.fromkeys([*_BUILT_IN, *offered, *_registered]))


def engine_named(name: str) -> Engine:
    """Make an engine; raises UnknownEngine, or EngineNotLoadable where a distribution's own can't be used."""
    if name in _registered:
        return _registered[name]()
    found = next(iter(entry_points(group=GROUP, name=name)), None)
    if found is not None:
        try:
            made = found.load()()
        except Exception as error:  # foreign code may fail in any way
            raise EngineNotLoadable(name, f"{type(error).__name__}: {error}") from error
        if not callable(getattr(made, "fix", None)):
            raise EngineNotLoadable(name, "it has no method `fix`")
        return made  # type: ignore[no-any-return]
    if name not in _BUILT_IN:
        raise UnknownEngine(name, (AUTO, *engine_names()))
    module, _, attribute = _BUILT_IN[name].partition(":")
    return getattr(import_module(f".{module}", __package__), attribute)()  # type: ignore[no-any-return]

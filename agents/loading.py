"""Finding an agent's class by its name, MODULE:CLASS, and making the agent.

In a process forked from the zygote this happens after the fork, so that user code is always fresh. Keeps: whatever
goes wrong in foreign code is an AgentNotLoadable that names it, with the whole traceback in the process's log.
"""

from __future__ import annotations

import importlib
import logging
import sys
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path

from ..eventstore.names import is_name
from .base import BaseAgent
from .errors import AgentNotLoadable
from .faults import compact, whole


def load_agent(target: str, folder: Path) -> BaseAgent:
    """Import MODULE:CLASS, with `folder` first on the import path, and make the agent.

    Its tools and the names of its capabilities are checked too.

    Raises AgentNotLoadable, or InvalidTool.
    """
    module_name, _, class_name = target.partition(":")
    if not module_name or not class_name.isidentifier():
        raise AgentNotLoadable(target, "the name isn't of the form MODULE:CLASS")
    path = str(folder.absolute())
    if path not in sys.path:
        sys.path.insert(0, path)
    try:
        module = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise _failed(target, f"importing {module_name} failed", error) from error
    cls = getattr(module, class_name, None)
    if cls is None:
        raise AgentNotLoadable(target, f"{module_name} has no {class_name}")
    if not (isinstance(cls, type) and issubclass(cls, BaseAgent)):
        raise AgentNotLoadable(target, f"{class_name} is not a subclass of BaseAgent")
    if cls.__abstractmethods__:
        missing = ", ".join(sorted(cls.__abstractmethods__))
        raise AgentNotLoadable(target, f"{class_name} lacks {missing}")
    try:
        agent = cls()
    except (Exception, SystemExit) as error:
        raise _failed(target, f"{class_name}() failed", error) from error
    _ = agent.tools
    _check_capabilities(agent, target)
    return agent


def keep_compiled(target: str, folder: Path) -> None:
    """Have the byte code of a target's module beside it, where it lies below `folder`; nothing of it is executed.

    For a process that can't write there later, as it will be in the sandbox: else each would compile it anew, which
    costs half a megabyte.
    """
    name = target.partition(":")[0]
    base = folder.absolute().joinpath(*name.split("."))
    for path in (base.with_name(f"{base.name}.py"), base / "__init__.py"):
        if path.is_file():
            with suppress(Exception):  # whatever is wrong with it is told in a moment, when it is imported
                SourceFileLoader(name, str(path)).get_code(name)
            return


def _check_capabilities(agent: BaseAgent, target: str) -> None:
    named: object = agent.capabilities
    if not isinstance(named, list | tuple):
        raise AgentNotLoadable(target, f"its capabilities are {named!r}, not a list or tuple of names")
    for name in named:
        if not (isinstance(name, str) and is_name(name)):
            raise AgentNotLoadable(target, f"its capability {name!r} is not the name of a queue")


def _failed(target: str, what: str, error: BaseException) -> AgentNotLoadable:
    missing = isinstance(error, ModuleNotFoundError) and error.name == target.partition(":")[0]
    if not missing:
        logging.getLogger("twelvefold.agent").error("%s\n%s", what, whole(error))
    facts = compact(error)
    at = "" if missing else f" at {facts.get('at', 'an unknown place')}"
    return AgentNotLoadable(target, f"{what}: {facts['class']}: {facts['message']}{at}")

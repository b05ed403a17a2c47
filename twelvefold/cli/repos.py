"""`twelvefold repos`: the sister repositories that a job can work on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from .output import note, write_json, write_jsonl, write_table


def repos(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a line.")] = False,
) -> None:
    """List the sister repositories that lie side by side.

    These are the git repositories in the folder that holds the one you are in, or in the current folder, those of
    TWELVEFOLD_REPOS, and those that repos.toml names with a path (docs/repositories.md). Looking changes nothing in
    them.

    The keys with --json are name, path, branch (null on a detached HEAD), commit, clean, runner (what runs its tests:
    pytest, unittest, tox, nox, npm, go, cargo, make), permissions (read, write, commands: true, false or a list of
    commands), problem (why no work can start there) and remarks (what else to know: submodules, files of Git LFS, a
    shallow history, a branch behind its upstream).
    """
    from ..settings import load_settings
    from ..sisters import sister_repositories

    rows = [msgspec.to_builtins(one) for one in sister_repositories(load_settings(), Path.cwd())]
    if as_json:
        write_json(rows)
    elif as_jsonl:
        for row in rows:
            write_jsonl(row)
    else:
        shown = [{**row, "may": _may(row["permissions"])} for row in rows]
        columns: tuple[str, ...] = ("name", "branch", "clean", "runner", "may", "path")
        if any(row["problem"] for row in rows):
            columns = (*columns, "problem")
        write_table(shown, columns, empty="no git repositories here or beside the one you are in")
        for row in rows:
            for remark in row["remarks"]:
                note(f"{row['name']}: {remark}")


def _may(permissions: dict[str, Any]) -> str:
    """Return what is permitted in one word each."""
    words = [name for name in ("read", "write") if permissions[name]]
    commands = permissions["commands"]
    if isinstance(commands, list):
        words += [f"{len(commands)} command{'' if len(commands) == 1 else 's'}"] if commands else []
    elif commands:
        words.append("commands")
    return ", ".join(words) or "nothing"

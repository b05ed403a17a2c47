"""`twelvefold repos`: the sister repositories that a job can work on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ..sisters import sister_repositories
from .output import write_json, write_jsonl, write_table


def repos(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
    as_jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a line.")] = False,
) -> None:
    """List the sister repositories that lie side by side.

    These are the git repositories in the folder that holds the one you are in, or in the current folder. Looking
    changes nothing in them. The keys with --json are name, path, branch (null on a detached HEAD), commit, clean,
    runner (what runs its tests: pytest, unittest, tox, nox, npm, go, cargo, make) and problem.
    """
    rows = [msgspec.to_builtins(repository) for repository in sister_repositories(Path.cwd())]
    if as_json:
        write_json(rows)
    elif as_jsonl:
        for row in rows:
            write_jsonl(row)
    else:
        columns: tuple[str, ...] = ("name", "branch", "clean", "runner", "path")
        if any(row["problem"] for row in rows):
            columns = (*columns, "problem")
        write_table(rows, columns, empty="no git repositories here or beside the one you are in")

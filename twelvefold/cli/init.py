"""`twelvefold init`: a first project that runs as it is."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from shlex import quote
from typing import Annotated

import msgspec
import typer

from ..home import FOLDER_NAME
from ..starter import write_starter
from .output import Style, note, write, write_json


def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The project's folder.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a first project: Procfile, one agent, its test.

    Files that exist are kept as they are. The folder `.twelvefold/` becomes the home of everything below DIR.
    With --json the keys are directory, home and files, each with path and action (created, kept, extended).
    """
    folder = directory.absolute()
    written = write_starter(folder)
    if as_json:
        files = msgspec.to_builtins(written)
        write_json({"directory": str(folder), "home": str(folder / FOLDER_NAME), "files": files})
        return
    style = Style(sys.stdout)
    for one in written:
        action = style.dim(f"{one.action:<8}") if one.action == "kept" else style.green(f"{one.action:<8}")
        write(f"{action}  {directory / one.path}{'/' if one.path.endswith('/') else ''}")
    there = "" if folder == Path.cwd() else f"cd {quote(str(directory))} && "
    if os.environ.get("TWELVEFOLD_HOME"):
        note(f"\nTWELVEFOLD_HOME is set and overrides this home: {os.environ['TWELVEFOLD_HOME']}")
    note(f"\nNext: {there}twelvefold up")

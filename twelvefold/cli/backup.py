"""`twelvefold backup`: a consistent copy of the log and its blobs, while everything goes on or nothing runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ..errors import TargetFolderMissing
from ..eventstore.backup import backup_home
from ..run_place import imported_runs
from ..settings import load_settings
from .output import note, write, write_json


def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The new file; one that exists is never overwritten.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a consistent copy of the log, also while the bus runs.

    Blobs that the log names go into the folder FILE.blobs. FILE gets its name last, when all of it is synced; a backup
    that fails leaves nothing. To restore it, put FILE as `log.db`, and the folder as `blobs`, into a new home. Commits
    of runs (the home's `stores`) are not part of it, nor are runs that were imported: keep the files that they came
    in. Prints what was written; with --json the keys are file, head, blobs_folder (null where there are no blobs),
    blobs, imported_runs (how many it leaves out).
    """
    folder = target.absolute().parent
    if not folder.is_dir():
        raise TargetFolderMissing(str(folder))
    home = load_settings().home
    made = backup_home(home, target.absolute())
    imported = len(imported_runs(home))
    if as_json:
        write_json({**msgspec.to_builtins(made, enc_hook=str), "imported_runs": imported})
        return
    write(str(target))
    if made.blobs_folder is not None:
        write(f"{target}.blobs")
    note(f"{made.head} events, {made.blobs} blobs")
    if imported:
        note(f"without {imported} imported {'run' if imported == 1 else 'runs'}: keep the files that they came in")

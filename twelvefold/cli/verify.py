"""`twelvefold verify`: whether the log still holds what was appended, told by its hash chain."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from ..eventstore.chain import GENESIS
from ..eventstore.errors import TwelvefoldError
from ..eventstore.integrity import Verdict, verify_home
from ..eventstore.presence import is_there
from ..eventstore.reader import LogReader
from ..eventstore.storage_errors import LogCutShort
from ..projections.rebuilding import check_rebuild
from ..run_place import imported_runs
from ..settings import load_settings
from .output import Style, note, redraws, write, write_json

EXIT_CORRUPT = 6


def verify(as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False) -> None:
    """Check the hash chain and find gaps; exit 6 names the first bad position.

    Walks every event: data against its hash, hashes along the chain, positions and versions without a gap; then the
    last acknowledged position, side tables, triggers and indexes, SQLite's own structure, and the blobs. Imported runs
    are checked in the same way, each against the chain that it comes from. Then the files of runs: every commit that an
    event names, whole and under its ref, and what a rollback laid out. Then what is kept of read models: folded anew,
    each must come out the same. Works while a bus runs and when none does. With --json a log that is sound gives the
    keys ok, head, hash, streams, blobs, forgotten (payloads that were freed), imports (ids of imported runs), commits
    and workspaces (those looked at), projections (those that came out the same), and one that is not gives ok, code,
    position (null where the damage lies outside of events), message.
    """
    home = load_settings().home
    live = redraws(sys.stderr) and not as_json
    try:
        verdict = _verify_log(home, live)
        imports = _verify_imports(home)
        files = _verify_files(home)
        rebuilt = _verify_projections(home, live)
    except TwelvefoldError as error:
        if as_json and error.exit_code == EXIT_CORRUPT:
            write_json({"ok": False, "code": error.code, "position": _first_bad(error), "message": error.message()})
        raise
    finally:
        if live:
            sys.stderr.write("\r\x1b[K")
    if as_json:
        write_json({"ok": True, **msgspec.to_builtins(verdict), "imports": imports, **files, "projections": rebuilt})
        return
    style = Style(sys.stdout)
    write(f"{style.green('ok')}: {verdict.head} events in {verdict.streams} streams, {verdict.blobs} blobs")
    if verdict.forgotten:
        write(f"    {verdict.forgotten} payloads were freed; their hashes still chain")
    if files["commits"]:
        write(f"    {files['commits']} commits of runs, {files['workspaces']} restored workspaces")
    if rebuilt:
        write(f"    {rebuilt} read model{'' if rebuilt == 1 else 's'}, folded anew, came out the same")
    if imports:
        write(f"    {len(imports)} imported run{'' if len(imports) == 1 else 's'}, each as it was exported")
    note(f"chain hash {verdict.hash} at position {verdict.head}")


def _verify_log(home: Path, live: bool) -> Verdict:
    """Verify the home's own log; a home that holds nothing but imported runs has none."""
    if imported_runs(home) and not is_there(home / "log.db"):
        return Verdict(0, GENESIS.hex(), 0, 0, 0)
    return verify_home(home, progress=_show_progress if live else None)


def _verify_projections(home: Path, live: bool) -> int:
    """Fold what is kept of read models anew and return how many came out the same; raises ProjectionDiffers."""
    if not is_there(home / "log.db"):
        return 0
    with LogReader(home / "log.db") as log:
        return check_rebuild(home, log, progress=_show_folding if live else None).equal


def _show_folding(position: int, head: int) -> None:
    """Write how far the folding is over the line before."""
    sys.stderr.write(f"\r\x1b[Kfolding {position} of {head} events anew")
    sys.stderr.flush()


def _verify_imports(home: Path) -> list[str]:
    """Verify each imported run and return their ids; raises ImportDamaged."""
    if not imported_runs(home):
        return []
    from ..imported_run import verify_imports  # which needs git, as few homes do

    return [manifest.run for manifest in verify_imports(home)]


def _verify_files(home: Path) -> dict[str, int]:
    """Verify the files of the home's runs and count them; raises FilesDamaged."""
    if not (home / "stores").is_dir() or not is_there(home / "log.db"):
        return {"commits": 0, "workspaces": 0}
    from ..agents.kept_files import verify_files  # which needs git, as not all homes do

    with LogReader(home / "log.db") as log:
        found: dict[str, int] = msgspec.to_builtins(verify_files(home, log))
    return found


def _first_bad(error: TwelvefoldError) -> int | None:
    """Return the first position that is missing or not what it was; None where the damage lies outside of events."""
    if isinstance(error, LogCutShort):
        return min(error.head + 1, error.acknowledged)
    position = getattr(error, "position", 0)  # of events, or of the files that they name
    return position if isinstance(position, int) and position > 0 else None


def _show_progress(position: int, head: int) -> None:
    """Write how far the walk is over the line before."""
    sys.stderr.write(f"\r\x1b[Kverifying {position} of {head} events")
    sys.stderr.flush()

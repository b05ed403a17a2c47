"""`twelvefold export` and `import`: a run as one file, and the file as a run that can be looked at elsewhere."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import DataUnreadable, TargetFolderMissing
from ..run_place import open_run
from ..settings import load_settings
from .output import note, write, write_json

if TYPE_CHECKING:
    from ..run_file import Manifest


class Proof(StrEnum):
    """How much of the chain goes with a run."""

    AUTO = "auto"
    FULL = "full"
    EVENTS = "events"


def export(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Its id, or the first digits of it.")],
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The new file; one that exists is never overwritten.")],
    proof: Annotated[
        Proof, typer.Option(help="full: with the headers of all events in between; events: only the run's own.")
    ] = Proof.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a run to one file that can be imported, replayed and verified elsewhere.

    The file holds the run's events with their payloads (of a fork also its parent's, up to the fork), blobs, git
    objects, prompts, versions, and the proof that they stand so in the hash chain. For a full proof the headers of
    other runs' events that stand in between are part of it, never their payloads; `auto` leaves them out where they
    would be by far the most. Works while a bus runs; a run that is open is exported as it stands. With --json the keys
    are file, bytes, run, lineage (run, until), outcome, events, forgotten, complete (whether the proof is full),
    positions (first, last), hash (the chain's at the last), blobs, commits, missing_commits, prompts, missing_prompts,
    versions.
    """
    from .. import __version__
    from ..run_export import export_run

    folder = target.absolute().parent
    if not folder.is_dir():
        raise TargetFolderMissing(str(folder))
    settings = load_settings()
    with open_run(settings.home, run, "twelvefold export") as (log, id, place):
        made = export_run(
            log, id, place, target.absolute(), version=__version__, prompts=tuple(settings.prompts), proof=proof.value
        )
    document = {"file": str(made.file), "bytes": made.file.stat().st_size, **_document(made.manifest)}
    if as_json:
        write_json(document)
        return
    write(str(made.file))
    note(f"run {id}: {document['events']} events, {document['blobs']} blobs, {document['commits']} commits")
    _tell_what_is_missing(made.manifest)
    _tell_hash(document, "exported")


def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `twelvefold export` has written.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Import a run that was exported elsewhere, to be looked at and replayed here.

    It is checked whole first: one that is not what was exported is refused with what is wrong, and nothing is left. The
    run then lies below `imports/` in the home and is read-only; its own log, and the home's, stay what they are. What
    reads a run (status, tree, log --run, diff, replay, trace, why) finds it by its id, and `twelvefold verify` checks
    it with the home. With --json the keys are those of `twelvefold export --json`, without bytes, and place (the run's
    folder) and fresh (false where the same run was imported before).
    """
    from ..home import make_home
    from ..run_file import open_run_file
    from ..run_import import import_run

    home = load_settings().home
    try:
        open_run_file(file).close()
    except OSError as error:
        raise DataUnreadable(str(file), error.strerror or str(error)) from error
    made = import_run(make_home(home), file.absolute())
    document = {"file": str(file), "place": str(made.place), "fresh": made.fresh, **_document(made.manifest)}
    if as_json:
        write_json(document)
        return
    write(made.run)
    told = "" if made.fresh else ", which was here before"
    note(f"{document['events']} events, {document['blobs']} blobs, {document['commits']} commits{told}")
    _tell_what_is_missing(made.manifest)
    _tell_hash(document, "verified")
    note(f"look at it: twelvefold status {made.run}")


def _document(manifest: Manifest) -> dict[str, Any]:
    first, last = manifest.chain[0], manifest.chain[-1]
    return {
        "run": manifest.run,
        "lineage": [{"run": one.run, "until": one.until} for one in manifest.lineage],
        "outcome": manifest.outcome,
        "events": manifest.events,
        "forgotten": manifest.forgotten,
        "complete": manifest.complete,
        "positions": {"first": first.after + 1, "last": last.until},
        "hash": last.hash,
        "blobs": len(manifest.blobs),
        "commits": len({commit for store in manifest.stores for commit in store.refs.values()}),
        "missing_commits": [commit for store in manifest.stores for commit in store.missing],
        "prompts": [one.name for one in manifest.prompts if one.member],
        "missing_prompts": [one.name for one in manifest.prompts if not one.member],
        "versions": manifest.versions,
    }


def _tell_what_is_missing(manifest: Manifest) -> None:
    missing = [commit[:12] for store in manifest.stores for commit in store.missing]
    prompts = [one.name for one in manifest.prompts if not one.member]
    if manifest.forgotten:
        note(f"of {manifest.forgotten} events the data was forgotten; their headers and hashes are there")
    if missing:
        note(f"commits that no store has any more: {', '.join(missing[:5])}{' …' if len(missing) > 5 else ''}")
    if prompts:
        note(f"prompts that have changed since, so that their text isn't there: {', '.join(prompts)}")


def _tell_hash(document: dict[str, Any], what: str) -> None:
    proof = "complete" if document["complete"] else "of each event, without those in between"
    note(f"{what}: chain hash {document['hash']} at position {document['positions']['last']}, proof {proof}")

"""Files that are moved or deleted beside the edits of their texts. Pure.

Owns which of such orders go together. Keeps: a move never overwrites a file that stays, and no order is left out
because another one has the same file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from .edit import Edit, EditFailure, failed, unsafe_path

Numbered = tuple[int, Edit]


class Arranged(msgspec.Struct, frozen=True):
    """The moves to be made (new path by old one), the files to be deleted, the other edits by the path of today.

    `present` are places at which an order had been carried out before.
    """

    moves: dict[str, str]
    deleted: dict[str, Numbered]
    edits: dict[str, list[Numbered]]
    present: list[str]


def arrange(edits: Sequence[Numbered], files: Mapping[str, bytes | None]) -> Arranged | list[EditFailure]:
    """Part moves and deletions from edits of texts; edits for a file's new path are for the file that moves there."""
    moves = {edit.path: (number, edit) for number, edit in edits if edit.how == "move"}
    deleted = {edit.path: (number, edit) for number, edit in edits if edit.how == "delete"}
    failures = [
        item for number, edit in edits if edit.how in ("move", "delete") for item in _wrong(number, edit, files)
    ]
    targets: dict[str, str] = {}
    present = []
    for number, edit in edits:
        if edit.how != "move" or failures:
            continue
        if edit.path in deleted:
            failures.append(failed("edits_overlap", number, edit, f"{edit.path} is to be moved, and to be deleted"))
        elif targets.get(edit.to, edit.path) != edit.path or moves[edit.path][1].to != edit.to:
            failures.append(failed("edits_overlap", number, edit, f"{edit.path} and another file have the same place"))
        elif files.get(edit.path) is None and files.get(edit.to) is not None:
            present.append(f"{edit.to}:1")
        elif files.get(edit.to) is not None and edit.to not in moves and edit.to not in deleted:
            failures.append(failed("file_exists", number, edit, f"{edit.path} is to become {edit.to}, which is there"))
        targets[edit.to] = edit.path
    if failures:
        return failures
    texts: dict[str, list[Numbered]] = {}
    going = {old: edit.to for old, (_, edit) in moves.items() if files.get(old) is not None}
    for number, edit in edits:
        if edit.how in ("move", "delete"):
            continue
        arrives = next((old for old, new in going.items() if new == edit.path), None)
        if edit.path in deleted or (arrives is not None and files.get(edit.path) is not None):
            said = f"{edit.path} is to be {'deleted' if edit.path in deleted else 'another file'}, and edited too"
            return [failed("edits_overlap", number, edit, said)]
        if arrives is not None:
            edit = msgspec.structs.replace(edit, path=arrives)
        texts.setdefault(edit.path, []).append((number, edit))
    return Arranged(going, deleted, texts, present)


def _wrong(number: int, edit: Edit, files: Mapping[str, bytes | None]) -> list[EditFailure]:
    for path in filter(None, (edit.path, edit.to)):
        if problem := unsafe_path(path):
            return [failed("unsafe_path", number, edit, f"{path!r} {problem}")]
    if edit.path == edit.to:
        return [failed("edits_overlap", number, edit, f"{edit.path} is to become what it is")]
    if files.get(edit.path) is None and (edit.how == "delete" or files.get(edit.to) is None):
        what = "deleted" if edit.how == "delete" else "moved"
        return [failed("file_missing", number, edit, f"{edit.path} is to be {what}, and is not in the repository")]
    return []

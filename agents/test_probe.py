"""The proof that a run tested the workspace, judged from what was seen before and while it ran.

Pure. A test result counts only with a proof: an editable install, a linked package or a stale build would otherwise
test other files than those that were changed. Keeps: what was seen at run time outweighs what was foretold; doubt is
never taken for a proof.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import PurePosixPath
from typing import Literal

import msgspec

from .test_record import Record
from .test_runner import Kind

Language = Literal["python", "node", "go", "rust", "compiled", "other", "text"]
_LANGUAGES: dict[str, Language] = {
    **dict.fromkeys((".py",), "python"),
    **dict.fromkeys((".js", ".mjs", ".cjs", ".ts", ".mts", ".cts", ".tsx", ".jsx", ".vue", ".svelte"), "node"),
    ".go": "go",
    ".rs": "rust",
    **dict.fromkeys((".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".pyx", ".pxd", ".f", ".f90", ".m"), "compiled"),
    **dict.fromkeys((".java", ".kt", ".scala", ".rb", ".php", ".pl", ".lua", ".sh", ".cs", ".swift", ".hs"), "other"),
}
#: The languages whose files a runner's tests load; others are untested by it. make and unknown commands may load any.
_LOADED: dict[str, Set[Language]] = {
    "pytest": {"python", "compiled"},
    "unittest": {"python", "compiled"},
    "tox": {"python", "compiled", "rust"},
    "nox": {"python", "compiled", "rust"},
    "npm": {"node", "compiled"},
    "go": {"go", "compiled"},
    "maven": {"other"},
    "cargo": {"rust", "compiled"},
}
_ENVIRONMENT_PARTS = {"node_modules", "site-packages", "dist-packages", ".tox", ".nox"}


class Builds(msgspec.Struct, frozen=True):
    """Where a build tool says that the code it compiles lies, or why it can't be asked."""

    folders: tuple[str, ...] = ()
    problem: str = ""


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of where a run's code came from.

    `resolves` maps module names to where the project's interpreter finds them (None: nowhere); `read` are the changed
    files of the workspace that were opened during the run; `builds` is what go or cargo say of their folders.
    """

    workspace: str
    repo: str
    own: Sequence[str]
    tracked: Set[str]
    names: Mapping[str, str]
    record: Record
    resolves: Mapping[str, str | None] = {}
    read: Set[str] = frozenset()
    builds: Builds | None = None


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a run tested the workspace. `files` says of each changed file how that is known, `outside` what wasn't.

    `how` is one of: imported, loaded (by Node), copied (into an environment of the run's own, byte for byte), resolves,
    built, read, not loaded (by any test), untested (by this runner), not code; or outside, stale, unproved.
    """

    status: Literal["proved", "unproved", "outside"]
    reason: str | None = None
    files: dict[str, str] = {}
    outside: tuple[str, ...] = ()
    pythons: tuple[str, ...] = ()


def language(path: str) -> Language:
    """Say what a file is written in, by its ending; `text` for what isn't code."""
    return _LANGUAGES.get(PurePosixPath(path).suffix.lower(), "text")


def judge(kind: Kind, changed: Sequence[str], seen: Seen, same: Callable[[str, str], bool]) -> Proof:
    """Judge one run. `same(loaded, path)` tells whether a loaded file has the bytes of a changed one."""
    strangers = [file for file in sorted(seen.record.loads) if _is_checkout(file, seen)]
    files: dict[str, str] = {}
    outside: list[str] = []
    for path in changed:
        files[path], where = _file(kind, path, seen, same)
        outside += [where] if where and where not in strangers else []
    outside = [*strangers[:20], *outside]
    pythons = tuple(seen.record.pythons[:5])
    if outside:
        reason = f"the tests used {outside[0]}, which isn't the workspace's"
        return Proof(status="outside", reason=reason, files=files, outside=tuple(outside), pythons=pythons)
    doubtful = [path for path, how in files.items() if how == "unproved"]
    if doubtful:
        problem = f" ({seen.builds.problem})" if seen.builds and seen.builds.problem else ""
        reason = f"nothing shows that the tests used the workspace's {doubtful[0]}{problem}"
        return Proof(status="unproved", reason=reason, files=files, pythons=pythons)
    return Proof(status="proved", files=files, pythons=pythons)


def _is_checkout(file: str, seen: Seen) -> bool:
    """Tell whether a loaded file is the user's checkout's own, not the workspace's nor an installed package's."""
    if any(_below(file, root) for root in (seen.workspace, *seen.own)) or not _below(file, seen.repo):
        return False
    prefixes = [prefix for prefix in seen.record.prefixes if _below(prefix, seen.repo)]
    if any(_below(file, prefix) for prefix in prefixes):
        return False
    return not _ENVIRONMENT_PARTS & set(PurePosixPath(file[len(seen.repo) + 1 :]).parts)


def _below(file: str, root: str) -> bool:
    return file.startswith(root.rstrip("/") + "/")


def _file(kind: Kind, path: str, seen: Seen, same: Callable[[str, str], bool]) -> tuple[str, str | None]:
    """Say how one changed file is known to be what was tested, and the other file that was used in its place."""
    tongue = language(path)
    if tongue == "text":
        return "not code", None
    loaded = _LOADED.get(kind)
    if loaded is not None and tongue not in loaded:
        return "untested", None
    if tongue == "python":
        return _python(path, seen, same)
    if tongue == "node":
        return _node(kind, path, seen)
    if seen.builds is not None and {"go": "go", "cargo": "rust", "maven": "other"}.get(kind) == tongue:
        return _built(seen.builds, path, seen)
    return ("read", None) if path in seen.read else ("unproved", None)


def _python(path: str, seen: Seen, same: Callable[[str, str], bool]) -> tuple[str, str | None]:
    here = f"{seen.workspace}/{path}"
    names = {name for name, file in seen.names.items() if file == path}
    copies = []
    for file in sorted(file for file, loaded_as in seen.record.loads.items() if loaded_as & names and file != here):
        inside = [root for root in (seen.workspace, *seen.own) if _below(file, root)]
        if not inside:
            return "outside", file
        # Another file of the same tree may bear the name, too; what a build made of the tree must have its bytes.
        if file[len(seen.workspace) + 1 :] not in seen.tracked or inside[0] != seen.workspace:
            if not same(file, path):
                return "stale", file
            copies.append(file)
    if here in seen.record.loads:
        return "imported", None
    if copies:
        return "copied", None
    if not seen.record.runners & {"pytest", "unittest"}:
        return "unproved", None  # no recorder in the process that ran the tests: they may have imported anything
    found = next((seen.resolves[name] for name in names if seen.resolves.get(name)), None)
    if found is None:
        return "not loaded", None
    return ("resolves", None) if _below(found, seen.workspace) else ("outside", found)


def _node(kind: Kind, path: str, seen: Seen) -> tuple[str, str | None]:
    if f"{seen.workspace}/{path}" in seen.record.node_loads:
        return "loaded", None
    if path in seen.read and kind == "npm":
        return "read", None  # by a tool that doesn't read through Node (esbuild, swc)
    if any(_below(file, seen.workspace) for file in seen.record.node_loads):
        return "not loaded", None
    return "unproved", None


def _built(builds: Builds, path: str, seen: Seen) -> tuple[str, str | None]:
    strange = [
        folder
        for folder in builds.folders
        if _below(folder + "/", seen.repo) and not _below(folder + "/", seen.workspace)
    ]
    if strange:
        return "outside", strange[0]
    inside = any(_below(f"{seen.workspace}/{path}", folder) for folder in builds.folders)
    return ("built", None) if inside and not builds.problem else ("unproved", None)

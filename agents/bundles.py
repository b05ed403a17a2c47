"""The git objects of a run as one file: what its events name, in a bundle that needs no other repository.

Owns which commits a run's events name, and how those come out of its stores and into a new one elsewhere. A bundle has
the run's commits and the files of what they were made on; the history before that is left out (the store that is made
of it is shallow there). Leaves to `store` how stores are used. Keeps: a store is only read, and one that is made from a
bundle has every object of every commit in it, or is not made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from ..eventstore.event import Event
from .git import UPLOAD_PACK, Git, is_commit
from .store import ATTRIBUTES

_FETCH = (
    "fetch",
    "--quiet",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--no-tags",
    "--no-recurse-submodules",
    "--update-shallow",
    "--upload-pack",
    UPLOAD_PACK,
)
#: One thread packs the same objects into the same bytes each time.
_SETTINGS = {"fetch.unpackLimit": "1", "pack.threads": "1"}
_REF = re.compile(r"refs/[A-Za-z0-9._/-]+")
_STORE = re.compile(r"[0-9a-f]{24}/[0-9a-f]{32}\.git")


class StoreNeeds(msgspec.Struct, frozen=True):
    """What a run's events name of one store, which is `<repository>/<run>.git` below a home's stores.

    `refs` are the commits that the run has made, by their refs; `bases` those that it was laid out at, or began from;
    `loose` those that another run has made, which may be in any of its stores.
    """

    store: str
    refs: dict[str, str]
    bases: tuple[str, ...] = ()
    loose: tuple[str, ...] = ()


class Bundled(msgspec.Struct, frozen=True):
    """What a bundle holds: commits by ref, and the commits before which history was left out; `missing` are those that
    events name and the store has no more.
    """

    refs: dict[str, str]
    shallow: tuple[str, ...]
    object_format: str
    missing: tuple[str, ...] = ()


def stores_needed(events: Iterable[Event]) -> list[StoreNeeds]:
    """Return what events of a run name of stores, in the order of the stores' names."""
    refs: dict[str, dict[str, str]] = {}
    bases: dict[str, set[str]] = {}
    loose: set[str] = set()
    for event in events:
        if not names_commits(event):
            continue
        data: Any = event.data
        if isinstance(data, dict) and "recorded" in data:
            commits = data.get("commits")
            named = (data.get("commit"), *(commits.values() if isinstance(commits, dict) else ()))
            loose |= {commit for commit in named if is_commit(commit)}
            continue
        store = store_name(data.get("store")) if isinstance(data, dict) else ""
        commit = data.get("commit") if store else None
        if not store or not is_commit(commit):
            continue
        assert isinstance(commit, str)
        ref = data.get("ref")
        if event.type == "workspace.committed" and isinstance(ref, str) and is_ref(ref):
            refs.setdefault(store, {})[ref] = commit
        else:
            bases.setdefault(store, set()).add(commit)
    found = []
    for store in sorted({*refs, *bases}):
        made = refs.get(store, {})
        begun = bases.get(store, set()) - {*made.values()}
        found.append(StoreNeeds(store, made, tuple(sorted(begun)), tuple(sorted(loose))))
    return found


def names_commits(event: Event) -> bool:
    """Tell whether an event may name commits: of a workspace, or an effect served from another run's record."""
    if event.payload is None:
        return False
    served = event.type in ("effect.completed", "effect.failed") and '"recorded"' in event.payload
    return served or event.type in ("workspace.created", "workspace.committed")


def store_name(path: object) -> str:
    """Return what names a run's store below the stores of any home, "" for a path that is none's."""
    name = "/".join(PurePosixPath(path).parts[-2:]) if isinstance(path, str) else ""
    return name if _STORE.fullmatch(name) else ""


def is_ref(text: str) -> bool:
    """Tell whether text is a full ref that git takes from us; `git` itself has the last word."""
    return _REF.fullmatch(text) is not None and ".." not in text and "//" not in text


def write_bundle(git: Git, store: Path, needs: StoreNeeds, target: Path, scratch: Path) -> Bundled | None:
    """Write what is needed of a store to a new bundle, by way of the folder `scratch`; None where nothing is there.

    Raises GitFailed. `target` and `scratch` are absolute, and `scratch` does not exist.
    """
    if not (store / "objects").is_dir():
        return None
    object_format = git.run("rev-parse", "--show-object-format", git_dir=store).text
    wanted = [*needs.refs.values(), *needs.bases]
    missing = [commit for commit in dict.fromkeys(wanted) if not _has(git, store, commit)]
    there = {*needs.bases, *(commit for commit in needs.loose if _has(git, store, commit))}
    bases = {f"refs/twelvefold/bases/{commit}": commit for commit in sorted(there - set(missing))}
    made = {ref: commit for ref, commit in needs.refs.items() if commit not in missing}
    if not (bases or made):
        return None
    git.run(
        "init", "--quiet", "--bare", "--template=", f"--object-format={object_format}", "--", str(scratch), at=store
    )
    # What stands at the bases first, and without their history: what was made on them then comes without it, too.
    for options, refs in ((("--depth=1",), bases), ((), made)):
        if refs:
            names = "".join(f"{commit}:{ref}\n" for ref, commit in refs.items())
            command = (*_FETCH, *options, "--stdin", "--", str(store))
            git.run(*command, git_dir=scratch, stdin=names.encode(), settings=_SETTINGS)
    names = "".join(f"{ref}\n" for ref in sorted({**bases, **made}))
    git.run(
        "bundle", "create", "--quiet", str(target), "--stdin", git_dir=scratch, stdin=names.encode(), settings=_SETTINGS
    )
    shallow = scratch / "shallow"
    cut = shallow.read_text("ascii").split() if shallow.exists() else []
    return Bundled({**bases, **made}, tuple(sorted(cut)), object_format, tuple(missing))


def read_bundle(git: Git, bundle: Path, bundled: Bundled, target: Path) -> None:
    """Make a new store of a bundle at `target`, which does not exist; raises GitFailed, ValueError.

    ValueError where the bundle isn't what `bundled` says, or lacks objects.
    """
    for text in (*bundled.refs.values(), *bundled.shallow):
        if not is_commit(text):
            raise ValueError(f"{text!r} is not the id of a commit")
    for ref in bundled.refs:
        if not is_ref(ref):
            raise ValueError(f"{ref!r} is no ref")
    if bundled.object_format not in ("sha1", "sha256"):
        raise ValueError(f"{bundled.object_format!r} is no object format")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    form = f"--object-format={bundled.object_format}"
    git.run("init", "--quiet", "--bare", "--template=", form, "--", str(target), at=target.parent)
    (target / "info").mkdir(exist_ok=True)
    (target / "info" / "attributes").write_text(ATTRIBUTES)
    if bundled.shallow:
        (target / "shallow").write_text("".join(f"{commit}\n" for commit in bundled.shallow))
    rows = git.run("bundle", "unbundle", str(bundle), git_dir=target).text.splitlines()
    held = {ref: commit for commit, _, ref in (row.partition(" ") for row in rows)}
    if held != bundled.refs:
        differing = sorted({*held.items()} ^ {*bundled.refs.items()})[0]
        raise ValueError(f"the commit of {differing[0]} is not the one that was written")
    commands = "".join(f"create {ref} {commit}\n" for ref, commit in bundled.refs.items())
    git.run("update-ref", "--no-deref", "--stdin", git_dir=target, stdin=commands.encode())
    check_store(git, target, bundled.refs)


def borrow(git: Git, store: Path, others: Sequence[Path]) -> None:
    """Let a store, which is made where it is missing, read the objects of others beside it; raises GitFailed.

    As a fork's store does with those of the runs that it comes from. `others` isn't empty; they may be moved with it.
    """
    if not store.exists():
        form = git.run("rev-parse", "--show-object-format", git_dir=others[0]).text
        command = ("init", "--quiet", "--bare", "--template=", f"--object-format={form}", "--", str(store))
        git.run(*command, at=store.parent)
        (store / "info").mkdir(exist_ok=True)
        (store / "info" / "attributes").write_text(ATTRIBUTES)
    alternates = store / "objects" / "info" / "alternates"
    alternates.parent.mkdir(exist_ok=True)
    alternates.write_text("".join(f"../../{other.name}/objects\n" for other in others))
    known = [one / "shallow" for one in (store, *others) if (one / "shallow").exists()]
    if known:
        cut = sorted({line for one in known for line in one.read_text("ascii").split()})
        (store / "shallow").write_text("".join(f"{commit}\n" for commit in cut))


def check_store(git: Git, store: Path, refs: Mapping[str, str]) -> None:
    """Raise ValueError unless a store has all commits by their refs, with all that they are made of, undamaged."""
    found = git.run("for-each-ref", "--format=%(objectname) %(refname)", git_dir=store, expect=(0, 128)).text
    held = {ref: commit for commit, _, ref in (row.partition(" ") for row in found.splitlines())}
    for ref, commit in refs.items():
        if held.get(ref) != commit:
            raise ValueError(f"{ref} is at {held.get(ref, 'nothing')[:12]}, not at {commit[:12]}")
    packs = sorted(str(index) for index in (store / "objects" / "pack").glob("*.idx"))
    for command in (("verify-pack", "--", *packs), ("fsck", "--connectivity-only", "--no-dangling", "--no-progress")):
        if "--" not in command or packs:
            checked = git.run(*command, git_dir=store, expect=tuple(range(256)))
            if checked.status:
                said = (checked.err.strip() or checked.text.strip()).splitlines()
                raise ValueError(said[0] if said else f"git {command[0]} ended with {checked.status}")


def _has(git: Git, store: Path, commit: str) -> bool:
    return not git.run("cat-file", "-e", f"{commit}^{{commit}}", git_dir=store, expect=(0, 1, 128)).status

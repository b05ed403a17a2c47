"""What a commit's tree says about its tests, read from the store without laying the files out.

Keeps: only the named commit is read, never the user's checkout.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import msgspec

from .git import Git, check_commit
from .review.kinds import is_test
from .test_runner import is_wanted

#: Larger files aren't looked into: a test file of this size is generated.
CONTENT_BYTES_MAX = 1 << 20


class Tree(msgspec.Struct, frozen=True):
    """The paths of a commit's files, and the contents of those that tell how its tests are run."""

    paths: tuple[str, ...]
    contents: dict[str, str]


def read_tree(git: Git, git_dir: Path, commit: str) -> Tree:
    """Read a commit of a store; raises GitFailed where the store lacks it."""
    listed = git.run("ls-tree", "-r", "-z", "-l", check_commit(commit), git_dir=git_dir).out
    objects: dict[str, str] = {}
    paths: list[str] = []
    for row in filter(None, listed.split(b"\0")):
        facts, name = row.split(b"\t", 1)
        path = name.decode("utf-8", "surrogateescape")
        mode, kind, identity, size = facts.split()
        if kind != b"blob" or mode == b"120000":
            continue
        paths.append(path)
        if is_wanted(path) and int(size) <= CONTENT_BYTES_MAX:
            objects[path] = identity.decode()
    return Tree(tuple(paths), _contents(git, git_dir, objects))


def own_packages(tree: Tree) -> list[str]:
    """List the files by which the project's own Python packages are loaded: tests that load others don't test it."""
    tops = ("", "src", "lib")
    found = [PurePosixPath(path) for path in tree.paths if path.endswith("/__init__.py")]
    return [
        str(path)
        for path in found
        if len(path.parts) <= 3 and "/".join(path.parts[:-2]) in tops and not is_test(str(path))
    ]


def changed_files(git: Git, git_dir: Path, base: str, commit: str) -> list[str]:
    """List the files of `commit` that `base` hasn't or has otherwise, and those that it lacks, sorted."""
    diff = ("diff-tree", "-r", "-z", "--name-only", "--no-renames", check_commit(base), check_commit(commit))
    listed = git.run(*diff, git_dir=git_dir).out
    return sorted(name.decode("utf-8", "surrogateescape") for name in listed.split(b"\0") if name)


def _contents(git: Git, git_dir: Path, objects: dict[str, str]) -> dict[str, str]:
    wanted = "".join(f"{identity}\n" for identity in objects.values()).encode()
    out = git.run("cat-file", "--batch", git_dir=git_dir, stdin=wanted).out if objects else b""
    contents: dict[str, str] = {}
    at = 0
    for path in objects:
        end = out.index(b"\n", at)
        size = int(out[at:end].split()[2])
        contents[path] = out[end + 1 : end + 1 + size].decode("utf-8", "replace")
        at = end + 1 + size + 1
    return contents

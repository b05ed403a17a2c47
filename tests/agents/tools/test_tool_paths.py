"""No path that a model, an issue or a repository can think of leads out of the workspace."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.agents.tools.conftest import Desk, picture
from twelvefold.agents.tool_errors import EditsRefused, PathRefused
from twelvefold.agents.tools.transaction import Edits
from twelvefold.agents.tools.tree import FileTree

SECRET = "the secret"
#: Calls that take a path, with what else they need.
CALLS: dict[str, dict[str, Any]] = {
    "read_file": {},
    "write_file": {"text": "owned\n"},
    "edit_file": {"old_text": SECRET, "new_text": "owned"},
    "delete_file": {},
    "git_blame": {},
}
HOSTILE = (
    *("../outside/secret.txt", "/etc/passwd", "~/.ssh/id_rsa", "a/../../outside/secret.txt", "./../x", "..", ".", ""),
    *(".git/config", ".git/hooks/pre-commit", ".GIT/config", "src/.git/config", ".git./config", "git~1/config", ".git"),
    *("C:\\windows", "a\\..\\b", "a//b", "a/./b", "a/", " a", "a\n", "a\0b", "x" * 5000, "y" * 300, "a/" * 3000 + "b"),
    *(
        "--output=/tmp/tf-hostile-output",
        "-rf",
        "$(touch x)",
        "`id`",
        "a;b",
        "\x1b[31mred",
        "file:///etc/passwd",
        "\udcff\udcfe",
    ),
)


def assert_kept(desk: Desk, before: Any) -> None:
    """Nothing of the workspace has changed, and nothing hangs about."""
    assert picture(desk.folder) == before


@pytest.mark.parametrize("tool", CALLS)
def test_hostile_paths_are_refused_or_are_plain_names(desk: Desk, outside: Path, tool: str) -> None:
    """Whatever the path: nothing outside is read or written, and `.git` isn't touched."""
    git_before = picture_of_git(desk.folder)
    for path in HOSTILE:
        try:
            response = desk.context.call(desk.tools[tool], {"path": path, **CALLS[tool]})
        except Exception as error:  # noqa: BLE001 - the log refuses surrogates, and the schema empty and long paths
            assert type(error).__name__ in ("InvalidParameters", "UnicodeEncodeError"), (path, error)
            continue
        assert SECRET not in str(response.data) and "root:" not in str(response.data)
        if response.success:
            # A name like any other, which lies in the workspace under just that name.
            assert tool in ("write_file", "delete_file") and not path.startswith(("/", "~", ".")), path
            desk.call("delete_file", path=path)
    assert picture_of_git(desk.folder) == git_before
    assert not list(desk.folder.parent.parent.rglob("owned")) and not Path("/tmp/tf-hostile-output").exists()


def picture_of_git(folder: Path) -> dict[str, bytes]:
    """Everything in the workspace's own `.git`."""
    files = [path for path in (folder / ".git").rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


LINKS = {
    "out": "../outside",  # filled in by the test
    "out_file": "secret.txt",
    "within": "src",
    "within_file": "README.md",
    "nowhere": "does/not/exist",
    "loop": "loop",
}


@pytest.fixture
def linked(desk_on: Callable[..., Desk], user: Any, outside: Path) -> Desk:
    """A desk on a repository full of links: out of it, within it, into nothing, to themselves."""
    for name, target in LINKS.items():
        place = outside if name == "out" else outside / target if name == "out_file" else target
        (user.folder / name).symlink_to(place)
    return desk_on({"more.txt": "more\n"})


@pytest.mark.parametrize("tool", CALLS)
def test_no_link_is_followed(linked: Desk, tool: str) -> None:
    """A link to a file or a folder, outside or inside, is refused with where it leads to, and stays a link."""
    paths = ("out/secret.txt", "out/new.txt", "out/inner/a.py", "out", "out_file", "within/shop/prices.py", "within")
    for path in (*paths, "within_file", "nowhere", "loop", "loop/x", "nowhere/x"):
        response = linked.context.call(linked.tools[tool], {"path": path, **CALLS[tool]})
        assert not response.success and SECRET not in str(response.data), path
        if tool != "git_blame":
            assert response.reason == "path_refused" and "link" in str(response.error), path
    for name in LINKS:
        assert (linked.folder / name).is_symlink()


def test_no_link_is_moved_onto_or_listed_or_searched(linked: Desk) -> None:
    """Moving through a link is refused; listing and searching pass links over."""
    for path, to in (
        ("README.md", "out/r.md"),
        ("out/secret.txt", "s.txt"),
        ("README.md", "within_file"),
        ("loop", "x"),
    ):
        assert linked.refused("move_file", path=path, to=to) == "path_refused"
    assert not {path.split("/")[0] for path in linked.did("list_files")["files"]} & set(LINKS)
    assert linked.did("search_files", pattern=SECRET)["matches"] == []
    assert linked.did("list_files", pattern="out/**")["files"] == []


def test_a_diff_makes_no_link_and_writes_through_none(linked: Desk) -> None:
    """Neither a link of the repository nor one that the diff itself makes is a way out."""
    through = "--- /dev/null\n+++ b/out/new.txt\n@@ -0,0 +1 @@\n+owned\n"
    assert linked.refused("apply_diff", diff=through) in ("diff_does_not_apply", "path_refused")
    link = "diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n"
    link += "\\ No newline at end of file\n"
    assert linked.refused("apply_diff", diff=link) == "unsafe_path"
    both = link + "diff --git a/l/x b/l/x\nnew file mode 100644\n--- /dev/null\n+++ b/l/x\n@@ -0,0 +1 @@\n+owned\n"
    assert linked.refused("apply_diff", diff=both) in ("unsafe_path", "diff_does_not_apply")
    for name in ("../x", "/etc/x", ".git/hooks/x", "a/../../x"):
        text = f"--- /dev/null\n+++ b/{name}\n@@ -0,0 +1 @@\n+owned\n"
        assert linked.refused("apply_diff", diff=text) in ("diff_does_not_apply", "path_refused"), name


def test_a_submodule_is_not_written_into(desk_on: Callable[..., Desk], user: Any) -> None:
    """What is committed there is another repository's commit, which an edit must not replace by files."""
    head = user.git("rev-parse", "HEAD")
    user.git("update-index", "--add", "--cacheinfo", f"160000,{head},sub")
    user.git("commit", "-qm", "Submodule")
    desk = desk_on()
    assert desk.refused("write_file", path="sub/x.txt", text="x") == "path_refused"
    assert desk.refused("write_file", path="sub", text="x") == "path_refused"
    assert desk.refused("move_file", path="README.md", to="sub/README.md") == "path_refused"
    desk.did("write_file", path="subway.txt", text="x")
    assert desk.changed() == ["subway.txt"]


def test_names_of_files_that_are_not_text_are_listed_escaped(desk: Desk) -> None:
    """A file name that isn't UTF-8, or holds a newline or an escape sequence, breaks nothing."""
    for name in (b"caf\xe9.txt", b"new\nline.txt", b"\x1b[31m.txt"):
        with open(os.fsencode(desk.folder) + b"/" + name, "wb") as file:  # noqa: PTH123
            file.write(b"needle\n")
    files = desk.did("list_files", pattern="*.txt")["files"]
    assert sorted(files) == sorted(["caf\\xe9.txt", "new\nline.txt", "\x1b[31m.txt"])
    found = {match["path"] for match in desk.did("search_files", pattern="needle")["matches"]}
    assert found == set(files)
    desk.did("write_file", path="README.md", text="x")
    assert len(desk.changed()) == 4


PARTS = st.sampled_from(
    ["a", "b", "..", ".", "", ".git", ".GIT", "link", "file", "a\n", "~", "-", "é", " ", "\\", "c:"]
)
PATHS = st.lists(PARTS, min_size=1, max_size=5).map("/".join) | st.text(max_size=20)


@pytest.fixture(scope="module")
def trap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with links out of it, beside one that must stay as it is."""
    top = tmp_path_factory.mktemp("trap")
    (top / "outside").mkdir()
    (top / "outside" / "a").write_text(SECRET)
    (top / "outside" / "b").mkdir()
    inside = top / "inside"
    (inside / "a" / "b").mkdir(parents=True)
    (inside / ".git").mkdir()
    (inside / ".git" / "a").write_text("git's")
    (inside / "file").write_text("mine")
    (inside / "link").symlink_to(top / "outside")
    (inside / "a" / "link").symlink_to("../../outside")
    before = picture(top / "outside")
    yield inside
    assert picture(top / "outside") == before
    assert (inside / ".git" / "a").read_text() == "git's"
    assert sorted(path.name for path in top.iterdir()) == ["inside", "outside"]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=PATHS, to=PATHS)
def test_any_path_stays_inside(trap: Path, path: str, to: str) -> None:
    """Reading gives a file of the folder or is refused; writing, moving and deleting never reach beyond it."""
    tree = FileTree(trap)
    for act in (
        lambda edits: edits.write(path, b"owned"),
        lambda edits: edits.move(path, to),
        lambda edits: edits.delete(to),
    ):
        edits = Edits(tree)
        try:
            assert SECRET.encode() not in (edits.read(path) or b"")
            act(edits)
            made = edits.make()
        except (PathRefused, EditsRefused):
            continue
        for one in made:
            real = os.path.realpath(trap / one)
            assert real.startswith(f"{os.path.realpath(trap)}/") and "/.git" not in real.lower()


def test_a_folder_that_is_swapped_for_a_link_meanwhile_leads_nowhere(tmp_path: Path, outside: Path) -> None:
    """While another process swaps a folder for a link again and again, no write and no read goes through it."""
    inside = tmp_path / "inside"
    (inside / "sub").mkdir(parents=True)
    (inside / "sub" / "secret.txt").write_text("mine\n")
    tree, over = FileTree(inside), threading.Event()

    def swap() -> None:
        while not over.is_set():
            # A write may make the folder anew in the moment in which it has none.
            for step in (
                lambda: (inside / "sub").rename(inside / "aside"),
                lambda: (inside / "sub").symlink_to(outside),
                lambda: (inside / "sub").unlink(),
                lambda: shutil.rmtree(inside / "sub"),
                lambda: (inside / "aside").rename(inside / "sub"),
            ):
                with contextlib.suppress(OSError):
                    step()

    thread = threading.Thread(target=swap)
    thread.start()
    refused = done = 0
    try:
        for number in range(1500):
            edits = Edits(tree)
            try:
                assert SECRET.encode() not in (edits.read("sub/secret.txt") or b"")
                edits.write(f"sub/{number % 7}.txt", str(number).encode())
                edits.make()
                done += 1
            except (PathRefused, OSError):
                refused += 1
    finally:
        over.set()
        thread.join()
    assert done and refused, (done, refused)
    assert sorted(path.name for path in outside.iterdir()) == ["inner", "secret.txt"]

"""Unified diffs: applied exactly and as a whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.agents.tools.conftest import FILES, Desk, picture

EDIT = """--- a/src/shop/prices.py
+++ b/src/shop/prices.py
@@ -1,3 +1,3 @@
-def price(n: int) -> int:
+def price(number: int) -> int:
     return n * 2

"""


def test_a_diff_of_several_files_is_applied(desk: Desk) -> None:
    """Edits, new files, removed and renamed ones, modes: as git would."""
    diff = """diff --git a/README.md b/README.md
--- a/README.md
+++ b/README.md
@@ -1,3 +1,4 @@
 # Shop

-Sells things.
+Sells
+many things.
diff --git a/docs/new.md b/docs/new.md
new file mode 100755
--- /dev/null
+++ b/docs/new.md
@@ -0,0 +1 @@
+new
diff --git a/data/table.json b/data/table.json
deleted file mode 100644
--- a/data/table.json
+++ /dev/null
@@ -1 +0,0 @@
-{"a": 1}
diff --git a/tests/test_prices.py b/tests/test_all.py
similarity index 100%
rename from tests/test_prices.py
rename to tests/test_all.py
"""
    changed = ["README.md", "data/table.json", "docs/new.md", "tests/test_all.py", "tests/test_prices.py"]
    assert desk.did("apply_diff", diff=diff)["files_changed"] == changed
    assert desk.text("README.md") == "# Shop\n\nSells\nmany things.\n"
    assert desk.text("tests/test_all.py") == FILES["tests/test_prices.py"]
    assert (desk.folder / "docs/new.md").stat().st_mode & 0o111 and not (desk.folder / "data").exists()
    assert desk.changed() == changed


@pytest.mark.parametrize(
    "shape",
    [
        lambda text: text,
        lambda text: text.replace("a/src", "src").replace("b/src", "src"),
        lambda text: text.replace("@@ -1,3 +1,3 @@", "@@ -1,9 +1,7 @@"),
        lambda text: text.replace("@@ -1,3 +1,3 @@", "@@ -41,3 +41,3 @@"),
        lambda text: text.rstrip("\n"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: f"From: somebody\nSubject: words\n\n{text}",
        lambda text: f"{text}-- \n2.39.5\n",
        lambda text: text.replace("\n\n", "\n \n"),
    ],
)
def test_diffs_as_models_write_them_are_taken(desk: Desk, shape: Callable[[str], str]) -> None:
    """Names without a/ and b/, wrong numbers, a missing last newline, other line ends, words around it."""
    assert desk.did("apply_diff", diff=shape(EDIT))["files_changed"] == ["src/shop/prices.py"]
    assert desk.text("src/shop/prices.py") == FILES["src/shop/prices.py"].replace("price(n:", "price(number:")


@pytest.mark.parametrize(
    ("diff", "reason"),
    [
        (EDIT.replace("return n", "return  n"), "diff_does_not_apply"),
        (EDIT.replace("shop/prices", "shop/costs"), "diff_does_not_apply"),
        (EDIT.replace("+def price(number", "+def price((number"), "syntax_broken"),
        (EDIT + "--- a/README.md\n+++ b/README.md\n@@ -1 +1 @@\n-# Stop\n+# Go\n", "diff_does_not_apply"),
        (EDIT + "--- /dev/null\n+++ b/README.md\n@@ -0,0 +1 @@\n+new\n", "diff_does_not_apply"),
        ("just words", "diff_does_not_apply"),
        ("--- a/README.md\n+++ b/README.md\n", "diff_does_not_apply"),
    ],
)
def test_all_of_a_diff_fits_or_none_is_applied(desk: Desk, diff: str, reason: str) -> None:
    """Context that differs, a missing file, one hunk of many, a file that would not parse: nothing changes."""
    assert desk.refused("apply_diff", diff=diff) == reason
    assert desk.changed() == []


def test_what_git_shows_as_changed_can_be_applied_elsewhere(desk_on: Callable[..., Desk]) -> None:
    """A diff that `git_diff` made brings another workspace to the same tree, odd endings and modes included."""
    files = {"crlf.txt": "one\r\ntwo\r\n", "end.txt": "no newline", "tool.sh": "#!/bin/sh\n", "sp ace.txt": "a\n"}
    one: Any = desk_on(files)
    one.did("edit_file", path="crlf.txt", old_text="two", new_text="zwei")
    one.did("write_file", path="end.txt", text="no newline\nnow two")
    one.did("write_file", path="tool.sh", text="#!/bin/sh\n", executable=True)
    one.did("write_file", path="sp ace.txt", text="b\n")
    one.did("write_file", path="ünï.txt", text="new\n")
    diff = one.did("git_diff")["diff"]
    two = desk_on()
    two.did("apply_diff", diff=diff)
    assert picture(two.folder) == picture(one.folder)


def test_a_diff_that_was_applied_before_does_not_fit_again(desk: Desk) -> None:
    """Nothing is applied twice."""
    desk.did("apply_diff", diff=EDIT)
    assert desk.refused("apply_diff", diff=EDIT) == "diff_does_not_apply"


def test_names_are_told_from_what_stands_before_them(desk_on: Callable[..., Desk]) -> None:
    """Folders called a and b, lines that look like names when they are removed, and diffs without prefixes."""
    desk = desk_on({"a/x.txt": "-- a/y\nold\n", "x.txt": "top\n"})
    plain = "--- a/x.txt\n+++ a/x.txt\n@@ -1,2 +1,2 @@\n --- a/y\n-old\n+new\n".replace(" --- a/y", " -- a/y")
    desk.did("apply_diff", diff=plain)
    assert (desk.text("a/x.txt"), desk.text("x.txt")) == ("-- a/y\nnew\n", "top\n")
    bare = f"diff --git a/x.txt a/x.txt\n{plain}".replace("-old", "-new").replace("+new", "+newer")
    desk.did("apply_diff", diff=bare)
    assert desk.text("a/x.txt") == "-- a/y\nnewer\n"
    removed = "--- a/a/x.txt\n+++ b/a/x.txt\n@@ -1,2 +1 @@\n--- a/y\n newer\n"
    desk.did("apply_diff", diff=removed)
    assert desk.text("a/x.txt") == "newer\n"

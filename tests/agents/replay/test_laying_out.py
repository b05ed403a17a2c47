"""Whoever lays files out for a sealed process writes nowhere else on its word."""

from __future__ import annotations

import subprocess
from pathlib import Path

from twelvefold.agents.replay.laying_out import LayingOut
from twelvefold.agents.replay.wire import LayOutFiles


def committed(store: Path, text: str) -> str:
    """Commit a file into a bare store, and return the commit."""
    git = ("git", f"--git-dir={store}", "-c", "user.name=x", "-c", "user.email=x@example.org")

    def say(*arguments: str, given: str = "") -> str:
        return subprocess.run(
            [*git, *arguments], input=given, capture_output=True, text=True, check=True
        ).stdout.strip()

    blob = say("hash-object", "-w", "--stdin", given=text)
    tree = say("mktree", given=f"100644 blob {blob}\ta.txt\n")
    return say("commit-tree", tree, "-m", text)


def test_only_folders_of_its_own_are_changed(tmp_path: Path) -> None:
    """A folder that it has laid out goes on to another commit; one that it hasn't stays as it is, and it says why."""
    store = tmp_path / "stores" / "home" / "run.git"
    store.parent.mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", "--bare", str(store)], check=True)
    first, second = committed(store, "first"), committed(store, "second")
    mine, others = LayingOut(), LayingOut()
    try:
        laid = mine.answer(LayOutFiles(str(store), "0", first, ""), "r", tmp_path)
        assert laid.problem == ""
        file = Path(laid.folder) / "a.txt"
        refused = others.answer(LayOutFiles(str(store), "0", second, laid.folder), "r", tmp_path)
        assert "was not laid out here" in refused.problem
        assert file.read_text() == "first"
        assert mine.answer(LayOutFiles(str(store), "0", second, laid.folder), "r", tmp_path).problem == ""
        assert file.read_text() == "second"
    finally:
        mine.forget()
        others.forget()

"""Which places of a project a user's own agent may write, by what stands there."""

from __future__ import annotations

from pathlib import Path

from twelvefold.agents.sandbox import project
from twelvefold.agents.sandbox.project import project_places


def test_a_plain_project_is_given_whole(tmp_path: Path) -> None:
    """Where nothing in it is a checkout or the runtime's home, new files may stand at its top as well."""
    (tmp_path / "data").mkdir()
    assert project_places(tmp_path, tmp_path.parent / "home", [Path("/root")]) == [tmp_path]


def test_what_is_kept_out_leaves_the_rest(tmp_path: Path) -> None:
    """A home or a checkout in it: its siblings may be written, links are not followed."""
    for folder in ("data", ".twelvefold/keys", "repo/.git", "more/repo/.git", "more/plain"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "own.py").touch()
    (tmp_path / "link").symlink_to("/etc")
    found = project_places(tmp_path, tmp_path / ".twelvefold", [])
    assert sorted(found) == [tmp_path / "data", tmp_path / "more/plain", tmp_path / "own.py"]


def test_checkouts_homes_and_what_is_everybodys_are_no_projects(tmp_path: Path) -> None:
    """In a checkout, around a user's home, within the runtime's, open to all, or too large to look through: nothing."""
    user, inner, shared = tmp_path / "all/user", tmp_path / "repo/sub", tmp_path / "shared"
    for folder in (user, inner, shared, tmp_path / "repo/.git"):
        folder.mkdir(parents=True)
    shared.chmod(0o1777)
    elsewhere = tmp_path / "home"
    assert project_places(inner, elsewhere, []) == []
    assert project_places(tmp_path / "all", elsewhere, [user]) == []
    assert project_places(user, elsewhere, [user]) == []
    assert project_places(shared, elsewhere, []) == []
    assert project_places(user, tmp_path / "all", []) == []
    assert project_places(tmp_path / "none", elsewhere, []) == []
    many = tmp_path / "many"
    many.mkdir()
    for number in range(project.ENTRIES_MAX + 1):
        (many / str(number)).touch()
    assert project_places(many, elsewhere, []) == []

"""The rules themselves, in processes forked for it: of root and of an ordinary user, on old kernels, nested."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from twelvefold.agents.sandbox import confine as confining
from twelvefold.agents.sandbox import landlock
from twelvefold.agents.sandbox.confine import Containment, Reads, confine, is_held, unreadable
from twelvefold.agents.sandbox.hints import outdated_by, way_to_allow
from twelvefold.agents.sandbox.private import private_environment
from twelvefold.agents.sandbox.reading import survey
from twelvefold.agents.sandbox.rules import FileRules

NOBODY = 65534


def forked(do: Callable[[], Any], user: int | None = None) -> Any:
    """Return what a function returns in a process of its own, run by root or by another user."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            if user is not None:
                os.setgroups([])
                os.setgid(user)
                os.setuid(user)
            os.write(writer, json.dumps(do()).encode())
        except BaseException:  # noqa: BLE001 - this copy of the test must end here
            os.write(writer, json.dumps(traceback.format_exc()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        said = told.read()
    os.waitpid(pid, 0)
    return json.loads(said)


def attempt(do: Callable[[], object]) -> str:
    """Return what came of it: DONE, or the error's name."""
    try:
        do()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "DONE"


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can reach, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="tf-place-"))
    folder.chmod(0o755)
    for name in ("inside", "outside", "home/.ssh"):
        (folder / name).mkdir(parents=True)
    (folder / "outside" / "kept").write_text("kept")
    (folder / "home" / ".ssh" / "id").write_text("SECRET")
    (folder / "home" / "notes").write_text("notes")
    yield folder
    shutil.rmtree(folder)


def rules(place: Path) -> FileRules:
    return FileRules((place / "inside",), (place / "home" / ".ssh",))


def tries(place: Path) -> list[str]:
    """What a bound process comes to: the first three are allowed, the rest is not."""
    kept, secret = place / "outside" / "kept", place / "home" / ".ssh" / "id"
    return [
        attempt(lambda: (place / "inside" / "new").write_text("x")),
        attempt((place / "home" / "notes").read_text),
        attempt(lambda: list((place / "home").iterdir())),
        attempt(lambda: kept.write_text("x")),
        attempt(lambda: os.truncate(kept, 0)),
        attempt(lambda: kept.rename(place / "inside" / "kept")),
        attempt(lambda: (place / "outside" / "new").touch()),
        attempt(secret.read_text),
        attempt(lambda: os.link(secret, place / "inside" / "id")),
        attempt(lambda: os.kill(1, 0)),
        attempt(lambda: Path("/proc/1/environ").read_bytes()),
        attempt(lambda: os.chroot(place)),
        attempt(lambda: os.setuid(1)),
    ]


@pytest.mark.parametrize("user", [None, NOBODY], ids=["as-we-are", "ordinary-user"])
def test_rules_hold_for_every_user(place: Path, user: int | None) -> None:
    """Root and an ordinary user, who owns all of it, are kept alike; nothing outside has changed."""
    if user is not None:
        if os.getuid():
            pytest.skip("only root can become another user")
        for path in [place, *place.rglob("*")]:
            os.chown(path, user, user)

    def bound() -> Any:
        done = confine(rules(place))
        return [done.contained, done.reason, is_held(), tries(place)]

    contained, reason, held, results = forked(bound, user)
    assert (contained, reason, held) == (True, "", True)
    assert results[:3] == ["DONE"] * 3
    assert set(results[3:]) <= {"EACCES", "EPERM", "EXDEV"}, results
    assert [path.name for path in (place / "outside").iterdir()] == ["kept"]
    assert (place / "outside" / "kept").read_text() == "kept"


def test_a_secret_in_a_place_to_write_in_stays_one(place: Path) -> None:
    """Where a whole home may be written in, what is no secret in it is read, and the secret isn't."""

    def bound() -> Any:
        confine(FileRules((place / "home",), (place / "home" / ".ssh",)))
        return [
            attempt((place / "home" / "notes").read_text),
            attempt(lambda: (place / "home" / "new").write_text("x")),
            attempt((place / "home" / ".ssh" / "id").read_text),
        ]

    assert forked(bound) == ["DONE", "DONE", "EACCES"]


def test_sandboxes_nest(place: Path) -> None:
    """A bound process can bind itself further, never less; beyond what the kernel takes it is told."""

    def bound() -> Any:
        first = confine(FileRules((place / "inside", place / "outside"), ()))
        both = [attempt((place / name / "x").touch) for name in ("inside", "outside")]
        second = confine(FileRules((place / "inside", place / "home"), ()))
        after = [attempt((place / name / "y").touch) for name in ("inside", "outside", "home")]
        last = second
        for _ in range(20):
            last = confine(FileRules((place / "inside",), ()))
        return [first.contained, both, second.contained, after, last.contained, last.reason]

    first, both, second, after, last, reason = forked(bound)
    assert (first, both, second) == (True, ["DONE", "DONE"], True)
    assert after == ["DONE", "EACCES", "EACCES"]
    assert last is False
    assert "so many sandboxes" in reason


def test_rules_made_before_serve_while_nothing_has_changed(place: Path) -> None:
    """Forks share the rules about secrets; where a folder has changed, one makes its own, and reads what is new."""

    def made() -> Reads | None:
        # Others make files in the folder for temporary files meanwhile, which lies on the way.
        reads = Reads(survey(rules(place).read_denied or ()))
        return reads if reads.serves([str(place / "inside")]) else None

    shared = eventually(made)

    def bound() -> Any:
        confine(rules(place), shared)
        return [attempt((place / "home" / ".ssh" / "id").read_text), attempt((place / "home" / "notes").read_text)]

    assert forked(bound) == ["EACCES", "DONE"]
    (place / "home" / "later").write_text("later")
    assert not shared.serves([str(place / "inside")])

    def again() -> Any:
        confine(rules(place), shared)
        return [attempt((place / "home" / name).read_text) for name in (".ssh/id", "later")]

    assert forked(again) == ["EACCES", "DONE"]


def test_what_is_made_later_is_known_to_be_hidden(place: Path) -> None:
    """A bound process knows what it can't read for being new, and tells tasks that name it; the way out is said."""

    def bound() -> Any:
        confine(rules(place))
        new = place / "home" / "new"
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)
        # Others make things in the folder for temporary files at the same time: only what lies in this place counts.
        before = [path for path in unreadable() if path.startswith(str(place))]
        ready.write(b"x")
        ready.flush()
        os.read(go, 1)
        hints = []
        for path in (new, place / "home" / ".ssh" / "id", place / "outside" / "kept"):
            try:
                path.read_text() if path != place / "outside" / "kept" else path.write_text("x")
            except OSError as error:
                hints.append(way_to_allow(error))
        task = json.dumps({"repo": str(new)})
        return [before, str(new) in unreadable(), outdated_by(task) == str(new), outdated_by("{}"), hints]

    ready_read, ready_write = os.pipe()
    go, gone = os.pipe()
    ready = os.fdopen(ready_write, "wb")
    helper = os.fork()
    if not helper:
        os.read(ready_read, 1)
        with suppress(OSError):
            (place / "home" / "new").write_text("new")
        os.write(gone, b"x")
        os._exit(0)
    before, listed, outdated, other, hints = forked(bound)
    os.waitpid(helper, 0)
    ready.close()
    for descriptor in (ready_read, go, gone):
        os.close(descriptor)
    assert (before, listed, outdated, other) == ([], True, True, "")
    assert "start it anew" in hints[0]
    assert f"export TWELVEFOLD_READABLE={place}/home/.ssh/id" in hints[1]
    assert f"export TWELVEFOLD_WRITABLE={place}/outside" in hints[2]


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSYS, "no Landlock"), (errno.EOPNOTSUPP, "switched off"), (errno.EPERM, "container")]
)
def test_a_kernel_without_rules_is_told(place: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str) -> None:
    """Where the kernel has no Landlock nothing is bound, and why is said in words."""

    def refuse() -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(landlock, "version", refuse)

    def bound() -> Any:
        done = confine(rules(place))
        return [done.contained, done.reason, attempt(lambda: (place / "outside" / "new").touch())]

    contained, reason, outside = forked(bound)
    assert (contained, outside) == (False, "DONE")
    assert words in reason


@pytest.mark.parametrize("abi", [1, 2, 3, 4, 5, 6])
def test_older_kernels_get_the_rules_that_they_know(place: Path, monkeypatch: pytest.MonkeyPatch, abi: int) -> None:
    """Each version is asked for no right that it doesn't know, and is called what it can hold."""
    monkeypatch.setattr(landlock, "version", lambda: abi)

    def bound() -> Any:
        done = confine(rules(place))
        return [done.contained, tries(place)[:7]]

    contained, results = forked(bound)
    assert contained is (abi >= confining.ABI_WHOLE)
    if abi >= confining.ABI_USABLE:
        assert results[:3] == ["DONE"] * 3
        assert results[3] == results[6] == "EACCES"
        assert results[4] == ("EACCES" if abi >= 3 else "DONE")


def test_rights_of_versions() -> None:
    """What a version doesn't know is left out, what it knows is kept."""
    assert landlock.known(landlock.WRITE_ANY, 1) & (landlock.REFER | landlock.TRUNCATE | landlock.IOCTL_DEV) == 0
    assert landlock.known(landlock.WRITE_ANY, 5) == landlock.WRITE_ANY
    assert landlock.known(landlock.REFER, 2) == landlock.REFER


def test_errors_of_the_kernel_are_its_own(place: Path) -> None:
    """A refused call raises with the number of this call, whatever failed before."""
    with suppress(OSError):
        os.stat(place / "nowhere")  # noqa: PTH116 - leaves ENOENT behind
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)) as caught:
        landlock.restrict_self(10_000)
    assert caught.value.errno in (errno.EBADF, errno.EPERM)


def test_a_survey_opens_up_the_way_to_secrets_only(tmp_path: Path) -> None:
    """Each folder on the way is listed but for the secret and links; without secrets nothing is."""
    for name in ("a/secret", "a/other", "b"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "a" / "secret")
    found = survey([tmp_path / "a" / "secret", tmp_path / "nowhere"])
    below = {path for path in found.allowed if path.startswith(str(tmp_path))}
    assert below == {str(tmp_path / "a" / "other"), str(tmp_path / "b")}
    assert found.denied == [str(tmp_path / "a" / "secret")]
    assert survey([tmp_path / "nowhere"]).allowed == []
    linked = survey([tmp_path / "link"])
    assert linked.denied == found.denied


def test_a_private_home_leads_nowhere_else(tmp_path: Path) -> None:
    """Every variable by which programs find the user's home leads into the private one."""
    own = private_environment(tmp_path)
    assert Path(own["HOME"]).is_dir()
    assert Path(own["TMPDIR"]).is_dir()
    leading = {name: value for name, value in own.items() if name != "GIT_CONFIG_GLOBAL"}
    assert all(Path(value).is_relative_to(tmp_path) for value in leading.values())
    assert own["GIT_CONFIG_GLOBAL"] == "/dev/null"


def test_containment_has_a_reason() -> None:
    """What isn't contained says why; what is, needs none."""
    assert Containment(True).reason == ""
    assert confining.available().contained or confining.available().reason

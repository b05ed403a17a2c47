"""Commands under file rules: what they start can write in their own places only, and reads no secrets."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

import pytest

from twelvefold.agents.guarded import Execution, Limits, run_guarded


@pytest.fixture
def yard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a user's home, a neighbour's file and a workspace `inside`; HOME is set to the home."""
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").write_text("kept")
    (tmp_path / "home" / ".ssh").mkdir(parents=True)
    (tmp_path / "home" / ".ssh" / "id_rsa").write_text("SECRET")
    (tmp_path / "home" / "notes").write_text("notes")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


def confined(yard: Path, code: str, **options: object) -> Execution:
    scratch = yard / "scratch"
    scratch.mkdir(exist_ok=True)
    return run_guarded(
        [sys.executable, "-c", textwrap.dedent(code)],
        folder=yard / "inside",
        env=dict(os.environ),
        scratch=scratch,
        limits=Limits(timeout_s=60),
        **{"writable": [yard / "inside"], **options},  # type: ignore[arg-type]
    )


def test_a_command_writes_inside_and_nowhere_else(yard: Path) -> None:
    """Every way of changing a file outside fails, through links and children too; inside, all of them work."""
    done = confined(
        yard,
        """
        import os, pathlib, shutil, subprocess
        inside, outside = pathlib.Path.cwd(), pathlib.Path.cwd().parent / "outside"
        kept = outside / "kept"
        (inside / "link").symlink_to(kept)
        (inside / "folder").symlink_to(outside)
        tries = {
            "write": lambda: kept.write_text("x"),
            "append": lambda: kept.open("a"),
            "truncate": lambda: os.truncate(kept, 0),
            "open to truncate": lambda: os.open(kept, os.O_RDONLY | os.O_TRUNC),
            "make": lambda: (outside / "new").touch(),
            "mkdir": lambda: (outside / "new").mkdir(),
            "mkfifo": lambda: os.mkfifo(outside / "new"),
            "symlink": lambda: (outside / "new").symlink_to("kept"),
            "unlink": kept.unlink,
            "rename away": lambda: kept.rename(inside / "stolen"),
            "rename out": lambda: (inside / "link").rename(outside / "new"),
            "hard link in": lambda: os.link(kept, inside / "hard"),
            "hard link out": lambda: os.link(inside / "own", outside / "new"),
            "through a link": lambda: (inside / "link").write_text("x"),
            "through a folder": lambda: (inside / "folder" / "new").touch(),
            "through /proc": lambda: pathlib.Path("/proc/self/root" + str(kept)).write_text("x"),
            "through /proc/self/cwd": lambda: pathlib.Path("/proc/self/cwd/../outside/new").touch(),
            "temporary without a name": lambda: os.open(outside, os.O_TMPFILE | os.O_RDWR),
            "a folder away": lambda: outside.rename(inside / "taken"),
        }
        (inside / "own").write_text("own")
        for name, attempt in tries.items():
            try:
                attempt()
            except OSError:
                continue
            print("DONE", name)
        for command in (f"echo x > {kept}", f"cp own {outside}/new", f"git init -q {outside}/new", f"rm {kept}"):
            if not subprocess.run(["sh", "-c", command], stderr=subprocess.DEVNULL).returncode:
                print("DONE", command)
        (inside / "a").mkdir()
        (inside / "own").rename(inside / "a" / "own")
        os.link("a/own", "hard")
        os.truncate("hard", 1)
        repo = "git init -q repo && cd repo && echo 1 > one && git add . && mkdir b && git mv one b"
        subprocess.run(repo, shell=True, check=True)
        shutil.rmtree(inside / "a")
        open("/dev/null", "w").write("x")
        print("the end")
        """,
    )
    assert "DONE" not in done.tail
    assert done.tail == "the end\n"
    assert done.contained
    assert [path.name for path in (yard / "outside").iterdir()] == ["kept"]
    assert (yard / "outside" / "kept").read_text() == "kept"


def test_a_command_reads_all_but_secrets(yard: Path) -> None:
    """The user's keys can't be read, by no path; the rest of the user's home can, also what lies beside."""
    done = confined(
        yard,
        """
        import os, pathlib
        home = pathlib.Path(os.environ["HOME"])
        (pathlib.Path.cwd() / "link").symlink_to(home / ".ssh")
        for path in (home / ".ssh/id_rsa", "link/id_rsa", f"/proc/self/root{home}/.ssh/id_rsa"):
            try:
                print(pathlib.Path(path).read_text())
            except PermissionError:
                print("denied")
        print((home / "notes").read_text(), (home.parent / "outside/kept").read_text(), len(os.listdir("/")) > 3)
        """,
    )
    assert done.tail.split() == ["denied", "denied", "denied", "notes", "kept", "True"]


def test_no_special_rights_and_no_signals_outside(yard: Path) -> None:
    """Root's capabilities are gone, for children too, and no process outside can be signalled or looked into."""
    done = confined(
        yard,
        f"""
        import os, subprocess
        for line in subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True).stdout.splitlines():
            name, _, value = line.partition(":")
            if name.startswith("Cap") and name != "CapBnd" or name == "NoNewPrivs":
                print(name, value.strip())
        for attempt in (lambda: os.kill({os.getpid()}, 0), lambda: open("/proc/{os.getpid()}/environ").read(),
                        lambda: open("/proc/{os.getpid()}/mem", "rb"), lambda: os.readlink("/proc/{os.getpid()}/fd/0")):
            try:
                attempt()
                print("DONE")
            except PermissionError:
                print("denied")
        child = subprocess.Popen(["sleep", "60"])
        child.kill()
        print(child.wait())
        """,
    )
    lines = done.tail.splitlines()
    assert lines[:5] == [*(f"Cap{kind} {0:016x}" for kind in ("Inh", "Prm", "Eff", "Amb")), "NoNewPrivs 1"]
    assert lines[5:] == ["denied"] * 4 + ["-9"]


def test_input_from_a_file_outside(yard: Path) -> None:
    """A command's input may be a file; it has been opened before the rules hold."""
    done = confined(yard, "print(__import__('sys').stdin.read())", stdin=yard / "home" / "notes")
    assert done.tail == "notes\n"


def test_without_rules_it_is_said(yard: Path) -> None:
    """A command without rules of its own isn't called contained, and a place that isn't there is an error."""
    done = confined(yard, "open('../outside/new', 'w')", writable=None)
    assert (done.exit_code, done.contained) == (0, False)
    with pytest.raises(FileNotFoundError):
        confined(yard, "", writable=[yard / "nowhere"])

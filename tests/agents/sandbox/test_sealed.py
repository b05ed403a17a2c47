"""A sealed process tries to change files, to reach somebody, and to do something to others: nothing gives way."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ATTEMPTS = """
import ctypes, json, os, pathlib, signal, socket, sqlite3, subprocess, sys
from twelvefold.agents.sandbox.sealed import seal

folder, unix, by = pathlib.Path(sys.argv[1]), sys.argv[3], sys.argv[5]
port, other = int(sys.argv[2]), int(sys.argv[4])
kept = folder / "kept.txt"
seal(by_calls=by == "calls")

def connect(family, kind, address):
    socket.socket(family, kind).connect(address)

def child():
    done = subprocess.run(["/bin/sh", "-c", f"echo gone > {kept}"], stderr=subprocess.PIPE)
    if done.returncode:
        raise PermissionError(done.stderr.decode())

def by_number(*arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(*map(ctypes.c_long, arguments)) < 0:
        raise OSError(ctypes.get_errno(), "refused")

attempts = {
    "write": lambda: kept.write_text("gone"),
    "append": lambda: kept.open("a").write("more"),
    "truncate": lambda: os.truncate(kept, 0),
    "create": lambda: (folder / "new.txt").write_text("new"),
    "create in home": lambda: pathlib.Path("~/twelvefold-sealed.txt").expanduser().write_text("new"),
    "temporary": lambda: pathlib.Path(f"/tmp/twelvefold-sealed-{os.getpid()}").write_text("new"),
    "shared memory": lambda: pathlib.Path("/dev/shm/twelvefold-sealed").write_text("new"),
    "mkdir": lambda: (folder / "new").mkdir(),
    "remove": lambda: kept.unlink(),
    "rename": lambda: kept.rename(folder / "moved.txt"),
    "link": lambda: os.link(kept, folder / "linked.txt"),
    "symlink": lambda: os.symlink(kept, folder / "linked.txt"),
    "fifo": lambda: os.mkfifo(folder / "fifo"),
    "chmod": lambda: kept.chmod(0o777),
    "chown": lambda: os.chown(kept, os.getuid(), os.getgid()),
    "touch": lambda: os.utime(kept, (1, 1)),
    "attribute": lambda: os.setxattr(kept, "user.seen", b"1"),
    "flags": lambda: __import__("fcntl").ioctl(kept.open(), 0x40086602, bytes(8)),
    "lock": lambda: __import__("fcntl").flock(kept.open(), 2),
    "lease": lambda: __import__("fcntl").fcntl(kept.open(), 1024, 0),
    "owner": lambda: __import__("fcntl").fcntl(kept.open(), 8, other),
    "semaphores": lambda: by_number({"x86_64": 66, "aarch64": 191}[os.uname().machine], 2**31 - 1, 0, 0, 0),
    "messages": lambda: by_number({"x86_64": 71, "aarch64": 187}[os.uname().machine], 2**31 - 1, 0, 0),
    "segments": lambda: by_number({"x86_64": 31, "aarch64": 195}[os.uname().machine], 2**31 - 1, 0, 0),
    "child writes": child,
    "terminal": lambda: open("/dev/tty", "w"),
    "tcp": lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port)),
    "tcp 6": lambda: connect(socket.AF_INET6, socket.SOCK_STREAM, ("::1", port)),
    "udp": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", port)),
    "unix": lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, unix),
    "datagram": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b"x", f"{unix}.log"),
    "raw pair": lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_RAW)[0].sendto(b"x", f"{unix}.log"),
    "abstract": lambda: socket.socket(socket.AF_UNIX).bind("\\0twelvefold-sealed"),
    "netlink": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    "signal": lambda: os.kill(other, signal.SIGTERM),
    "renice": lambda: os.setpriority(os.PRIO_PROCESS, other, 19),
    "limits": lambda: __import__("resource").prlimit(other, __import__("resource").RLIMIT_NOFILE, (3, 3)),
    "memory": lambda: by_number({"x86_64": 310, "aarch64": 270}[os.uname().machine], other, 0, 0, 0, 0, 0),
    "ring": lambda: by_number(425, 1, 0),
}
said = {}
for name, attempt in attempts.items():
    try:
        attempt()
        said[name] = "done"
    except OSError as error:
        said[name] = type(error).__name__ + f" {error.errno}"
limits = bool(__import__("resource").getrlimit(7))
fine = {"read": kept.read_text(), "pair": bool(socket.socketpair()), "limits": limits}
apart = "import os; os.setsid() if os.getpid() != os.getsid(0) else None; os.setpgid(0, 0); print(os.getpgid(0))"
own = subprocess.run([sys.executable, "-c", apart], capture_output=True, text=True, start_new_session=True).stdout
fine["group"] = int(own) == os.getpgid(0)
locked = kept.open()
__import__("fcntl").lockf(locked, 1)
fine["others can lock"] = f":{os.fstat(locked.fileno()).st_ino} " not in pathlib.Path("/proc/locks").read_text()
fine["query"] = sqlite3.connect(f"file:{folder}/kept.db?mode=ro", uri=True).execute("SELECT a FROM t").fetchone()
fine["child reads"] = subprocess.run(["cat", kept], capture_output=True, text=True).stdout
print(json.dumps({"said": said, "fine": fine}))
"""


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """A port and a socket in the file system that take connections."""
    unix = str(tmp_path / "s")
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.socket(socket.AF_UNIX) as other,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams,
    ):
        os.chdir(tmp_path)
        datagrams.bind("s.log")
        other.bind("s")
        other.listen()
        yield server.getsockname()[1], unix


@pytest.mark.parametrize("by", ["rules", "calls"])
def test_a_sealed_process_changes_nothing_and_reaches_nobody(
    tmp_path: Path, listening: tuple[int, str], by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every attempt is refused, by file rules or by calls alone; reading and pipes stay."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "kept.txt").write_text("kept")
    with contextlib.closing(sqlite3.connect(folder / "kept.db")) as database:
        database.executescript("CREATE TABLE t (a); INSERT INTO t VALUES (7)")
    before = (folder / "kept.txt").stat()
    other = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    try:
        arguments = [str(folder), str(listening[0]), listening[1], str(other.pid), by]
        done = subprocess.run(
            [sys.executable, "-c", ATTEMPTS, *arguments], capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        assert other.poll() is None
    finally:
        assert other.stdin is not None
        other.stdin.close()
        assert other.wait(30) == 0
    assert {name: said for name, said in found["said"].items() if not said.startswith("PermissionError")} == {}
    fine = found["fine"]
    assert fine == {
        "read": "kept", "pair": True, "limits": True, "group": True, "child reads": "kept", "others can lock": True,
        "query": [7],
    }  # fmt: skip
    assert sorted(path.name for path in folder.iterdir()) == ["kept.db", "kept.txt"]
    after = (folder / "kept.txt").stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_nlink) == (before.st_mode, before.st_mtime_ns, 1)


def test_what_cannot_be_sealed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine whose calls are not known nothing is half done."""
    from twelvefold.agents.sandbox import seccomp
    from twelvefold.agents.sandbox.errors import NotSealed
    from twelvefold.agents.sandbox.sealed import seal

    monkeypatch.setattr(seccomp.platform, "machine", lambda: "pdp11")
    with pytest.raises(NotSealed, match="x86-64"):
        seal()

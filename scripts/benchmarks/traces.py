"""How long 100,000 spans take from the log to a receiver of OTLP over HTTP, and what memory that needs.

The receiver is foreign (rotel, from PyPI) and drops what it has decoded. The exporter is the command itself, timed from
its start to its end; its memory is compared with that of an export of a tenth, as it must not grow with the log.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SPANS = 100_000
TARGETS: dict[str, dict[str, Callable[[dict[str, float]], bool]]] = {
    "spans": {
        "100,000 spans in 15 s": lambda figures: figures["seconds_per_100k"] < 15,
        "memory flat": lambda figures: figures["rss_mb"] < figures["rss_small_mb"] * 1.25,
    },
}


def spans(events: int) -> dict[str, float]:
    """Export a log of about 100,000 spans, and one of a tenth."""
    import rotel
    from large_log import make_log

    folder = Path(tempfile.mkdtemp(prefix="tf-bench-"))
    port, other = _free_port(), _free_port()
    receiver = subprocess.Popen(
        [
            Path(rotel.__file__).with_name("rotel-agent"), "start", "--exporter", "blackhole",
            "--otlp-http-endpoint", f"127.0.0.1:{port}", "--otlp-grpc-endpoint", f"127.0.0.1:{other}",
            "--pid-file", str(folder / "pid"), "--log-file", str(folder / "log"),
        ],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        for name, share in (("small", 0.1), ("large", 1.0)):
            make_log(folder / name, int(SPANS * 2.5 * share), max(int(500 * share), 1))
        _await(port)
        few = _export(folder / "small", port)
        many = _export(folder / "large", port)
    finally:
        receiver.terminate()
        receiver.wait()
        shutil.rmtree(folder)
    return {
        "spans": many[0],
        "seconds": round(many[1], 3),
        "seconds_per_100k": round(many[1] / many[0] * SPANS, 3),
        "cpu_s": round(many[2], 3),
        "rss_mb": many[3],
        "rss_small_mb": few[3],
    }


def _export(home: Path, port: int) -> tuple[int, float, float, float]:
    """Run the command; return how many spans arrived, wall and processor seconds, and its largest resident memory."""
    command = [Path(sys.executable).with_name("twelvefold"), "trace", "export", "--all"]
    environ = os.environ | {"TWELVEFOLD_HOME": str(home), "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    begun = time.perf_counter()
    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - begun
    found = re.match(r"(\d+) spans", said)
    assert process.returncode == 0 and found, said
    return int(found[1]), wall, used.ru_utime + used.ru_stime, round(used.ru_maxrss / 1024, 1)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _await(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, "the receiver doesn't listen"
        time.sleep(0.05)

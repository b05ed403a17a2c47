"""Whether somebody listens at a socket of ours, told without speaking to them.

A socket's file outlives its process, so only connecting tells. Whoever listens sees a peer that left without a word.
"""

from __future__ import annotations

import socket


def listens(endpoint: str, timeout_s: float = 1.0) -> bool:
    """Tell whether a process listens at an `ipc://` endpoint; a stopped (SIGSTOP) one counts."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(timeout_s)
        try:
            probe.connect(endpoint.removeprefix("ipc://"))
        except BlockingIOError:
            return True  # its queue of new peers is full
        except OSError:
            return False
    return True

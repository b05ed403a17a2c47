"""The floor of a fleet: the smallest agents of Twelvefold's shape, with none of its features.

A process that has imported what the product's zygote has is forked so many times; each child opens a ZeroMQ socket and
a worker thread, says hello, hands the task that comes back to its thread and answers. No supervisor, import of an
agent, log or recovery.

    floor_fleet.py FOLDER COUNT
"""

from __future__ import annotations

import asyncio  # noqa: F401  the product's agents have it at hand
import gc
import os
import queue
import signal
import sys
import threading
import time
from typing import NoReturn

import psutil
import zmq
from roles import say

import twelvefold.agents.process  # noqa: F401  so that each child carries what the product's agents carry


def child(address: str) -> NoReturn:
    """Do one task and wait to be killed."""
    os.setsid()
    socket = zmq.Context().socket(zmq.DEALER)
    socket.connect(address)
    socket.send(b"hello")
    tasks: queue.Queue[bytes] = queue.Queue()
    results: queue.Queue[bytes] = queue.Queue()
    threading.Thread(target=lambda: results.put(tasks.get()), daemon=True).start()
    tasks.put(socket.recv())
    socket.send(results.get())
    signal.pause()
    os._exit(0)


def zygote(address: str, count: int) -> NoReturn:
    """Fork the children and wait to be killed."""
    gc.collect()
    gc.freeze()
    for _ in range(count):
        if not os.fork():
            child(address)
    signal.pause()
    os._exit(0)


def main(folder: str, count: int) -> None:
    """Say the seconds from the first fork until each child has answered, and the bytes of all (PSS)."""
    address = f"ipc://{folder}/floor"
    begun = time.monotonic()
    forking = os.fork()
    if not forking:
        zygote(address, count)
    router = zmq.Context().socket(zmq.ROUTER)
    router.bind(address)
    answered = 0
    while answered < count:
        identity, message = router.recv_multipart()
        if message == b"hello":
            router.send_multipart([identity, b"task"])
        else:
            answered += 1
    seconds = time.monotonic() - begun
    family = psutil.Process(forking)
    everyone = [family, *family.children()]
    pss = sum(process.memory_full_info().pss for process in everyone)
    for process in everyone:
        process.kill()
    # Last, as whoever hears it may end this process.
    say("fleet", seconds, pss)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""Being asked to end, by SIGTERM or Ctrl-C, for commands that serve until then."""

from __future__ import annotations

import signal
import threading

EXIT_SIGINT = 130


class Stop(threading.Event):
    """Set once this process is asked to end. Made on its main thread; from then on the signals do nothing else."""

    def __init__(self) -> None:
        super().__init__()
        #: Exit status for having been asked: that of Ctrl-C, or 0.
        self.status = 0
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _: object) -> None:
        if number == signal.SIGINT:
            self.status = EXIT_SIGINT
        # Not here: the thread that this interrupts may hold the event's own lock.
        threading.Thread(target=self.set, daemon=True).start()

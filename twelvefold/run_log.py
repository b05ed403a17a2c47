"""The home's log as commands about runs read it: from the file, with the values that events hold as blobs.

Owns nothing but the joining of the two. Works while a bus runs and when none does.
"""

from __future__ import annotations

from pathlib import Path

from .eventstore.blob_files import BlobFiles
from .eventstore.event import Event
from .eventstore.forgotten import forgotten
from .eventstore.reader import LogReader
from .eventstore.run import read_run
from .orchestration.result import RunView


class RunLog(LogReader):
    """The log of a home and its blobs; raises as LogReader does."""

    def __init__(self, home: Path) -> None:
        super().__init__(home / "log.db")
        #: Puts in what an event's data holds as blobs.
        self.load = BlobFiles(home / "blobs").load

    def view(self, run: str) -> tuple[RunView, list[Event]]:
        """Return a run with all of its events taken, and those."""
        view, events = RunView(run, self.load), list(read_run(self, run))
        for event in events:
            view.take(event)
        found = forgotten(self, run)
        if found is not None:
            view.forget(found, events)
        return view, events

"""What must hold after whatever happened to a home: read models that are folded anew equal those that are kept."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from twelvefold.eventstore.errors import TwelvefoldError
from twelvefold.eventstore.reader import LogReader
from twelvefold.projections.errors import ProjectionDiffers
from twelvefold.projections.rebuilding import check_rebuild
from twelvefold.projections.registry import all_projections
from twelvefold.projections.runner import PAGE, Runner
from twelvefold.projections.store import Store

#: Longer logs are only compared with what a projector has kept of them.
EVENTS_MAX = 5_000
#: Who follows little by little is restarted after so many pages of so many events.
PAGES, PAGE_SMALL = 4, 211


def check_rebuilt(home: Path) -> None:
    """Compare what the home's projector has kept, and what one that is restarted again and again would have kept."""
    if not (home / "log.db").exists():
        return
    try:
        with LogReader(home / "log.db") as log:
            check_rebuild(home, log)
            if (head := log.head) <= EVENTS_MAX:
                bit_by_bit, at_once = (
                    _folded(log, head, pages, limit) for pages, limit in [(PAGES, PAGE_SMALL), (10**6, PAGE)]
                )
                assert bit_by_bit == at_once
    except ProjectionDiffers:
        raise
    except TwelvefoldError:
        return  # the test has damaged its log: nothing can be folded of it


def _folded(log: LogReader, head: int, pages: int, limit: int) -> dict[str, tuple[int, int, bytes]]:
    """Fold a log up to a position, by as many runners as it takes, and return position and hash of each projection."""
    with TemporaryDirectory() as folder:
        while True:
            with Store(Path(folder)) as store:
                runner = Runner(store, log, all_projections()[0])
                for _ in range(pages):
                    position = runner.position
                    if position is None or position >= head:
                        failed = [one.failure for one in runner.followed if one.failure is not None]
                        assert failed == []
                        kept = [one.checkpoint for one in runner.followed]
                        return {one.name: (one.position, one.rows, one.hash) for one in kept}
                    runner.advance(min(limit, head - position))

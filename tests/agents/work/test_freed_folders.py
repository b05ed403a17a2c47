"""What lies beside the log of a run, freed by several at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from twelvefold.agents.forgetting import Kept, RunFolders

RUN, AT_ONCE = "a" * 32, 4


def test_whoever_frees_the_same_run_waits_for_the_other(tmp_path: Path) -> None:
    """Two who forget the same run are no reason to fail for either; what is gone is counted once."""
    for folder in (f"stores/{'b' * 24}/{RUN}.git/objects", f"workspaces/{RUN}/0.0"):
        for number in range(300):
            file = tmp_path / folder / f"{number:03}" / "one"
            file.parent.mkdir(parents=True)
            file.write_text("x" * 100)
    whole = RunFolders(tmp_path).kept(RUN)
    together = Barrier(AT_ONCE)

    def free(_: int) -> Kept:
        folders = RunFolders(tmp_path)
        together.wait()
        return folders.free(RUN)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        freed = list(pool.map(free, range(AT_ONCE)))
    assert sorted(freed, key=lambda one: one.bytes) == [Kept()] * (AT_ONCE - 1) + [whole]
    assert (whole.stores, whole.workspaces) == (1, 1)
    assert RunFolders(tmp_path).runs() == set()

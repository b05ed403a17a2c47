"""Many issues over three sister repositories at once, while agents are killed at random: every one ends truthfully."""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from twelvefold import jobs
from twelvefold.agents.job import resolve_request
from twelvefold.bus.client import BusClient
from twelvefold.orchestration import submit
from twelvefold.settings import load_settings

from ..conftest import eventually
from .conftest import CALC, JobHome, git, issue, make_repo, snapshot

pytestmark = pytest.mark.e2e

#: Of each repository: what its functions return, and the tests that hold for all of them but the last.
NAMES = ("alpha", "beta", "gamma")
MORE = "\n\ndef third(n):\n    return n - 3\n\n\ndef fourth(n):\n    return n * 4\n"
LINE = {
    "double": "    return n + 2",
    "third": "    return n - 3",
    "half": "    return n / 2",
    "fourth": "    return n * 4",
}


class Asked(NamedTuple):
    """One issue for one repository, and how its run must end: `line` is then in the branch, and nothing else new."""

    repo: Path
    text: str
    outcome: str
    word: str = ""
    line: str = ""


def asked_of(repo: Path) -> list[Asked]:
    """Seven issues: three that succeed each on a line of its own, and one for every other end."""
    right = {"double": "    return n * 2", "third": "    return n / 3", "fourth": "    return 4 * n"}
    found = [
        Asked(repo, issue("calc.py", LINE[name], new, f"Correct {name} in {repo.name}"), "succeeded", line=new)
        for name, new in right.items()
    ]
    found += [
        Asked(repo, issue("calc.py", LINE["half"], "    return n // 3", "Halve otherwise"), "failed", "newly_failing"),
        Asked(repo, issue("calc.py", "    return n - 9", "    return n"), "failed", "old_text_missing"),
        Asked(repo, issue("calc.py", "    return 7 / n", LINE["half"], "Was done"), "nothing_to_do", "already"),
        Asked(repo, "# It is slow\n\nPlease make it better.\n", "needs_human", "vague"),
    ]
    return found


class Killer:
    """Kills agents of a home at random moments, each known by its line and pid, until it is told to stop."""

    def __init__(self, home: JobHome, seed: int, most: int) -> None:
        self.killed: list[str] = []
        self._choose = random.Random(seed)
        self._home = home
        self._most = most
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._kill)
        self._thread.start()

    def stop(self) -> None:
        """Kill nobody any more."""
        self._over.set()
        self._thread.join()

    def _kill(self) -> None:
        lines = re.compile(r"(?:smart_issue|fixer|testing|review|publisher)\.\d+")
        while len(self.killed) < self._most and not self._over.wait(self._choose.uniform(0.1, 0.9)):
            shown = self._home("ps", "--json", cwd=self._home.folder)
            living = [one for one in shown.json if lines.fullmatch(one["name"]) and one["pid"]] if shown.out else []
            # Whoever dies again and again is given up by design: each process has a few deaths.
            living = [one for one in living if self.killed.count(one["name"]) < 4]
            if living:
                chosen = self._choose.choice(sorted(living, key=lambda one: str(one["name"])))
                with suppress(ProcessLookupError):
                    os.kill(chosen["pid"], signal.SIGKILL)
                    self.killed.append(chosen["name"])


def started(home: JobHome, client: BusClient, asked: list[Asked]) -> list[str]:
    """Start a run for each issue, all at once."""
    path = home.environment["PATH"]
    return [
        jobs.start(
            client,
            jobs.Job(issue_name=f"{n}.md", issue_text=one.text, request=resolve_request(one.repo), path=path),
        )
        for n, one in enumerate(asked)
    ]


def check_truth(one: Asked, run: str, document: dict[str, Any]) -> None:
    """What the document says of a run is so in the repository, and nothing that it doesn't say."""
    told = (one.repo.name, one.text.splitlines()[0], document["outcome"], document["reason"])
    assert document["outcome"] == one.outcome, told
    assert one.word in (document["reason"] or ""), told
    branches = [name for name in git(one.repo, "branch", "--format=%(refname:short)").split() if run in name]
    if one.outcome != "succeeded":
        assert (branches, document["branch"], document["patch"]) == ([], None, None), told
        return
    assert branches == [document["branch"]], told
    assert document["commit"] == git(one.repo, "rev-parse", document["branch"]).strip()
    # On the base commit, and with nothing of any other issue.
    assert git(one.repo, "rev-parse", f"{document['branch']}~1") == git(one.repo, "rev-parse", "main")
    assert git(one.repo, "diff", "--numstat", "main", document["branch"]).split() == ["1", "1", "calc.py"]
    assert one.line in git(one.repo, "show", f"{document['branch']}:calc.py").splitlines()
    assert document["tests"]["status"] == "passed"
    assert document["review"] == {"findings": document["review"]["findings"]}


def check_nothing_left(home: JobHome, repos: list[Path], before: dict[Path, dict[str, Any]]) -> None:
    """No workspace, no lock, no half of anything; the checkouts are as they were."""
    eventually(lambda: home.workspaces() == [], 30)
    assert [path for folder in (home.home / "stores", *repos) for path in folder.rglob("*.lock")] == []
    for repo in repos:
        now = snapshot(repo)
        changed = {name for name in {*now, *before[repo]} if now.get(name) != before[repo].get(name)}
        assert {name for name in changed if "refs/heads/twelvefold" not in name} == set()
        git(repo, "fsck", "--strict", "--no-dangling")
        assert git(repo, "status", "--porcelain") == ""
    assert home("verify", cwd=home.folder).status == 0


def alive(home: JobHome) -> list[str]:
    """The processes whose environment names this home, but for this one's children that are commands."""
    mark, found = f"TWELVEFOLD_HOME={home.home}".encode(), []
    for folder in Path("/proc").iterdir():
        with suppress(OSError):
            if folder.name.isdigit() and mark in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()[:200])
    return found


def play(home: JobHome, folder: Path, count: int, seed: int, kills: int) -> None:
    """Do so many issues over three repositories at once, with so many kills at most, and check every end."""
    functions = CALC["calc.py"] + MORE
    # What the right edits change is tested by nothing, so that each branch passes whatever the others do.
    tests = "\n".join(line for line in CALC["tests/test_calc.py"].splitlines() if "double" not in line)
    repos = [make_repo(folder / name, {**CALC, "calc.py": functions, "tests/test_calc.py": tests}) for name in NAMES]
    before = {repo: snapshot(repo) for repo in repos}
    asked = [one for repo in repos for one in asked_of(repo)]
    random.Random(seed).shuffle(asked)
    asked = [asked[n % len(asked)] for n in range(count)]
    settings = load_settings(home.environment, home.folder)
    owned = jobs.ground(settings, home.environment)
    with jobs.connect(settings) as client:
        jobs.require_agents(client, settings, owned=owned)
        runs = started(home, client, asked)
        killer = Killer(home, seed, kills)
        try:
            documents = [ended(client, run) for run in runs]
        finally:
            killer.stop()
        assert killer.killed, "nobody was killed"
        for one, run, document in zip(asked, runs, documents, strict=True):
            check_truth(one, run, document)
        # What rests for a human is told to, and ends so.
        for one, run in zip(asked, runs, strict=True):
            if one.outcome == "needs_human":
                submit.cancel(client, run, "enough")
                eventually(lambda run=run: submit.wait(client, run, 60.0).outcome == "cancelled", 60)
    check_nothing_left(home, repos, before)
    home.close()
    eventually(lambda: alive(home) == [], 30)


def ended(client: BusClient, run: str) -> dict[str, Any]:
    """The document of a run once it has ended or rests."""
    submit.wait(client, run, 200.0)
    return jobs.report(client, run)


def test_twenty_issues_while_agents_are_killed(own_home: JobHome, tmp_path: Path) -> None:
    """Twenty runs end as they would have without the kills, with branches of their own and nothing left."""
    play(own_home, tmp_path, 20, seed=4, kills=14)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(5))
def test_sixty_issues_while_agents_are_killed(own_home: JobHome, tmp_path: Path, seed: int) -> None:
    """The same three times over, with other moments."""
    begun = time.monotonic()
    play(own_home, tmp_path, 63, seed=seed, kills=20)
    assert time.monotonic() - begun < 3000

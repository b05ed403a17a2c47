"""The one place from which git goes over the network: a run's commit becomes a branch of the repository on GitHub.

Owns finding the remote and pushing to it. Keeps: one new branch and nothing else is pushed, never by force, from the
run's own store, so that neither a hook nor a setting of the user's repository has a say; credentials are on no command
line and go to that host only.
"""

from __future__ import annotations

import base64
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from ..git import SETTINGS, Git, check_branch, check_commit
from .access import Access
from .address import RepositoryName, repository_of_url
from .errors import PushRefused
from .gh import environment, find_gh, is_signed_in

TIMEOUT_S = 600.0
#: What ssh needs to sign in as the user.
_SSH = ("HOME", "USER", "SSH_AUTH_SOCK")
_SSH_COMMAND = "ssh -oBatchMode=yes -oConnectTimeout=20"
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy", "ssl_cert_file", "ssl_cert_dir")


def remote_of(
    git: Git, repo: Path, repository: RepositoryName, access: Access, earlier: RepositoryName | None = None
) -> str | None:
    """Return the URL by which a local repository reaches GitHub's one, by its name now or an earlier one.

    A remote that still has the earlier name leads on to the new one, which is followed here and not by git.
    """
    url = remote_url(git, repo, repository, access)
    if url is not None or earlier is None or repository.is_same(earlier):
        return url
    old = remote_url(git, repo, earlier, access)
    if old is None:
        return None
    path = f"{repository}.git"
    parts = urlsplit(old)
    return f"{parts.scheme}://{parts.netloc}/{path}" if "://" in old else f"{old.partition(':')[0]}:{path}"


def remote_url(git: Git, repo: Path, repository: RepositoryName, access: Access) -> str | None:
    """Return the URL of the remote of a local repository that is this one on GitHub; None where there is none."""
    wanted = RepositoryName(repository.owner, repository.name, repository.host or access.host)
    pattern = r"^remote\..*\.(push)?url$"
    listed = git.run("config", "-z", "--get-regexp", pattern, at=repo, expect=(0, 1)).out
    urls: list[str] = []
    for row in listed.split(b"\0"):
        name, _, url = row.decode("utf-8", "surrogateescape").partition("\n")
        # Where a remote is pushed to another place than it is fetched from, that place comes first.
        urls.insert(0, url) if name.endswith(".pushurl") else urls.append(url)
    for url in urls:
        found = repository_of_url(url)
        if found is not None and _is_host(found, wanted):
            return url
    return None


def _is_host(found: RepositoryName, wanted: RepositoryName) -> bool:
    hosts = {wanted.host, f"ssh.{wanted.host}", wanted.host.partition(":")[0]}
    same = RepositoryName(found.owner, found.name, "").is_same(RepositoryName(wanted.owner, wanted.name, ""))
    return same and found.host.lower() in {host.lower() for host in hosts}


class Pusher:
    """Pushes branches to one repository on GitHub. `url` is a remote's, `environ` what the process was started with."""

    def __init__(self, url: str, access: Access, environ: Mapping[str, str], repo: str) -> None:
        self._access, self._repo = access, repo
        self._hint = ""
        self._is_ssh = urlsplit(url).scheme not in ("https", "http")
        parts = urlsplit(url)
        # Whatever a URL in the configuration holds of a user or a password: credentials come from elsewhere.
        self._url = url if self._is_ssh else f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self._environ = self._environment(parts.scheme, environ)

    def push(self, store: Path, commit: str, ref: str) -> bool:
        """Make a branch of a commit; False where it is there already. Raises PushRefused."""
        check_commit(commit)
        branch = check_branch(ref).removeprefix("refs/heads/")
        found = self._commit_at(store, ref, branch)
        if found == commit:
            return False
        if found:
            raise PushRefused(self._repo, branch, f"it is there already, at another commit ({found[:12]})")
        options = ("--porcelain", "--no-verify", "--no-follow-tags", "--no-signed", "--recurse-submodules=no")
        self._git(branch, f"--git-dir={store}", "push", *options, "--", self._url, f"{commit}:{ref}")
        if self._commit_at(store, ref, branch) != commit:
            raise PushRefused(self._repo, branch, "it is not there after it was pushed")
        return True

    def _commit_at(self, store: Path, ref: str, branch: str) -> str:
        listed = self._git(branch, f"--git-dir={store}", "ls-remote", "--refs", "--", self._url, ref)
        rows = [row.split("\t") for row in listed.splitlines()]
        return next((row[0] for row in rows if len(row) == 2 and row[1] == ref), "")

    def _git(self, branch: str, *arguments: str) -> str:
        """Run git over the network, bounded, and return what it prints; raises PushRefused in its own words."""
        program = shutil.which("git", path=self._environ["PATH"]) or "git"
        try:
            process = subprocess.Popen(
                [program, "--no-pager", *arguments], cwd="/", env=self._environ, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise PushRefused(self._repo, branch, f"git cannot be run: {error.strerror}") from error
        try:
            out, err = process.communicate(timeout=TIMEOUT_S)
        except BaseException as error:
            # ssh and the helpers that git has started end with it.
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise PushRefused(self._repo, branch, f"git gave no answer for {TIMEOUT_S:.0f} s") from None
            raise
        if process.returncode != 0:
            raise PushRefused(self._repo, branch, self._words(out, err, process.returncode))
        return out.decode("utf-8", "replace")

    def _words(self, out: bytes, err: bytes, status: int) -> str:
        said = [line.strip() for line in (err + b"\n" + out).decode("utf-8", "replace").splitlines()]
        # What a server prints beside it (`remote:`) tells most often why.
        telling = [line for line in said if line.startswith(("remote:", "fatal:", "error:", "!"))] or said
        text = "; ".join(line for line in telling if line)[:600] or f"git ended with {status}"
        return self._access.hidden(text) + self._hint

    def _environment(self, scheme: str, environ: Mapping[str, str]) -> dict[str, str]:
        allowed = "ssh" if self._is_ssh else scheme
        settings = {
            **{name: value for name, value in SETTINGS.items() if not name.startswith("protocol.file")},
            f"protocol.{allowed}.allow": "always",
            # A server that leads elsewhere gets no credentials of ours, and no commits.
            "http.followRedirects": "false",
            "http.lowSpeedLimit": "1",
            "http.lowSpeedTime": "120",
            "push.default": "nothing",
        }
        variables = {
            "PATH": environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
            "HOME": "/nonexistent",
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "false",
            "SSH_ASKPASS": "false",
            "GIT_ALLOW_PROTOCOL": allowed,
            **{name: value for name, value in environ.items() if name.lower() in _PROXIES},
        }
        helpers: list[tuple[str, str]] = []
        if self._is_ssh:
            variables |= {name: environ[name] for name in _SSH if name in environ}
            variables["GIT_SSH_COMMAND"] = _SSH_COMMAND
            self._hint = "" if "SSH_AUTH_SOCK" in environ else "; there is no ssh agent in this agent's environment"
        elif self._access.token:
            plain = base64.b64encode(f"x-access-token:{self._access.token}".encode()).decode()
            parts = urlsplit(self._url)
            helpers.append((f"http.{parts.scheme}://{parts.netloc}/.extraHeader", f"Authorization: Basic {plain}"))
        elif (gh := find_gh(self._access, environ)) is not None and is_signed_in(gh, self._access, environ):
            variables |= environment(environ)
            helpers.append(("credential.helper", f"!'{gh}' auth git-credential"))
        else:
            # An agent has the environment of whoever started what it runs under, which need not be this run's caller.
            self._hint = (
                "; the agent that pushes was started without a token: end it with `twelvefold down`, set GITHUB_TOKEN, "
                "and answer `retry`"
            )
        entries = [*settings.items(), *helpers]
        variables["GIT_CONFIG_COUNT"] = str(len(entries))
        for number, (name, value) in enumerate(entries):
            variables[f"GIT_CONFIG_KEY_{number}"] = name
            variables[f"GIT_CONFIG_VALUE_{number}"] = value
        return variables

"""What can go wrong with GitHub (E495 to E499). No message ever holds a token."""

from __future__ import annotations

from dataclasses import dataclass

from ...eventstore.errors import TwelvefoldError


@dataclass(eq=False)
class NotOnGitHub(TwelvefoldError):
    """GitHub knows no such repository or issue, or does not show it to whoever asks.

    To those who may not see them, private repositories look like ones that do not exist. An issue that was deleted, or
    whose repository has issues switched off, is gone as well.
    """

    code = "E495"
    exit_code = 3
    what: str
    reason: str
    has_token: bool

    def message(self) -> str:
        """Name what is not there."""
        return f"{self.what} is not to be found: {self.reason}"

    def help(self) -> str:
        """Tell how to ask as somebody who may see it."""
        if self.has_token:
            return "look what the token may see: gh auth status    # or ask with another one: export GITHUB_TOKEN=…"
        return "if it is private, ask with a token that may read it: export GITHUB_TOKEN=…    # or: gh auth login"


@dataclass(eq=False)
class GitHubRefused(TwelvefoldError):
    """GitHub refuses what it was asked for: the token is wrong or may not do this, or the request makes no sense to it.

    Reading public issues needs no token. A private repository needs one that may read its contents and issues;
    publishing one that may write contents and pull requests.
    """

    code = "E496"
    what: str
    status: int
    reason: str
    token_from: str = ""

    def message(self) -> str:
        """Name what was asked for and GitHub's words."""
        by = f" (with the token in {self.token_from})" if self.token_from else ""
        return f"GitHub refuses {self.what}{by}: {self.reason} ({self.status})"

    def help(self) -> str:
        """Tell how a token that may do it is given."""
        return "give a token that may do this: export GITHUB_TOKEN=…    # or: gh auth login"


@dataclass(eq=False)
class RateLimited(TwelvefoldError):
    """GitHub answers only so many questions an hour, and few without a token, and holds back who asks too fast.

    A short wait is waited for (TWELVEFOLD_GITHUB_WAIT_S, 60 seconds in all by default); a longer one is told.
    """

    code = "E497"
    what: str
    wait_s: float
    has_token: bool

    def message(self) -> str:
        """Tell how long it would have to be waited for."""
        return f"GitHub's rate limit holds back {self.what} for {self.wait_s:.0f} s more"

    def help(self) -> str:
        """Tell how to be allowed more."""
        if self.has_token:
            return f"wait that long, or allow it to: export TWELVEFOLD_GITHUB_WAIT_S={self.wait_s + 5:.0f}"
        return "with a token far more is allowed: export GITHUB_TOKEN=…    # or: gh auth login"


@dataclass(eq=False)
class GitHubUnavailable(TwelvefoldError):
    """GitHub could not be reached, or what answered is not GitHub: no such host, an error of the server, other data.

    The base URL of its API is GITHUB_API_URL, else that of GH_HOST, else https://api.github.com. A server that sends
    requests on to another host is not followed, so that no token gets there.
    """

    code = "E498"
    what: str
    base_url: str
    reason: str

    def message(self) -> str:
        """Name the server and what went wrong."""
        return f"{self.what} could not be had from {self.base_url}: {self.reason}"

    def help(self) -> str:
        """Show how to ask the server by hand."""
        return f"see whether it answers: curl -sS {self.base_url}/rate_limit"


@dataclass(eq=False)
class PushRefused(TwelvefoldError):
    """A branch could not be pushed. It stays in the local repository, and can be pushed by hand.

    It is pushed to the remote of the repository that leads to the issue's own one, never by force.
    """

    code = "E499"
    repo: str
    branch: str
    reason: str

    def message(self) -> str:
        """Name the branch and what went wrong."""
        return f"the branch {self.branch} was not pushed: {self.reason}"

    def help(self) -> str:
        """Show how to push it by hand."""
        return f"push it yourself: git -C {self.repo} push REMOTE {self.branch}"


#: What each is called as the reason of a failed response.
REASONS: dict[type[TwelvefoldError], str] = {
    NotOnGitHub: "not_found",
    GitHubRefused: "refused",
    RateLimited: "rate_limited",
    GitHubUnavailable: "unavailable",
    PushRefused: "push_refused",
}

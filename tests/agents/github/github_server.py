"""A local server that speaks as much of GitHub as is needed: issues, comments, pulls, limits, redirects, and git."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

BACKEND = Path(subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip())

Answer = tuple[int, dict[str, str], Any]


@dataclass
class Asked:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class GitHubServer:
    """What the server knows, and what it was asked. `answers` come first, one for each request that they fit."""

    folder: Path
    token: str = ""
    issues: dict[str, dict[str, Any]] = field(default_factory=dict)
    comments: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    answers: list[Callable[[Asked], Answer | None]] = field(default_factory=list)
    per_page_max: int = 100
    port: int = 0

    @property
    def url(self) -> str:
        """The base URL of pages and API alike."""
        return f"http://127.0.0.1:{self.port}"

    def add_issue(self, number: int, title: str, body: str = "", repo: str = "acme/calc", **more: Any) -> None:
        """Let there be an issue."""
        self.issues[f"/repos/{repo}/issues/{number}"] = {
            "number": number, "title": title, "body": body, "state": "open", "labels": [], "comments": 0,
            "user": {"login": "alice"}, "html_url": f"{self.url}/{repo}/issues/{number}",
            "repository_url": f"{self.url}/repos/{repo}", **more,
        }  # fmt: skip

    def add_comments(self, number: int, *bodies: str, repo: str = "acme/calc") -> None:
        """Let there be comments."""
        path = f"/repos/{repo}/issues/{number}"
        self.issues[path]["comments"] = len(bodies)
        self.comments[f"{path}/comments"] = [
            {"user": {"login": f"user{n}"}, "author_association": "NONE", "body": body} for n, body in enumerate(bodies)
        ]

    def make_repository(self, repo: str = "acme/calc") -> Path:
        """Make the bare repository that pushes go to."""
        folder = self.folder / f"{repo}.git"
        folder.mkdir(parents=True)
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(folder)], check=True)
        subprocess.run(["git", "-C", str(folder), "config", "http.receivepack", "true"], check=True)
        return folder

    def answer_once(self, path: str, status: int, headers: dict[str, str] | None = None, body: Any = None) -> None:
        """Answer the next request for a path in this way."""
        done: list[bool] = []

        def answer(asked: Asked) -> Answer | None:
            if asked.path != path or done:
                return None
            done.append(True)
            return status, headers or {}, body

        self.answers.append(answer)

    def answer(self, asked: Asked) -> Answer:
        """Answer as GitHub does."""
        for given in self.answers:
            found = given(asked)
            if found is not None:
                return found
        if self.token and asked.headers.get("authorization") != f"Bearer {self.token}":
            if "authorization" in asked.headers:
                return 401, {}, {"message": "Bad credentials"}
            return 404, {}, {"message": "Not Found"}
        if asked.path in self.issues:
            return 200, {}, self.issues[asked.path]
        if asked.path in self.comments:
            return self._page(asked, self.comments[asked.path])
        parts = asked.path.split("/")
        if parts[-1] == "pulls" and asked.method == "GET":
            return self._page(asked, self.pulls)
        if parts[-1] == "pulls" and asked.method == "POST":
            return self._open(asked)
        if len(parts) == 6 and parts[4] == "branches":
            there = (self.folder / f"{parts[2]}/{parts[3]}.git/refs/heads/{parts[5]}").exists()
            return (200, {}, {"name": parts[5]}) if there else (404, {}, {"message": "Branch not found"})
        if len(parts) == 4 and (self.folder / f"{parts[2]}/{parts[3]}.git").exists():
            return 200, {}, {"full_name": f"{parts[2]}/{parts[3]}", "default_branch": "main"}
        return 404, {}, {"message": "Not Found"}

    def _page(self, asked: Asked, items: list[dict[str, Any]]) -> Answer:
        size = min(int(asked.query.get("per_page", "30")), self.per_page_max)
        page = int(asked.query.get("page", "1"))
        headers = {}
        if page * size < len(items):
            last = -(-len(items) // size)
            link = f'<{self.url}{asked.path}?per_page={size}&page={{}}>; rel="{{}}"'
            headers["Link"] = f"{link.format(page + 1, 'next')}, {link.format(last, 'last')}"
        return 200, headers, items[(page - 1) * size : page * size]

    def _open(self, asked: Asked) -> Answer:
        if any(pull["head"]["ref"] == asked.body["head"] for pull in self.pulls):
            errors = [{"message": "A pull request already exists for acme:branch."}]
            return 422, {}, {"message": "Validation Failed", "errors": errors}
        number = 100 + len(self.pulls)
        url = f"{self.url}/acme/calc/pull/{number}"
        head = {"ref": asked.body["head"]}
        pull = {**asked.body, "head": head, "number": number, "html_url": url, "state": "open"}
        self.pulls.append(pull)
        return 201, {}, pull


class Handler(BaseHTTPRequestHandler):
    """Serves one request: git's are handed to git itself."""

    protocol_version = "HTTP/1.1"
    github: GitHubServer

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = self._chunks()
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        data = json.loads(body) if body and "json" in headers.get("content-type", "") else None
        asked = Asked(self.command, parts.path, query, headers, data)
        self.github.asked.append(asked)
        if ".git/" in parts.path:
            self._git(parts.path, parts.query, body)
            return
        status, more, answer = self.github.answer(asked)
        if status == 0:  # cut off
            self.close_connection = True
            return
        raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **more, "Content-Length": str(len(raw))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST = _serve

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self.rfile.readline().strip() or b"0", 16):
            found += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return found

    def _git(self, path: str, query: str, body: bytes) -> None:
        github = self.github
        given = self.headers.get("Authorization", "")
        if github.token and not given.startswith("Basic "):
            raw = b"who are you?"
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="git"')
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)
            return
        variables = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(github.folder), "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command, "REMOTE_USER": "somebody",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent",
        }  # fmt: skip
        done = subprocess.run(
            [BACKEND / "git-http-backend"], input=body, env=variables, capture_output=True, check=False
        )
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line]
        status = next((int(value.split()[0]) for name, value in fields if name == "Status"), 200)
        self.send_response(status)
        for name, value in fields:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)


def serve(folder: Path) -> tuple[GitHubServer, ThreadingHTTPServer]:
    """Start a server on a free port of the loopback address."""
    github = GitHubServer(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"github": github}))
    github.port = server.server_port
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return github, server


def soon(seconds: float) -> str:
    """A moment as rate limits tell it."""
    return str(int(time.time() + seconds))

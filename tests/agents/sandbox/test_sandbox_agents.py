"""Agent processes in their sandbox: contained by default, told so, renewed where rules are outdated, cleared away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import eventually
from twelvefold.bus.client import BusClient
from twelvefold.bus.endpoints import endpoints
from twelvefold.eventstore.event import Event
from twelvefold.orchestration import submit
from twelvefold.orchestration.plan import Task

AGENTS = '''
"""An agent that does whatever it is told, as a hostile one would."""

import os
import subprocess
from pathlib import Path

import twelvefold as tf

AT_IMPORT = []
try:
    Path(os.environ["OUTSIDE"], "at_import").touch()
    AT_IMPORT.append("DONE")
except OSError as error:
    AT_IMPORT.append(type(error).__name__)


class Hostile(tf.BaseAgent):
    def execute_task(self, task: dict, context: tf.TaskContext) -> tf.ToolResponse:
        value = eval(task["code"], {"os": os, "Path": Path, "subprocess": subprocess, "context": context,
                                    "at_import": AT_IMPORT, "attempt": attempt, "ask": ask, "spawn": spawn})
        return tf.ToolResponse.succeeded(value)


def ask(command):
    """Have the supervisor, which is bound by nothing, run a command."""
    from twelvefold.orchestration import control
    from twelvefold.orchestration.procfile import ProcfileLine

    home, runtime = Path(os.environ["TWELVEFOLD_HOME"]), Path(os.environ["TWELVEFOLD_RUNTIME_DIR"])
    control.ask(home, runtime, control.ControlRequest("add", lines=(ProcfileLine("evil", command),)))


def spawn(code):
    """Have another agent started, and return what it evaluates."""
    executor = tf.BackgroundExecutor()
    one = executor.spawn_background_agent("agents_here:Hostile", {"code": code}, folder=os.getcwd())
    return executor.wait(one).value


def attempt(*does):
    """What each attempt came to: DONE, or its error's name."""
    found = []
    for do in does:
        try:
            do()
            found.append("DONE")
        except Exception as error:
            found.append(type(error).__name__)
    return found
'''

COMMAND = Path(sys.executable).with_name("twelvefold")
LINE = "twelvefold agent agents_here:Hostile"


class World:
    """A user's home with secrets, a project with a hostile agent, a folder outside, and an `up`."""

    def __init__(self, root: Path, runtime: Path) -> None:
        self.home, self.user, self.outside, self.project = (
            root / name for name in ("home", "user", "outside", "project")
        )
        for folder in (self.user / ".ssh", self.user / ".aws", self.outside, self.project):
            folder.mkdir(parents=True)
        (self.user / ".ssh" / "id_rsa").write_text("SECRET")
        (self.user / ".aws" / "credentials").write_text("SECRET")
        (self.user / "notes").write_text("notes")
        (self.outside / "kept").write_text("kept")
        (self.project / "agents_here.py").write_text(AGENTS)
        (self.project / "Procfile").write_text("hostile: twelvefold agent agents_here:Hostile\n")
        self.runtime = runtime
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TWELVEFOLD_")}
        self.environment = kept | {
            "TWELVEFOLD_HOME": str(self.home),
            "TWELVEFOLD_RUNTIME_DIR": str(runtime),
            "HOME": str(self.user),
            "PATH": f"{COMMAND.parent}:{os.environ['PATH']}",
            "OUTSIDE": str(self.outside),
        }

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(COMMAND), *arguments]
        return subprocess.run(
            command, cwd=self.project, env=self.environment, capture_output=True, text=True, timeout=120, check=False
        )

    def up(self, options: str = "", command: str = LINE) -> None:
        """Start everything."""
        (self.project / "Procfile").write_text(f"hostile: {command}\n")
        (self.project / "Procfile.options").write_text(options)
        started = self("up", "-d", "--wait")
        assert started.returncode == 0, started.stderr

    def events(self, code: str) -> list[Event]:
        """Have the agent evaluate an expression, and return the events of its task."""
        with BusClient(endpoints(self.home, self.runtime), timeout_s=60.0) as client:
            run = submit.submit(client, Task("hostile", {"code": code}))
            submit.wait(client, run, timeout_s=60)
            return list(client.read(stream=f"task.{run}.0"))

    def value(self, code: str) -> Any:
        """Return what an expression came to in the agent."""
        last = self.events(code)[-1]
        assert last.type == "task.succeeded", last.data
        return last.data["value"]


@pytest.fixture
def world(tmp_path: Path, runtime_dir: Path) -> Iterator[World]:
    """A world that is ended."""
    one = World(tmp_path, runtime_dir)
    try:
        yield one
    finally:
        one("down")


def picture(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """All that a write to files would change."""
    return {
        str(path): (path.lstat().st_mode, path.lstat().st_mtime_ns, b"" if path.is_dir() else path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.name != "__pycache__" and path.suffix != ".pyc"
    }


@pytest.mark.e2e
@pytest.mark.parametrize(
    "command", ["twelvefold agent agents_here:Hostile", "exec twelvefold agent agents_here:Hostile"]
)
def test_a_hostile_agent_changes_nothing_outside(world: World, command: str) -> None:
    """Forked from the zygote or started plainly, also while its module is imported, through children and links."""
    before = {place: picture(place) for place in (world.user, world.outside, world.project)}
    world.up(command=command)
    assert world.value("at_import") == ["PermissionError"]
    kept, secret = str(world.outside / "kept"), str(world.user / ".ssh/id_rsa")
    tries = (
        f"lambda: Path({kept!r}).write_text('x')",
        f"lambda: os.truncate({kept!r}, 0)",
        f"lambda: os.rename({kept!r}, Path.home() / 'kept')",
        f"lambda: os.link({kept!r}, Path.home() / 'kept')",
        "lambda: Path('../new').touch()",
        f"lambda: Path({str(world.home / 'log.db')!r}).open('r+b')",
        f"lambda: Path({str(world.home)!r}, 'new').mkdir()",
        f"lambda: Path({secret!r}).read_text()",
        f"lambda: Path({str(world.user / '.aws/credentials')!r}).read_text()",
        f"lambda: subprocess.run(['sh', '-c', 'echo x > {kept}'], check=True, stderr=-3)",
        f"lambda: subprocess.run(['git', 'init', '-q', '{world.outside}/r'], check=True, stderr=-3)",
        f"lambda: subprocess.run(['cat', {secret!r}], check=True, stdout=-3, stderr=-3)",
        "lambda: subprocess.run(['mount', '-t', 'tmpfs', 'none', os.environ['TMPDIR']], check=True, stderr=-3)",
        f"lambda: ask('touch {world.outside}/asked')",
        f"lambda: ask('sh -c \"twelvefold agent x:Y; touch {world.outside}/asked\"')",
        f"lambda: [*Path({str(world.home / 'keys')!r}).iterdir()]",
        "lambda: os.kill(os.getppid(), 0)",
        "lambda: Path(f'/proc/{os.getppid()}/environ').read_bytes()",
        "lambda: os.chown(os.environ['TMPDIR'], 65534, 65534)",
    )
    results = world.value(f"attempt({', '.join(tries)})")
    assert "DONE" not in results, [one for one, result in zip(tries, results, strict=True) if result == "DONE"]
    assert {place: picture(place) for place in before} == before | {world.project: picture(world.project)}
    assert set(picture(world.project)) == {*before[world.project], str(world.project / "Procfile.options")}


@pytest.mark.e2e
def test_what_an_agent_may_do(world: World) -> None:
    """It reads what is no secret, and writes in a HOME and TMPDIR of its own, in workspaces, and to usual devices."""
    world.up()
    does = (
        "lambda: (Path.home() / 'a').write_text('x')",
        "lambda: __import__('tempfile').mkdtemp()",
        f"lambda: Path({str(world.home / 'workspaces')!r}, 'x').mkdir()",
        f"lambda: Path({str(world.user / 'notes')!r}).read_text()",
        "lambda: Path('/dev/null').write_text('x')",
        "lambda: __import__('multiprocessing').Lock()",
        "lambda: subprocess.run('git init -q r && cd r && git -c user.name=a -c user.email=b commit -q --allow-empty "
        "-m x', shell=True, check=True, cwd=os.environ['TMPDIR'])",
    )
    assert world.value(f"attempt({', '.join(does)})") == ["DONE"] * len(does)
    assert world.value("context.contained") is True
    private = world.value("[str(Path.home()), os.environ['TMPDIR'], os.environ['TWELVEFOLD_INSTANCE']]")
    assert private[0] == str(world.home / "private" / private[2] / "home")
    assert private[0] != str(world.user)
    assert Path(private[1]).stat().st_mode & 0o777 == 0o700


@pytest.mark.e2e
def test_an_agent_may_have_other_agents_started(world: World) -> None:
    """A contained agent may use the executor for agents in the background: they are contained by themselves."""
    world.up()
    inner = f"[context.contained, attempt(lambda: Path({str(world.outside / 'new')!r}).touch())]"
    assert world.value(f"spawn({inner!r})") == [True, ["PermissionError"]]


@pytest.mark.e2e
def test_what_was_private_ends_with_its_process(world: World) -> None:
    """A killed agent's HOME and TMPDIR are removed, closed folders in them too, and at the end there is none."""
    world.up()
    code = "[os.getpid(), str(Path.home()), __import__('tempfile').mkdtemp(), [os.mkdir(Path.home() / 'c'), os.chmod("
    pid, home, temporary, _ = world.value(code + "Path.home() / 'c', 0)]]")
    assert Path(home).is_dir()
    assert Path(temporary).is_dir()
    os.killpg(pid, signal.SIGKILL)
    eventually(lambda: not Path(home).parent.exists() and not Path(temporary).parent.exists(), 30)
    again = world.value("str(Path.home())")
    assert again != home
    assert world("down").returncode == 0
    assert not (world.home / "private").exists()


@pytest.mark.e2e
def test_options_of_a_line_open_or_close(world: World) -> None:
    """`writable` adds a place, and what stays closed is told with the way to open it."""
    world.up('[hostile]\nwritable = ["out"]\n')
    assert world.value("Path('out/new').write_text('x')") == 1
    assert (world.project / "out" / "new").read_text() == "x"
    failed = world.events(f"Path({str(world.outside / 'new')!r}).write_text('x')")[-1]
    assert failed.type == "task.failed"
    assert f"export TWELVEFOLD_WRITABLE={world.outside}" in failed.data["error"]["help"]
    assert "TWELVEFOLD_WRITABLE" in failed.data["error"]["message"]
    secret = world.events(f"Path({str(world.user / '.aws/credentials')!r}).read_text()")[-1]
    assert "TWELVEFOLD_READABLE" in secret.data["error"]["help"]


@pytest.mark.e2e
def test_an_agent_without_rules_says_so(world: World) -> None:
    """With the sandbox switched off it writes anywhere, and each result says that it isn't contained."""
    world.up('[hostile]\nsandbox = "off"\n')
    last = world.events(f"[context.contained, Path({str(world.outside / 'new')!r}).write_text('x')]")[-1]
    assert last.data["value"] == [False, 1]
    assert last.data["contained"] is False
    assert (world.outside / "new").exists()


@pytest.mark.e2e
def test_what_is_made_later_beside_a_secret_is_read_by_a_new_process(world: World) -> None:
    """An agent that was bound before a folder was made hands its task to the process that takes its place."""
    world.up()
    first = world.value("os.getpid()")
    later = world.user / "later"
    later.mkdir()
    (later / "file").write_text("new")
    read = f"[os.getpid(), Path({str(later / 'file')!r}).read_text()]"
    pid, text = world.value(read)
    assert text == "new"
    assert pid != first
    assert world.value(read) == [pid, "new"]
    # As often as needed: this is no process that fails.
    for number in range(10):
        (world.user / f"later{number}").write_text("new")
        assert world.value(f"Path({str(world.user / f'later{number}')!r}).read_text()") == "new"
    assert '"crashed"' not in world("ps", "--json").stdout


def test_agents_without_a_supervisor_are_contained(crew: Any, make_outside: Callable[[], Path]) -> None:
    """One that was started by hand is bound too, and takes its private folder with it."""
    member = crew.start("Worker", supervised=False)
    folder = make_outside()
    home = crew.bus.home / "private" / member.instance
    assert (home / "home").is_dir()
    request = crew.request("worker", {"do": "ignore", "child": str(folder / "child")})
    assert crew.outcome(request).type == "task.failed"
    member.process.terminate()
    member.process.wait(20)
    assert list((home / "home").iterdir()) == []
    crew.start("Worker", supervised=False)
    assert not home.exists()


@pytest.fixture
def make_outside(tmp_path: Path) -> Callable[[], Path]:
    """Makes a folder that nobody was told of."""

    def make() -> Path:
        folder = tmp_path / "elsewhere"
        folder.mkdir()
        return folder

    return make


@pytest.mark.e2e
def test_a_users_own_agent_keeps_files_in_its_project_but_changes_no_checkout(world: World) -> None:
    """It writes beside its code; a repository in the project, and a project that is one, stay as they are."""
    (world.project / "data").mkdir()
    for repo in ("sister", "deep/er/repo"):
        (world.project / repo / ".git").mkdir(parents=True)
    world.up()
    places = ["data/new", "deep/new", "agents_here.py", "sister/new", "deep/er/repo/new", "../outside/new"]
    code = f"attempt(*[lambda place=place: Path(place).open('a').close() for place in {places}])"
    assert world.value(code) == ["DONE", "PermissionError", "DONE", *["PermissionError"] * 3]
    assert world("down").returncode == 0
    for repo in ("sister", "deep/er/repo"):
        (world.project / repo / ".git").rmdir()
    (world.project / ".git").mkdir()
    world.up()
    assert world.value(code) == ["PermissionError"] * 6

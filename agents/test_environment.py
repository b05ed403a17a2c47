"""The surroundings in which a project's tests run: whose interpreter, which PATH, which variables.

Owns what a test process gets to see. The repository's own environment is used from where it lies; everything that could
lead the tests back to the user's checkout, or the caller's settings into the result, is left out. Keeps: nothing is
written in the repository: byte code, caches and temporary files go to `scratch`, which the caller removes.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from .sandbox.private import name_for_git, private_environment, toolchains
from .test_runner import TestCommand

#: Variables of the caller that would change what is tested or how, by their beginnings.
_DROPPED = (
    *("PYTHON", "PYTEST", "VIRTUAL_ENV", "CONDA_", "UV_PROJECT", "PIP_REQUIRE", "TOX", "NOX", "COVERAGE", "COV_CORE"),
    *("NODE_", "npm_", "NPM_CONFIG_PREFIX", "INIT_CWD", "JEST_", "VITEST", "CARGO_", "RUSTFLAGS", "RUSTC_WRAPPER"),
    *("GOFLAGS", "GOWORK", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "GIT_", "TWELVEFOLD", "OLDPWD", "PWD", "LD_PRELOAD"),
    # Ours to act on GitHub, and nothing for what an issue may have changed.
    *("GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"),
    *("FORCE_COLOR", "CLICOLOR_FORCE", "PY_COLORS", "NOTIFY_SOCKET", "LISTEN_"),
)
#: Folders of the repository that hold a Python environment, by their usual names.
VENV_NAMES = (".venv", "venv", "env", ".env")
PROBE_TIMEOUT_S = 60.0


class TestEnvironment(msgspec.Struct, frozen=True, kw_only=True):
    """Where and with what tests run. `env` is all that they see."""

    __test__ = False
    workspace: Path
    repo: Path
    scratch: Path
    env: dict[str, str]
    roots: tuple[str, ...] = ()


def clean_variables(caller: Mapping[str, str]) -> dict[str, str]:
    """Return the caller's variables without those that lead to another environment, checkout or test configuration."""
    kept = {"NODE_EXTRA_CA_CERTS", "CARGO_HOME", "npm_config_cache"}
    return {name: value for name, value in caller.items() if name in kept or not name.startswith(_DROPPED)}


def own_environments(repo: Path) -> list[Path]:
    """List the repository's own Python environments whose interpreter is there."""
    found = [repo / name for name in VENV_NAMES]
    return [folder for folder in found if (folder / "pyvenv.cfg").is_file() and (folder / "bin/python").exists()]


def build(
    *,
    workspace: Path,
    repo: Path,
    scratch: Path,
    temporary: Path,
    caller: Mapping[str, str],
    roots: Sequence[str],
    command: TestCommand,
) -> TestEnvironment:
    """Put the surroundings of one run together; `scratch` is a folder of this run's own, with the recorder in it.

    `temporary` becomes TMPDIR: a short path, as tests put sockets there, whose paths end at 107 bytes. HOME is empty,
    and toolchains are found in the user's.
    The recorder comes first on PYTHONPATH, so that it is there before anything is imported, then the workspace's source
    roots, before any environment's packages. A PYTHONPATH that the command sets itself is taken after those.
    """
    path = [str(folder / "bin") for folder in own_environments(repo)]
    path.append(caller.get("PATH") or os.defpath)
    recorder = scratch / "recorder"
    given = [entry for entry in command.env.get("PYTHONPATH", "").split(":") if entry]
    python_path = [str(recorder), *(str(workspace / root) for root in roots), *given]
    kept = clean_variables(caller)
    home = Path(caller.get("TWELVEFOLD_USER_HOME") or caller.get("HOME") or "/nonexistent")
    private = private_environment(scratch, temporary)
    env = {
        **kept,
        **toolchains(home, kept),
        **private,
        **name_for_git(private, "Tester", "tester@localhost"),
        **{name: value for name, value in command.env.items() if name != "PYTHONPATH"},
        "PATH": ":".join(path),
        "PWD": str(workspace),
        "PYTHONPATH": ":".join(dict.fromkeys(python_path)),
        "PYTHONDONTWRITEBYTECODE": "1",
        "CARGO_TARGET_DIR": str(scratch / "cargo-target"),
    }
    if command.kind in ("tox", "nox"):
        # Both keep most variables from the environments that they make; without the recorder nothing would be proved.
        env["TOX_OVERRIDE"] = "testenv.pass_env+=PYTHONPATH,PYTHONDONTWRITEBYTECODE"
        env["PYTHONPATH"] = str(recorder)
    if command.kind in ("make", "command"):
        # Makefiles and scripts like to set PYTHONPATH; what they set comes after ours then, and doesn't replace it.
        env["PATH"] = f"{_shims(scratch, env)}:{env['PATH']}"
    if command.kind == "npm":
        env.setdefault("CI", "true")  # without it some tools watch for changes and never end
    if _node_major(env) >= 20:
        env["NODE_OPTIONS"] = _node_options(recorder, scratch)
    return TestEnvironment(workspace=workspace, repo=repo, scratch=scratch, env=env, roots=tuple(roots))


def interpreters(env: Mapping[str, str]) -> list[str]:
    """List the Python interpreters that a PATH offers, each once, first come first."""
    found: list[str] = []
    for folder in env.get("PATH", "").split(":"):
        for name in ("python", "python3"):
            program = shutil.which(name, path=folder) if folder.startswith("/") else None
            if program is not None and program not in found:
                found.append(program)
    return found


def ready_command(commands: Sequence[TestCommand], environment: TestEnvironment) -> tuple[TestCommand | None, str]:
    """Choose the first command whose runner is installed, with its interpreter filled in.

    Returns None and the reasons where none is.
    """
    missing: list[str] = []
    for command in commands:
        if command.argv[:1] == ("{python}",):
            module = command.argv[2]
            python = next((one for one in interpreters(environment.env) if _has_module(one, module, environment)), None)
            if python is not None:
                return msgspec.structs.replace(command, argv=(python, *command.argv[1:]), shown=command.text()), ""
            missing.append(f"no interpreter of the project or on PATH has {module}")
        elif command.shell:
            return command, ""
        elif program := _program(command.argv[0], environment):
            return msgspec.structs.replace(command, argv=(program, *command.argv[1:]), shown=command.text()), ""
        else:
            missing.append(f"{command.argv[0]} isn't installed")
    return None, "; ".join(dict.fromkeys(missing))


def _program(name: str, environment: TestEnvironment) -> str | None:
    """Find what a command's first word names: on PATH, in the workspace, or in the repository's own environment."""
    if "/" not in name:
        return shutil.which(name, path=environment.env["PATH"])
    own = own_environments(environment.repo)
    lent = [environment.repo / name] if any((environment.repo / name).is_relative_to(folder) for folder in own) else []
    found = [path for path in (environment.workspace / name, *lent) if os.access(path, os.X_OK) and path.is_file()]
    return str(found[0]) if found else None


def _shims(scratch: Path, env: Mapping[str, str]) -> Path:
    folder = scratch / "bin"
    folder.mkdir(exist_ok=True)
    for name in ("python", "python3", "pytest", "py.test"):
        real = shutil.which(name, path=env["PATH"])
        if real is not None:
            path = f"{shlex.quote(env['PYTHONPATH'])}${{PYTHONPATH:+:$PYTHONPATH}}"
            (folder / name).write_text(f'#!/bin/sh\nPYTHONPATH={path} exec {shlex.quote(real)} "$@"\n')
            (folder / name).chmod(0o755)
    return folder


def console_interpreter(program: str, environment: TestEnvironment) -> str | None:
    """Return the interpreter that a command on PATH uses: itself if it is one, else the one its first line names."""
    found = shutil.which(program, path=environment.env["PATH"])
    if found is None:
        return None
    if re.fullmatch(r"(?:python|pypy)[0-9.]*", Path(program).name):
        return found
    with Path(found).open("rb") as file:
        first = file.readline(4096)
        second = file.readline(4096)
    words = first[2:].decode("utf-8", "replace").split() if first.startswith(b"#!") else []
    if words[:1] == ["/usr/bin/env"] and len(words) > 1:
        return shutil.which(words[-1], path=environment.env["PATH"])
    if words[:1] == ["/bin/sh"]:  # pip's form for paths that are too long or have spaces
        long = re.match(rb"'''exec' '?\"?([^'\"]+)", second)
        return long[1].decode("utf-8", "replace").strip() if long else None
    return words[0] if words and "python" in Path(words[0]).name else None


def _has_module(python: str, module: str, environment: TestEnvironment) -> bool:
    code = "import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)"
    # Without the source roots: a runner is installed, not found by chance in the project.
    env = {name: value for name, value in environment.env.items() if name != "PYTHONPATH"}
    try:
        done = _asked([python, "-c", code, module], env)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _asked(argv: list[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        argv, env=dict(env), cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_TIMEOUT_S
    )


def _node_major(env: Mapping[str, str]) -> int:
    node = shutil.which("node", path=env["PATH"])
    if node is None:
        return 0
    try:
        done = subprocess.run(
            [node, "--version"], env=dict(env), stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.match(rb"v(\d+)", done.stdout)
    return int(version[1]) if version else 0


def _node_options(recorder: Path, scratch: Path) -> str:
    quoted = str(recorder / "recorder.cjs").replace("\\", "\\\\").replace('"', '\\"')
    reporters = "--test-reporter=tap --test-reporter-destination=stdout"
    junit = str(scratch / "node.xml").replace("\\", "\\\\").replace('"', '\\"')
    return f'--require "{quoted}" {reporters} --test-reporter=junit "--test-reporter-destination={junit}"'

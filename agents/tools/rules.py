"""Which commands an agent may run in a workspace, with what, and within which bounds.

Owns the rules as data. Pure; `commands` keeps them.
"""

from __future__ import annotations

import msgspec

from ..tool import Effect

#: What builds, tests and checks code, and looks at text. Nothing that is there to talk to other machines.
PROGRAMS = (
    *("python", "python3", "pytest", "tox", "nox", "ruff", "black", "isort", "mypy", "pyright", "flake8", "pylint"),
    *("node", "npm", "npx", "yarn", "pnpm", "tsc", "eslint", "prettier", "jest", "vitest", "mocha"),
    *("go", "gofmt", "cargo", "rustc", "rustfmt", "javac", "java", "mvn", "gradle", "make", "cmake", "ninja"),
    *("gcc", "g++", "clang", "clang-format", "ruby", "bundle", "rake", "rspec", "php", "perl", "shellcheck"),
    *("cat", "head", "tail", "wc", "ls", "find", "grep", "sed", "awk", "sort", "uniq", "diff", "cmp", "file", "stat"),
    *("cp", "mv", "rm", "mkdir", "touch", "chmod", "tr", "cut", "tee", "echo", "printf", "true", "false", "test"),
)
#: Variables of the agent's process that commands get to see, where they are set.
VARIABLES = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TZ", "TERM", "JAVA_HOME", "GOROOT")


class CommandRules(msgspec.Struct, frozen=True, kw_only=True):
    """What `run_command` may run.

    `programs`: names of programs found on PATH; None for any. `own_programs`: whether executables of the workspace may
    be run, by a path such as ./gradlew. `shell`: whether a command may be one text for /bin/sh, which can name any
    program. `variables`: names of the process's environment that are passed on; `environment`: variables that are set.
    `timeout_s` is the longest that a command may ask for, `memory_bytes_max` what each of its processes may take,
    `file_bytes_max` what each file that it writes may hold, `output_length_max` how many characters of what it says
    are returned. `effect`: how a call may be repeated; `once` where commands reach beyond the workspace.

    An allowed interpreter or build tool runs whatever the workspace holds: the list says which programs make sense,
    and the file rules of the sandbox are what holds a command in.
    """

    programs: tuple[str, ...] | None = PROGRAMS
    own_programs: bool = True
    shell: bool = False
    variables: tuple[str, ...] = VARIABLES
    environment: dict[str, str] = {}
    timeout_s: float = 600.0
    memory_bytes_max: int = 4 << 30
    file_bytes_max: int = 1 << 30
    output_length_max: int = 32_000
    effect: Effect = "idempotent"

"""One setting as a user meets it, and those that agents are told: models, prompts, repositories, the sandbox.

Owns their variables, defaults and descriptions; where a value comes from is worked out in `settings`. How each text is
read stands beside what agents make of it, in `agents/agent_settings.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from .agents import agent_settings as read

#: What stands for seconds in errors.
SECONDS = "seconds greater than 0, such as 2.5"


class Setting(NamedTuple):
    """One setting as a user meets it: its field, its variable, its default as text, and what it does."""

    field: str
    variable: str
    default: str
    wanted: str
    parse: Callable[[str], Any]
    doc: str


#: In the order in which `config` and `.env.example` show them, after those of the runtime.
AGENT_SETTINGS = (
    Setting(
        "model_url",
        "TWELVEFOLD_MODEL_URL",
        "",
        "an http or https URL, such as http://localhost:11434/v1",
        read.url,
        "base URL of an OpenAI-style service that runs the model (Ollama, llama.cpp, vLLM, a hosted one)",
    ),
    Setting(
        "model",
        "TWELVEFOLD_MODEL",
        "",
        "the name of a model",
        str,
        "the agents' model: its name at that service, or `scripted:FILE`, `recorded:FILE`, `llm:NAME`; none if empty",
    ),
    Setting(
        "model_key",
        "TWELVEFOLD_MODEL_KEY",
        "",
        "the name, in capitals, of the variable that holds the key",
        read.key_variable,
        "name of the variable that holds the service's key, such as OPENAI_API_KEY (never the key itself)",
    ),
    Setting(
        "model_timeout_s",
        "TWELVEFOLD_MODEL_TIMEOUT_S",
        "300",
        SECONDS,
        read.seconds,
        "how long one call of the model may take, retries included",
    ),
    Setting(
        "model_context",
        "TWELVEFOLD_MODEL_CONTEXT",
        "32000",
        "a whole number of tokens from 2000",
        read.tokens,
        "how many tokens the model takes at once, its reply included; what an agent shows it is kept below that",
    ),
    Setting(
        "model_price",
        "TWELVEFOLD_MODEL_PRICE",
        "",
        "two prices, such as 0.15,0.60",
        read.price,
        "US dollars for a million tokens read and written; without it no money is counted",
    ),
    Setting(
        "fixer_command",
        "TWELVEFOLD_FIXER_COMMAND",
        "",
        "a command, such as 'claude -p'",
        str,
        "coding program that the fixer's engine `command` runs in the workspace",
    ),
    Setting(
        "fixer_timeout_s",
        "TWELVEFOLD_FIXER_TIMEOUT_S",
        "1800",
        SECONDS,
        read.seconds,
        "how long that program may take",
    ),
    Setting(
        "fixer_env",
        "TWELVEFOLD_FIXER_ENV",
        "",
        "names of variables, such as ANTHROPIC_API_KEY,HOME",
        read.variables,
        "variables that are handed through to that program, beside those that hold no secret",
    ),
    Setting(
        "prompts",
        "TWELVEFOLD_PROMPTS",
        "",
        "folders with colons between them",
        read.folders,
        "folders whose prompts come before the packaged ones; else the project's `prompts`",
    ),
    Setting(
        "repos",
        "TWELVEFOLD_REPOS",
        "",
        "repositories with colons between them, each a path or name=path",
        read.places,
        "sister repositories beside those that lie next to the project",
    ),
    Setting(
        "repos_file",
        "TWELVEFOLD_REPOS_FILE",
        "",
        "a file",
        Path,
        "what is permitted in which repository; else the `repos.toml` of the project, beside it, or of the home",
    ),
    Setting(
        "sandbox",
        "TWELVEFOLD_SANDBOX",
        "files",
        "`files`, `off` or `required`",
        read.sandbox,
        "`files`: agents may write only where they work, where the kernel can see to that; `required`: never without",
    ),
    Setting(
        "writable",
        "TWELVEFOLD_WRITABLE",
        "",
        "folders with colons between them",
        read.folders,
        "more folders in which agents may write",
    ),
    Setting(
        "readable",
        "TWELVEFOLD_READABLE",
        "",
        "files or folders with colons between them",
        read.folders,
        "secrets of yours that agents may read all the same, such as `~/.config/gh`",
    ),
    Setting(
        "github_api_url",
        "GITHUB_API_URL",
        "https://api.github.com",
        "an http or https URL, such as https://github.example.org/api/v3",
        read.url,
        "base URL of GitHub's API, for issues named owner/repo#12; GH_HOST names another server in short",
    ),
    Setting(
        "github_wait_s",
        "TWELVEFOLD_GITHUB_WAIT_S",
        "60",
        SECONDS,
        read.seconds,
        "how long GitHub's rate limits are waited for in all",
    ),
)

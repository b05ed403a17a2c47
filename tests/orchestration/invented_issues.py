"""Issues invented for the tests, each with the level that a maintainer who knows such projects would give.

None was used to find the signals; they are a second opinion beside the measured ones.
"""

from __future__ import annotations

INVENTED: list[tuple[str, str, str]] = [
    (
        "docstring-typo",
        "atomic",
        """# Typo in the docstring of `echo_via_pager`

It says "recieves" where "receives" is meant.
""",
    ),
    (
        "pin-one-line",
        "atomic",
        """# Allow redis 5

The extra in `setup.py` has `redis>=2.0,<5.0`. redis-py 5 works, all tests are green here. Please raise the upper
bound to `<6.0`.

Type: chore
""",
    ),
    (
        "email-validator",
        "simple",
        """# Email validator accepts a trailing dot

```python
>>> validate.Email()("user@example.com.")
'user@example.com.'
```

That's not a valid address for the mail servers we talk to. I expected a `ValidationError`.

Version 3.20.1, Python 3.11.4, Ubuntu 22.04
""",
    ),
    (
        "crash-native-traceback",
        "simple",
        """# INTERNALERROR with --tb=native if the exception has no traceback

## Steps to reproduce

1. save this as `test_a.py`

   ```python
   def test_a():
       raise SomeError.with_traceback(None)
   ```

2. run `pytest --tb=native test_a.py`

## Actual

```
INTERNALERROR>   File "/home/me/.venv/lib/python3.11/site-packages/_pytest/_code/code.py", line 690, in getrepr
INTERNALERROR>     reprtraceback=ReprTracebackNative(
INTERNALERROR> AttributeError: 'NoneType' object has no attribute 'tb_frame'
```

## Expected

A failed test.
""",
    ),
    (
        "no-prefix-option",
        "moderate",
        """# Option to switch the process prefix off

When honcho runs under systemd, journald adds time and name itself, and we see both twice. I'd like `honcho start
--no-prefix`, which passes lines on as they are. Should also be in the manual.
""",
    ),
    (
        "no-headers",
        "moderate",
        """# `--no-headers` for CSV and TSV output

`sqlite-utils query` and `rows` print a header line with `--csv` and `--tsv`. For appending to an existing file I need
the rows only.

- [ ] `--no-headers` for `query`, `rows` and `memory`
- [ ] documented, with an example
""",
    ),
    (
        "drop-python-37",
        "complex",
        """# Drop support for Python 3.7

End of life was in June. Let's drop it:

- the classifiers and `requires-python`
- CI matrix
- README and installation page
- workarounds for `Protocol`, `Literal` and friends, which can come from `typing` again
""",
    ),
    (
        "magic-trailing-comma",
        "complex",
        """# Let people turn the magic trailing comma off

A trailing comma explodes a collection one item per line since 20.8b0, and there's no way to opt out. Several big code
bases can't upgrade for that reason.

Please add an option `--skip-magic-trailing-comma` (`-C`):

1. command line and `pyproject.toml`
2. part of the mode, so that the cache key changes with it
3. `blackd` takes a header for it, like for the other style options
4. with the option, commas that black itself would have added don't count when lines are joined
5. README and the page about the code style describe it

Without the option nothing changes.
""",
    ),
    (
        "fail-zero",
        "complex",
        """# Fail the run if no tests were found

A typo in the glob makes our CI green forever. Add `--fail-zero`, off by default: the exit code is 1 if no test ran.

It should be available on the command line, in the config file, as an option of the programmatic API
(`new Mocha({failZero: true})` and `mocha.failZero()`), and be documented on the website together with `--forbid-only`.
""",
    ),
    (
        "type-annotations",
        "enterprise",
        """# Ship type annotations

We have `py.typed` in no wheel. mypy users get `Any` for everything. I'd like annotations throughout the package: the
public API first, then the internals, until `mypy --strict` passes in CI. Every module needs work; generics for the
pools, overloads for the `stream` parameter, and stubs for the two C helpers.
""",
    ),
    (
        "asgi",
        "enterprise",
        """# Port from Sanic to ASGI

Sanic makes upgrades painful (pinned to 0.7.0 for a year now) and plugins can't add routes. I'd rather be a plain ASGI
application.

* replace every use of `sanic.request` and `sanic.response` with our own small `Request` and `Response`
* all views become ASGI callables
* router, static files, streaming CSV, gzip and CORS have to be rewritten
* a plugin hook that wraps the application
* serve with uvicorn; `datasette serve` keeps all of its options
* test client without Sanic
* docs for plugin authors, deployment, and the change in `publish`

Everything that works on 0.28 keeps working.
""",
    ),
    (
        "format-everything",
        "enterprise",
        """# Use Prettier

Let's stop discussing quotes and commas in reviews. Add Prettier with the default configuration, format the whole code
base once, and check it in CI. ESLint keeps only rules that don't overlap.
""",
    ),
    (
        "click-unicodefun",
        "simple",
        """# Crash on import with click 8.1.0

`pip install black` gets click 8.1.0 since yesterday:

```
Traceback (most recent call last):
  File "/usr/local/bin/black", line 8, in <module>
    sys.exit(patched_main())
  File "/usr/local/lib/python3.10/site-packages/black/__init__.py", line 1372, in patched_main
    patch_click()
  File "/usr/local/lib/python3.10/site-packages/black/__init__.py", line 1358, in patch_click
    from click import _unicodefun
ImportError: cannot import name '_unicodefun' from 'click'
```

The private module is gone. `patch_click` should cope with that.
""",
    ),
    (
        "proxy-rename",
        "complex",
        """# One `proxy` argument instead of `proxies`

Nearly everybody passes a single URL. Proposal:

- new argument `proxy` on `Client`, `AsyncClient` and the top-level functions (`get`, `post`, `stream`, ...)
- `proxies` goes on working for a while, with a `DeprecationWarning` that names the replacement (`mounts` for the
  complicated cases)
- passing both is an error
- command line client: `--proxy` instead of `--proxies`
- docs: the page about proxies, the API reference and the compatibility guide
""",
    ),
    (
        "links-two-pages",
        "moderate",
        """# Dead links in the docs

`docs/async.rst` and `docs/deployment.rst` both link to the old Heroku article, which is a 404 now. The new address is
https://devcenter.heroku.com/articles/python-concurrency.
""",
    ),
    (
        "german-timeout",
        "simple",
        """# Zeitüberschreitung beim Verbindungsaufbau wird ignoriert

Wenn der Server nicht antwortet, wartet `connect()` ewig, obwohl `connect_timeout=2` gesetzt ist:

```python
nc = await nats.connect("nats://10.0.0.1:4222", connect_timeout=2)
```

Erwartet: nach zwei Sekunden ein `TimeoutError`. Vermutlich gilt der Wert nur für den TLS-Teil und nicht für das Öffnen
des Sockets.
""",
    ),
    (
        "french-docs",
        "moderate",
        """# Documentation : expliquer les signaux

Je propose deux choses :

1. dans `docs/usage.md`, une section sur `SIGTERM` et `SIGKILL`
2. dans `README.md`, un lien vers cette section

Le code ne change pas.
""",
    ),
    (
        "japanese-bug",
        "simple",
        """# 全角文字を含むプロセス名で表示がずれる

Procfile に `ウェブ: python app.py` のような行があると、出力の幅が揃いません。
`printer.py` の幅の計算は文字数ではなく表示幅を使うべきです。
""",
    ),
    (
        "explicit-three-files",
        "moderate",
        """# Old name of the organisation in three places

### `README.md`

Current:

```
https://github.com/old-org/tool
```

Should be:

```
https://github.com/new-org/tool
```

### `setup.cfg`

Current:

```
url = https://github.com/old-org/tool
```

Should be:

```
url = https://github.com/new-org/tool
```

### `docs/conf.py`

Current:

```
html_baseurl = "https://github.com/old-org/tool"
```

Should be:

```
html_baseurl = "https://github.com/new-org/tool"
```
""",
    ),
    (
        "sort-key",
        "simple",
        """# Sort results by path

The order of the output depends on the thread that was first. With `-j1` it is fine. Could results that arrive within
the first 100 ms be sorted before they are printed? They are buffered already.
""",
    ),
    (
        "new-preview-action",
        "complex",
        """# Action to toggle the line wrap of the preview window

There is `toggle-preview`, and `--preview-window wrap`, but no way to change the wrap while it runs. Please add
`toggle-preview-wrap`.

- usable in `--bind`
- works in the full-screen mode, with `--height`, and with both renderers (light, tcell)
- listed in the man page
- the HTTP listener accepts it as well
""",
    ),
    (
        "retry-subsystem",
        "enterprise",
        """# Pluggable storage for results

Results can be kept in Redis only. I'd like backends to be exchangeable, so that people can write their own:

1. **Interface.** An abstract class with `get`, `store`, `forget` and key derivation; today's code becomes its first
   implementation.
2. **Implementations.** Redis, Memcached, PostgreSQL, and an in-memory one for tests, each in a module of its own.
3. **Broker and middleware.** Every place that touches `broker.client` directly has to go through the interface.
4. **Async.** All calls that block get an async twin.
5. **Settings.** Chosen by URL; a registry by entry points.
6. **Migration.** A command copies results from one backend to another.
7. **Docs.** A guide for users, one for authors of backends, and the reference.

Acceptance:

- [ ] one contract suite, run over all backends in CI
- [ ] no import of `redis` outside its backend
- [ ] mypy strict passes
""",
    ),
    (
        "heading-rename",
        "atomic",
        """# Misleading heading in CONTRIBUTING.md

The heading "Runing tests" in `CONTRIBUTING.md` has a typo.
""",
    ),
    (
        "cancel-scope-repr",
        "simple",
        """# repr of CancelScope should show deadline and state

When I print a scope in the debugger I get `<trio.CancelScope object at 0x7f3c>`. It would help to see whether it is
active, cancelled or unentered, and how many seconds are left until the deadline.

Something like `<trio.CancelScope at 0x7f3c, active, deadline is 3.20 seconds from now>`.
""",
    ),
]

"""What travels into a foreign test process: files copied beside a run, that record what it loaded and which tests ran.

They are never imported by Twelvefold. `sitecustomize.py` and `twelvefold_recorder.py` run in whatever Python (3.8 or
newer) the project's tests use; `recorder.cjs` and `recorder.mjs` in its Node. Each writes JSON lines to the file that
`record.json` beside them names. Keeps: a test that runs under them behaves as it would without.
"""

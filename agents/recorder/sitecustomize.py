"""Starts the recorder in each Python process of a test run, then hands on to the sitecustomize that this one hides."""

import importlib
import importlib.machinery
import importlib.util
import os
import sys


def _hidden_sitecustomize() -> None:
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib is slow to import at each start
    path = [entry for entry in sys.path if os.path.abspath(entry) != here]  # noqa: PTH100
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", path)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


importlib.import_module("twelvefold_recorder").install()
_hidden_sitecustomize()

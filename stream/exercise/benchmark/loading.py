"""Loads the orchestrator class of a Python file."""

import ast
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream.exercise.benchmark.messages import BASELINE, PIPELINE

CLASS = "TaskOrchestrator"


class Unusable(Exception):
    """The file has no usable orchestrator class; the message states why."""


def orchestrator_class(source: str) -> Callable[[], Any]:
    """Return the class of the orchestrator `baseline` or `pipeline`, or of a file.

    Raises:
        Unusable: the file has no such class.
        BaseException: importing the file raised it.
    """
    if source == BASELINE:
        from stream.exercise import baseline, stages  # noqa: PLC0415 - only the measured one uses memory

        def construct() -> baseline.TaskOrchestrator:
            assert stages.current().dictionary  # loaded here, not within the first run
            return baseline.TaskOrchestrator()

        return construct
    if source == PIPELINE:
        from stream.exercise import orchestrator  # noqa: PLC0415

        return orchestrator.TaskOrchestrator
    path = Path(source)
    if not _names_class(ast.parse(path.read_bytes(), path.name)):
        raise Unusable(f"it has no class {CLASS}")  # the file may be any script, so it is not run
    sys.path.insert(0, str(path.parent.resolve()))  # as for a script
    name = f"orchestrator_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Unusable(f"{path.name} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look it up there
    spec.loader.exec_module(module)
    loaded = getattr(module, CLASS, None)
    if not isinstance(loaded, type):
        raise Unusable(f"it has no class {CLASS}")
    return loaded


def _names_class(tree: ast.Module) -> bool:
    """Whether a file defines, imports or assigns the name of the class anywhere."""
    return any(
        (isinstance(node, ast.ClassDef) and node.name == CLASS)
        or (isinstance(node, ast.alias) and (node.asname or node.name) in {CLASS, "*"})
        or (isinstance(node, ast.Name) and node.id == CLASS and isinstance(node.ctx, ast.Store))
        for node in ast.walk(tree)
    )


def error_line(error: BaseException) -> str:
    """Describe an error of foreign code in one line."""
    if isinstance(error, Unusable):
        return str(error)
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}, line {error.lineno}"
    message = " ".join(_message(error).split())
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the __str__ of foreign code
        return ""

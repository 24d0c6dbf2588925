"""A file -> the orchestrator in it."""

import ast
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stream.exercise.benchmark.messages import BASELINE, PIPELINE

CLASS = "TaskOrchestrator"


class Unusable(Exception):
    """There is no orchestrator to be had; says why."""


def orchestrator_class(contestant: str) -> Callable[[], Any]:
    """Return the class of a contestant, `baseline`, `pipeline` or a file's; what its import raises is raised.

    Raises:
        Unusable: the file has no such class.
    """
    if contestant == BASELINE:
        from stream.exercise import baseline, stages  # noqa: PLC0415 - only who is measured takes memory

        def made() -> baseline.TaskOrchestrator:
            assert stages.current().dictionary  # made now, not within the first run
            return baseline.TaskOrchestrator()

        return made
    if contestant == PIPELINE:
        from stream.exercise import orchestrator  # noqa: PLC0415

        return orchestrator.TaskOrchestrator
    path = Path(contestant)
    if not _names_class(ast.parse(path.read_bytes(), path.name)):
        raise Unusable(f"it has no class {CLASS}")  # and is not run: it may be any script
    sys.path.insert(0, str(path.parent.resolve()))  # as for a script
    name = f"contestant_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise Unusable(f"{path.name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look there
    spec.loader.exec_module(module)
    found = getattr(module, CLASS, None)
    if not isinstance(found, type):
        raise Unusable(f"it has no class {CLASS}")
    return found


def _names_class(tree: ast.Module) -> bool:
    """Whether a file says anywhere that something is called as the class is."""
    return any(
        (isinstance(node, ast.ClassDef) and node.name == CLASS)
        or (isinstance(node, ast.alias) and (node.asname or node.name) in {CLASS, "*"})
        or (isinstance(node, ast.Name) and node.id == CLASS and isinstance(node.ctx, ast.Store))
        for node in ast.walk(tree)
    )


def sentence(error: BaseException) -> str:
    """Return one line about an error of somebody's code."""
    if isinstance(error, Unusable):
        return str(error)
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg}, line {error.lineno}"
    told = " ".join(_told(error).split())
    return f"{type(error).__name__}: {told}" if told else type(error).__name__


def _told(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a stranger's __str__
        return ""

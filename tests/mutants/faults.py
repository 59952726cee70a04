"""The faults that can be made, the order in which a seed takes them, and those that are the same to every user."""

from __future__ import annotations

import ast
import difflib
import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.ast.ast_query import ASTQuery
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.provider import OperatorProvider

from tests import ROOT
from tests.mutants.targets import OPERATORS, TESTS

EQUIVALENT = Path(__file__).parent / "equivalent.toml"
_MADE_BY = OperatorProvider()
_Position = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Fault:
    file: str
    operator: str
    occurrence: int
    """The how manieth of that operator in the file."""
    start: _Position
    """Line, from 1, and column."""
    end: _Position
    inside: str
    """The function or class; empty: none."""
    name: str
    """Which no other has, and which stays the same when other lines are edited."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a fault makes of the code."""

    file: str
    was: str
    becomes: str


@dataclass(frozen=True, slots=True)
class Equivalent:
    """A change that makes no difference to anybody: a part of a line, so that other edits of the line do not matter."""

    file: str
    was: str
    becomes: str
    because: str

    def covers(self, change: Change) -> bool:
        places = (found.start() for found in re.finditer(re.escape(self.was), change.was))
        after = len(self.was)
        return self.file == change.file and any(
            change.becomes == change.was[:at] + self.becomes + change.was[at + after :] for at in places
        )


def all_faults(files: Iterable[str] = TESTS) -> list[Fault]:
    return [fault for file in files for fault in _faults_of(file)]


def sample(faults: Iterable[Fault], seed: int, size: int) -> dict[Fault, Change]:
    """Those that the seed takes first: a larger sample has the same ones in it, and so has one after an edit."""
    taken: dict[Fault, Change] = {}
    for fault in sorted(faults, key=lambda fault: hashlib.blake2b(f"{seed} {fault.name}".encode()).digest()):
        if len(taken) == size:
            break
        if change := _change_by(fault):
            taken[fault] = change
    return taken


def equivalents() -> list[Equivalent]:
    tables = tomllib.loads(EQUIVALENT.read_text(encoding="utf-8"))["fault"]
    return [
        Equivalent(one["file"], one["was"], becomes, one["because"]) for one in tables for becomes in one["becomes"]
    ]


def stale(known: Iterable[Equivalent]) -> list[Equivalent]:
    """Those that cannot be made any more: whoever edited the line has to look again whether it is still no fault."""
    return [one for one in known if not any(map(one.covers, _changes_near(one)))]


def _changes_near(one: Equivalent) -> Iterator[Change]:
    line = one.was.partition("\n")[0]
    return filter(None, (_change_by(fault) for fault in all_faults([one.file]) if line in fault.name))


@cache
def _faults_of(file: str) -> tuple[Fault, ...]:
    return tuple(_found_in(file))


def _found_in(file: str) -> Iterator[Fault]:
    source = _source(file)
    lines = source.splitlines()
    declared = list(_declarations(source))
    nodes = list(ast_nodes(get_ast(source)))
    names = Counter[str]()
    for operator in OPERATORS:
        made_by = _MADE_BY[operator]()
        positions = ((node, *position) for node in nodes for position in made_by.mutation_positions(node))
        for occurrence, (node, start, end) in enumerate(positions):
            inside = ASTQuery(node).get_definition_name() or ""
            name = f"{file} {operator} {inside} {start[1]} {lines[start[0] - 1]}"
            names[name] += 1
            # The `*` before the arguments that have to be named multiplies nothing.
            star = node.type == "operator" and node.parent.type == "parameters"
            if not star and not any(first <= start < last for first, last in declared):
                yield Fault(file, operator, occurrence, start, end, inside, f"{name} {names[name]}")


def _change_by(fault: Fault) -> Change | None:
    """None: the code could not even be compiled."""
    source = _source(fault.file)
    changed = mutate_code(source, _MADE_BY[fault.operator](), fault.occurrence)
    try:
        compile(changed, fault.file, "exec")
    except SyntaxError:
        return None
    lines = list(difflib.ndiff(source.splitlines(), changed.splitlines()))
    was, becomes = ("\n".join(line[2:].strip() for line in lines if line.startswith(f"{sign} ")) for sign in "-+")
    return Change(fault.file, was, becomes)


def _declarations(source: str) -> Iterator[tuple[_Position, _Position]]:
    """Types, and what decorators are given: they decide nothing when the program runs, and mypy holds to them."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.AnnAssign(annotation=found) | ast.arg(annotation=ast.expr() as found):
                yield _span(found)
            case ast.FunctionDef(decorator_list=decorators) | ast.AsyncFunctionDef(decorator_list=decorators):
                yield from map(_span, (*decorators, *([node.returns] if node.returns else [])))
            case ast.ClassDef(decorator_list=decorators):
                yield from map(_span, decorators)
            case _:
                pass


def _span(node: ast.expr) -> tuple[_Position, _Position]:
    return (node.lineno, node.col_offset), (node.end_lineno or 0, node.end_col_offset or 0)


def _source(file: str) -> str:
    return (ROOT / file).read_text(encoding="utf-8")

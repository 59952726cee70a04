"""From a name of the team file to the module that builds the agent.

This is the one place that imports code of the team's. It imports what `[agents.NAME]` names and nothing else: the
`module` of the table, or the folder `agents/NAME/` beside the team file. Then, and not otherwise, that file's folder
stands on the import path: first while the module is imported, and last from then on, for what it imports later.
Whatever such code does wrong is one line, with the name of its table.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import agent.roster


class Unusable(Exception):
    """Why there is no such agent, to be read after `agents.NAME in the team file`."""


@dataclass(frozen=True)
class AgentModule:
    name: str
    build: Callable[[dict[str, Any], Path], object]
    """Takes the agent's table and a folder for its own files. Raises pydantic's ValidationError."""
    shares: str
    """The agent whose table it reads; empty: its own."""
    folder: Path | None
    """Where its files stand. None: it is a single file among others."""

    @property
    def table(self) -> str:
        return self.shares or self.name


def shipped_module(name: str) -> AgentModule:
    """Raises Unusable."""
    return _checked(name, _imported(f"{agent.roster.__name__}.{name}"))


def own_module(name: str, module: object, beside: Path) -> AgentModule:
    """The module that the table names, as an agent of the team's. Raises Unusable."""
    if not isinstance(module, str) or not all(part.isidentifier() for part in module.split(".")):
        raise Unusable(f'.module must be the name of a module, such as "acme.agents.{name}".')
    with _on_the_import_path(beside):
        return _checked(name, _imported(module))


def has_own_folder(name: str, beside: Path) -> bool:
    return name.isidentifier() and (beside / "agents" / name / "__init__.py").is_file()


def own_folder(name: str, beside: Path) -> AgentModule:
    """The folder `agents/NAME/`, as an agent of the team's. Raises Unusable."""
    with _on_the_import_path(beside):
        found = _imported(f"agents.{name}")
    folder = beside.absolute() / "agents" / name
    if _folder(found) != folder:
        raise Unusable(
            f": a package `agents` from elsewhere hides {folder}; put yours elsewhere, and name its `module`."
        )
    return _checked(name, found)


def _imported(name: str) -> ModuleType:
    """Raises Unusable."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise Unusable(f": there is no module {name!r}, neither installed nor beside the team file.") from None
        raise Unusable(f": its module {name!r} cannot be imported: {where(error)}.") from None
    except (Exception, SystemExit) as error:
        raise Unusable(f": its module {name!r} cannot be imported: {where(error)}.") from None


@contextlib.contextmanager
def _on_the_import_path(folder: Path) -> Iterator[None]:
    entry = str(folder.absolute())
    importlib.invalidate_caches()
    sys.path.insert(0, entry)
    try:
        yield
    finally:
        sys.path.remove(entry)
        if entry not in sys.path:
            sys.path.append(entry)


def _checked(name: str, module: ModuleType) -> AgentModule:
    """Raises Unusable."""
    its = f": its module {module.__name__!r}"
    given = getattr(module, "NAME", None)
    if given is None:
        raise Unusable(f'{its} has no NAME; it has to be "{name}".')
    if given != name:
        raise Unusable(f"{its} has the NAME {given!r}; it has to be {name!r}.")
    build = getattr(module, "build", None)
    if not callable(build):
        raise Unusable(f"{its} has no function `build`.")
    shares = getattr(module, "SHARES", "")
    if not isinstance(shares, str) or shares == name:
        raise Unusable(f"{its} has the SHARES {shares!r}; it has to be the name of another agent.")
    return AgentModule(name, build, shares, _folder(module))


def _folder(module: ModuleType) -> Path | None:
    return Path(module.__file__).absolute().parent if module.__file__ and hasattr(module, "__path__") else None


def where(error: BaseException) -> str:
    """What went wrong in the team's code, and in which line of it, in one line."""
    words = " ".join(f"{type(error).__name__}: {error}".split())
    steps = traceback.extract_tb(error.__traceback__)
    last = next((step for step in reversed(steps) if not step.filename.startswith("<")), None)
    # A SyntaxError says itself where it is.
    return words if last is None or isinstance(error, SyntaxError) else f"{words} ({last.filename}, line {last.lineno})"

"""Imports the module that builds an agent.

Only this module imports the team's code, and only what `[agents.NAME]` names: its `module`, or the folder
`agents/NAME/` next to the team file. The folder of the team file is put on the import path for that: in front during
the import, and at the end afterwards, for later imports. An error in the team's code is reported in one line, with the
name of its table.
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
    """Why the agent cannot be used; the text continues `agents.NAME in the team file`."""


@dataclass(frozen=True)
class AgentModule:
    name: str
    build: Callable[[dict[str, Any], Path], object]
    """Gets the agent's table and a folder for its files. Raises pydantic's ValidationError."""
    build_for_evals: Callable[[Path], object] | None
    """Gets a folder for its files, and uses stand-ins for the services outside. None: it needs none to be played."""
    shares: str
    """The agent whose table it uses; empty: its own."""
    folder: Path | None
    """Its folder; None: it is a single file."""

    @property
    def table(self) -> str:
        return self.shares or self.name


def shipped_module(name: str) -> AgentModule:
    """Raises Unusable."""
    return _checked(name, _imported(f"{agent.roster.__name__}.{name}"))


def own_module(name: str, module: object, team_folder: Path) -> AgentModule:
    """The module that the table names. Raises Unusable."""
    if not isinstance(module, str) or not all(part.isidentifier() for part in module.split(".")):
        raise Unusable(f'.module must be the name of a module, such as "acme.agents.{name}".')
    with _on_the_import_path(team_folder):
        return _checked(name, _imported(module))


def has_own_folder(name: str, team_folder: Path) -> bool:
    return name.isidentifier() and (team_folder / "agents" / name / "__init__.py").is_file()


def own_folder(name: str, team_folder: Path) -> AgentModule:
    """The folder `agents/NAME/` next to the team file. Raises Unusable."""
    with _on_the_import_path(team_folder):
        found = _imported(f"agents.{name}")
    folder = team_folder.absolute() / "agents" / name
    if _folder(found) != folder:
        raise Unusable(f": another package `agents` hides {folder}; move yours, and name its `module`.")
    return _checked(name, found)


def _imported(name: str) -> ModuleType:
    """Raises Unusable."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and f"{name}.".startswith(f"{error.name}."):
            raise Unusable(f": there is no module {name!r}, neither installed nor next to the team file.") from None
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
        raise Unusable(f'{its} has no NAME; it must be "{name}".')
    if given != name:
        raise Unusable(f"{its} has the NAME {given!r}; it must be {name!r}.")
    build = getattr(module, "build", None)
    if not callable(build):
        raise Unusable(f"{its} has no function `build`.")
    for_evals = getattr(module, "build_for_evals", None)
    if for_evals is not None and not callable(for_evals):
        raise Unusable(f"{its} has a `build_for_evals` that is no function.")
    shares = getattr(module, "SHARES", "")
    if not isinstance(shares, str) or shares == name:
        raise Unusable(f"{its} has the SHARES {shares!r}; it must be the name of another agent.")
    return AgentModule(name, build, for_evals, shares, _folder(module))


def _folder(module: ModuleType) -> Path | None:
    return Path(module.__file__).absolute().parent if module.__file__ and hasattr(module, "__path__") else None


def where(error: BaseException) -> str:
    """The error in the team's code and its location, in one line."""
    words = " ".join(f"{type(error).__name__}: {error}".split())
    steps = traceback.extract_tb(error.__traceback__)
    last = next((step for step in reversed(steps) if not step.filename.startswith("<")), None)
    # A SyntaxError includes its location.
    return words if last is None or isinstance(error, SyntaxError) else f"{words} ({last.filename}, line {last.lineno})"

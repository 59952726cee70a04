"""The kinds of targets that a team file may name. A new kind is a module beside this one, and a name in `KINDS`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError, core_schema

from agent.roster.deploy.deployers.base import Target
from agent.roster.deploy.deployers.command import CommandTarget
from agent.roster.deploy.deployers.github import GitHubTarget
from agent.roster.deploy.deployers.vercel.target import VercelTarget

KINDS: tuple[type[Target], ...] = (CommandTarget, GitHubTarget, VercelTarget)
DEFAULT = CommandTarget

_UNKNOWN = "unknown_kind"
_NAMES = {str(kind.model_fields["kind"].default): kind for kind in KINDS}


class _ByKind:
    """Reads a table with the class that its `kind` names."""

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.tagged_union_schema(
            {name: handler.generate_schema(kind) for name, kind in _NAMES.items()},
            _kind,
            custom_error_type=_UNKNOWN,
            custom_error_message=f"`kind` must be one of {', '.join(_NAMES)}",
        )


AnyTarget = Annotated[Target, _ByKind()]


def _kind(given: Any) -> str:
    default = str(DEFAULT.model_fields["kind"].default)
    return str(given.get("kind", default) if isinstance(given, dict) else getattr(given, "kind", default))


def as_in_the_file(error: ValidationError) -> ValidationError:
    """The same problems at the paths of the file: pydantic puts the kind of a target behind its name."""
    return ValidationError.from_exception_data(error.title, list(_details(error)))


def _details(error: ValidationError) -> Iterable[InitErrorDetails]:
    for found in error.errors(include_url=False):
        at = found["loc"]
        behind = at.index("targets") + 2 if "targets" in at else len(at)
        loc = (*at[:behind], *at[behind + 1 :]) if at[behind : behind + 1] and at[behind] in _NAMES else at
        own = PydanticCustomError("value_error", "{why}", {"why": found["msg"]})
        kind = own if found["type"] == _UNKNOWN else found["type"]
        yield InitErrorDetails(type=kind, loc=loc, input=found["input"], ctx=found.get("ctx", {}))

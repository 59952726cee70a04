"""Answers in the shapes of GitHub's published description, by the models that githubkit makes from it.

What a shape requires and nobody tests (links, counts) is filled in; the whole is then validated strictly.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

Record = dict[str, Any]
T = TypeVar("T")
SOME_DAY = datetime(2026, 11, 1, 9, tzinfo=UTC)


def shaped(model: type[BaseModel], /, **given: Any) -> Record:
    """These fields, and others that the shape requires beside them."""
    found = {_key(name): instant(value) if isinstance(value, datetime) else value for name, value in given.items()}
    for name, field in model.model_fields.items():
        key = field.alias or name
        if key not in found and field.is_required():
            found[key] = _something(name, field)
    return found


def _key(name: str) -> str:
    return {"links_": "_links"}.get(name, name.rstrip("_"))


def _something(name: str, field: FieldInfo) -> Any:
    allowed = _allowed(field.annotation)
    if str in allowed and (name == "url" or name.endswith("_url")):
        return f"https://github.test/{name}"
    if type(None) in allowed:
        return None
    return _of(allowed[0])


def _of(kind: Any) -> Any:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return shaped(kind)
    if get_origin(kind) is Literal:
        return get_args(kind)[0]
    if get_origin(kind) is list:
        return []
    return {str: "", int: 0, bool: False, datetime: instant(SOME_DAY), float: 0.0}[kind]


def _allowed(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, UnionType):
        return [one for part in get_args(annotation) for one in _allowed(part)]
    return [annotation]


def checked(shape: Any, answer: T) -> T:
    """The answer. Raises pydantic's ValidationError if GitHub does not answer so."""
    TypeAdapter(shape).validate_json(json.dumps(answer), strict=True)
    return answer


def instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")

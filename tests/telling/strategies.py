"""Events for Hypothesis, made from the fields of their classes: a new kind is covered as soon as it exists."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from pydantic import AwareDatetime, BaseModel, JsonValue

from store.events import Event

json_values: SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
moments = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - the zone is drawn beside it
    max_value=datetime(2999, 12, 30),  # noqa: DTZ001
    timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
ids = st.text(min_size=1, max_size=512)


def models(cls: type[BaseModel], **given: SearchStrategy[Any]) -> SearchStrategy[Any]:
    """Objects of the class. Fields that have a default are sometimes left to it; `given` overrides by name."""
    fields = {
        name: given[name] if name in given else values_of(field.annotation)
        for name, field in cls.model_fields.items()
        if name not in {"kind", "v"}
    }
    required = {name: values for name, values in fields.items() if cls.model_fields[name].is_required()}
    optional = {name: values for name, values in fields.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda values: cls(**values))


def events_of(kind: type[Event], **given: SearchStrategy[Any]) -> SearchStrategy[Event]:
    return models(kind, **({"id": ids} | given))


def values_of(annotation: Any) -> SearchStrategy[Any]:
    if annotation is JsonValue:
        return json_values
    if annotation is AwareDatetime:
        return moments
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, UnionType):
        return st.one_of(*map(values_of, arguments))
    if origin is dict:
        return st.dictionaries(values_of(arguments[0]), values_of(arguments[1]), max_size=4)
    if origin is tuple:
        return st.lists(values_of(arguments[0]), max_size=3).map(tuple)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return models(annotation)
    known: dict[Any, SearchStrategy[Any]] = {
        NoneType: st.none(),
        str: st.text(),
        int: st.integers(),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
    }
    return known[annotation]

"""Whether a value has the shape that a JSON schema asks for, as an editor judges it. Only what our schema uses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any

KINDS: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
}
SAYS_NOTHING = {"$schema", "$defs", "title", "description", "default", "format"}


def misfits(schema: dict[str, Any], value: Any) -> list[str]:
    """What of the value has another shape; empty: nothing."""
    return [*_misfits(schema, value, "", schema["$defs"])]


def _misfits(schema: Any, value: Any, at: str, defs: dict[str, Any]) -> Iterator[str]:
    if schema is True:
        return
    if isinstance(value, datetime | date | time):
        value = value.isoformat()  # as editors hand them over
    for key, wanted in schema.items():
        match key, wanted:
            case "$ref", _:
                yield from _misfits(defs[wanted.removeprefix("#/$defs/")], value, at, defs)
            case "anyOf", _:
                if all([*_misfits(one, value, at, defs)] for one in wanted):
                    yield f"{at}: none of {wanted}"
            case "type", _:
                if not isinstance(value, KINDS[wanted]) or (isinstance(value, bool) and wanted != "boolean"):
                    yield f"{at}: no {wanted}"
            case ("enum", _) if value not in wanted:
                yield f"{at}: none of {wanted}"
            case ("const", _) if value != wanted:
                yield f"{at}: not {wanted}"
            case ("required", _) if isinstance(value, dict):
                yield from (f"{at}: lacks {name}" for name in wanted if name not in value)
            case ("properties", _) if isinstance(value, dict):
                for name, shape in wanted.items():
                    if name in value:
                        yield from _misfits(shape, value[name], f"{at}.{name}", defs)
            case ("additionalProperties", _) if isinstance(value, dict):
                for name in value.keys() - schema.get("properties", {}).keys():
                    if wanted is False:
                        yield f"{at}: {name} is not known"
                    else:
                        yield from _misfits(wanted, value[name], f"{at}.{name}", defs)
            case ("items", _) if isinstance(value, list):
                for number, one in enumerate(value):
                    yield from _misfits(wanted, one, f"{at}.{number}", defs)
            case ("minItems", _) | ("minLength", _) if isinstance(value, list | str) and len(value) < wanted:
                yield f"{at}: too short"
            case ("maxItems", _) | ("maxLength", _) if isinstance(value, list | str) and len(value) > wanted:
                yield f"{at}: too long"
            case ("minimum", _) if isinstance(value, int | float) and value < wanted:
                yield f"{at}: too small"
            case ("maximum", _) if isinstance(value, int | float) and value > wanted:
                yield f"{at}: too large"
            case ("pattern", _) if isinstance(value, str) and not re.search(wanted, value):
                yield f"{at}: not like {wanted}"
            case _:
                known = {"enum", "const", "required", "properties", "additionalProperties", "items", "pattern"}
                limits = {"minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum"}
                assert key in known | limits | SAYS_NOTHING, f"the schema says {key}, which nobody checks here"

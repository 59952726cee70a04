"""Explains problems of the settings, in one sentence each.

Its reader sets up the program, so each sentence says what is wrong and what to do. It never shows a value that may be a
secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from bot.team.names import nearest
from store.failures import Explained


class SettingsError(Explained):
    """The environment or the team file is wrong; the message has one problem per line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def causes(found: list[Any]) -> list[Any]:
    """Pydantic's errors without those that follow from others.

    A list is too short if its items are wrong, and what is named by the key of its table has a wrong name too.
    """
    places = {item["loc"] for item in found}
    return [
        item
        for item in found
        if not (
            (item["type"] == "too_short" and any(place[: len(item["loc"])] == item["loc"] != place for place in places))
            or (item["loc"][-1:] == ("name",) and (*item["loc"][:-1], "[key]") in places)
        )
    ]


def what_is_wrong(item: Any) -> str:
    """One of pydantic's errors as text that follows the name of the setting."""
    message = _in_words(item["type"], item["input"], item.get("ctx", {}))
    message = message or re.sub("^(Value error, |Input |String |Tuple |List |Dictionary )", "", item["msg"])
    return message if message.endswith(("?", ".")) else f"{message}."


def _in_words(kind: str, value: object, limits: Mapping[str, Any]) -> str:
    """Empty: pydantic's own words do. Only numbers are shown, and what stands for one: they are never secret."""
    match kind:
        case "extra_forbidden" | "unexpected_keyword_argument":
            return "is not known here"
        case "missing":
            return "is missing"
        case "dict_type" | "model_type" | "dataclass_type":
            return "must be a table"
        case "tuple_type" | "list_type":
            return 'must be a list, such as ["one", "two"]'
        case "too_short":
            return f"must have at least {_counted(limits['min_length'])}"
        case "too_long":
            return f"must have at most {_counted(limits['max_length'])}"
        case "string_type":
            return "must be text, in quotes"
        case "string_too_short" if limits["min_length"] == 1:
            return "must not be empty"
        case "string_too_long":
            return f"must have at most {limits['max_length']} characters"
        case "bool_type" | "bool_parsing":
            return "must be true or false"
        case "int_type" if isinstance(value, str):
            return f"must be a whole number without quotes, not {value[:40]!r}"
        case "int_type" | "int_parsing" | "int_from_float":
            return f"must be a whole number, not {value!r}"
        case "float_type" | "float_parsing" | "finite_number":
            return f"must be a number, not {value!r}"
        case "greater_than_equal":
            return f"must be at least {limits['ge']:g}, not {value!r}"
        case "greater_than":
            return f"must be more than {limits['gt']:g}, not {value!r}"
        case "less_than_equal":
            return f"must be at most {limits['le']:g}, not {value!r}"
        case "less_than":
            return f"must be less than {limits['lt']:g}, not {value!r}"
        case "literal_error":
            near = nearest(str(value), re.findall("'(.*?)'", limits["expected"]))
            return f"must be {limits['expected']}{f'; did you mean {near}?' if near else ''}"
        case _:
            return ""


def _counted(number: int) -> str:
    return "one item" if number == 1 else f"{number} items"


def why(error: OSError | UnicodeDecodeError) -> str:
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error.strerror)

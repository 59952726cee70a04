"""Explains problems of the settings, in one sentence each.

Its reader sets up the program, so each sentence says what is wrong and what to do. It never shows a value that may be a
secret.
"""

from __future__ import annotations

import re
from typing import Any

from store.failures import Explained


class SettingsError(Explained):
    """The environment or the team file is wrong; the message has one problem per line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def what_is_wrong(item: Any) -> str:
    """One of pydantic's errors as text that follows the name of the setting."""
    match item["type"]:
        case "extra_forbidden" | "unexpected_keyword_argument":
            message = "is not known here"
        case "missing":
            message = "is missing"
        case "dict_type" | "model_type" | "dataclass_type":
            message = "must be a table"
        case "tuple_type":
            message = 'must be a list, such as ["one", "two"]'
        case kind:
            message = re.sub("^(Value error, |Input |String |Tuple )", "", item["msg"])
            if kind.startswith(("int_", "float_", "greater_", "less_")):
                message = f"{message.partition(',')[0]}, not {item['input']!r}"  # A number is never secret.
    return message if message.endswith(("?", ".")) else f"{message}."


def why(error: OSError | UnicodeDecodeError) -> str:
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error.strerror)

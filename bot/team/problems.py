"""What is wrong with the settings, in one sentence for each problem.

The person who sets the program up reads it, so it names what is wrong and what to do. It never shows a value that may
be a secret.
"""

from __future__ import annotations

import re
from typing import Any


class SettingsError(Exception):
    """What is wrong with the environment or the team file, one problem a line."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def what_is_wrong(item: Any) -> str:
    """One of pydantic's errors, to be read after the name of what is wrong."""
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
                message = f"{message.partition(',')[0]}, not {item['input']!r}"  # a number is no secret
    return message if message.endswith(("?", ".")) else f"{message}."


def why(error: OSError | UnicodeDecodeError) -> str:
    return "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error.strerror)

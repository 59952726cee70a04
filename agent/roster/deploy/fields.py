"""What the tables of a site are made of: names, commands, and texts with placeholders.

Commands are lists of arguments and never pass through a shell. A placeholder that nobody fills is refused when the
table is read. This module reads no file and runs nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def shape(pattern: str, words: str) -> AfterValidator:
    """Refuse a text of another shape, in words: whoever sets up a bot need not read a pattern."""
    allowed = re.compile(pattern)

    def checked(text: str) -> str:
        if not allowed.fullmatch(text):
            raise ValueError(words)
        return text

    return AfterValidator(checked)


Name = Annotated[
    str,
    shape(
        r"[a-z0-9][a-z0-9_-]{0,39}",
        "a name has lower-case letters, digits, - and _, begins with a letter or a digit, and has 40 characters at "
        "most",
    ),
]
_WORD = r"[^\s(),:;\"\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f]+"
Also = Annotated[
    tuple[
        Annotated[
            str,
            Field(max_length=60),
            shape(
                rf"(?=.*\w){_WORD}(?: {_WORD})*",
                "it is what people say, on one line, with single blanks between words and no punctuation but - . ' /",
            ),
        ],
        ...,
    ],
    Field(max_length=10),
]
"""What people call a thing besides its name, in any script."""
Argument = Annotated[str, Field(max_length=10_000), shape(r"[^\x00]*", "an argument cannot hold a NUL character")]
Command = Annotated[tuple[Argument, ...], Field(min_length=1, max_length=200)]
Variable = Annotated[
    str, shape(r"[A-Za-z_][A-Za-z0-9_]*", "a variable has letters, digits and _, and begins with no digit")
]


RepositoryName = Annotated[
    str, shape(r"[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}", "a repository is written as OWNER/NAME")
]
"""At GitHub."""


def text_with(*known: str) -> AfterValidator:
    """Refuse other placeholders than the known ones."""

    def checked(text: str) -> str:
        _check_placeholders((text,), known)
        return text

    return AfterValidator(checked)


def command_with(*known: str, required: str = "") -> AfterValidator:
    """Require a program and this placeholder, and refuse other placeholders than the known ones."""

    def checked(command: tuple[str, ...]) -> tuple[str, ...]:
        program, *arguments = command
        if not program.strip():
            raise ValueError("the first argument is the program and must not be empty")
        if _PLACEHOLDER.search(program):
            raise ValueError(f"the program {program!r} must not contain a placeholder")
        _check_placeholders(arguments, known)
        if required and not any(required in _PLACEHOLDER.findall(argument) for argument in arguments):
            raise ValueError(f"{{{required}}} must stand in one of its arguments")
        return command

    return AfterValidator(checked)


def _check_placeholders(texts: Iterable[str], known: Sequence[str]) -> None:
    found = dict.fromkeys(name for text in texts for name in _PLACEHOLDER.findall(text))
    if unknown := [f"{{{name}}}" for name in found if name not in known]:
        raise ValueError(f"unknown placeholder {', '.join(unknown)}; known are {', '.join(known)}")


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def folder_name(component: str, environment: str) -> str:
    return f"{component}-{environment}"


def filled(text: str, values: Mapping[str, str]) -> str:
    # One pass: placeholders inside values are not replaced.
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)

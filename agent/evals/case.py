"""The cases of an agent: what people wrote, and what a good colleague would do next. Read from YAML, strictly.

    cases:
    - name: thanks
      about: Thanks need no answer.
      given: ["thanks, that was quick!"]
      then: [{intent: nothing_to_do}]
      never: [{intent: deploy}]
      tags: [talk]

A pattern of `then` or `never` names an intent and, where it matters, arguments and a regular expression on the text. An
argument that begins with `~` is a regular expression, a list holds alternatives. What is misspelt is refused, with the
file and the case. This module runs nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, JsonValue, ValidationError, model_validator

from agent.definition import Agent
from store.failures import Explained
from store.values import Trust

FOLDER = "evals"
"""Beside an agent's prompt."""
ANSWERS_MAX = 6
"""How often the model is asked, at first and after each thing that people do next, before a case has gone astray."""


class CaseError(Explained):
    """Case files are wrong; the message has one problem per line."""


def _regex(text: object) -> object:
    if isinstance(text, str):
        try:
            re.compile(text)
        except re.error as error:
            raise ValueError(f"is no regular expression: {error}") from None
    return text


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _flat(value: object) -> object:
    """A list within the list is its items, so that cases of a file can share them by an anchor."""
    if not isinstance(value, list):
        return value
    return [one for item in value for one in (item if isinstance(item, list) else [item])]


Regex = Annotated[str, BeforeValidator(_regex)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=False)


class _Lists(_Strict):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Attached(_Strict):
    name: str
    text: str = ""


class Given(_Lists):
    """One thing that has happened: words, a trigger, a tool that ran, or an event as `bot export` writes it.

    A text alone is words.
    """

    text: str = ""
    sender: str = Field(default="Ada", alias="from")
    trust: Trust = "verified"
    subject: str = ""
    quoted: str = ""
    passes_on: bool = False
    attachments: tuple[Attached, ...] = ()
    trigger: str = ""
    source: str = "github"
    data: dict[str, JsonValue] = {}
    tool: str = ""
    """Its intent; it has finished."""
    by_code: bool = False
    arguments: dict[str, JsonValue] = {}
    result: JsonValue = None
    error: str = ""
    event: dict[str, JsonValue] = {}

    @model_validator(mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        return {"text": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_of(self) -> Given:
        if sum(map(bool, (self.text, self.trigger, self.tool, self.event))) != 1:
            raise ValueError("needs exactly one of text, trigger, tool and event")
        return self


class Pattern(_Lists):
    """A next step, or (`stopped`) the words of a guard after which the thread rests with people."""

    intents: Names = Field(default=(), alias="intent")
    arguments: dict[str, JsonValue] = {}
    text: Regex = ""
    """Searched in all texts of the step, in capitals or not."""
    stopped: Regex = ""
    judge: str = ""
    """What the text must say, for a model that judges (`bot eval --judge`). Without one, it is not looked at."""

    @model_validator(mode="after")
    def _one_of(self) -> Pattern:
        if bool(self.intents) == bool(self.stopped):
            raise ValueError("needs either intent or stopped")
        for value in self.arguments.values():
            _regex(value[1:] if isinstance(value, str) and value.startswith("~") else None)
        return self

    def fits(self, intent: str, arguments: dict[str, JsonValue]) -> bool:
        if intent not in self.intents:
            return False
        if not all(_is(wanted, arguments.get(name)) for name, wanted in self.arguments.items()):
            return False
        return not self.text or re.search(self.text, text_of(arguments), re.IGNORECASE) is not None


class Act(_Lists):
    """What a person does next, once the thread rests: writes, answers the question, or decides what waits.

    `approve`, and `call` beside `reject` and `edit`, say which call must wait then: no other one is decided.
    """

    say: str = ""
    answer: str = ""
    approve: Pattern | None = None
    reject: str = ""
    edit: dict[str, str] = {}
    call: Pattern | None = None
    after: Pattern | None = None
    """For `say` and `answer`: what the agent must have done last."""
    by: str = Field(default="Ada", alias="from")
    trust: Trust = "verified"

    @model_validator(mode="after")
    def _one_of(self) -> Act:
        if sum(map(bool, (self.say, self.answer, self.approve, self.reject, self.edit))) != 1:
            raise ValueError("needs exactly one of say, answer, approve, reject and edit")
        if bool(self.reject or self.edit) != (self.call is not None):
            raise ValueError("needs `call` beside reject and edit, and only there")
        return self

    @property
    def waits_for(self) -> Pattern | None:
        """The call that must wait for a decision; None: it decides nothing."""
        return self.approve or self.call


class Case(_Lists):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{2,70}$")
    about: str = ""
    """What a good colleague would do, and why."""
    given: Annotated[tuple[Given, ...], BeforeValidator(_flat)] = Field(min_length=1)
    site: str = ""
    """The name of a site file beside the cases, without `.yaml`; empty: the demo's site."""
    begins_with: dict[str, dict[str, str]] = {}
    """What runs at first, by environment and component, where that differs from the site."""
    deployed: tuple[tuple[str, str, str], ...] = ()
    """What was deployed since, one after the other, so that there is a way back: environment, component, revision."""
    then: tuple[Pattern, ...] = ()
    may: tuple[Pattern, ...] = ()
    """Calls that are right on the way, and not the end of it."""
    never: tuple[Pattern, ...] = ()
    script: tuple[Act, ...] = ()
    runs: dict[str, dict[str, str]] | None = None
    """What runs in the end, by environment and component; all else is as at first. None: nothing is compared."""
    answers_max: int = Field(default=ANSWERS_MAX, ge=1, le=30)
    tags: tuple[str, ...] = Field(min_length=1)
    held_out: bool = False
    """It is not looked at while the prompt is worked on."""
    file: str = Field(default="", exclude=True)

    @model_validator(mode="after")
    def _ends(self) -> Case:
        if not self.then and self.runs is None:
            raise ValueError("needs `then`, or `runs` with what runs in the end")
        return self

    @property
    def patterns(self) -> Iterator[Pattern]:
        yield from (*self.then, *self.may, *self.never)
        for act in self.script:
            yield from (one for one in (act.approve, act.call, act.after) if one)

    @property
    def digest(self) -> str:
        """Of all that a result rests on: not of the words about it."""
        data = self.model_dump_json(exclude={"about", "tags", "held_out"}, by_alias=True)
        return hashlib.blake2b(data.encode(), digest_size=8).hexdigest()


def text_of(arguments: dict[str, JsonValue]) -> str:
    """All texts among the arguments, a line each."""

    def texts(value: JsonValue) -> Iterator[str]:
        match value:
            case str():
                yield value
            case list():
                for item in value:
                    yield from texts(item)
            case dict():
                for item in value.values():
                    yield from texts(item)

    return "\n".join(texts(arguments))


def _is(wanted: JsonValue, given: JsonValue) -> bool:
    match wanted:
        case str() if wanted.startswith("~"):
            return isinstance(given, str) and re.search(wanted[1:], given) is not None
        case list():
            return any(_is(one, given) for one in wanted)
        case _:
            return wanted == given


# Reading


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice: YAML would take the last one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.constructor.ConstructorError(None, None, f"{twice!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Raises CaseError."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - it is a SafeLoader
    except (OSError, UnicodeError, yaml.YAMLError) as error:
        raise CaseError(f"{path}: {' '.join(str(error).split())}") from None


def read_cases(folder: Path, agent: Agent) -> list[Case]:
    """The cases of an agent, in the order of their files. Raises CaseError with all problems."""
    problems: list[str] = []
    found: list[Case] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            found += _read(path, agent, problems)
        except CaseError as error:
            problems.append(str(error))
    names = [case.name for case in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    problems += (f"{folder}: two cases have the name {name!r}." for name in twice)
    if problems:
        raise CaseError("\n".join(problems))
    return found


def _read(path: Path, agent: Agent, problems: list[str]) -> list[Case]:
    data = read_yaml(path)
    if not isinstance(data, dict) or not isinstance(data.get("cases"), list) or data.keys() - {"cases", "tags", "site"}:
        raise CaseError(f"{path}: must hold `cases`, a list, and beside it only `tags` and `site`.")
    listed, tags_of_all, site = data["cases"], data.get("tags") or [], data.get("site", "")
    found = []
    for number, item in enumerate(listed, 1):
        fields = item if isinstance(item, dict) else {}
        name = fields.get("name", f"number {number}")
        tags = [*tags_of_all, *(fields.get("tags") or [])]
        with_defaults = {"site": site, **fields, "tags": tags} if fields else item
        try:
            case = Case.model_validate(with_defaults).model_copy(update={"file": path.name})
        except ValidationError as error:
            problems += (f"{path}: case {name}: {line}" for line in _in_words(error))
            continue
        problems += (f"{path}: case {name}: {line}" for line in _without_effect(case, agent))
        found.append(case)
    return found


def _in_words(error: ValidationError) -> Iterator[str]:
    for item in error.errors(include_url=False, include_context=False):
        where = ".".join(str(part) for part in item["loc"])
        what = "is not known here" if item["type"] == "extra_forbidden" else item["msg"].removeprefix("Value error, ")
        yield f"{where}: {what}." if where else f"{what}."


def _without_effect(case: Case, agent: Agent) -> Iterator[str]:
    """Patterns that no step of the agent can fit."""
    for pattern in case.patterns:
        for intent in pattern.intents:
            step = agent.steps.get(intent)
            if step is None:
                yield f"{intent!r} is no step of {agent.name}; known are {', '.join(agent.steps)}."
            elif unknown := sorted(pattern.arguments.keys() - step.model_fields.keys()):
                yield f"{intent} has no argument {unknown[0]!r}."


def chosen(cases: Sequence[Case], only: Sequence[str], *, held_out: bool | None) -> list[Case]:
    """Those that `only` names, by a tag or a name (none named: all). `held_out`: only these, or only the others."""
    known = {name for case in cases for name in (case.name, *case.tags)}
    if unknown := [name for name in only if name not in known]:
        raise CaseError(f"No case has the name or the tag {unknown[0]!r}.")
    named = [case for case in cases if not only or {case.name, *case.tags} & set(only)]
    return [case for case in named if held_out is None or case.held_out == held_out]

"""`[models]` of the team file: which model each agent uses, and what to do when it is unavailable.

    [models.default]          # every agent that no other table names; what is missing comes from the environment
    model = "gpt-5"
    fallback = "cheap"        # asked once, if this one is unavailable
    timeout = "90s"           # for a whole call, including the fallback

    [models.cheap]
    model = "small-1"
    base_url = "https://llm.example.com/v1"
    api_key_env = "CHEAP_API_KEY"  # the name of the variable with the key: the key itself never stands in the file
    agents = ["rollback"]
    context_tokens = 32000    # what it reads and writes in one call; older parts of a thread are left out for it
    output_tokens = 2000      # the longest answer
    temperature = 0.2         # default 0; "default" is the endpoint's own
    reasoning_effort = "low"
    extra = { seed = 7 }      # sent as it stands; what the endpoint refuses of all these is left out
    images = true             # it looks at images: those that people attach in Slack are passed on to it
    second_look = true        # for a small one: before a step acts, it sorts people's newest words once more
    price_in = 0.25           # for a million tokens, in any currency
    price_out = 2

This module knows no endpoint. Its caller reads the environment, and hands over what stands there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, JsonValue, StrictBool, field_validator

from agent.model.base import DEFAULT, STAND_IN
from agent.model.parameters import OURS, Parameters
from agent.model.price import Price
from bot.team.durations import parse_duration, plain
from bot.team.names import unknown, unknown_agent
from bot.team.problems import SettingsError

TIMEOUT = "90s"
TIMEOUT_SECONDS_MAX = 600
KEY_VARIABLE = "OPENAI_API_KEY"
KEY_HINT = "get it from your provider (any text for a local endpoint)"

OTHER_KEYS = frozenset({"ACCESS", "DEPLOY", "ENCRYPTION", "HOST", "MASTER", "PRIVATE", "SECRET", "SIGNING", "SSH"})
"""Words in the names of keys for something else than a model, such as AWS_SECRET_ACCESS_KEY."""

OWN_KEYS = {
    "temperature": "temperature",
    "reasoning_effort": "reasoning_effort",
    "max_tokens": "output_tokens",
    "max_completion_tokens": "output_tokens",
}
"""What a request calls the parameters that have a key of their own."""

Amount = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class ModelTable(BaseModel):
    """[models.NAME] of the team file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(default="", max_length=200)
    """As the endpoint calls it."""
    base_url: str = ""
    api_key_env: str = ""
    """The name of the environment variable that holds the key."""
    timeout: str = TIMEOUT
    fallback: str = ""
    """The name of another model; empty: none."""
    agents: tuple[str, ...] = ()
    images: StrictBool = False
    """It looks at images."""
    second_look: StrictBool = False
    """Before a step of its acts, it is asked once more whether people's newest words ask for a change."""
    context_tokens: int = Field(default=0, ge=4_000, le=10_000_000, strict=True)
    """What it reads and writes in one call; 0: not known."""
    output_tokens: int = Field(default=0, ge=100, le=1_000_000, strict=True)
    """The longest answer; 0: the endpoint's own limit."""
    temperature: float | None = 0.0
    """None: the endpoint's own, which the file calls `default`."""
    reasoning_effort: str = Field(default="", max_length=20)
    extra: dict[str, JsonValue] = {}
    price_in: Amount | None = None
    price_out: Amount | None = None

    @field_validator("api_key_env")
    @classmethod
    def _variable(cls, name: str) -> str:
        if not re.fullmatch(r"([A-Za-z_][A-Za-z0-9_]*)?", name):
            raise ValueError("must be the name of a variable: letters, digits and _, no digit first")
        return name

    @field_validator("base_url")
    @classmethod
    def _url(cls, url: str) -> str:
        try:
            parts = urlsplit(url)
            _ = parts.port
        except ValueError:
            raise ValueError("is not a URL") from None
        if url and (parts.scheme not in ("http", "https") or not parts.hostname):
            raise ValueError("must be an http:// or https:// URL")
        if parts.username or parts.password:
            raise ValueError("must hold no password: name the variable with the key in `api_key_env`")
        return url.rstrip("/")

    @field_validator("temperature", mode="before")
    @classmethod
    def _temperature(cls, given: object) -> float | None:
        if given == "default":
            return None
        if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 2:
            raise ValueError('must be a number from 0 to 2, or "default"')
        return float(given)

    @field_validator("extra")
    @classmethod
    def _not_ours(cls, extra: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if taken := sorted(OURS.intersection(extra)):
            raise ValueError(f"must not hold {', '.join(taken)}: this program's requests rest on it")
        if name := next((one for one in OWN_KEYS if one in extra), ""):
            raise ValueError(f"holds {name}: set {OWN_KEYS[name]} instead")
        return extra

    @field_validator("timeout")
    @classmethod
    def _seconds(cls, text: str) -> str:
        if plain(parse_duration(text)).total_seconds() > TIMEOUT_SECONDS_MAX:
            raise ValueError(f"must be {TIMEOUT_SECONDS_MAX}s at most")
        return text

    @property
    def timeout_seconds(self) -> float:
        return plain(parse_duration(self.timeout)).total_seconds()

    @property
    def parameters(self) -> Parameters:
        return Parameters(self.temperature, self.output_tokens, self.reasoning_effort, self.extra)

    @property
    def price(self) -> Price | None:
        if self.price_in is None or self.price_out is None:
            return None
        return Price(self.price_in, self.price_out)


def models_problems(models: Mapping[str, ModelTable]) -> list[str]:
    """The problems between the tables, and between the values of one."""
    problems: list[str] = []
    users: dict[str, str] = {}
    for name, table in models.items():
        problems += (f"models.{name}{problem}" for problem in _problems_of(name, table))
        if table.fallback and table.fallback not in {*models, DEFAULT}:
            problems.append(f"models.{name}.fallback: {unknown(table.fallback, 'model', [*models, DEFAULT])}")
        for agent in table.agents:
            if (other := users.setdefault(agent, name)) != name:
                problems.append(f"models.{name}.agents names {agent!r}, which models.{other} names already.")
    return [*problems, *_cycles(models)]


def _problems_of(name: str, table: ModelTable) -> Iterator[str]:
    if not table.model and name != DEFAULT:
        yield ".model is missing."
    if table.model == STAND_IN:
        yield f".model must be a model: {STAND_IN} is none, and only the variable OPENAI_MODEL sets it."
    if table.base_url and not table.api_key_env:
        # The key of one provider must not be sent to another.
        yield ".api_key_env is missing: with a base_url of its own, name the variable that holds the key for it."
    if table.context_tokens and table.output_tokens >= table.context_tokens:
        yield ".output_tokens must be less than context_tokens, which is for what it reads as well."
    if (table.price_in is None) != (table.price_out is None):
        yield " needs both price_in and price_out, or neither."


def _cycles(models: Mapping[str, ModelTable]) -> Iterator[str]:
    """Each cycle of fallbacks once, from its first table on."""
    reported: set[str] = set()
    for name in models:
        way = [name]
        while (table := models.get(way[-1])) and table.fallback and table.fallback not in way:
            way.append(table.fallback)
        if table and table.fallback == name and not reported & set(way):
            reported |= set(way)
            yield f"models.{name}.fallback leads back to itself: {' -> '.join([*way, name])}."


def agents_problems(models: Mapping[str, ModelTable], agents: list[str]) -> list[str]:
    """Models for agents that do not exist."""
    return [
        f"models.{name}.agents in the team file: {unknown_agent(agent, agents)}"
        for name, table in models.items()
        for agent in table.agents
        if agent not in agents
    ]


@dataclass(frozen=True, slots=True)
class ModelEnvironment:
    """What the environment says about models."""

    model: str
    """Of the default model; empty: not set."""
    base_url: str
    variable: Callable[[str], str]
    """The value of a variable; empty: not set. Raises SettingsError."""
    others: frozenset[str]
    """The variables of the program that hold something else than a key for a model."""


@dataclass(frozen=True, slots=True)
class ModelSetup:
    """Everything about one model: from the team file, and for the rest from the environment."""

    name: str
    table: ModelTable
    model: str
    base_url: str
    key_variable: str
    key: str = field(repr=False)


def model_setups(models: Mapping[str, ModelTable], environment: ModelEnvironment) -> tuple[list[ModelSetup], list[str]]:
    """All models, the default one first, and what is missing for them. Each variable is reported once."""
    found, problems = [], []
    for name, table in ({DEFAULT: ModelTable()} | dict(models)).items():
        variable = table.api_key_env or KEY_VARIABLE
        if why_not := _why_not_sent(name, variable, table.base_url, environment):
            problems.append(f"models.{name}.api_key_env in the team file names {why_not}")
            continue
        model = table.model or (environment.model if name == DEFAULT else "")
        try:
            key = environment.variable(variable).strip()
        except SettingsError as wrong:
            problems += wrong.problems
            continue
        found.append(ModelSetup(name, table, model, table.base_url or environment.base_url, variable, key))
        problems += _missing(found[-1])
    return found, list(dict.fromkeys(problems))


def _why_not_sent(name: str, variable: str, url: str, environment: ModelEnvironment) -> str:
    """Why the value of this variable must not be sent to the model's endpoint; empty: it may be.

    Otherwise whoever may write the team file could have any secret sent anywhere.
    """
    known, ending = variable.upper(), "_API_KEY"
    if known in environment.others:
        return f"{variable}, which is no key for a model."
    if known == KEY_VARIABLE:
        own, other = _origin(environment.base_url), _origin(url or environment.base_url)
        hint = "name another variable, or set OPENAI_BASE_URL."
        return "" if own == other else f"{KEY_VARIABLE}, which is the key for {own}, not for {other}: {hint}"
    of_other_kind = not known.endswith("_KEY") or OTHER_KEYS.intersection(known.split("_"))
    if of_other_kind and not known.endswith(ending):
        example = f"{re.sub('[^A-Z0-9]', '_', name.upper())}{ending}"
        return f"{variable}, which may hold another secret: name a variable that ends in {ending}, such as {example}."
    return ""


def _origin(url: str) -> str:
    """Scheme, host and port: who receives a key. RFC 6454."""
    parts = urlsplit(url)
    port = "" if parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{parts.hostname}{port}"


def _missing(setup: ModelSetup) -> Iterator[str]:
    if setup.name == DEFAULT and not setup.model:
        yield "OPENAI_MODEL is not set: set it to the name of a model of your endpoint."
    if not setup.key:
        where = "" if setup.key_variable == KEY_VARIABLE else ", which the team file names,"
        yield f"{setup.key_variable}{where} is not set: {KEY_HINT}."
    elif not (setup.key.isascii() and setup.key.isprintable()):
        yield f"{setup.key_variable} contains characters that no key has: copy it again."

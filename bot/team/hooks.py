"""`[hooks.NAME]` of the team file: which services may post to `/hooks/NAME`, and what follows from it.

    [hooks.github]
    kind = "github"                                    # default: the name

    [[hooks.github.on]]
    event = "pull_request_merged"                      # one that the kind brings, or the service's own name for it
    when = { repository = "acme/shop", base = "main" }
    place = "slack:C0123456789"                        # where the conversation opens
    task = "deploy {sha} to production"

A field is one of the event's own, or `body.` and a path into what was posted. Of the rules, the first that matches a
delivery holds. Secrets stand in the environment alone (`secret_variable`). What there may be, the kinds say
(`channels.hooks`); `bot.team.hook_checks` finds what is unknown or without effect.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from bot.team.conditions import Given
from bot.team.durations import parse_duration, plain
from bot.team.templates import checked
from channels import places
from channels.hooks.kind import Kind, Options, Signature
from channels.hooks.kinds import KINDS
from channels.places import Firing

BODY = "body."
"""How a path into the body begins."""
TEXT_CHARS_MAX = 3_000
FIELDS_MAX = 30
RULES_MAX = 100

_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,79}")
_SOURCE = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]{0,79})|body\.[^\s]{1,200}")


def _place(text: str) -> str:
    if text:
        places.parse(text, Firing("any", "any"))
    return text


def _flat(value: object) -> object:
    """TOML reads `body.status = "down"` as a table in a table."""
    if not isinstance(value, Mapping):
        return value
    flat: dict[str, object] = {}
    for name, inner in value.items():
        within = _flat(inner)
        if isinstance(within, dict) and within:
            flat |= {f"{name}.{path}": one for path, one in within.items()}
        else:
            flat[str(name)] = inner
    return flat


def _header(text: str) -> str:
    if not _HEADER.fullmatch(text):
        raise ValueError("must be the name of a header, such as X-Signature")
    return text


def _source(text: str) -> str:
    if text and not _SOURCE.fullmatch(text):
        raise ValueError("must be the name of a header, or body. and a path, such as body.type")
    return text


def _tolerance(text: str) -> str:
    parse_duration(text)
    return text


Header = Annotated[str, AfterValidator(_header)]
Template = Annotated[str, Field(max_length=TEXT_CHARS_MAX), AfterValidator(checked)]


class SignatureTable(BaseModel):
    """`signature` of a hook whose kind leaves it open: which HMAC of the body a header holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    header: Header
    """The header with the signature."""
    prefix: str = ""
    """What stands before it there, such as `sha256=`."""
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    timestamp: Header | None = None
    """The header with the time, in seconds since 1970, which is signed too: the time, the separator, the body."""
    separator: str = "."
    tolerance: Annotated[str, AfterValidator(_tolerance)] = "5m"
    """How far the time may be from now."""

    def signature(self) -> Signature:
        return Signature(
            header=self.header,
            prefix=self.prefix,
            algorithm=self.algorithm,
            encoding=self.encoding,
            timestamp=self.timestamp or "",
            separator=self.separator,
            tolerance_seconds=plain(parse_duration(self.tolerance)).total_seconds(),
        )


class HookRule(BaseModel):
    """One `[[hooks.NAME.on]]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event: str = ""
    """A ready-made event of the kind, or the service's own name: `pull_request` for all, `pull_request.closed` for one.
    Left out, where the kind brings none: every delivery."""
    when: Annotated[dict[str, Given], BeforeValidator(_flat)] = Field(default_factory=dict)
    """Conditions on fields, as in rules. All must hold; what is not there does not."""
    agent: str = ""
    """Default: who answers elsewhere."""
    place: Annotated[str, AfterValidator(_place)] = ""
    """Where the conversation opens: `slack:C0123`, `email:ops@example.com`; `terminal:ops`: for the API and the page
    alone."""
    name: str = Field(default="", max_length=100)
    """What the trigger is called. Default: the event."""
    task: Template = ""
    """What the agent shall do. Fields in braces are filled in."""
    data: dict[str, Template] = Field(default_factory=dict)
    """What the agent sees besides the event's own facts: a text with fields for each name."""
    facts: tuple[str, ...] = Field(default=(), max_length=FIELDS_MAX)
    """Fields of the body whose text no person writes, as you vouch. All other text of it counts as a stranger's."""
    thread: Template = ""
    """`new`: each delivery opens a thread of its own; `same`: those of one incident share one, until it is over; or a
    text with fields: those with the same text do. Default: `same` for alerts, else `new`."""
    opens: bool = True
    """Whether it opens a thread where there is none. `false`: it only goes on with one."""

    @property
    def shares(self) -> bool:
        """Whether deliveries share a thread, if it says so itself."""
        return self.thread not in ("", "new")


class HookTable(BaseModel):
    """One `[hooks.NAME]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str = ""
    """Whose posts these are. Default: the hook's name."""
    signature: SignatureTable | None = None
    bearer: bool = False
    """The service sends the secret itself, as a bearer token or as the password of HTTP Basic."""
    delivery: Header | None = None
    """The header with the id of a delivery, the same when it is sent again. Left out: the same bytes are the same."""
    event: Annotated[str, AfterValidator(_source)] = ""
    """Where the name of the event stands: a header, or `body.` and a path."""
    form: Literal["", "raw", "postmark", "sendgrid"] = ""
    """Of mail: how it is posted. Default: `raw`, a body of nothing but the mail."""
    on: tuple[HookRule, ...] = Field(default=(), max_length=RULES_MAX)
    """The rules, in order."""

    def options(self) -> Options:
        return Options(
            signature=self.signature.signature() if self.signature else None,
            bearer=self.bearer,
            delivery=self.delivery or "",
            event=self.event,
            form=self.form,
        )


def kind_of(name: str, table: HookTable) -> Kind | None:
    """None: there is no such kind."""
    return KINDS.get(table.kind or name)


def secret_variable(name: str) -> str:
    """The variable with the hook's secret, or with several, which spaces divide."""
    return f"BOT_HOOK_{name.upper().replace('-', '_')}_SECRET"

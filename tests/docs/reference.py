"""Writes docs/reference.md from the code: `python -m tests.docs.reference`.

A setting's entry is what stands below its field, a command's is its help. What they say is written there, never here.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, SecretStr
from typer.main import get_command

from bot.cli.main import COMMANDS, app_with
from bot.email_settings import EmailSettings
from bot.settings import SECRETS, Settings
from tests.docs.pages import DOCS

GROUPS = (
    ("The program", ("REDIS_URL", "BOT_", "DURABLE_", "HOST", "PORT")),
    ("The model", ("OPENAI_",)),
    ("Slack", ("SLACK_",)),
    ("Mail", ("EMAIL_", "IMAP_", "SMTP_")),
    ("Webhooks", ("WEBHOOK_",)),
)
"""Headings, and how the names below them begin."""
HEAD = """\
# Reference

All settings and all commands. This page is made from the code by `python -m tests.docs.reference`.

## Settings

They come from the environment; in development, `.env` in the working directory is read too. Whatever is wrong is
reported together, at the start. An empty variable is an unset one. Where a name has "or `_FILE`", the variable with
that ending may hold the path of a file with the value instead: for secrets, and URLs with passwords.

Keys of models and of agents' services are in variables that `bot.toml` names, such as `CHEAP_API_KEY`; they are read
in the same way.
"""
COMMANDS_HEAD = """\
## Commands

Exit codes: 0 done, 1 a failure said on stderr, 2 a wrong command line, 3 done so far, but the agent handed the thread
over and a person has to go on (only with `--wait`). With `--json`, one JSON document on stdout and nothing else.
Commands that only read (`threads`, `show`, `export`, `verify`) answer even while something is wrong in
`bot.toml`. ID is a thread's id. With `--help`, each command prints what stands here.
"""
WIDTH = 118
_NO_BREAK = "\0"


def reference() -> str:
    """The whole page."""
    parts = [HEAD, *_settings(), COMMANDS_HEAD, *_commands()]
    return "\n".join(parts)


def _settings() -> Iterator[str]:
    entries = {**_entries(Settings), **_entries(EmailSettings)}
    for heading, beginnings in GROUPS:
        rows = [_row(name, entry) for name, entry in entries.items() if name.upper().startswith(beginnings)]
        yield "\n".join([f"### {heading}", "", "| Variable | Meaning | Default |", "|---|---|---|", *rows, ""])


def _entries(model: type[BaseModel]) -> dict[str, str]:
    """What stands below each field of the class itself. Read from its source: at run time nobody needs it."""
    (node,) = ast.parse(inspect.getsource(model)).body
    assert isinstance(node, ast.ClassDef)
    entries = {}
    for field, below in zip(node.body, node.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                entries[name] = inspect.cleandoc(text)
    return entries


def _row(name: str, entry: str) -> str:
    shown = f"`{name.upper()}`" + (" or `_FILE`" if name in SECRETS else "")
    match Settings.model_fields[name].default:
        case SecretStr() | None | "":
            default = ""
        case bool(value):
            default = "`yes`" if value else "`no`"
        case value:
            default = f"`{value}`"
    return f"| {shown} | {_one_line(entry)} | {default} |"


def _commands() -> Iterator[str]:
    for name in COMMANDS:
        # Typer brings its own copy of click, which has no types.
        command: Any = get_command(app_with(name))
        yield from _command(command.commands[name], f"bot {name}")


def _command(command: Any, path: str) -> Iterator[str]:
    inner = getattr(command, "commands", None)
    yield "\n".join([f"### {path}", "", *_said(command.help), *_usage(command, path), *_parameters(command.params)])
    if inner:
        for name, one in inner.items():
            yield from _command(one, f"{path} {name}")


def _said(text: str) -> Iterator[str]:
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        yield from (_filled(_one_line(paragraph)), "")


def _usage(command: Any, path: str) -> Iterator[str]:
    if getattr(command, "commands", None) and not command.invoke_without_command:
        return
    options = [one for one in command.params if one.param_type_name == "option"]
    needed = [f"{one.opts[0]} {one.metavar}" for one in options if one.required]
    more = ["[OPTIONS]"] if len(needed) < len(options) else []
    arguments = [_argument(one) for one in command.params if one.param_type_name == "argument"]
    yield from ("```sh", " ".join([path, *needed, *more, *arguments]), "```", "")


def _argument(one: Any) -> str:
    name = str(one.metavar or one.name.upper())
    return name if one.required or name.startswith("[") else f"[{name}]"


def _parameters(parameters: Iterable[Any]) -> Iterator[str]:
    rows = [_filled(f"- {_parameter(one)}.", indented="  ") for one in parameters]
    if rows:
        yield from (*rows, "")


def _parameter(one: Any) -> str:
    said = one.help if "default" in one.help or not one.default else f"{one.help}; default: {one.default}"
    if one.param_type_name == "argument":
        return f"`{_argument(one)}`: {said}"
    value = "" if one.is_flag else f" {one.metavar or 'N'}"
    names = ", ".join(f"`{name}{value}`" for name in (*one.opts, *one.secondary_opts))
    return f"{names}: {said}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _filled(text: str, *, indented: str = "") -> str:
    """Wrapped; what stands between backticks stays on one line."""
    whole = re.sub(r"`[^`]*`", lambda code: code[0].replace(" ", _NO_BREAK), text)
    lines = textwrap.fill(whole, WIDTH, subsequent_indent=indented, break_long_words=False, break_on_hyphens=False)
    return lines.replace(_NO_BREAK, " ")


if __name__ == "__main__":
    DOCS["reference"].path.write_text(reference(), encoding="utf-8")

"""The command line. Exit codes: 0 done, 1 failed (the reason is on stderr), 2 usage. `--json` prints one document on
stdout.

All commands are registered here, in the order of the help, and implemented in the file of their group.
"""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Annotated

import typer

from bot.cli import command, console, schedules, standing, store
from bot.cli.deciding import approve, cancel, edit, fork, pause, reject, resume
from bot.cli.demo.scenes import demo
from bot.cli.doctor import doctor
from bot.cli.listing import threads
from bot.cli.reading import export, show, verify
from bot.cli.running import run
from bot.cli.talking import answer, chat, send

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    console.set_up_streams()
    sys.exit(command.exit_code(app))


def _version(wanted: bool) -> None:
    if wanted:
        print(f"deploybot {importlib.metadata.version('deploybot')}")
        raise typer.Exit


@app.callback()
def bot(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show it and exit")
    ] = False,
) -> None:
    """An agent that deploys, asks before risky steps, and forgets nothing. Start with: bot demo"""


for each in (
    demo,
    chat,
    run,
    send,
    threads,
    show,
    approve,
    reject,
    edit,
    answer,
    pause,
    resume,
    cancel,
    fork,
    export,
    verify,
    doctor,
):
    app.command()(each)
app.add_typer(schedules.app, name="schedules")
app.add_typer(standing.app, name="standing")
app.add_typer(store.app, name="store")

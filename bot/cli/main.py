"""The command line. Exit codes: 0 done, 1 failed (the reason is on stderr), 2 usage, 3 the agent handed
the thread over to people. `--json` prints one document on stdout.

All commands are listed here, in the order of the help, and implemented in the module of their group. Only the module of
the command that was typed is imported, so that no command waits for the libraries of the others.
"""

from __future__ import annotations

import gc
import importlib
import sys
from typing import Annotated, NamedTuple

import typer

from bot.cli import console, exits


class Listed(NamedTuple):
    module: str
    """It has a function of the command's name, or for a group `app`."""
    help: str
    """The first sentence of its own help."""


COMMANDS = {
    "demo": Listed("bot.cli.demo.scenes", "Play the main scenario with real deployments."),
    "init": Listed("bot.cli.init.commands", "Set up a site, a model, Slack and mail, and check each."),
    "new": Listed("bot.cli.new.commands", "Add an agent or a tool of your own, which works at once."),
    "login": Listed("bot.cli.login", "Log in to the mailbox by OAuth 2, at Microsoft or Google."),
    "logout": Listed("bot.cli.login", "Forget the login to the mailbox."),
    "chat": Listed("bot.cli.talking", "Talk to an agent here, with the configured model."),
    "run": Listed("bot.cli.running", "Listen to channels and work on threads until SIGTERM."),
    "send": Listed("bot.cli.talking", "Open a thread, or write to one."),
    "threads": Listed("bot.cli.listing", "List the threads, the most recently changed first."),
    "show": Listed("bot.cli.reading", "Show a thread."),
    "approve": Listed("bot.cli.deciding", "Approve the request that waits."),
    "reject": Listed("bot.cli.deciding", "Reject the request that waits."),
    "edit": Listed("bot.cli.deciding", "Edit the call that waits instead of approving it."),
    "answer": Listed("bot.cli.talking", "Answer the agent's open question."),
    "stop": Listed("bot.cli.deciding", "Stop what is under way and withdraw the request."),
    "pause": Listed("bot.cli.deciding", "Pause a thread: begin nothing new until it is resumed."),
    "resume": Listed("bot.cli.deciding", "Resume a paused thread, or reopen a cancelled one."),
    "cancel": Listed("bot.cli.deciding", "Cancel a thread: begin nothing new, drop its requests."),
    "fork": Listed("bot.cli.deciding", "Copy the beginning of a thread."),
    "export": Listed("bot.cli.reading", "Print the thread's record: JSON lines, hash-chained."),
    "verify": Listed("bot.cli.reading", "Check that an exported record is complete and unchanged."),
    "doctor": Listed("bot.cli.doctor", "Check every configured resource, and say what to do."),
    "eval": Listed("bot.cli.evals.commands", "Play an agent's cases against the model."),
    "schedules": Listed("bot.cli.schedules", "List the schedules, or fire one."),
    "hooks": Listed("bot.cli.hooks", "List the hooks, or try or repeat a delivery."),
    "standing": Listed("bot.cli.standing", "Standing approvals: list, grant, revoke."),
    "store": Listed("bot.cli.store", "Look after the store: check, mend and reindex it."),
}


def main() -> None:
    console.set_up_streams()
    # The first argument that is no option: `bot` itself has no option with a value.
    typed = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
    # What is imported stays until the end, so no search for garbage has to look through it: not while it is imported,
    # not in a worker's pauses, and not once more at the exit. That is a fifth of the time of a short command.
    gc.disable()
    app = app_with(typed)
    gc.freeze()
    gc.enable()
    sys.exit(exits.exit_code(app))


def app_with(command: str) -> typer.Typer:
    """The command line, in which only this command can be run. The others are only listed."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_bot)
    for name, listed in COMMANDS.items():
        if name != command:
            app.command(name, help=listed.help)(_not_imported)
            continue
        module = importlib.import_module(listed.module)
        if isinstance(group := getattr(module, "app", None), typer.Typer):
            app.add_typer(group, name=name)
        else:
            app.command(name)(getattr(module, name))
    return app


def _not_imported() -> None:
    raise AssertionError("a command that was not typed was run")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # not at the top: it is slow, and nothing else needs it

        print(f"deploybot {version('deploybot')}")
        raise typer.Exit


def _bot(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="show it and exit")
    ] = False,
) -> None:
    """An agent that deploys, asks before risky steps, and forgets nothing. Start with: bot demo"""

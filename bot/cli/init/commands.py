"""`bot init`: a first site, a model, Slack, mail and who you are, each checked, and a first message.

At a terminal it asks for what no option gives, part by part; each part is kept when it is done, so that a second run
goes on where the first one was left. Elsewhere it does only the parts of which an option is given, and asks nothing.
"""

from __future__ import annotations

import typer

from bot.cli import asking, command, console, exits
from bot.cli.init import given as options
from bot.cli.init.dialogue import LATER, Dialogue
from bot.cli.init.first_message import first_message, show_next
from bot.cli.init.mail import MAIL
from bot.cli.init.model import MODEL
from bot.cli.init.part import Part, set_up
from bot.cli.init.site import set_up_site
from bot.cli.init.slack import SLACK
from bot.cli.init.you import set_up_you
from bot.logs import set_up_logging
from bot.settings import Settings
from bot.setup import load
from bot.team import schema
from channels.inbound import Refused

PARTS: tuple[Part, ...] = (MODEL, SLACK, MAIL)


def init(
    context: typer.Context,
    component: options.Component = "",
    environment: options.Environment = None,
    repository: options.Repository = "",
    deploy: options.Deploy = "",
    status: options.Status = "",
    model: options.Model = "",
    base_url: options.BaseUrl = "",
    slack: options.Slack = False,
    email: options.Email = "",
    mailbox: options.Mailbox = "",
    client_id: options.ClientId = "",
    tenant: options.Tenant = "",
    allow: options.Allow = "",
    authserv_id: options.AuthservId = "",
    public_url: options.PublicUrl = "",
    name: options.Name = "",
    mail: options.Mail = "",
    slack_id: options.SlackId = "",
    group: options.Group = "",
    message: options.Message = "",
    yes: options.Yes = False,
    print_schema: options.Schema = False,
) -> None:
    """Set up a site, a model, Slack and mail, and check each. Ends in a first message.

    Asks for what is not given, and keeps what is set already: run it again to go on. Without a terminal it asks
    nothing, and sets up only that of which an option is given. Secrets are no options: they are typed without echo and
    kept in .env, or come from the environment. Commands are split into arguments as a shell does it, and never run by
    one.
    """
    given = _by_option(context)
    if print_schema:
        if yes or given:
            raise exits.Misused("--schema takes no other option: it only prints.")
        print(schema.FILE.read_text(encoding="utf-8"), end="")
        return
    dialogue = Dialogue(given, asks=asking.attended() and not yes, suggests=yes)
    command.read(lambda settings: _set_up_all(settings, dialogue))


def _by_option(context: typer.Context) -> dict[str, str]:
    """The answers that were given. A flag that was is `yes`."""
    answers = {}
    for name, value in context.params.items():
        if value and name not in ("yes", "print_schema"):
            text = "yes" if value is True else " ".join(value) if isinstance(value, list | tuple) else str(value)
            answers[f"--{name.replace('_', '-')}"] = text
    return answers


async def _set_up_all(settings: Settings, dialogue: Dialogue) -> None:
    level = settings.bot_log_level
    set_up_logging("error" if level == "info" else level, console.LOG)
    if dialogue.asks:
        console.say_prose(
            f"Enter takes what stands in brackets, {LATER} leaves a part for later, Ctrl-C ends. What is done is kept, "
            f"and `{console.program()} init` goes on."
        )
    outcomes = {"The site": await set_up_site(settings, dialogue)}
    for part in PARTS:
        outcomes[part.title] = await set_up(part, dialogue)
    outcomes["Who you are"] = await set_up_you(dialogue)
    if unused := [option for option in dialogue.unused if option != "--message"]:
        text = f"{', '.join(unused)}: without effect here. What was done before is kept."
        if not dialogue.asks:
            raise Refused(text)
        console.say_prose(text)
    left = [title for title, outcome in outcomes.items() if outcome != "done"]
    try:
        await first_message(dialogue)
    finally:  # Also where the agent handed it to a person.
        if dialogue.asks:
            show_next(load(), left)
    if not dialogue.asks:
        console.say(_what_next(load().settings))


def _what_next(settings: Settings) -> str:
    program = console.program()
    model = (
        ""
        if settings.has_model
        else "Set OPENAI_MODEL and OPENAI_API_KEY (any endpoint that speaks the OpenAI API); without a model, set\n"
        "OPENAI_MODEL=stand-in, which matches a few keywords.\n"
    )
    return (
        f"Next: {model and 'first, '}read it: each deployment waits for an approval until you say otherwise.\n{model}"
        f"{program} doctor   checks everything, and says what to do\n"
        f"{program} chat     talk to deploybot here"
    )

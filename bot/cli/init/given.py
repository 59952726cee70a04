"""The options of `bot init`: each is the answer to one of its questions. None of them is a secret."""

from __future__ import annotations

from typing import Annotated

import typer

DEPLOY = "{component} {environment} {sha}"
STATUS = "{component} {environment}"


Component = Annotated[str, typer.Option("--component", metavar="NAME", help="what is deployed")]
Environment = Annotated[
    list[str] | None, typer.Option("--environment", metavar="NAME", help="where to; several, in their order")
]
Repository = Annotated[str, typer.Option("--repository", metavar="PATH", help="its git repository")]
Deploy = Annotated[
    str, typer.Option("--deploy", metavar="COMMAND", help=f"what deploys it, e.g. '/srv/bin/deploy {DEPLOY}'")
]
Status = Annotated[
    str, typer.Option("--status", metavar="COMMAND", help=f"what runs there, e.g. '/srv/bin/status {STATUS}'")
]
Model = Annotated[str, typer.Option("--model", metavar="NAME", help="the model; stand-in: none, to look around")]
BaseUrl = Annotated[str, typer.Option("--base-url", metavar="URL", help="its endpoint")]
Slack = Annotated[bool, typer.Option("--slack", help="check Slack, with the tokens in the environment")]
Email = Annotated[str, typer.Option("--email", metavar="ADDRESS", help="the address that people write to")]
Mailbox = Annotated[
    str, typer.Option("--mailbox", metavar="WAY", help="how it is opened: password, microsoft or google")
]
ClientId = Annotated[str, typer.Option("--client-id", metavar="ID", help="the app at Microsoft or Google")]
Tenant = Annotated[str, typer.Option("--tenant", metavar="ID", help="the directory at Microsoft")]
Allow = Annotated[str, typer.Option("--allow", metavar="SENDERS", help="who may write: addresses and domains")]
AuthservId = Annotated[
    str, typer.Option("--authserv-id", metavar="NAMES", help="the mail server's names in Authentication-Results")
]
PublicUrl = Annotated[str, typer.Option("--public-url", metavar="URL", help="where people reach `bot run`")]
Name = Annotated[str, typer.Option("--name", metavar="NAME", help="your name")]
Mail = Annotated[str, typer.Option("--mail", metavar="ADDRESS", help="your own mail address")]
SlackId = Annotated[str, typer.Option("--slack-id", metavar="ID", help="your member ID in Slack")]
Group = Annotated[str, typer.Option("--group", metavar="NAME", help="the group of approvers that you are in")]
Message = Annotated[str, typer.Option("--message", metavar="TEXT", help="a first message, worked on here")]
Yes = Annotated[bool, typer.Option("--yes", help="ask nothing: take what is suggested")]
Schema = Annotated[
    bool, typer.Option("--schema", help="print the JSON schema of bot.toml for editors, and do nothing else")
]

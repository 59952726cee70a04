"""The composition root: the only module that knows every part and wires them together.

It builds the agents, the channels, the workers and the clock over what `bot.setup` has read and `bot.stores` opens. No
other module constructs these. Tests use the same entry points: they pass another model or store, and everything else is
real.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from agent.definition import Agent
from agent.loop import Loop
from agent.model.base import DEFAULT, STAND_IN, Model
from agent.model.bounded import BoundedModel
from agent.model.choice import Models, Option
from bot import extras
from bot.arrivals import Arrivals
from bot.clock import Clock
from bot.inbox import Inbox
from bot.mail_servers import MailServers, mail_servers
from bot.settings import Settings
from bot.setup import Setup
from bot.store_time import StoreTime, kept
from bot.stores import secret_keys, store_of
from bot.team.agents import build_agents, inspect_agents
from bot.team.calendar import schedules_of
from bot.team.check import team_problems
from bot.team.models import KEY_VARIABLE, ModelEnvironment, ModelSetup, ModelTable, model_setups
from bot.team.names import NO_AGENT
from bot.team.people import People
from bot.team.policies import Policies
from bot.team.problems import SettingsError
from bot.team.routes import Routes
from bot.team.schedules import Schedule
from bot.team.steer import Steering
from bot.team.tokens import Tokens, same_as_machine, with_machine
from bot.worker import Worker
from channels import places, terminal
from channels.base import Channel
from channels.email.identity.senders import AllowedSenders
from channels.places import Alerts
from store.base import Store
from store.values import Place

if TYPE_CHECKING:
    from channels.email.letters import Writer


@dataclass(frozen=True)
class App:
    setup: Setup
    store: Store
    inbox: Inbox
    roster: Mapping[str, Agent]
    channels: Mapping[str, Channel]
    writer: Writer | None = None
    """Signs and verifies our links and Message-IDs; None: mail is not set up."""
    mail: MailServers | None = None
    """None: mail is not set up."""
    people: People = field(default_factory=People)
    steering: Steering = field(default_factory=Steering)
    authority: Policies = field(default_factory=Policies)
    """Without rules, nobody may approve anything."""
    door: Mapping[str, Agent] = field(default_factory=dict)
    """The agents for requests from outside (`bot.door`). Nobody else can address them."""
    folders: Mapping[str, Path] = field(default_factory=dict)
    """The folders of the agents that have one."""
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    """The time of the store. All expiries and timestamps go by it."""

    @property
    def may_write(self) -> Callable[[str], bool] | None:
        """Whether mail from an address is accepted; None: mail is not set up."""
        return self.writer.allowed if self.writer else None

    @property
    def tokens(self) -> Tokens:
        """Of everybody who may call the HTTP API."""
        return Tokens(with_machine(self.setup.team.tokens, self.setup.settings.bot_api_token.get_secret_value()))

    @property
    def routes(self) -> Routes:
        return Routes(self.setup.team.routes, self.roster, self.writer.is_ours if self.writer else None)

    @property
    def all_agents(self) -> dict[str, Agent]:
        """Those of the team and those of the door."""
        return {**self.roster, **self.door}

    @property
    def alerts(self) -> Place | None:
        """Where people are told of trouble; None: the team has no such place."""
        return places.parse(alerts, Alerts()) if (alerts := self.setup.team.alerts) else None

    def schedules(self) -> list[Schedule]:
        """Raises SettingsError."""
        return schedules_of(self.setup.team, self.roster, self.folders, self.setup.settings.reach())

    def worker(self, model: Model, *, only: str = "") -> Worker:
        """`only`: the only thread that it works on; empty: all."""
        loop = Loop(
            store=self.store,
            roster=self.all_agents,
            channels=self.channels,
            model=model,
            clock=self.now,
            authority=self.authority,
            readers=Arrivals(self.inbox, {name: channel.reader for name, channel in self.channels.items()}),
            alerts=self.alerts,
        )
        # With every call to a model under way, there is still room for what needs none: tools, clicks, messages.
        calls_max = model.calls_max if isinstance(model, Models) else 0
        return Worker(
            self.store,
            loop,
            concurrency=self.setup.settings.bot_concurrency + calls_max,
            lease_seconds=self.setup.settings.bot_lease_seconds,
            grace_seconds=self.setup.settings.bot_grace_seconds,
            only=only,
            clock=self.now,
        )

    def clock(self) -> Clock:
        """Fires the team's schedules. Raises SettingsError."""
        return Clock(self.store, self.inbox, self.schedules(), clock=self.now)


@contextlib.asynccontextmanager
async def opened(setup: Setup, *, keeps_time: bool = False) -> AsyncIterator[App]:
    """Everything except a model. Raises SettingsError, StoreUnavailable, EmbeddedRedisError.

    `keeps_time`: for a process that lives long. It measures the store's clock again and again, and logs a difference.
    """
    agents = build_agents(setup.team, setup.settings.bot_home, setup.team_folder)
    async with contextlib.AsyncExitStack() as stack:
        store = await stack.enter_async_context(store_of(setup.settings))
        clock = StoreTime(store.time)
        await clock.measure()
        if keeps_time:
            await stack.enter_async_context(kept(clock))
        writer = await _writer(setup, store) if setup.settings.has_email else None
        mail = mail_servers(setup.settings, store) if writer else None
        people = People(setup.team.people, setup.team.tokens)
        steering = Steering(people, setup.team.steer)
        inbox = Inbox(store, people=people, steering=steering, clock=clock)
        slack = SlackNeeds(
            people, clock, inbox.keep_image if any(model.images for model in setup.team.models.values()) else None
        )
        yield App(
            setup,
            store,
            inbox,
            agents.built,
            {channel.name: channel for channel in ways_out(setup.settings, writer, stack, store, slack, mail)},
            writer,
            mail,
            people,
            steering,
            policies_of(setup, store),
            door_of(setup, store),
            agents.folders,
            clock,
        )


@dataclass(frozen=True)
class SlackNeeds:
    """What Slack needs to read what arrives."""

    people: People
    clock: Callable[[], datetime]
    keep_image: Callable[[bytes], Awaitable[str]] | None
    """None: no model looks at images."""


def ways_out(
    settings: Settings,
    writer: Writer | None,
    stack: contextlib.AsyncExitStack,
    store: Store | None = None,
    slack: SlackNeeds | None = None,
    mail: MailServers | None = None,
) -> list[Channel]:
    """The outgoing side of the channels that are set up; `stack` closes them. `store`: see `bot.slack_client`.

    Each is imported only if it is set up: their libraries take longer to import than everything else.
    """
    channels: list[Channel] = [terminal.TerminalChannel()]
    if settings.webhooks:
        from channels.webhook.channel import WebhookChannel

        channels.append(WebhookChannel(settings.webhooks, f"{settings.bot_public_url}/api/threads"))
    if settings.has_slack:
        extras.require("slack")
        from bot.desks.slack import home_in
        from bot.slack_client import slack_client
        from channels.slack.channel import SlackChannel

        home_of = functools.partial(home_in, store, slack.people, slack.clock) if store and slack else None
        channels.append(SlackChannel(slack_client(settings, store), slack.keep_image if slack else None, home_of))
    if writer and mail:
        from channels.email.channel import EmailChannel
        from channels.email.outbox import Outbox

        channels.append(EmailChannel(writer, Outbox(mail.smtp, settings.email_address)))
    for channel in channels:
        stack.push_async_callback(channel.aclose)
    return channels


def door_of(setup: Setup, store: Store | None = None) -> dict[str, Agent]:
    """The agents for requests from outside, by name. `store`: for their checks. Raises SettingsError."""
    if not (environments := setup.team.github.environments):
        return {}
    extras.require("github")
    from bot.door.checks import problems_of
    from bot.door.deployments import NAME, agent_of

    return {NAME: agent_of(functools.partial(problems_of, environments, store))}


def policies_of(setup: Setup, store: Store | None = None) -> Policies:
    team, reach = setup.team, setup.settings.reach()
    people = People(team.people, team.tokens)
    return Policies(people, team.rules, team.business_hours, channels=reach, store=store)


async def _writer(setup: Setup, store: Store) -> Writer:
    """Raises SettingsError: without a key, nothing may sign what decides."""
    extras.require("email")
    from channels.email.identity.tokens import Signer
    from channels.email.letters import Writer
    from channels.email.lists import TeamAddresses

    settings = setup.settings
    if problems := settings.key_problems():
        raise SettingsError(problems)
    secret, *before = await secret_keys(settings, store)
    lists = TeamAddresses.parse(settings.email_team_addresses)
    return Writer(
        address=settings.email_address,
        signer=Signer(secret, settings.email_address, before),
        allowed=AllowedSenders.parse(settings.email_allowed_senders).allow,
        public_url=settings.bot_public_url,
        # No test shows what becomes of forged verdicts where a service posts the mail.
        replies_decide=settings.email_inbound == "imap"
        and bool(settings.email_authserv_id)
        and settings.email_plus_addresses,
        plus_addresses=settings.email_plus_addresses,
        aliases=frozenset(place.lower() for place in setup.team.routes if "@" in place) - lists.addresses,
        lists=lists,
    )


@contextlib.asynccontextmanager
async def model_of(setup: Setup) -> AsyncIterator[Models]:
    """The configured models. Raises SettingsError with what is missing."""
    found, problems = _models_of(setup)
    if problems:
        raise SettingsError(problems)
    calls_max = setup.settings.bot_concurrency
    models = Models([_option(one, calls_max) for one in found] or [_stand_in(calls_max)])
    try:
        yield models
    finally:
        await models.close()


def model_problems(setup: Setup) -> list[str]:
    """What is missing for the models; empty: nothing."""
    return _models_of(setup)[1]


def _models_of(setup: Setup) -> tuple[list[ModelSetup], list[str]]:
    """The models, and what is missing for them. None of either: the stand-in decides, whatever the team file names."""
    settings = setup.settings
    if settings.openai_model == STAND_IN:
        return [], []
    others = {name.upper() for name in Settings.model_fields} - {KEY_VARIABLE}
    known = ModelEnvironment(settings.openai_model, settings.openai_base_url, settings.variable, frozenset(others))
    return model_setups(setup.team.models, known)


def _stand_in(calls_max: int) -> Option:
    from agent.roster.stand_in import StandIn  # not at the top: it imports deploybot, which a team may not use

    return Option(BoundedModel(DEFAULT, StandIn(), calls_max=calls_max), ModelTable().timeout_seconds)


def _option(setup: ModelSetup, calls_max: int) -> Option:
    """Raises SettingsError."""
    # Not at the top: its library takes half a second to import, and most commands ask no model.
    from agent.model.failures import ENVIRONMENT, SettingNames
    from agent.model.openai import OpenAIModel

    name, table = setup.name, setup.table
    in_file = f"of models.{name} in the team file"
    names = SettingNames(
        model=f"`model` {in_file}" if table.model else ENVIRONMENT.model,
        url=f"`base_url` {in_file}" if table.base_url else ENVIRONMENT.url,
        key=setup.key_variable,
    )
    try:
        client = OpenAIModel(
            base_url=setup.base_url,
            api_key=setup.key,
            model=setup.model,
            timeout_seconds=table.timeout_seconds,
            names=names,
            takes_images=table.images,
            parameters=table.parameters,
            context_tokens=table.context_tokens,
        )
    except ValueError as error:
        raise SettingsError([str(error)]) from None
    model = BoundedModel(name, client, calls_max=calls_max, price=table.price)
    return Option(model, table.timeout_seconds, table.fallback, table.agents, table.second_look)


def agent_problems(setup: Setup) -> list[str]:
    """Whether there is any agent, for commands that need one. What is wrong with one is not said here."""
    agents = inspect_agents(setup.team, setup.settings.bot_home, setup.team_folder)
    return [] if agents.all or agents.problems else [NO_AGENT]


def roster_problems(setup: Setup) -> list[str]:
    """Problems of agents and team file, for `load`, which reports all problems together."""
    agents = inspect_agents(setup.team, setup.settings.bot_home, setup.team_folder)
    try:
        door = door_of(setup)
    except SettingsError as error:
        return [*agents.problems, *error.problems]
    wrong = team_problems(setup.team, {**agents.all, **door}, agents.folders, setup.settings.reach())
    taken = (name for name in door if name in agents.all)
    wrong += (f"agents.{name} in the team file: the program itself has an agent of that name." for name in taken)
    wrong += same_as_machine(setup.team.tokens, setup.settings.bot_api_token.get_secret_value())
    return [*agents.problems, *wrong]

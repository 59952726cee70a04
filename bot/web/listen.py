"""Opens the listeners of the role `web`: Slack, the mailbox, HTTP.

Only those that are set up are opened and imported. The channels and the inbox handle what arrives.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from bot.alerts import Alerts
from bot.app import App
from bot.team.hooks import kind_of
from bot.team.problems import SettingsError
from channels.base import AnswersHttp
from channels.hooks.kinds import KINDS

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from agent.definition import Agent
    from bot.web.hooks.taking import Taker
    from bot.web.hooks.way_in import WayIn
    from channels.email.servers import MailServer

log = structlog.get_logger(__name__)


async def listen(bot: App, stack: contextlib.AsyncExitStack, *, always: bool) -> None:
    """Open the listeners that are set up, and log each. `always`: start HTTP anyway, for its probes."""
    settings = bot.setup.settings
    over_http = None
    if settings.has_slack:
        slack, where = await _slack(bot, stack)
        log.info("listening", text=f"Listening to Slack at {where}.", channel="slack")
        over_http = slack if settings.slack_signing_secret.get_secret_value() else None
    if settings.has_email:
        imap = bot.mail.imap if bot.mail else None
        if imap:
            await _mailbox(bot, imap, stack)
        how = "Reading mail" if imap else "A hook takes the mail"
        log.info("listening", text=f"{how} to {settings.email_address}.", channel="email")
        for text in settings.email_warnings():
            log.warning("setup_warning", text=text)
    has_links = bool(bot.writer and bot.writer.public_url)
    has_api = bool(bot.tokens.by_name)
    has_hooks = bool(bot.setup.team.hooks)
    if always or over_http or has_links or has_api or has_hooks:
        from bot.web.server import application, serving

        decisions = None
        if bot.writer and has_links:
            from bot.web.page.decide import Decisions  # it needs the libraries of mail

            decisions = Decisions(bot.store, bot.inbox, bot.writer.signer, bot.now, bot.writer.allowed, bot.people)
        hooks = await _hooks(bot, stack) if has_hooks else None
        app = application(bot.store, over_http, decisions, _api(bot) if has_api else None, hooks)
        try:
            url = await stack.enter_async_context(serving(app, settings.host, settings.port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise SettingsError([f"PORT {settings.port} is in use: set PORT to another."]) from None
        log.info("serving", text=f"Serving {url}{' with the API under /api' if has_api else ''}.", url=url)


async def _hooks(bot: App, stack: contextlib.AsyncExitStack) -> WayIn:
    from bot.web.hooks.serving import finishing, hooks_of
    from bot.web.hooks.way_in import WayIn

    takers: Sequence[Taker] = ()
    if any(kind_of(name, table) is KINDS["email"] for name, table in bot.setup.team.hooks.items()):
        from bot.web.mail_in import mail_takers  # it needs the libraries of mail

        takers = mail_takers(bot)
    hooks = hooks_of(bot, takers)
    await stack.enter_async_context(finishing(hooks))
    log.info("hooks", text=f"Hooks: {', '.join(hooks.by_name)}, under /hooks/.", hooks=[*hooks.by_name])
    return WayIn(hooks, bot.store)


def _api(bot: App) -> Starlette:
    from bot.team.named_places import named_places
    from bot.web.api.app import Api

    return Api(
        bot.store,
        bot.inbox,
        bot.people,
        bot.tokens,
        agents=tuple(bot.roster),
        agent=bot.routes.of_place(""),
        reach=bot.setup.settings.reach(),
        places=named_places(bot.setup.team, bot.schedules()),
        now=bot.now,
    ).app()


async def _slack(bot: App, stack: contextlib.AsyncExitStack) -> tuple[AnswersHttp, str]:
    from bot.desks.slack import SlackDesk
    from bot.slack_client import slack_client
    from channels.slack.connection import identify, listening

    settings = bot.setup.settings
    client = slack_client(settings, bot.store)
    me, _ = await identify(client)
    me = replace(me, callers=frozenset(bot.setup.team.slack.callers))
    reads_images = any(model.images for model in bot.setup.team.models.values())
    slack = await stack.enter_async_context(
        listening(
            client,
            me,
            bot.inbox,
            SlackDesk(
                bot.store,
                bot.routes.of_place,
                me,
                bot.people,
                bot.now,
                approvers=tuple(dict.fromkeys(rule.group for rule in bot.setup.team.rules.in_order)),
                acts_of={name: _acts(agent) for name, agent in bot.roster.items()},
                reads_images=reads_images,
                channels=bot.channels,
                alerts=bot.alerts,
            ),
            app_token=settings.slack_app_token.get_secret_value(),
            signing_secret=settings.slack_signing_secret.get_secret_value(),
        )
    )
    return slack, me.url or me.team


def _acts(agent: Agent) -> list[str]:
    return [tool.intent_name() for tool in agent.tools if tool.acts and not tool.by_code]


async def _mailbox(bot: App, imap: MailServer, stack: contextlib.AsyncExitStack) -> None:
    from bot.desks.mail_proof import ProofRenewal, self_test
    from bot.web.mail_in import inbound_of
    from channels.email.identity.server_proof import ServerProof
    from channels.email.mailbox import Mailbox

    settings, writer, servers = bot.setup.settings, bot.writer, bot.mail
    assert writer is not None
    assert servers is not None
    proof = ServerProof(bot.store, imap, settings.email_address, settings.email_authserv_id, bot.now)
    adapter = inbound_of(bot, proof)
    mailbox = Mailbox(
        imap,
        bot.store,
        adapter.receive,
        Alerts(bot.channels, bot.alerts).tell,
        first_start=bot.setup.team.email.first_start,
    )
    tasks = [asyncio.create_task(mailbox.watch(), name="mailbox")]
    if writer.replies_decide:
        renewal = ProofRenewal(self_test(settings, imap, servers.smtp, writer.signer, proof), mailbox)
        tasks.append(asyncio.create_task(renewal.run(), name="mail proof"))

    async def stop() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stack.push_async_callback(stop)

"""A Slack for tests: the Web API, the Events API and Socket Mode over real HTTP and WebSockets on loopback.

    async with SlackServer() as slack:                       # ana and ben, #deploys with the bot, #random without it
        bot = start_bot(SLACK_API_URL=slack.api_url, SLACK_BOT_TOKEN=slack.bot_token, SLACK_APP_TOKEN=slack.app_token)
        await slack.connected()
        asked = await slack.mention("deploys", "ana", "what is in production?")
        answer = await slack.said("v1.4.2", thread=asked)    # waits for the bot's words
        card = await slack.said("Deploy?", "deploys")
        await slack.acknowledged(await slack.click("ben", card, "Approve"))

The bot is usually another process, and knows the server by its URL. The test drives the server as people would
(`say`, `mention`, `dm`, `edit`, `click`, `submit`, …), and plans what goes wrong: `fail` before or after the effect,
`hold`, `drop`, `delay`, `redeliver`, `disconnect`. With `http_target` set, deliveries are signed HTTP requests.

What Slack would refuse is refused, with its names: limits of Block Kit, missing scopes, a trigger that is too old,
events that nobody subscribed to. `SlackServer.from_manifest("manifest.yml")` takes scopes and events from the real
manifest. Stricter than Slack in one thing: a reply to a thread that is not there is an error.

Alone, to play with a bot by hand: `python -m tests.fakes.slack`.
"""

from tests.fakes.slack.delivery import Attempt, Delivery
from tests.fakes.slack.effects import SCOPES, SUBSCRIPTIONS, Features, Installation, Session
from tests.fakes.slack.faults import Call, Fault, Hold
from tests.fakes.slack.inputs import NotPossible
from tests.fakes.slack.limits import Refused, block_problems, check_blocks, check_view
from tests.fakes.slack.server import SlackServer
from tests.fakes.slack.sockets import Connection
from tests.fakes.slack.views_api import View
from tests.fakes.slack.workspace import Channel, File, Message, User, Workspace

__all__ = [
    "SCOPES",
    "SUBSCRIPTIONS",
    "Attempt",
    "Call",
    "Channel",
    "Connection",
    "Delivery",
    "Fault",
    "Features",
    "File",
    "Hold",
    "Installation",
    "Message",
    "NotPossible",
    "Refused",
    "Session",
    "SlackServer",
    "User",
    "View",
    "Workspace",
    "block_problems",
    "check_blocks",
    "check_view",
]

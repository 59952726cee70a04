"""The part of `bot init` about whoever sits here: who they are in Slack and by mail, and which group they approve in.

It writes into the team file, and only what the program takes.
"""

from __future__ import annotations

from bot.cli import console, person
from bot.cli.doctor import check_team_file
from bot.cli.first_file import key_of
from bot.cli.init import kept, slack
from bot.cli.init.dialogue import Dialogue, Later, show_findings, show_heading
from bot.cli.init.part import Outcome
from bot.cli.init.site import drafted
from bot.setup import Setup, load
from bot.team.enrolling import enrolled, only_rule
from bot.team.file import team_path
from bot.team.people import Member, People
from bot.team.problems import SettingsError
from channels.base import ChannelUnavailable
from channels.inbound import Refused
from store.authority.terms import ANYONE, TEAM

OPTIONS = ("--name", "--mail", "--slack-id", "--group")


async def set_up_you(dialogue: Dialogue) -> Outcome:
    """Raises Refused where nobody can be asked, and something is wrong."""
    setup = load()
    if not team_path(setup.settings.bot_config).exists() or not (dialogue.asks or dialogue.has(*OPTIONS)):
        return "later"
    show_heading("Who you are")
    try:
        return await _set_up(setup, dialogue)
    except Later:
        console.prose("Left for later.")
        return "later"


async def _set_up(setup: Setup, dialogue: Dialogue) -> Outcome:
    known = People(setup.team.people).by_login(person.login())
    key = known or key_of(person.login())
    me = setup.team.people.get(key)
    if me and not known:
        text = f"[people.{key}] is not you: {person.login()} is not in its `logins`. Add yourself to the file."
        if not dialogue.asks:
            raise Refused(text)
        console.say_prose(text)
        return "later"
    dialogue.explain(f"This goes into [people.{key}] of {team_path(setup.settings.bot_config)}.")
    while True:
        fields, group = await _asked(setup, dialogue, me or Member())
        if me is None:
            fields["logins"] = [person.login().rpartition("@")[0]]
        if not fields and not group:
            console.prose("Nothing changes.")
            return "done"
        if await _written(setup, key, fields, group):
            return "done"
        if not dialogue.asks:
            raise Refused("Who you are: nothing was written, because the check failed.")
        await dialogue.after_failure(may_keep=False)


async def _asked(setup: Setup, dialogue: Dialogue, me: Member) -> tuple[dict[str, str | list[str]], str]:
    """What changes of the person, and the group that the only rule gets; empty: it stays."""
    fields: dict[str, str | list[str]] = {}
    name = await dialogue.answer("--name", "Your name", me.name or person.login().rpartition("@")[0], needed=False)
    if name and name != me.name and (dialogue.asks or name != person.login().rpartition("@")[0]):
        fields["name"] = name
    first = me.emails[0] if me.emails else ""
    email = await dialogue.answer("--mail", "Your own mail address, if you decide by mail", first, needed=False)
    if email and email.lower() != first:
        fields["emails"] = [email, *me.emails]
    slack_id = await _slack_id(setup, dialogue, me, email)
    if slack_id and slack_id != me.slack:
        fields["slack"] = slack_id
    rule_group = await _group(setup, dialogue, me, fields)
    return fields, rule_group


async def _slack_id(setup: Setup, dialogue: Dialogue, me: Member, email: str) -> str:
    found = me.slack
    if setup.settings.has_slack and email and not me.slack and not dialogue.has("--slack-id"):
        found = await _looked_up(setup, email)
    if not setup.settings.has_slack and not dialogue.has("--slack-id"):
        return ""
    if not found:
        dialogue.explain("Your member ID in Slack: your profile, the three dots, Copy member ID.")
    return await dialogue.answer("--slack-id", "Your Slack member ID", found, needed=False)


async def _looked_up(setup: Setup, email: str) -> str:
    """Empty: nobody has that address there, or it cannot be looked up, which it says."""
    if setup.settings.slack_refresh_token.get_secret_value():
        return ""  # The token that Slack rotates is in the store, and is not touched for this.
    from bot.slack_client import slack_client
    from channels.slack.check import member_of

    try:
        found = await member_of(slack_client(setup.settings, None), email)
    except ChannelUnavailable as error:
        console.say_prose(str(error))
        return ""
    if found is None:
        console.say_prose(f"Nobody in Slack has the address {email}.")
        return ""
    console.say_prose(f"In Slack, {email} is {found[1]}.")
    return found[0]


async def _group(setup: Setup, dialogue: Dialogue, me: Member, fields: dict[str, str | list[str]]) -> str:
    """The group that the only rule gets; empty: it stays."""
    named = sorted({rule.group for rule in setup.team.rule} - {TEAM, ANYONE, ""})
    others = f", or of a group: {', '.join(named)}" if named else ", or begin a group, such as release"
    dialogue.explain(f"You approve as one of the {TEAM} (everybody in [people]){others}.")
    usual = me.groups[0] if me.groups else TEAM
    group = await dialogue.answer("--group", "The group of approvers that you are in", usual, needed=False)
    if group in ("", TEAM, *me.groups):
        return ""
    fields["groups"] = [*me.groups, group]
    return group if group not in named and only_rule(setup.team) else ""


async def _written(setup: Setup, key: str, fields: dict[str, str | list[str]], group: str) -> bool:
    """Whether it was. Otherwise it said what is wrong."""
    path = team_path(setup.settings.bot_config)
    try:
        text = enrolled(path.read_text(encoding="utf-8"), key, fields, group=group)
        draft = drafted(text, setup.settings)
    except SettingsError as error:
        for line in error.problems:
            console.say_prose(line)
        return False
    found = [*check_team_file(draft)]
    if setup.settings.has_slack and "slack" in fields:
        console.say("Checking …")
        found += await slack.check(draft)
    show_findings(found)
    if any(one.state == "failed" for one in found):
        return False
    kept.replace(path, text)
    changed = [*fields, *([f"group = {group!r} of the rule"] if group else [])]
    print(f"Wrote [people.{key}] in {path}: {', '.join(changed)}.", flush=True)
    return True

"""Plays the story and shows it: `python -m tests.demo_channels [FOLDER]`.

A request in Slack is approved by a click, one by mail by a reply. It is printed in the order in which it happens.
"""

from __future__ import annotations

import argparse
import asyncio
import email
import email.policy
import itertools
import tempfile
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

from tests.demo_channels import as_html, as_text
from tests.demo_channels.office import AUTHSERV_ID, CHANNEL, Office, opened
from tests.fakes.mail.dovecot import DOMAIN, address
from tests.fakes.mail.signing import signed
from tests.fakes.slack import Message
from tests.patience import eventually


class Story:
    """What Ana and Ben do, and what there is to see of it."""

    def __init__(self, office: Office, show: Callable[[str], None]) -> None:
        self.office = office
        self._show = show
        self.seen: dict[object, Message | EmailMessage] = {}
        """Everything as people saw it, in that order; a message that was changed stands here once for each state."""
        self._numbers = itertools.count(1)

    async def plays(self) -> None:
        await self.in_slack()
        await self.by_mail()

    async def in_slack(self) -> None:
        slack = self.office.slack
        asked = await slack.mention(CHANNEL, "ana", "deploy orders v1.1.0 to live")
        card = await slack.said("Deploy orders v1.1.0", thread=asked)
        self.shows()
        self._show(f"   >> Ben clicks [ Approve ] in #{CHANNEL}\n")
        await slack.acknowledged(await slack.click("ben", card, "Approve"))
        await eventually(lambda: self._runs("orders"))
        await slack.said("Done", thread=asked)
        self.shows()

    async def by_mail(self) -> None:
        asked = await self.writes("ana", "Checkout", "Please deploy checkout v1.1.0 to live")
        request = await self.gets("ben", "Deploy checkout v1.1.0")
        self.shows()
        self._show("   >> Ben replies: approve\n")
        await self.writes("ben", f"Re: {request['Subject']}", "approve", answers=request)
        await eventually(lambda: self._runs("checkout"))
        await eventually(lambda: any("Done" in text_of(mail) for mail in self._answers(asked)))
        self.shows()

    async def writes(self, by: str, subject: str, text: str, answers: EmailMessage | None = None) -> EmailMessage:
        """As a mail program and the team's receiving server do."""
        message = EmailMessage()
        message["Authentication-Results"] = f"{AUTHSERV_ID}; dmarc=pass header.from={DOMAIN}"
        message["From"] = f"{by.title()} <{address(by)}>"
        message["To"] = (answers["Reply-To"] or answers["From"]) if answers else address("deploybot")
        message["Subject"] = subject
        message["Message-ID"] = f"<{next(self._numbers)}.{by}@{DOMAIN}>"
        if answers:
            message["In-Reply-To"] = answers["Message-ID"]
            message["References"] = f"{answers['References'] or ''} {answers['Message-ID']}".strip()
            quoted = "".join(f"> {line}\n" for line in text_of(answers).splitlines())
            text += f"\n\nOn Mon, 23 Nov 2026 at 10:12, {answers['From']} wrote:\n{quoted}"
        message.set_content(text)
        raw = signed(message.as_bytes())
        await asyncio.to_thread(self.office.mail.deliver, raw, address("deploybot"), address(by))
        return message

    async def gets(self, user: str, words: str) -> EmailMessage:
        """This person's newest mail with these words, when there is one."""
        await eventually(lambda: any(words in text_of(mail) for mail in self._mails(user)))
        return [mail for mail in self._mails(user) if words in text_of(mail)][-1]

    def shows(self) -> None:
        """Print what is new in the channel and the mailboxes."""
        slack = self.office.slack
        for message in slack.messages(CHANNEL):
            if self._is_new((message.ts, slack.text_of(message), *slack.buttons_of(message)), message):
                self._show(f"{as_text.slack_message(slack, message)}\n")
        for user in ("deploybot", "ana", "ben"):
            for mail in self._mails(user):
                if self._is_new(mail["Message-ID"], mail):
                    self._show(f"{as_text.mail(mail)}\n")

    def _is_new(self, state: object, what: Message | EmailMessage) -> bool:
        is_new = state not in self.seen
        self.seen.setdefault(state, what)
        return is_new

    def _mails(self, user: str) -> list[EmailMessage]:
        found = (email.message_from_bytes(raw, policy=email.policy.default) for raw in self.office.mail.mailbox(user))
        return [mail for mail in found if isinstance(mail, EmailMessage)]

    def _answers(self, mail: EmailMessage) -> list[EmailMessage]:
        return [one for one in self._mails("ana") if mail["Message-ID"] in str(one["References"])]

    def _runs(self, component: str) -> bool:
        return self.office.site.running(component, "live") == self.office.site.sha("v1.1.0", component)


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    return str(body.get_content()) if body else ""


async def play(folder: Path, show: Callable[[str], None] = print) -> None:
    """Leaves `slack.html`, `mail.html` and the bot's log in the folder."""
    async with opened(folder) as office:
        story = Story(office, show)
        await story.plays()
        pages = {
            "slack.html": as_html.slack_page(
                office.slack, [one for one in story.seen.values() if isinstance(one, Message)]
            ),
            "mail.html": as_html.mail_page([one for one in story.seen.values() if isinstance(one, EmailMessage)]),
        }
    for name, page in pages.items():
        (folder / name).write_text(page, encoding="utf-8")
    show(f"To look at: {folder / 'slack.html'} and {folder / 'mail.html'}; the bot's log is {folder / 'bot.log'}.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.demo_channels", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="for the two pages and the log (a new temporary one)")
    folder = parser.parse_args().folder or Path(tempfile.mkdtemp(prefix="deploybot-channels-"))
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(play(folder.absolute()))


if __name__ == "__main__":
    main()

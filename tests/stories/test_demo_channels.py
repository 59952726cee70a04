"""What `make demo-channels` promises: both channels, a request approved in each, and two pages to look at."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.demo_channels import as_html
from tests.demo_channels.__main__ import play
from tests.demo_channels.office import CHANNEL
from tests.fakes.slack import Message, SlackServer

pytestmark = pytest.mark.slow


async def test_the_story_is_played_by_slack_and_by_mail_and_can_be_looked_at(tmp_path: Path) -> None:
    shown: list[str] = []
    await play(tmp_path, shown.append)
    text = "\n".join(shown)
    log = (tmp_path / "site" / "deployments.log").read_text().splitlines()
    assert [line.split()[:2] for line in log[-2:]] == [["orders", "live"], ["checkout", "live"]]
    for words in (
        "@deploybot deploy orders v1.1.0 to live",
        "[ Approve ]",
        "Deploy orders v1.1.0 (ca05217) to live approved by Ben",
        "Subject: Checkout",
        "Deploy checkout v1.1.0 (ca05217) to live approved by Ben",
    ):
        assert words in text
    slack, mail = ((tmp_path / name).read_text() for name in ("slack.html", "mail.html"))
    assert "Deploy orders v1.1.0" in slack
    assert "<h2>deploybot</h2>" in slack
    assert len(re.findall("<iframe sandbox srcdoc=", mail)) >= 3
    assert "<script" not in slack + mail


async def test_what_somebody_wrote_is_no_markup_on_the_page() -> None:
    async with SlackServer() as slack:
        await slack.say(CHANNEL, "ana", "<b>bold</b> & <script>alert(1)</script>")
        [said] = slack.messages(CHANNEL)
        plain = Message(said.channel, said.ts, said.user, text="<i>no blocks</i>")
        page = as_html.slack_page(slack, [said, plain])
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; &lt;script&gt;" in page
    assert "&lt;i&gt;no blocks&lt;/i&gt;" in page

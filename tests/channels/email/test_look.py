"""What people see of the mail that asks and of the page that confirms, measured in a browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.web.page.decide import asking
from channels.email import look
from channels.messages import Approval
from tests.channels.email.browser import CHROMIUM, Picture, drawn
from tests.channels.email.mails import AT, card, html, letter

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="apt-get install chromium")

SHA = "4af9ec0246a3d1b7c2f8e5a90b6d4c3e2f1a0987"
FOLD = {600: 800, 360: 640}
"""What is seen without scrolling, for each width."""
CONTRAST_MIN = 4.5
"""WCAG 2.2, 1.4.3."""


def request() -> Approval:
    return replace(
        card(
            {"component": "backend", "revision": "v1.2.3", "environment": "production"},
            {
                "older_than_running": "OLDER than what runs there: v1.2.4 was deployed on 2026-11-19 15:20 UTC",
                "migration": "irreversible",
                "commit": SHA,
                "docker_image_digest": f"sha256:{SHA}{SHA[:24]}",
                "changes": f"https://git.team.example/backend/compare/{SHA}...{SHA}?expand=1",
                "running_now": "v1.2.4",
            },
        ),
        title="deploy backend v1.2.3 to production",
        dangers=("older_than_running", "migration"),
        words="Please roll back the backend in production, checkout is slow since v1.2.4.\nThanks!",
        requested_by="ana@team.example",
        group="release",
        expires_at=AT,
    )


def mail() -> str:
    return html(letter(request()))


def page(*, approves: bool = True) -> str:
    return look.page("Approve?", asking(request(), "ana@team.example", approves=approves))


CASES = [(width, dark) for width in FOLD for dark in (False, True)]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{'dark' if case[1] else 'light'}")
def case(request: pytest.FixtureRequest) -> tuple[int, bool]:
    it: tuple[int, bool] = request.param
    return it


def check_geometry(picture: Picture, width: int) -> None:
    assert picture.width == width
    assert picture.scroll_width <= width, "nothing is cut, and nobody scrolls sideways"
    for one in picture.all:
        assert one.right <= width + 0.5
        assert not [word for word in one.broken if word.startswith("CUT") or len(word) < 24], one
        assert not one.text or one.contrast >= CONTRAST_MIN, one


def test_the_mail_that_asks(case: tuple[int, bool], tmp_path: Path) -> None:
    width, dark = case
    picture = drawn(mail(), tmp_path, width=width, dark=dark)
    check_geometry(picture, width)
    approve, reject = picture.one("Approve"), picture.one("Reject")
    assert max(approve.bottom, reject.bottom) <= FOLD[width]
    assert (approve.colour, approve.background) != (reject.colour, reject.background)
    assert picture.one("OLDER than what runs there: v1.2.4 was deployed on 2026-11-19 15:20 UTC").bottom < approve.top
    assert picture.one(SHA).top > approve.bottom


@pytest.mark.parametrize("approves", [True, False])
def test_the_page_that_confirms(case: tuple[int, bool], approves: bool, tmp_path: Path) -> None:
    width, dark = case
    picture = drawn(page(approves=approves), tmp_path, width=width, dark=dark)
    check_geometry(picture, width)
    button = picture.one("Approve" if approves else "Reject", "approve" if approves else "reject")
    assert button.bottom <= FOLD[width]
    assert picture.one("OLDER than what runs there: v1.2.4 was deployed on 2026-11-19 15:20 UTC").bottom < button.top
    [sheet] = [one for one in picture.all if one.kind == "sheet"]
    for field in (one for one in picture.all if one.tag == "textarea"):
        assert sheet.left <= field.left
        assert field.right <= sheet.right


def test_dark_differs_from_light(tmp_path: Path) -> None:
    grounds = {
        next(one.background for one in drawn(mail(), tmp_path, width=600, dark=dark).all if one.kind == "sheet")
        for dark in (False, True)
    }
    assert len(grounds) == 2


def test_the_head_says_what_a_mail_program_needs() -> None:
    head = mail().partition("</head>")[0]
    for needed in ('lang="en"', 'charset="utf-8"', 'name="viewport"', 'name="color-scheme" content="light dark"'):
        assert needed in head

"""What a mail says: a corpus in the shapes of the common programs and robots, and whatever bytes somebody may send."""

from __future__ import annotations

import email.header
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email.decisions import Decision, parse_decision
from channels.email.lists import NO_LISTS
from channels.email.markup import text_of_html
from channels.email.parse import ATTACHED_BYTES_MAX, IDS_MAX, Mail, parse
from channels.email.replies import _INVISIBLE, LINES_MAX, split_body
from tests.channels.email.mail_corpus import Sample, samples

CORPUS = samples()
BOT = "deploybot@team.example"


def expecting(field: str) -> pytest.MarkDecorator:
    """Each mail of the corpus for which there is one right answer to this."""
    return pytest.mark.parametrize(
        "sample", [pytest.param(one, id=one.name) for one in CORPUS if field in one.expected]
    )


def test_the_corpus_is_there() -> None:
    assert len(CORPUS) > 200
    groups = {one.expected["group"] for one in CORPUS}
    assert groups >= {
        "gmail",
        "apple",
        "outlook",
        "mobile",
        "plain",
        "charset",
        "html",
        "attachment",
        "robot",
        "broken",
    }


@expecting("robot")
def test_a_robots_mail_is_told_from_a_persons(sample: Sample) -> None:
    mail = parse(sample.raw)
    # Whom nobody could write back to is nobody. That a mail is our own, only who we are can tell.
    nobody = not mail.sender or sample.expected["robot"] == "own address"
    assert bool(mail.automatic or NO_LISTS.why_automatic(mail)) == bool(sample.expected["robot"]) or nobody


@expecting("bounce_of")
def test_a_mail_that_came_back_is_named(sample: Sample) -> None:
    mail = parse(sample.raw)
    originals = mail.bounce.originals if mail.bounce else ()
    if sample.name in ("bounce-delayed", "bounce-delivered"):
        assert mail.bounce is None, "it may still arrive, or did"
    else:
        assert ([*originals, ""])[0] == sample.expected["bounce_of"]


@expecting("from")
def test_the_sender_is_the_one_in_from_or_nobody(sample: Sample) -> None:
    mail = parse(sample.raw)
    expected = sample.expected["from"]
    local, _, domain = expected.rpartition("@")
    # What no header of ours could name is nobody's address.
    refused = " " in expected
    assert mail.sender == ("" if refused or not expected else f"{local}@{domain.lower()}") or (
        sample.name == "odd-from-route" and mail.sender == "ana@team.example"
    )


@expecting("attachments")
def test_attachments_of_people_are_listed_by_name(sample: Sample) -> None:
    mail = parse(sample.raw)
    if mail.automatic or mail.bounce or not all(sample.expected["attachments"]):
        return
    names = [one.name for one in mail.attachments if not one.name.startswith(("without a name", "and more than"))]
    assert names == sample.expected["attachments"] or sample.name == "broken-nested-rfc822-200"


@pytest.mark.parametrize("sample", [pytest.param(one, id=one.name) for one in CORPUS])
def test_every_mail_is_read_in_time_and_holds_no_control_character(sample: Sample) -> None:
    mail = parse(sample.raw)
    for line in (mail.subject, mail.name, mail.sender, mail.message_id, *mail.references, *mail.to, *mail.cc):
        assert not any(ord(char) < 32 for char in line)


@pytest.mark.parametrize("sample", [pytest.param(one, id=one.name) for one in CORPUS if len(one.raw) < 20_000][::3])
def test_a_mail_that_breaks_off_anywhere_is_read(sample: Sample) -> None:
    for end in range(0, len(sample.raw), max(len(sample.raw) // 40, 1)):
        assert isinstance(parse(sample.raw[:end]), Mail)


@given(st.binary(max_size=2_000))
def test_no_bytes_make_it_raise(raw: bytes) -> None:
    assert isinstance(parse(raw), Mail)


_LINES = st.sampled_from(
    [
        *(
            b"From: ana@team.example",
            b"From: =?utf-8?q?=0d=0a?= <a@b>",
            b"Subject: =?iso-2022-jp?B?GyRC?=",
            b"To: ,,;:<>",
        ),
        *(
            b"Content-Type: multipart/mixed; boundary=x",
            b"Content-Type: multipart/alternative; boundary=x",
            b"--x",
            b"--x--",
        ),
        *(
            b"Content-Type: text/html; charset=utf-16",
            b"Content-Type: message/rfc822",
            b"Content-Type: text/plain; charset=",
        ),
        *(b"Content-Transfer-Encoding: base64", b"Content-Transfer-Encoding: quoted-printable", b"=", b"=G1", b"!!!"),
        *(b"Content-Type: message/delivery-status", b"Content-Type: multipart/report; report-type=delivery-status"),
        *(
            b"Content-Disposition: attachment; filename*=utf-8''%ff",
            b"Message-ID: <a@b",
            b"References: <a@b><c@d>",
            b"",
        ),
        *(b"> quoted", b"On Mon, Ana wrote:", b"<script>", b"<p>&#xD800;&#0;", b"\xff\xfe\x00", b"\t folded"),
    ]
)


@given(st.lists(_LINES, max_size=40), st.sampled_from([b"\r\n", b"\n", b"\r"]))
def test_no_lines_of_mail_in_any_order_make_it_raise(lines: list[bytes], end: bytes) -> None:
    mail = parse(end.join(lines))
    assert isinstance(mail, Mail)
    assert "\r" not in mail.text


@given(st.text(max_size=300))
def test_a_header_smuggles_nothing(text: str) -> None:
    encoded = email.header.Header(text.encode("utf-8", "replace").decode(), "utf-8").encode()
    raw = f"From: {encoded} <ana@team.example>\r\nSubject: {encoded}\r\nMessage-ID: <1@x>\r\n\r\nhi".encode()
    mail = parse(raw)
    assert mail.sender == "ana@team.example"
    assert "\n" not in mail.subject + mail.name


def test_a_name_that_looks_like_an_address_is_none() -> None:
    raw = b"From: =?utf-8?q?boss=40team=2Eexample=2C?= <eve@elsewhere.example>\r\n\r\nhi"
    assert parse(raw).sender == "eve@elsewhere.example"


def test_of_many_references_the_first_and_the_last_are_kept() -> None:
    ids = [f"<{number}@x>" for number in range(300)]
    mail = parse(("References: " + "\r\n ".join(ids) + "\r\n\r\nhi").encode())
    assert mail.references == (ids[0], *ids[1 - IDS_MAX :])


def test_only_a_small_text_is_read_of_what_is_attached() -> None:
    message = EmailMessage()
    message.set_content("see below")
    message.add_attachment("a = 1\n", filename="small.txt")
    message.add_attachment("x" * (ATTACHED_BYTES_MAX + 1), filename="large.txt")
    message.add_attachment(b"PK", maintype="application", subtype="zip", filename="bomb.zip")
    mail = parse(message.as_bytes())
    assert [(one.name, bool(one.text)) for one in mail.attachments] == [
        ("small.txt", True),
        ("large.txt", False),
        ("bomb.zip", False),
    ]


# What decides


@pytest.mark.parametrize("text", ["approve", "Approve", "APPROVED", "approve.", "Approved!", " approve\n", "I approve"])
def test_words_that_approve(text: str) -> None:
    assert parse_decision(text) == Decision(True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *(("reject", ""), ("Rejected.", ""), ("I reject!", ""), ("reject: wait for QA", "wait for QA")),
        *(
            ("Reject - not on a Friday", "not on a Friday"),
            ("reject\n\nThe tests are red.\nSee CI.", "The tests are red.\nSee CI."),
        ),
        *(("REJECT, wrong tag", "wrong tag"), ("reject. Backend first?", "Backend first?"), ("rejected — no", "no")),
    ],
)
def test_words_that_reject_and_why(text: str, reason: str) -> None:
    assert parse_decision(text) == Decision(False, reason)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "approve?",
            "approve it",
            "approve, but only staging",
            "don't approve",
            "I do not approve",
            "not approved",
        ),
        *("approve\nreject", "approve or reject", "yes", "ok", "LGTM", "👍", "reject?", "rejecting this would be bad"),
        *("should I reject", "approved by whom?", "> approve", "reject that idea of yours", "disapprove", "unapproved"),
    ],
)
def test_all_other_words_decide_nothing(text: str) -> None:
    assert parse_decision(text) is None


@given(st.text(max_size=100))
def test_a_verdict_is_given_by_its_own_words_only(text: str) -> None:
    given = parse_decision(text)
    if given:
        assert ("approve" if given.approved else "reject") in text.lower()


@given(st.text(max_size=500))
def test_what_is_split_is_not_lost(text: str) -> None:
    words = split_body(text)
    new, quoted = words.new, words.quoted
    kept = sorted((new + quoted).replace("\n", "").split())
    assert set("".join(kept)) <= set(text)
    if not any(mark in text for mark in (">", ":", "-", "_")):
        assert "".join(new.split()) == "".join(text.translate(_INVISIBLE).split())
    assert isinstance(text_of_html(text), str)


LEFT_IN = {
    "attach-inline-image",  # the place of a picture
    "mutt-quote-styles",  # quoted with |
    "thunderbird-html",  # emphasis in the plain part
    "html-plain-says-other",
    *("footer-after-quote", "footer-confidential-no-dashes", "signature-list-footer"),
    *("outlook-corporate-signature", "signature-no-marker"),
}
"""Of these more is read than was written anew. Nothing that somebody wrote is ever lost."""


@expecting("new_text")
def test_what_a_person_wrote_anew_is_told_from_what_is_quoted(sample: Sample) -> None:
    text, expected = parse(sample.raw).text, sample.expected["new_text"]
    if sample.name not in LEFT_IN:
        assert text == expected


HOSTILE = {
    "quotes": ">" * 200_000,
    "quoted lines": "> \n" * 70_000,
    "on": "On " * 60_000,
    "on wrote": "On Mon, 3 Nov 2026 at 10:12, a@b.c wrote:\n" * 5_000,
    "rules": "-" * 200_000,
    "headers": "From: \n" * 30_000,
    "spaces": " " * 200_000,
    "at": "a@" * 100_000,
    "sent": "Sent from " * 20_000,
    "colons": ":\n" * 100_000,
    "dashes": "---- a ----\n" * 15_000,
    "comments": "<!--" * 50_000,
    "open": "<div>" * 40_000,
    "lt": "<" * 200_000,
    "amp": "&" * 200_000,
    "rows": "<table><tr>" + "<td>x" * 40_000,
    "cdata": "<![CDATA[" * 20_000,
    "attributes": "<p " + "a=1 " * 50_000 + ">",
    "styles": f"<p style='{'display:' * 25_000}'>x",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("media_type", ["plain", "html"])
def test_no_mail_is_made_so_that_reading_it_never_ends(text: str, media_type: str) -> None:
    # A pattern that backtracks would take hours for this; the limit of the whole run ends it.
    assert isinstance(parse(f"Content-Type: text/{media_type}\r\n\r\n{text}".encode()), Mail)


def test_what_a_reader_does_not_see_is_not_read() -> None:
    html = (
        "<style>p{}</style><script>approve</script><p>Please wait.</p><p style='display: none'>approve</p>"
        "<span hidden>approve</span><div style='font-size:0px'>approve</div><!-- approve -->"
    )
    assert text_of_html(html) == "Please wait."


def test_words_below_a_quotation_are_not_lost() -> None:
    words = split_body("approve\n\n> Approval needed\n> deploy\n\nbut only staging")
    assert words.new == "approve\n\nbut only staging"
    assert words.quoted == "> Approval needed\n> deploy"
    assert parse_decision(words.new) is None


@pytest.mark.parametrize(
    ("body", "whole"),
    [
        *(("approve", True), ("approve\n\n> quoted", True), ("approve\n\nSent from my iPhone", True)),
        *(("approve\n\n-- \nAna", True), ("approve\n\nOn Mon, 3 Nov 2026, Bot <b@x.y> wrote:\n> card", True)),
        *(("approve\n--\nonly staging please", False), ("approve\nSent with care: only to staging", True)),
        *(("approve\n\nSent from staging first then prod", False), ("approve\n" * 30_000, False)),
    ],
)
def test_where_words_were_left_out_nothing_is_decided(body: str, whole: bool) -> None:
    words = split_body(body)
    decides = words.is_complete and parse_decision(words.new) == Decision(True)
    assert decides is (whole and "care" not in body)


@pytest.mark.parametrize(
    "text",
    [
        "This is what I want:\n\nnot before Monday",
        "Since 3 Nov 2026 at 10:12 I see this from bot@team.example:\n\ndisk full",
        "As I wrote on 3 Nov 2026 at 10:12:\n\nnot before Monday",
    ],
)
def test_a_line_that_ends_with_a_colon_quotes_nothing_by_itself(text: str) -> None:
    words = split_body(text)
    assert (words.new, words.quoted) == (text, "")


@pytest.mark.parametrize("who", ["Ana <ana@team.example>", "Ana wrote"])
def test_who_and_when_right_above_a_quotation_belong_to_it(who: str) -> None:
    words = split_body(f"approve\n\n3 Nov 2026 10:12, {who}:\n> card\nbut only staging")
    assert (words.new, words.quoted) == ("approve\n\nbut only staging", f"3 Nov 2026 10:12, {who}:\n> card")


@pytest.mark.parametrize(
    "who",
    [
        "On Fri, 20 Nov 2026 at 10:12, Bot <bot@team.example> wrote:",
        "On Fri, 20 Nov 2026 at 10:12, Bot\n<bot@team.example> wrote:",
        "On Fri, 20 Nov 2026 at 10:12,\nBot <bot@team.example>\nwrote:",
    ],
    ids=["one line", "two lines", "three lines"],
)
@pytest.mark.parametrize("quoted", ["> card", "card"])
def test_who_wrote_when_may_be_broken_into_lines(who: str, quoted: str) -> None:
    assert split_body(f"wait\n\n{who}\n{quoted}").new == "wait"


def test_four_lines_say_nothing_of_who_wrote() -> None:
    text = "wait\nOn Fri, 20 Nov 2026 at 10:12,\nBot\n<bot@team.example>\nwrote:\n\ncard"
    assert split_body(text).new == text


@pytest.mark.parametrize(("newlines", "belongs"), [(1, True), (3, True), (4, False)])
def test_a_quotation_begins_right_below_who_wrote_it(newlines: int, belongs: bool) -> None:
    said = "20 Nov 2026 10:12, Ana <ana@team.example>:"
    words = split_body(f"wait\n\n{said}" + "\n" * newlines + "> card")
    assert words.new == ("wait" if belongs else f"wait\n\n{said}")


def headers(first: int, second: int) -> str:
    """So many lines apart."""
    return "\n" * 2 + "From: Ana" + "\n" * first + "Sent: Monday" + "\n" * second + "To: Bot"


@pytest.mark.parametrize("apart", [(1, 1), (2, 2), (4, 4)])
def test_the_headers_of_a_mail_that_is_quoted_whole_may_stand_apart(apart: tuple[int, int]) -> None:
    assert split_body(f"wait{headers(*apart)}\n\ncard").new == "wait"


@pytest.mark.parametrize("apart", [(4, 5), (9, 9)])
def test_lines_that_look_like_headers_and_stand_far_apart_are_somebodys_words(apart: tuple[int, int]) -> None:
    text = f"wait{headers(*apart)}\n\nbut only staging"
    assert split_body(text).new == text


@pytest.mark.parametrize(("lines", "whole"), [(LINES_MAX, True), (LINES_MAX + 1, False)])
def test_of_a_mail_of_too_many_lines_nothing_is_decided(lines: int, whole: bool) -> None:
    words = split_body("approve" + "\n" * (lines - 1))
    assert (words.new, words.is_complete) == ("approve", whole)


def test_of_a_text_that_was_cut_nothing_is_decided() -> None:
    mail = parse(b"From: ana@team.example\r\n\r\napprove" + b"\r\n" * 210_000 + b"but only staging\r\n")
    assert not mail.text_is_complete

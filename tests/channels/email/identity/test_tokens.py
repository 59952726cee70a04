"""What we sign: nobody can make, alter or move such a signature, and no junk does more than be refused."""

from __future__ import annotations

import contextlib
import string
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from channels.email.identity.tokens import LOCAL_PART_CHARS_MAX, Link, LinkExpired, LinkForged, Signer

NOW = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
ADDRESS = "deploybot@team.example"
SIGNER = Signer("a secret for tests", ADDRESS)
OTHER_SECRET = Signer("another secret for tests", ADDRESS)
OTHER_DOMAIN = Signer("a secret for tests", "deploybot@elsewhere.example")
LINK = Link("t1", "s4", "0123abcd" * 8, "ana@team.example", int(NOW.timestamp()) + 60, approved=True)
MESSAGE_ID = SIGNER.message_id("t1", "t1/s4/card")
REPLY_TO = SIGNER.reply_address("t1")
SEALED = SIGNER.seal(LINK)

anything = st.text(st.characters())  # half surrogates too
signature_like = st.text(st.sampled_from(string.ascii_lowercase + "234567"), min_size=16, max_size=16)


def altered(text: str) -> list[str]:
    """Each of its characters replaced, left out, and doubled, where that gives another text."""
    found = [text[:at] + other + text[at + 1 :] for at in range(len(text)) for other in ("a", "7", "-", ".", "@", "")]
    found += [text[:at] + text[at] + text[at:] for at in range(len(text))]
    return [one for one in dict.fromkeys(found) if one.lower() != text.lower()]


def opened(sealed: str, signer: Signer = SIGNER, now: datetime = NOW) -> Link | None:
    """None: it is none of ours, or is too old."""
    with contextlib.suppress(LinkForged, LinkExpired):
        return signer.open(sealed, now)
    return None


# Message-IDs


def test_a_message_id_of_ours_names_its_thread() -> None:
    assert SIGNER.thread_of_message(MESSAGE_ID) == "t1"
    assert SIGNER.thread_of_message(f"  {MESSAGE_ID}\r\n") == "t1"


def test_the_same_message_has_the_same_id_and_another_one_another() -> None:
    assert SIGNER.message_id("t1", "t1/s4/card") == MESSAGE_ID
    assert len({SIGNER.message_id("t1", f"t1/s{n}/card") for n in range(50)} | {MESSAGE_ID}) == 50
    assert SIGNER.message_id("t2", "t1/s4/card") != MESSAGE_ID


def test_a_mail_program_may_change_the_case_of_a_message_id() -> None:
    assert SIGNER.thread_of_message(MESSAGE_ID.upper()) == "t1"
    assert SIGNER.thread_of_message(MESSAGE_ID.title()) == "t1"


def test_a_message_id_that_was_altered_anywhere_is_not_ours() -> None:
    assert [one for one in altered(MESSAGE_ID) if SIGNER.thread_of_message(one)] == []


def test_a_message_id_counts_for_one_secret_one_domain_and_one_thread() -> None:
    assert OTHER_SECRET.thread_of_message(MESSAGE_ID) == ""
    assert OTHER_DOMAIN.thread_of_message(MESSAGE_ID) == ""
    assert SIGNER.thread_of_message(MESSAGE_ID.replace("<t1.", "<t2.")) == ""


# Reply addresses


def test_a_reply_address_of_ours_names_its_thread() -> None:
    assert REPLY_TO.startswith("deploybot+t1.")
    assert REPLY_TO.endswith("@team.example")
    assert SIGNER.thread_of_address(REPLY_TO) == "t1"
    assert SIGNER.thread_of_address(REPLY_TO.upper()) == "t1"


def test_a_reply_address_that_was_altered_anywhere_names_no_thread() -> None:
    local, _, domain = REPLY_TO.partition("+")[2].partition("@")
    changed = [f"deploybot+{one}@{domain}" for one in altered(local) if "@" not in one]
    assert [one for one in changed if SIGNER.thread_of_address(one)] == []


def test_a_reply_address_counts_for_one_secret_and_one_thread() -> None:
    assert OTHER_SECRET.thread_of_address(REPLY_TO) == ""
    assert SIGNER.thread_of_address(REPLY_TO.replace("+t1.", "+t2.")) == ""


def test_the_reply_address_of_a_request_counts_for_one_mail_and_one_person() -> None:
    card, other = SIGNER.message_ids("t1", "t1/s4/card ana@team.example")[0], SIGNER.message_id("t1", "t1/s9/card")
    hers = SIGNER.card_address(card, "Ana@team.example")
    assert SIGNER.is_card_address(hers, card, "ana@team.example")
    assert SIGNER.is_card_address(hers.upper(), card.upper(), "ana@team.example")
    assert SIGNER.thread_of_address(hers) == "t1"
    assert not SIGNER.is_card_address(hers, card, "ben@team.example")
    assert not SIGNER.is_card_address(hers, other, "ana@team.example")
    assert not SIGNER.is_card_address(REPLY_TO, card, "ana@team.example")
    assert not SIGNER.is_card_address("deploybot@team.example", card, "ana@team.example")
    assert not OTHER_SECRET.is_card_address(hers, card, "ana@team.example")
    local, _, domain = hers.partition("+")[2].partition("@")
    changed = [f"deploybot+{one}@{domain}" for one in altered(local) if "@" not in one]
    assert [one for one in changed if SIGNER.is_card_address(one, card, "ana@team.example")] == []


def test_the_reply_addresses_of_requests_are_found_in_a_text() -> None:
    card = SIGNER.message_id("t1", "t1/s4/card ana@team.example")
    hers = SIGNER.card_address(card, "Ana@team.example")
    text = f"Reply-To: Bot <{hers.upper()}>, {REPLY_TO} {hers}\n{hers.replace('+t1.', '+t2.')} {hers.replace('@', ' ')}"
    [(thread_id, tag)] = SIGNER.card_tags_in(text)
    assert (thread_id, tag) == ("t1", SIGNER.card_tags(card, "ana@team.example")[0])
    renewed = Signer("a newer secret", ADDRESS, ["a secret for tests"])
    assert renewed.card_tags_in(text) == [(thread_id, tag)]
    assert renewed.card_tags(renewed.message_id("t1", "t1/s4/card ana@team.example"), "ana@team.example")[1] == tag
    assert OTHER_SECRET.card_tags_in(text) == []
    assert SIGNER.card_tags("<1.ana@team.example>", "ana@team.example") == ()


def test_a_request_has_no_reply_address_of_its_own_where_that_would_be_too_long() -> None:
    too_long = Signer("x", f"{'b' * 40}@team.example")
    assert too_long.card_address(too_long.message_id("t1", "k"), "ana@team.example") == ""
    assert SIGNER.card_address("<1.ana@team.example>", "ana@team.example") == ""


def test_a_reply_address_that_would_be_too_long_is_our_own() -> None:
    fits = Signer("x", f"{'b' * (LOCAL_PART_CHARS_MAX - 20)}@team.example")
    assert len(fits.reply_address("t1").partition("@")[0]) == LOCAL_PART_CHARS_MAX
    too_long = f"{'b' * (LOCAL_PART_CHARS_MAX - 19)}@team.example"
    assert Signer("x", too_long).reply_address("t1") == too_long


def test_a_signature_of_one_purpose_is_worth_nothing_for_another() -> None:
    thread_id, which, of_message = MESSAGE_ID[1:].partition("@")[0].split(".")
    of_address = REPLY_TO.partition("@")[0].rpartition(".")[2]
    assert SIGNER.thread_of_address(f"deploybot+{thread_id}.{of_message}@team.example") == ""
    assert SIGNER.thread_of_message(f"<{thread_id}.{which}.{of_address}@team.example>") == ""
    assert SIGNER.thread_of_message(f"<{thread_id}.{of_address}.{of_address}@team.example>") == ""
    for signature in (of_message, of_address, MESSAGE_ID, REPLY_TO):
        assert opened(f"{SEALED.rpartition('.')[0]}.{signature}") is None


# Links


def test_a_link_says_what_it_was_made_for_until_it_ends() -> None:
    assert SIGNER.open(SEALED, NOW) == LINK
    assert SIGNER.open(SEALED, NOW + timedelta(seconds=60)) == LINK
    choice = replace(LINK, digest="", approved=False, number=3)
    assert SIGNER.open(SIGNER.seal(choice), NOW) == choice


def test_a_link_ends() -> None:
    with pytest.raises(LinkExpired):
        SIGNER.open(SEALED, NOW + timedelta(seconds=61))


def test_a_link_of_another_secret_is_forged_also_when_it_is_too_old() -> None:
    for now in (NOW, NOW + timedelta(days=99)):
        with pytest.raises(LinkForged):
            OTHER_SECRET.open(SEALED, now)


def test_a_link_that_was_altered_in_what_it_says_is_forged() -> None:
    payload, _, signature = SEALED.rpartition(".")
    for one in altered(payload):
        with pytest.raises(LinkForged):
            SIGNER.open(f"{one}.{signature}", NOW)


def test_a_link_with_an_altered_signature_never_says_anything_else() -> None:
    # Of the last character only four bits count: the same signature can be written in four ways.
    payload, _, signature = SEALED.rpartition(".")
    changed = [opened(f"{payload}.{one}") for one in altered(signature)]
    assert {one for one in changed if one is not None} <= {LINK}
    assert sum(one is not None for one in changed) <= 3
    for at in range(len(signature) - 1):
        other = "A" if signature[at] != "A" else "B"
        assert opened(f"{payload}.{signature[:at]}{other}{signature[at + 1 :]}") is None


def test_a_link_of_one_request_is_not_one_of_another() -> None:
    ours = [
        LINK,
        replace(LINK, approved=False),
        replace(LINK, person="ben@team.example"),
        replace(LINK, digest="ffff" * 16),
        replace(LINK, step="s5"),
        replace(LINK, thread_id="t2"),
        replace(LINK, good_until=LINK.good_until + 1),
        replace(LINK, number=0),
    ]
    parts = [SIGNER.seal(one).rpartition(".") for one in ours]
    for payload, _, _ in parts:
        opens = [opened(f"{payload}.{signature}") for _, _, signature in parts]
        assert sum(one is not None for one in opens) == 1


@pytest.mark.parametrize(
    "what",
    [
        [],
        ["t1"],
        {"thread_id": "t1"},
        None,
        "t1",
        7,
        ["t1", "s4", "d", "p", "9999999999", True, -1],
        ["t1", "s4", "d", "p", 9999999999, True, -1, 0],
        ["t1", "s4", None, "p", 9999999999, True, -1],
        ["t1", "s4", "d", "p", 9999999999, 1, -1],
    ],
)
def test_what_we_signed_in_another_shape_is_no_link(what: object) -> None:
    sealed = SIGNER._links.dumps(what)
    with pytest.raises(LinkForged):
        SIGNER.open(str(sealed), NOW)


# Junk


def test_letters_that_only_look_like_ours_are_refused_like_any_others() -> None:
    # U+017F and U+212A match `s` and `k` where case does not count, and are not ASCII.
    for letter in "\u017f\u212a":
        assert SIGNER.thread_of_message(f"<t1.{'a' * 16}.{letter * 16}@team.example>") == ""
        assert SIGNER.thread_of_address(f"deploybot+t1.{letter * 16}@team.example") == ""


def test_half_a_surrogate_is_no_link() -> None:
    assert opened("\ud800") is None


@given(anything)
def test_no_junk_is_a_message_of_ours(text: str) -> None:
    assert SIGNER.thread_of_message(text) == ""
    assert SIGNER.thread_of_message(f"<{text}@team.example>") == ""


@given(signature_like, signature_like)
def test_no_signature_that_was_guessed_is_ours(which: str, signature: str) -> None:
    assert SIGNER.thread_of_message(f"<t1.{which}.{signature}@team.example>") == ""
    assert SIGNER.thread_of_address(f"deploybot+t1.{signature}@team.example") == ""


@given(st.text())
@example("")
@example(".")
@example("." * 9)
@example("é.é")
@example(SEALED.rpartition(".")[0] + ".")
@example("." + SEALED)
def test_no_junk_is_a_link(text: str) -> None:
    for one in (text, f"{text}.{SEALED.rpartition('.')[2]}", f"{SEALED.rpartition('.')[0]}.{text}"):
        if one != SEALED:
            assert opened(one) in (None, LINK)


@given(anything)
def test_no_junk_is_an_address_of_ours(text: str) -> None:
    assert SIGNER.thread_of_address(text) == ""
    assert SIGNER.thread_of_address(f"deploybot+{text}@team.example") == ""


@given(anything, anything)
def test_whatever_the_key_is_our_own_message_id_is_ours_and_plain(thread_key: str, key: str) -> None:
    message_id = SIGNER.message_id("tabc-7", f"{thread_key}{key}")
    assert message_id.isascii()
    assert message_id.isprintable()
    assert " " not in message_id
    assert SIGNER.thread_of_message(message_id) == "tabc-7"


# Two secrets, while one is changed


BEFORE = Signer("an older secret for tests", ADDRESS)
CHANGED = Signer("a secret for tests", ADDRESS, ["an older secret for tests"])


def test_what_the_secret_before_signed_is_still_verified() -> None:
    assert opened(BEFORE.seal(LINK), CHANGED) == LINK
    assert CHANGED.thread_of_message(BEFORE.message_id("t1", "t1/s4/card")) == "t1"
    assert CHANGED.thread_of_address(BEFORE.reply_address("t1")) == "t1"
    assert BEFORE.message_id("t1", "t1/s4/card") in CHANGED.message_ids("t1", "t1/s4/card")


def test_the_newest_secret_alone_signs() -> None:
    assert CHANGED.message_id("t1", "t1/s4/card") == MESSAGE_ID
    assert CHANGED.reply_address("t1") == REPLY_TO
    assert opened(CHANGED.seal(LINK), SIGNER) == LINK
    assert opened(CHANGED.seal(LINK), BEFORE) is None


def test_a_secret_that_was_taken_out_verifies_nothing() -> None:
    assert opened(BEFORE.seal(LINK), SIGNER) is None
    assert SIGNER.thread_of_message(BEFORE.message_id("t1", "t1/s4/card")) == ""
    assert SIGNER.thread_of_address(BEFORE.reply_address("t1")) == ""

"""The record that leaves the house: any change to it shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.views.record import NotVerified, record, verify
from bot.views.signatures import PublicKey, SigningKey
from store.thread import Thread
from tests import PAYLOADS
from tests.stories.program import Bot
from tests.telling.story import (
    ANN,
    approved,
    chosen,
    done,
    finished,
    from_the_future,
    message,
    opened,
    requested,
    sent,
    started,
)

SECRET = "a secret for tests"
KEY = SigningKey(SECRET)
THREAD = Thread("t1").extended(
    [
        opened(),
        message(text="push it, p\u00e5 svenska \U0001f680"),
        chosen("s1", acts=True, target="prod"),
        requested("s1", "d1"),
        sent("s1/card"),
        approved("s1", ANN, "d1"),
        started("s1"),
        finished("s1"),
        done("s2"),
        from_the_future(),
    ]
)
LINES = list(record(THREAD, KEY))
WITH_HMAC = (PAYLOADS / "record-v1.jsonl").read_text().splitlines()
"""As `bot export` printed it before records were signed with Ed25519."""


def checked(lines: list[str]) -> None:
    """With the public key alone, as an auditor does."""
    verify(lines, [KEY.public])


def test_a_record_is_whole_and_holds_every_event() -> None:
    found = verify(LINES, [KEY.public])
    assert (found.thread, found.events, found.signature) == ("t1", THREAD.version, "verified")
    assert found.signer == KEY.public.fingerprint
    assert found.head == json.loads(LINES[-1])["hash"]
    kinds = [json.loads(line)["event"]["kind"] for line in LINES[1:-1]]
    assert kinds == [event.kind for event in THREAD.events]


def test_the_same_thread_gives_the_same_record() -> None:
    assert list(record(THREAD, SigningKey(SECRET))) == LINES


def test_without_a_key_nothing_is_said_about_who_signed() -> None:
    assert (verify(LINES).signature, verify(LINES).signer) == ("unverified", KEY.public.fingerprint)
    assert (verify(record(THREAD)).signature, verify(record(THREAD)).signer) == ("missing", "")


def test_of_several_keys_the_record_says_which_signed_it() -> None:
    newer = SigningKey("a newer secret for tests")
    for key in (KEY, newer):
        found = verify(record(THREAD, key), [newer.public, KEY.public])
        assert (found.signature, found.signer) == ("verified", key.public.fingerprint)


@pytest.mark.parametrize("key", [None, SigningKey("another secret for tests")])
def test_with_a_key_only_its_own_signature_counts(key: SigningKey | None) -> None:
    with pytest.raises(NotVerified, match="not signed"):
        verify(record(THREAD, key), [KEY.public])


def test_whoever_can_verify_cannot_sign() -> None:
    """All that an auditor has: the record and the public key, which is no secret of the signer."""
    guesses = (str(KEY.public), KEY.public.raw.hex(), KEY.public.fingerprint)
    for guess in guesses:
        forged = [*list(record(THREAD))[:-1], list(record(THREAD, SigningKey(guess)))[-1]]
        end = json.loads(forged[-1]) | {"key": KEY.public.fingerprint}
        for line in (forged[-1], json.dumps(end, sort_keys=True, separators=(",", ":"))):
            with pytest.raises(NotVerified):
                checked([*forged[:-1], line])


def test_a_signature_that_is_not_by_the_named_key_does_not_count() -> None:
    other = list(record(Thread("t2").extended(THREAD.events[:1]), KEY))
    moved = json.loads(LINES[-1]) | {"signature": json.loads(other[-1])["signature"]}
    with pytest.raises(NotVerified, match="the signature is wrong"):
        checked([*LINES[:-1], json.dumps(moved, sort_keys=True, separators=(",", ":"))])


def test_a_public_key_is_read_as_it_is_printed() -> None:
    assert PublicKey.parse(f" {KEY.public}\n") == KEY.public
    for wrong in ("", "ed25519:", str(KEY.public)[:-1], str(KEY.public).upper(), KEY.public.fingerprint):
        with pytest.raises(ValueError, match="is not a public key"):
            PublicKey.parse(wrong)


# Records that are older than the public key


def test_an_old_record_is_verified_by_the_secret_alone() -> None:
    found = verify(WITH_HMAC, [KEY.public], [SECRET])
    assert (found.events, found.signature, found.signer) == (THREAD.version, "verified", "")
    assert verify(WITH_HMAC).signature == "unverified"
    with pytest.raises(NotVerified, match="no public key verifies"):
        verify(WITH_HMAC, [KEY.public])
    with pytest.raises(NotVerified, match="not signed with the key in BOT_SECRET_KEY"):
        verify(WITH_HMAC, [], ["another secret for tests"])


# Whatever is changed


@given(st.integers(0, len(LINES) - 1), st.data())
def test_one_changed_character_shows(number: int, data: st.DataObject) -> None:
    line = LINES[number]
    at = data.draw(st.integers(0, len(line) - 1))
    letter = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    changed = line[:at] + letter + line[at + 1 :]
    if line == changed:
        return
    with pytest.raises(NotVerified):
        checked([*LINES[:number], changed, *LINES[number + 1 :]])


def _with_a_doubled_key(line: str) -> str:
    """Other readers take the first of two, ours the last."""
    return line.replace('"intent":', '"intent":"deploy_something_else","intent":')


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(_with_a_doubled_key, id="a doubled key"),
        pytest.param(lambda line: line.replace(",", ", ", 1), id="white space"),
        pytest.param(lambda line: f" {line}", id="white space before"),
        pytest.param(lambda line: f"{line}\r", id="another line break"),
        pytest.param(lambda line: f"{line}\n", id="two line breaks"),
        pytest.param(lambda line: f"\ufeff{line}", id="a byte order mark"),
        pytest.param(
            lambda line: json.dumps(dict(reversed(json.loads(line).items())), separators=(",", ":")), id="order"
        ),
        pytest.param(lambda line: line.replace('"n":3', '"n":3.0'), id="a number with a fraction"),
        pytest.param(lambda line: line.replace('"n":3', '"n":3e0'), id="a number with an exponent"),
        pytest.param(lambda line: line.replace('"n":3', '"n":-4'), id="another number"),
        pytest.param(lambda line: line.replace("chosen", "\\u0063hosen"), id="an escaped letter"),
        pytest.param(lambda line: line.replace('"n":3', '"n":3,"x":NaN'), id="what is not JSON"),
        pytest.param(lambda line: line.replace('"n":3', '"n":3,"signature":"00"'), id="a signature of its own"),
    ],
)
def test_a_line_is_compared_byte_for_byte(changed: Callable[[str], str]) -> None:
    assert changed(LINES[3]) != LINES[3]
    lines = [*LINES[:3], f"{changed(LINES[3])}\n", *LINES[4:]]
    for keys in ([KEY.public], []):
        with pytest.raises(NotVerified, match="Line 4"):
            verify(lines, keys)


def test_a_letter_that_is_not_escaped_shows() -> None:
    number = next(number for number, line in enumerate(LINES) if "\\u00e5" in line)
    with pytest.raises(NotVerified, match="canonical"):
        checked([*LINES[:number], LINES[number].replace("\\u00e5", "\u00e5"), *LINES[number + 1 :]])


def test_the_signature_has_one_spelling() -> None:
    end = json.loads(LINES[-1])
    for spelt in (end["signature"].upper(), f" {end['signature']}"):
        with pytest.raises(NotVerified):
            checked([*LINES[:-1], LINES[-1].replace(end["signature"], spelt)])


@pytest.mark.parametrize("number", range(len(LINES)))
def test_a_line_that_is_missing_doubled_or_moved_shows(number: int) -> None:
    without = LINES[:number] + LINES[number + 1 :]
    for changed in (without, [*LINES[: number + 1], *LINES[number:]], [LINES[number], *without][::-1]):
        with pytest.raises(NotVerified):
            checked(changed)


def test_a_record_that_was_rewritten_whole_shows_where_there_is_a_key() -> None:
    other = Thread("t1").extended([*THREAD.events[:5], *THREAD.events[6:]])
    forged = list(record(other, SigningKey("guessed secret")))
    assert verify(forged).events == other.version, "by its hashes alone it is a record"
    with pytest.raises(NotVerified, match="not signed"):
        checked(forged)


@pytest.mark.parametrize("lines", [[], [""], ["[]"], ["null"], ["{"], ["{}"], ["[" * 100_000], LINES[:1], LINES[-1:]])
def test_what_is_no_record_is_told(lines: list[str]) -> None:
    with pytest.raises(NotVerified):
        verify(lines)


async def test_the_commands(tmp_path: Path, template: Path, redis_url: str) -> None:
    bot = Bot(tmp_path, {"REDIS_URL": redis_url, "BOT_SECRET_KEY": SECRET}).with_site(template)
    auditor = Bot(tmp_path)
    thread_id = (await bot.run("send", "deploy v1.2.0 to production")).succeeded().out.strip()
    file = tmp_path / "record.jsonl"
    file.write_text((await bot.run("export", thread_id)).succeeded().out)
    public = (await bot.run("export", "--public-key")).succeeded().out.strip()
    assert public == str(KEY.public)
    whole = f"Thread {thread_id}: 2 events, complete and unchanged, signed with the key {KEY.public.fingerprint}"
    for told in (await bot.run("verify", str(file)), await auditor.run("verify", str(file), "--key", public)):
        assert told.succeeded().out.startswith(whole)
    unsure = (await auditor.run("verify", str(file))).succeeded().out
    assert "unchanged" not in unsure
    assert "the signature was not checked" in unsure
    (await auditor.run("verify", str(file), "--key", "ed25519:00")).failed("--key is not a public key", code=2)
    other = str(SigningKey("another secret for tests").public)
    (await auditor.run("verify", str(file), "--key", other)).failed("is not signed with your key")
    (await auditor.run("export", "--public-key")).failed("BOT_SECRET_KEY")
    (await bot.run("export", thread_id, "--public-key")).failed("--public-key", code=2)
    file.write_text(file.read_text().replace("production", "staging"))
    (await bot.run("verify", str(file))).failed("record.jsonl", "Line 3 was changed after the export")
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    (await auditor.run("verify", str(file))).failed("Line 1 was changed after the export")
    (await bot.run("export", "t-none")).failed("There is no thread")

"""The record that leaves the house: any change to it shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.views.record import Altered, record, verify
from store.thread import Thread
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
LINES = list(record(THREAD, SECRET))


def test_a_record_is_whole_and_holds_every_event() -> None:
    found = verify(LINES, SECRET)
    assert (found.thread, found.events, found.signed) == ("t1", THREAD.version, True)
    assert found.head == json.loads(LINES[-1])["hash"]
    kinds = [json.loads(line)["event"]["kind"] for line in LINES[1:-1]]
    assert kinds == [event.kind for event in THREAD.events]


def test_the_same_thread_gives_the_same_record() -> None:
    assert list(record(THREAD, SECRET)) == LINES


def test_without_a_key_it_is_verified_by_its_hashes() -> None:
    assert not verify(LINES).signed
    assert verify(record(THREAD)).events == THREAD.version


@pytest.mark.parametrize("secret", ["", "another secret for tests"])
def test_with_a_key_only_its_own_signature_counts(secret: str) -> None:
    with pytest.raises(Altered, match="not signed"):
        verify(record(THREAD, secret), SECRET)


@given(st.integers(0, len(LINES) - 1), st.data())
def test_one_changed_character_shows(number: int, data: st.DataObject) -> None:
    line = LINES[number]
    at = data.draw(st.integers(0, len(line) - 1))
    letter = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
    changed = line[:at] + letter + line[at + 1 :]
    if json.loads(line) == _read(changed):
        return
    with pytest.raises(Altered):
        verify([*LINES[:number], changed, *LINES[number + 1 :]], SECRET)


def _read(line: str) -> object:
    try:
        return json.loads(line)
    except ValueError:
        return None


@pytest.mark.parametrize("number", range(len(LINES)))
def test_a_line_that_is_missing_doubled_or_moved_shows(number: int) -> None:
    without = LINES[:number] + LINES[number + 1 :]
    for changed in (without, [*LINES[: number + 1], *LINES[number:]], [LINES[number], *without][::-1]):
        with pytest.raises(Altered):
            verify(changed, SECRET)


def test_a_record_that_was_rewritten_whole_shows_where_there_is_a_key() -> None:
    other = Thread("t1").extended([*THREAD.events[:5], *THREAD.events[6:]])
    forged = [*list(record(other))[:-1], list(record(other, "guessed secret"))[-1]]
    assert verify(forged).events == other.version, "by its hashes alone it is a record"
    with pytest.raises(Altered, match="not signed"):
        verify(forged, SECRET)


@pytest.mark.parametrize("lines", [[], [""], ["[]"], ["null"], ["{"], ["{}"], ["[" * 100_000], LINES[:1], LINES[-1:]])
def test_what_is_no_record_is_told(lines: list[str]) -> None:
    with pytest.raises(Altered):
        verify(lines)


async def test_the_commands(tmp_path: Path, template: Path, redis_url: str) -> None:
    bot = Bot(tmp_path, {"REDIS_URL": redis_url, "BOT_SECRET_KEY": SECRET}).with_site(template)
    thread_id = (await bot.run("send", "deploy v1.2.0 to production")).succeeded().out.strip()
    file = tmp_path / "record.jsonl"
    file.write_text((await bot.run("export", thread_id)).succeeded().out)
    told = (await bot.run("verify", str(file))).succeeded().out
    assert told.startswith(f"Thread {thread_id}: 2 events, complete and unchanged, signed")
    file.write_text(file.read_text().replace("production", "staging"))
    (await bot.run("verify", str(file))).failed("record.jsonl", "Line 3 was changed after the export")
    (await bot.run("export", "t-none")).failed("There is no thread")

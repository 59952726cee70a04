"""The files of the embedded store: what damage is found, what is mended, and that nothing else is touched.

The files are the server's own, and after each repair a server has to start on them.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
from pathlib import Path

import pytest

from store.embedded import losses
from store.embedded.aof import FOLDER, MANIFEST, read_manifest, scan
from store.embedded.check import Cut, Report, check, repair
from store.embedded.keeper import embedded
from store.embedded.server import EmbeddedRedisError
from tests.fakes.servers import opened_store
from tests.store.threads import begun, ids
from tests.telling.story import message

FIRST = "appendonly.aof.1.incr.aof"
THREADS = 3


@pytest.fixture
async def home(tmp_path: Path) -> Path:
    """Three threads of two events each."""
    home = tmp_path / "home"
    async with embedded(home) as url, opened_store(url, "bot") as store:
        for number in range(THREADS):
            await begun(store, f"t{number}")
    return home


def folder_of(home: Path) -> Path:
    return home / "redis" / FOLDER


async def stored(home: Path) -> dict[str, list[str]]:
    """The threads that a server finds there, and that one can go on with them."""
    async with embedded(home) as url, opened_store(url, "bot") as store:
        found = {row.id: await store.load(row.id) for row in sorted((await store.page()).rows, key=lambda row: row.id)}
        for thread in found.values():
            await store.append(thread, message("later"))
    return {thread_id: ids(thread) for thread_id, thread in found.items()}


WHOLE = {f"t{number}": ["opened", "m1"] for number in range(THREADS)}


async def refusal(home: Path) -> str:
    with pytest.raises(EmbeddedRedisError) as refused:
        async with embedded(home):
            pytest.fail("It started.")
    return str(refused.value)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def damage(file: Path, garbage: bytes) -> int:
    """Append it. Returns how long the file was."""
    size = file.stat().st_size
    with file.open("ab") as appended:
        appended.write(garbage)
    return size


async def test_sound_files_are_sound_and_untouched(home: Path) -> None:
    before = contents(home)
    report = check(home)
    assert report.is_sound
    assert report.events_since_snapshot == 2 * THREADS
    assert report.size_bytes == sum(path.stat().st_size for path in folder_of(home).glob("*.*.*.*"))
    assert repair(home) == (report, None)
    assert contents(home) == before


def test_where_nothing_was_stored_yet_nothing_is_wrong_or_made(tmp_path: Path) -> None:
    assert check(tmp_path / "nowhere") == Report()
    assert repair(tmp_path / "nowhere") == (Report(), None)
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "garbage", [b"\0" * 4096, b"no command\r\n", b"*2\r\n$3\r\nSET\n\n\n", b"*0\r\n", b"*-1\r\n$", b"\xff"]
)
async def test_garbage_at_the_end_is_found_explained_and_cut_off(home: Path, garbage: bytes) -> None:
    file = folder_of(home) / FIRST
    size = damage(file, garbage)
    assert "`bot store check --repair` mends it" in await refusal(home)
    before = contents(home)
    report, kept = repair(home)
    assert (report.loses_events, kept) == (True, None), "it may have been stored"
    assert contents(home) == before
    report, kept = repair(home, lose_events=True)
    assert losses.marked(home) == str(kept).rpartition("-")[2]
    assert not report.beyond_repair
    assert report.problems == (
        f"{FIRST}: after byte {size} of {size + len(garbage)} stands what is no command ({len(garbage)} bytes).",
    )
    assert report.cuts == (Cut(FIRST, size, len(garbage), 0),)
    assert kept is not None
    assert contents(kept) == {f"{FIRST}.from-{size}": garbage}
    assert kept.stat().st_mode & 0o077 == 0
    assert file.stat().st_size == size
    assert check(home).is_sound
    assert await stored(home) == WHOLE


async def test_a_command_that_the_server_does_not_know_is_found(home: Path) -> None:
    """The framing is whole; one bit of a name differs."""
    file = folder_of(home) / FIRST
    data = file.read_bytes()
    middle = data.rindex(b"*1\r\n$5\r\nMULTI")
    file.write_bytes(data[:middle] + data[middle:].replace(b"MULTI", b"LULTI", 1))
    assert "unknown command" in await refusal(home)
    assert check(home).problems[0].startswith(f"{FIRST}: after byte {middle} of {len(data)} stands what is no command")


async def test_what_the_server_refused_to_start_on_is_never_called_sound(home: Path) -> None:
    log = home / "redis.log"
    with log.open("a") as lines:
        lines.write("17:M 27 Nov 2026 04:00:00.000 # Bad file format reading the append only file: make a backup\n")
    report, kept = repair(home)
    assert (report.is_sound, report.beyond_repair, kept) == (False, True, None)
    assert (
        "The server did not start on these files ('Bad file format reading the append only file" in report.problems[0]
    )
    assert await stored(home) == WHOLE
    assert check(home).is_sound, "it has started since"


@pytest.mark.parametrize("end", [0, 500])
async def test_no_single_bit_makes_what_was_stored_look_like_the_end_of_a_write(home: Path, end: int) -> None:
    """Otherwise it would be cut off without a question."""
    whole = (folder_of(home) / FIRST).read_bytes()
    file, data = home / "flipped", bytearray(whole)
    for at in range(len(data) - end - 500, len(data) - end):
        for bit in range(8):
            data[at] ^= 1 << bit
            file.write_bytes(data)
            assert scan(file).damage in ("", "garbage"), f"bit {bit} of byte {at}"
            data[at] ^= 1 << bit


async def test_at_every_byte_a_cut_file_is_mended_to_whole_transactions(home: Path) -> None:
    file = folder_of(home) / FIRST
    data = file.read_bytes()
    ends = {0}
    for end in range(len(data) + 1):
        os.truncate(file, 0)
        file.write_bytes(data[:end])
        found = scan(file)
        if not found.damage:
            assert found.sound_bytes == end
            ends.add(end)
        else:
            assert found.damage == "cut off"
            assert found.sound_bytes == max(ends)
    assert max(ends) == len(data)
    # The server agrees about a sample of them: what it keeps of a cut file is what we call sound.
    cut = sorted(ends)[-2] + 1
    file.write_bytes(data[:cut])
    assert check(home).cuts == (Cut(FIRST, cut - 1, 1, 0),)
    mended, _ = repair(home)
    assert not mended.loses_events
    assert not losses.marked(home)
    assert mended.events_since_snapshot == 2 * THREADS - 2
    assert file.read_bytes() == data[: cut - 1]
    assert list(await stored(home)) == ["t0", "t1"]


async def test_events_after_the_damage_are_counted_and_kept(home: Path) -> None:
    file = folder_of(home) / FIRST
    data = file.read_bytes()
    middle = data.rindex(b"*1\r\n$5\r\nMULTI")
    file.write_bytes(data[:middle] + b"\0" * 8 + data[middle:])
    report, kept = repair(home, lose_events=True)
    assert report.cuts == (Cut(FIRST, middle, 8 + len(data) - middle, 2),)
    assert "parts of 2 events can be recognised there" in report.problems[0]
    assert kept is not None
    assert (kept / f"{FIRST}.from-{middle}").read_bytes() == b"\0" * 8 + data[middle:]
    assert list(await stored(home)) == ["t0", "t1"]


async def test_files_after_a_damaged_one_go_with_it(home: Path) -> None:
    """As while the base is written anew: two files of commands."""
    folder = folder_of(home)
    data = (folder / FIRST).read_bytes()
    middle = data.rindex(b"*1\r\n$5\r\nMULTI")
    second = "appendonly.aof.2.incr.aof"
    (folder / FIRST).write_bytes(data[:middle] + b"torn")
    (folder / second).write_bytes(b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n" + data[middle:])
    with (folder / MANIFEST).open("a") as manifest:
        manifest.write(f"file {second} seq 2 type i\n")
    report, kept = repair(home, lose_events=True)
    assert [(cut.file, cut.from_byte, cut.events) for cut in report.cuts] == [(FIRST, middle, 0), (second, 0, 2)]
    assert kept is not None
    assert sorted(contents(kept)) == [f"{FIRST}.from-{middle}", f"{second}.from-0"]
    assert list(await stored(home)) == ["t0", "t1"]


async def test_an_unfinished_write_before_the_last_file_is_not_the_end_of_it(home: Path) -> None:
    folder = folder_of(home)
    data = (folder / FIRST).read_bytes()
    (folder / FIRST).write_bytes(data[:-3])
    second = "appendonly.aof.2.incr.aof"
    with (folder / MANIFEST).open("a") as manifest:
        manifest.write(f"file {second} seq 2 type i\n")
    (folder / second).write_bytes(b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n")
    report, kept = repair(home)
    assert (report.loses_events, kept) == (True, None)
    (folder / second).write_bytes(b"")
    report, kept = repair(home)
    assert not report.loses_events
    assert kept is not None


async def test_events_are_cut_off_only_when_no_process_is_left_that_could_act_at_once(home: Path) -> None:
    """Such as one that tries to start the server on these files again and again."""
    damage(folder_of(home) / FIRST, b"\0")
    with (home / "users.lock").open() as user:
        fcntl.flock(user, fcntl.LOCK_SH)
        assert not check(home).is_sound
        with pytest.raises(EmbeddedRedisError, match=r"^A server uses the files under .* Stop `bot run`"):
            repair(home, lose_events=True)
    assert repair(home, lose_events=True)[1] is not None


async def test_a_server_drops_the_unfinished_end_of_a_write_by_itself(home: Path) -> None:
    damage(folder_of(home) / FIRST, b"*1\r\n$5\r\nMULTI\r\n*3\r\n$4\r\nSADD\r\n$5\r\nbot:")
    assert await stored(home) == WHOLE


async def test_a_server_never_drops_what_was_stored(home: Path) -> None:
    """One bit of a length differs, so that it points past the end of the file."""
    file = folder_of(home) / FIRST
    data = file.read_bytes()
    length = data.rindex(b"\r\n$1") + 3
    file.write_bytes(data[:length] + b"9" + data[length + 1 :])
    before = contents(folder_of(home))
    assert "Its data is damaged. `bot store check`" in await refusal(home)
    assert contents(folder_of(home)) == before
    assert repair(home)[0].loses_events


@pytest.mark.parametrize("text", [None, "", "file ../x seq 1 type b\n", "file appendonly.aof.1.base.rdb seq 1 type b"])
async def test_a_lost_manifest_is_written_anew_and_no_server_starts_without(home: Path, text: str | None) -> None:
    manifest = folder_of(home) / MANIFEST
    before = manifest.read_text()
    if text is None:
        manifest.unlink()
        assert "is not started: it has data but no list of its files. `bot store check`" in await refusal(home)
    else:
        manifest.write_text(text)
    data = {name: data for name, data in contents(folder_of(home)).items() if name != MANIFEST}
    report, kept = repair(home)
    assert "appendonly.aof.manifest is missing or unreadable" in report.problems[0]
    assert manifest.read_text() == before
    assert kept is not None
    assert contents(kept) == ({} if text is None else {MANIFEST: text.encode()})
    assert {name: contents(folder_of(home))[name] for name in data} == data
    assert await stored(home) == WHOLE


async def test_a_lost_manifest_of_files_that_may_not_belong_together_is_not_guessed(home: Path) -> None:
    folder = folder_of(home)
    (folder / "appendonly.aof.2.base.rdb").write_bytes((folder / "appendonly.aof.1.base.rdb").read_bytes())
    (folder / MANIFEST).unlink()
    before = contents(folder)
    report, kept = repair(home)
    assert report.beyond_repair
    assert kept is None
    assert contents(folder) == before


async def test_a_missing_file_is_named_and_not_made_up(home: Path) -> None:
    (folder_of(home) / FIRST).unlink()
    report, kept = repair(home)
    assert report.problems == (f"{FIRST}: missing, though {MANIFEST} names it.",)
    assert (report.beyond_repair, kept) == (True, None)
    assert "`bot store check`" in await refusal(home)


async def test_a_damaged_base_is_found_and_not_cut(home: Path) -> None:
    base = folder_of(home) / "appendonly.aof.1.base.rdb"
    data = base.read_bytes()
    base.write_bytes(data[:-3] + b"\0\0\0")
    report, kept = repair(home)
    assert report.problems[0].startswith("appendonly.aof.1.base.rdb: damaged (")
    assert (report.beyond_repair, kept) == (True, None)
    assert "`bot store check`" in await refusal(home)


async def test_after_a_rewrite_of_the_base_all_is_sound_as_well(home: Path) -> None:
    async with embedded(home) as url, opened_store(url, "bot") as store:
        client = store._redis.client
        await client.bgrewriteaof()
        while (await client.info("persistence"))["aof_rewrite_in_progress"]:  # noqa: ASYNC110 - the server says nothing
            await asyncio.sleep(0.01)
        await begun(store, "after")
    manifest = read_manifest(folder_of(home))
    assert manifest is not None
    assert manifest.base == "appendonly.aof.2.base.rdb"
    report = check(home)
    assert report.is_sound
    assert report.events_since_snapshot == 2, "those in the snapshot are not counted"
    damage(folder_of(home) / manifest.commands[-1], b"\0\0")
    repair(home, lose_events=True)
    assert await stored(home) == {"after": ["opened", "m1"]} | WHOLE


async def test_while_a_server_uses_the_files_nobody_checks_them(home: Path) -> None:
    async with embedded(home):
        for look in (check, repair):
            with pytest.raises(EmbeddedRedisError, match=r"^A server uses the files under .* Stop `bot run`"):
                await asyncio.to_thread(look, home)


async def test_a_copy_that_cannot_be_kept_leaves_everything_as_it_was(home: Path) -> None:
    damage(folder_of(home) / FIRST, b"\0" * 64)
    before = contents(home)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))  # as on a full disk
    try:
        with pytest.raises(EmbeddedRedisError, match=r"\(File too large\), so nothing was cut off\. Free"):
            repair(home, lose_events=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert contents(home) == before

"""Checks the files of the embedded store, and mends what can be mended exactly. For `bot store check`.

It holds the server's lock meanwhile, so no server runs or starts. Mending means to cut off: everything up to the first
damage stays as it is, the rest is copied to a folder of its own and removed. Nothing is guessed: where events in the
middle would be missing, or the files may not belong together, only a backup helps, and this module says so.

Only the unfinished end of a write is cut without a question, because nobody was told that it was stored. Anything else
may have been, such as that a call was approved, begun or done; without that, it would run again. So it is cut only if
the caller accepts the loss, and it is marked (`store.embedded.losses`): people are told before anybody acts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from store.embedded import losses
from store.embedded.aof import FOLDER, MANIFEST, Manifest, Scan, has_data, manifest_from_names, read_manifest, scan
from store.embedded.ending import truncate
from store.embedded.server import EmbeddedRedisError, Home, server_binary
from store.embedded.supervisor import DATA, SERVER_LOCK, USERS_LOCK

LOCK_SECONDS_MAX = 2.0
"""A server that fails while it starts holds the lock for a moment, again and again."""
POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Cut:
    """What has to go from the end of a file."""

    file: str
    from_byte: int
    size_bytes: int
    events: int
    """At most; the damage may hide some."""


@dataclass(frozen=True, slots=True)
class Report:
    exists: bool = False
    """There are files of a store."""
    size_bytes: int = 0
    events_since_snapshot: int = 0
    """In what is sound. The snapshot is a file that only the server reads."""
    problems: tuple[str, ...] = ()
    cuts: tuple[Cut, ...] = ()
    loses_events: bool = False
    """What has to go may hold events that were stored."""
    manifest: Manifest | None = None
    """To be written, because there is none."""
    beyond_repair: bool = False

    @property
    def is_sound(self) -> bool:
        return not self.problems


def check(home: Path) -> Report:
    """Raises EmbeddedRedisError, also while a server uses the folder."""
    with _alone(home):
        return _judged(home)


def repair(home: Path, *, lose_events: bool = False) -> tuple[Report, Path | None]:
    """What was wrong, and where a copy of what was removed is kept; None: nothing was. Raises EmbeddedRedisError.

    `lose_events`: cut off also what may hold events that were stored.
    """
    folder = home / DATA / FOLDER
    with _alone(home, also_of_users=lose_events):
        report = _judged(home)
        if report.is_sound or report.beyond_repair or (report.loses_events and not lose_events):
            return report, None
        name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        kept = home / f"redis-cut-{name}"
        _keep(report, folder, kept)
        if report.loses_events:
            losses.mark(home, name)
        for cut in reversed(report.cuts):  # From the end, so that a crash leaves no gap that looks sound.
            truncate(folder / cut.file, cut.from_byte)
        if report.manifest:
            _replace(folder / MANIFEST, report.manifest.text)
        left = _inspected(folder)
    if not left.is_sound:
        raise EmbeddedRedisError(
            f"The repair did not help: {' '.join(left.problems)} What was cut is in {str(kept)!r}."
        )
    return report, kept


def _keep(report: Report, folder: Path, kept: Path) -> None:
    """Copy all that will go. If that fails, as on a full disk, everything stays as it was."""
    kept.mkdir(mode=0o700)
    try:
        for cut in report.cuts:
            _copy(folder / cut.file, cut.from_byte, kept / f"{cut.file}.from-{cut.from_byte}")
        if report.manifest and (folder / MANIFEST).exists():
            _copy(folder / MANIFEST, 0, kept / MANIFEST)
    except OSError as error:
        shutil.rmtree(kept, ignore_errors=True)
        raise EmbeddedRedisError(
            f"A copy of what has to go cannot be kept under {str(kept.parent)!r} ({error.strerror}), so nothing was "
            "cut off. Free some space there, and try again."
        ) from error


@contextlib.contextmanager
def _alone(home: Path, *, also_of_users: bool = False) -> Iterator[None]:
    """Holds the server's lock. Turns every OSError into EmbeddedRedisError.

    `also_of_users`: and the users' lock, so that not even a process is left whose server does not start.
    """
    try:
        if not home.is_dir():
            yield
            return
        with contextlib.ExitStack() as held:
            for name in (USERS_LOCK, SERVER_LOCK) if also_of_users else (SERVER_LOCK,):
                lock = os.open(home / name, os.O_RDWR | os.O_CREAT, 0o600)
                held.callback(os.close, lock)
                _take(lock, home)
            yield
    except OSError as error:
        file = f" ({error.filename!r})" if error.filename else ""
        raise EmbeddedRedisError(f"Checking the files under {str(home)!r} failed: {error.strerror}{file}.") from error


def _take(lock: int, home: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS_MAX
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise EmbeddedRedisError(
                    f"A server uses the files under {str(home)!r}. Stop `bot run` and all other commands of this "
                    "BOT_HOME, and try again."
                ) from None
            time.sleep(POLL_SECONDS)
        else:
            return


def _judged(home: Path) -> Report:
    """What the files say, and what the server said about them."""
    report = _inspected(home / DATA / FOLDER)
    at = Home(home)
    if report.exists and report.is_sound and (said := at.refused_its_data()):
        problem = (
            f"The server did not start on these files ({said!r}, {at.log}), though nothing wrong is found in them. "
            "If they were replaced since, start the bot."
        )
        return replace(report, problems=(problem,), beyond_repair=True)
    return report


def _inspected(folder: Path) -> Report:
    manifest = read_manifest(folder)
    if manifest is None and not has_data(folder):
        return Report()
    problems: list[str] = []
    rebuilt: Manifest | None = None
    if manifest is None:
        problems.append(f"{MANIFEST} is missing or unreadable, so the server cannot know which files belong together.")
        manifest = rebuilt = manifest_from_names(folder)
    if manifest is None:
        problems.append("Their names leave several answers open.")
        return Report(exists=True, problems=tuple(problems), beyond_repair=True)
    if missing := [name for name in manifest.names if not (folder / name).is_file()]:
        problems.append(f"{', '.join(missing)}: missing, though {MANIFEST} names it.")
        return Report(exists=True, problems=tuple(problems), beyond_repair=True)
    if manifest.base and (wrong := _wrong_with_base(folder / manifest.base)):
        problems.append(f"{manifest.base}: {wrong}")
        return Report(exists=True, problems=tuple(problems), beyond_repair=True)
    scans = {name: scan(folder / name) for name in manifest.commands}
    report = _with_cuts(scans, Report(exists=True, problems=tuple(problems), manifest=rebuilt))
    return replace(report, size_bytes=sum((folder / name).stat().st_size for name in manifest.names))


def _with_cuts(scans: dict[str, Scan], report: Report) -> Report:
    """`scans`: in the order in which the server reads the files."""
    names = list(scans)
    for number, (name, found) in enumerate(scans.items()):
        report = replace(report, events_since_snapshot=report.events_since_snapshot + found.events)
        if not found.damage:
            continue
        later = {other: scans[other] for other in names[number + 1 :] if scans[other].size_bytes}
        cuts = [Cut(name, found.sound_bytes, found.size_bytes - found.sound_bytes, found.events_after)]
        cuts += [Cut(other, 0, one.size_bytes, one.events + one.events_after) for other, one in later.items()]
        problems = [_damage_of(name, found)]
        problems += [f"{other}: follows the damage, so it cannot stand without what is missing." for other in later]
        loses = found.damage != "cut off" or bool(later)
        return replace(report, problems=(*report.problems, *problems), cuts=tuple(cuts), loses_events=loses)
    return report


def _damage_of(name: str, found: Scan) -> str:
    rest = found.size_bytes - found.sound_bytes
    where = f"{name}: after byte {found.sound_bytes} of {found.size_bytes}"
    if found.damage == "cut off":
        return f"{where}, the last command or transaction is cut off ({rest} bytes)."
    hidden = f"; parts of {found.events_after} events can be recognised there" if found.events_after else ""
    return f"{where} stands what is no command ({rest} bytes{hidden})."


def _wrong_with_base(path: Path) -> str:
    """What is wrong with a snapshot; empty: nothing. Its end cannot be cut: its checksum covers the whole."""
    if path.suffix == ".aof":
        return "damaged." if scan(path).damage else ""
    # The server's binary is this tool, too, when it is called by its name.
    done = subprocess.run(
        ["valkey-check-rdb", str(path)], executable=server_binary(), stdin=subprocess.DEVNULL, capture_output=True
    )
    if done.returncode == 0:
        return ""
    said = [line for line in done.stdout.decode(errors="replace").splitlines() if line.strip()]
    reason = next((line for line in said if "ERROR" in line.upper()), said[-1] if said else "no reason given")
    return f"damaged ({reason.strip()[:200]})."


def _copy(source: Path, from_byte: int, target: Path) -> None:
    with source.open("rb") as read, target.open("xb") as written:
        os.fchmod(written.fileno(), 0o600)
        read.seek(from_byte)
        shutil.copyfileobj(read, written)
        written.flush()
        os.fsync(written.fileno())
    _sync_folder(target.parent)


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f"temp-{path.name}")
    with new.open("w", encoding="ascii") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

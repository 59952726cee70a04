"""What `bot init` keeps: `.env` as it was and the new lines, for its owner alone, whole or not at all."""

from __future__ import annotations

import resource
import stat
import subprocess
from pathlib import Path

import pytest

from bot.cli.init import kept
from bot.cli.init.mailboxes import KNOWN, with_login, without_login
from channels.email.servers import imap_server, smtp_server
from channels.inbound import Refused
from store.variables import env_file

HARD = r"""a b'c"d\e#f$g`h=i é"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_its_owners_alone_and_reads_as_it_was_written(folder: Path) -> None:
    kept.keep({"SLACK_BOT_TOKEN": "xoxb-1", "OPENAI_API_KEY": HARD})
    assert env_file() == ({"SLACK_BOT_TOKEN": "xoxb-1", "OPENAI_API_KEY": HARD}, [])
    assert mode(folder / ".env") == 0o600
    assert [one.name for one in folder.iterdir()] == [".env"]


def test_the_lines_of_others_stay(folder: Path) -> None:
    before = "# ours\r\nexport A=1\r\n\nOPENAI_MODEL='old'  # which\nB='two\nlines'\nC=3"
    (folder / ".env").write_bytes(before.encode())
    (folder / ".env").chmod(0o644)
    assert kept.differing({"OPENAI_MODEL": "new", "A": "1", "D": "4"}) == ["OPENAI_MODEL"]
    kept.keep({"OPENAI_MODEL": "new", "A": "2", "D": "4"})
    text = (folder / ".env").read_bytes().decode()
    assert text == "# ours\r\nexport A=2\n\nOPENAI_MODEL=new\nB='two\nlines'\nC=3\nD=4\n"
    assert mode(folder / ".env") == 0o600


def test_a_link_stays_one(folder: Path) -> None:
    (folder / "real").write_text("A=1\n")
    (folder / ".env").symlink_to("real")
    kept.keep({"B": "2"})
    assert (folder / ".env").is_symlink()
    assert (folder / "real").read_text() == "A=1\nB=2\n"


def test_what_it_cannot_hold_is_refused_and_not_shown(folder: Path) -> None:
    (folder / ".env").write_text("A=1\n")
    with pytest.raises(Refused, match="cannot hold OPENAI_API_KEY") as refused:
        kept.keep({"OPENAI_API_KEY": "sk-${A}"})
    assert "sk-" not in str(refused.value)
    assert (folder / ".env").read_text() == "A=1\n"
    (folder / ".env").write_bytes(b"\xff")
    with pytest.raises(Refused, match="cannot be read"):
        kept.keep({"A": "1"})


def test_nothing_is_left_where_it_cannot_be_written(folder: Path) -> None:
    (folder / ".env").write_text("A=1\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6, hard))  # As if the disk were full after six bytes.
    try:
        with pytest.raises(Refused, match="cannot be written: File too large"):
            kept.keep({"B": "2"})
        with pytest.raises(Refused, match="cannot be written: File too large"):
            kept.create(folder / "bot.toml", "too much")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {one.name: one.read_text() for one in folder.iterdir()} == {".env": "A=1\n"}


def test_a_file_that_exists_is_not_created_again(folder: Path) -> None:
    kept.create(folder / "bot.toml", "first")
    with pytest.raises(Refused, match="cannot be written: File exists"):
        kept.create(folder / "bot.toml", "second")
    assert (folder / "bot.toml").read_text() == "first"


def test_it_sees_what_git_would_commit(folder: Path) -> None:
    assert kept.git_of() == "no git"
    subprocess.run(["git", "init", "--quiet"], check=True)
    assert kept.git_of() == "not ignored"
    (folder / ".gitignore").write_text("*.pyc")
    kept.ignore()
    assert (folder / ".gitignore").read_text() == "*.pyc\n.env\n"
    assert kept.git_of() == "ignored"
    (folder / ".env").write_text("A=1\n")
    subprocess.run(["git", "add", "--force", ".env"], check=True)
    assert kept.git_of() == "tracked"


# The URLs of mailboxes, which hold the password


@pytest.mark.parametrize("domain", KNOWN)
def test_the_servers_that_are_known_take_the_login(domain: str) -> None:
    known = KNOWN[domain]
    imap = imap_server(with_login(known.imap, "imaps", f"bot@{domain}", "p/w?#@${x}"))
    smtp = smtp_server(with_login(known.smtp, "smtps", f"bot@{domain}", "p/w?#@${x}"))
    for server in (imap, smtp):
        assert (server.user, server.password) == (f"bot@{domain}", "p/w?#@${x}")
        assert server.security in ("tls", "starttls")


def test_a_host_alone_is_reached_by_tls() -> None:
    assert with_login("mail.example.com", "imaps", "u", "p") == "imaps://u:p@mail.example.com"
    assert with_login("mail.example.com:1993", "imaps", "u", "p") == "imaps://u:p@mail.example.com:1993"
    assert with_login("imaps://a:b@mail.example.com/X", "imaps", "u", "p") == "imaps://a:b@mail.example.com/X"
    assert with_login("smtp://127.0.0.1:25", "smtps", "u", "p") == "smtp://127.0.0.1:25"
    assert without_login("imaps://a%40b:c@mail.example.com:993/X") == "imaps://mail.example.com:993/X"
    assert without_login("") == ""

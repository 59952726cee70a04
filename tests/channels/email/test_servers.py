"""IMAP_URL and SMTP_URL: what they say, what is refused, and that no error shows a password."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email.servers import MailServer, imap_server, smtp_server
from channels.hosts import is_loopback

SECRET = "hunter2"


def refusal(read: Callable[[str], MailServer], url: str) -> str:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - its words are looked at
        read(url)
    # What it was raised from would be in a traceback.
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__ or error.value.__context__ is None
    return str(error.value)


def test_an_imap_url_has_what_is_usual_where_it_says_nothing() -> None:
    assert imap_server("imaps://bot:pw@mail.team.example") == MailServer(
        host="mail.team.example", port=993, security="tls", user="bot", password="pw", folder="INBOX"
    )
    assert imap_server("imap://bot:pw@127.0.0.1").port == 143
    assert imap_server("imap://bot:pw@localhost:1143/").folder == "INBOX"


def test_an_smtp_url_has_what_is_usual_where_it_says_nothing() -> None:
    assert smtp_server("smtps://mail.team.example") == MailServer("mail.team.example", 465, "tls")
    assert smtp_server("smtp://mail.team.example?starttls=required").port == 587
    assert smtp_server("smtp://mail.team.example?starttls=required").security == "starttls"
    assert smtp_server("smtp://localhost:25") == MailServer("localhost", 25, "none")


def test_a_folder_is_named_in_the_path() -> None:
    assert imap_server("imaps://bot:pw@mail.example/Deploys%20now").folder == "Deploys now"
    assert imap_server("imaps://bot:pw@mail.example/Team/Deploys").folder == "Team/Deploys"


def test_a_password_may_hold_any_character_that_is_escaped() -> None:
    server = imap_server("imaps://bot%40team.example:p%2F%3F%23%40%3A%25%20%C3%A9@mail.example:1993/INBOX")
    assert (server.user, server.password) == ("bot@team.example", "p/?#@:% é")
    assert (server.host, server.port) == ("mail.example", 1993)


def test_the_unescaped_at_sign_of_a_user_is_understood() -> None:
    assert smtp_server("smtps://bot@team.example:pw@mail.example").user == "bot@team.example"


def test_ipv6_is_a_host_too() -> None:
    assert smtp_server("smtp://[::1]:2525") == MailServer("::1", 2525, "none")
    assert smtp_server("smtps://[2001:db8::1]").host == "2001:db8::1"


@pytest.mark.parametrize(
    ("read", "url", "says"),
    [
        (imap_server, f"imaps://bot:{SECRET}/x@mail.example", "%2F"),
        (imap_server, f"imaps://bot:{SECRET}#x@mail.example", "%23"),
        (imap_server, f"imaps://bot:{SECRET}?x@mail.example", "%3F"),
        (smtp_server, f"smtps://bot:{SECRET}/x@mail.example", "%2F"),
        (smtp_server, f"smtps://bot:{SECRET}@mail.example:70000", "not a URL"),
        (smtp_server, f"smtps://bot:{SECRET}@mail.example:mail", "not a URL"),
        (smtp_server, f"smtps://bot:{SECRET}@[::1", "not a URL"),
        (imap_server, f"https://bot:{SECRET}@mail.example", "begins with imaps://"),
        (imap_server, f"smtps://bot:{SECRET}@mail.example", "begins with imaps://"),
        (smtp_server, f"imaps://bot:{SECRET}@mail.example", "begins with smtps://"),
        (smtp_server, f"bot:{SECRET}@mail.example", "begins with smtps://"),
        (smtp_server, f"smtps://bot:{SECRET}@", "begins with smtps://"),
        (smtp_server, "", "begins with smtps://"),
        (imap_server, f"imap://bot:{SECRET}@127.0.0.1?starttls=required", "support starttls"),
        (imap_server, "imaps://mail.example", "needs a user and a password"),
        (imap_server, "imaps://bot@mail.example", "needs a user and a password"),
        (imap_server, f"imaps://:{SECRET}@mail.example", "needs a user and a password"),
        (smtp_server, f"smtps://bot:{SECRET}@mail.example?starttls=required", "TLS from the first byte"),
        (smtp_server, f"smtp://bot:{SECRET}@mail.example?starttls=yes", "supports only the option"),
        (smtp_server, f"smtp://bot:{SECRET}@mail.example?starttls", "supports only the option"),
        (smtp_server, f"smtps://bot:{SECRET}@mail.example?verify=no", "supports only the option"),
        (smtp_server, f"smtp://bot:{SECRET}@mail.example?starttls=required&verify=no", "supports only the option"),
        (smtp_server, f"smtp://bot:{SECRET}@mail.example", "in the clear"),
        (imap_server, f"imap://bot:{SECRET}@10.0.0.1", "in the clear"),
        (imap_server, f"imap://bot:{SECRET}@localhost.example", "in the clear"),
        (smtp_server, f"smtps://bot:{SECRET}%0d%0aQUIT@mail.example", "control character"),
        (imap_server, f"imaps://bot%00:{SECRET}@mail.example", "control character"),
    ],
)
def test_what_is_wrong_is_told_without_the_password(read: Callable[[str], MailServer], url: str, says: str) -> None:
    told = refusal(read, url)
    assert says in told
    assert SECRET not in told


@pytest.mark.parametrize(
    "rest",
    [
        "123#456",
        "123/456",
        "123?456",
    ],
)
def test_a_password_of_digits_whose_escapes_were_forgotten_is_not_taken_for_a_port(rest: str) -> None:
    assert "123" not in refusal(smtp_server, f"smtps://bot:{rest}@mail.example")


def test_neither_a_server_nor_where_it_is_shows_the_password() -> None:
    server = smtp_server(f"smtps://bot:{SECRET}@mail.example")
    assert SECRET not in repr(server)
    assert SECRET not in f"{server} {server.where}"
    assert server.where == "mail.example:465"


def test_certificates_and_names_are_checked_wherever_there_is_tls() -> None:
    for url in ("smtps://mail.example", "smtp://mail.example?starttls=required", "smtps://localhost"):
        tls = smtp_server(url).tls()
        assert tls is not None
        assert (tls.verify_mode, tls.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert smtp_server("smtp://127.0.0.1").tls() is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "192.0.2.1", "::", "localhost.example", "127.0.0.1.example", "", "2130706433"]
)
def test_another_machine_is_not(host: str) -> None:
    assert not is_loopback(host)


@given(st.text(max_size=60) | st.text(max_size=30).map(lambda text: f"smtp://{text}"))
def test_no_junk_raises_anything_else_or_leaves_this_machine_in_the_clear(text: str) -> None:
    for read in (imap_server, smtp_server):
        try:
            server = read(text)
        except UnicodeError:
            raise
        except ValueError:
            continue
        assert server.security != "none" or is_loopback(server.host)

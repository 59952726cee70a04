"""Sends mails over a small pool of SMTP connections, and interprets the server's replies.

It has no queue and retries nothing, because unsent messages are in the thread's log. 4xx is a temporary failure and 5xx
a permanent one (RFC 5321, 4.2.1). A lost connection is temporary too: the same mail is sent again with the same
Message-ID, because the server may or may not have accepted it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import aiosmtplib
import structlog
from aiosmtplib.errors import (
    SMTPAuthenticationError,
    SMTPDataError,
    SMTPException,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from channels.base import ChannelUnavailable, SendFailed, SentInPart
from channels.email.letters import Letter
from channels.email.servers import LoginRefused, MailServer, TokenUnavailable
from store.text import one_line

log = structlog.get_logger(__name__)

CONNECTIONS_MAX = 4
IDLE_SECONDS_MAX = 30.0
"""A connection that was idle for longer is replaced, because servers close idle connections."""
SECONDS_MAX = 45.0
RETRY_SECONDS = 30.0
RETRY_AFTER_REPAIR_SECONDS = 600.0
RETRY_AFTER_LOGIN_SECONDS = 5.0
"""It costs a look at the store, and backs off with each attempt."""
GIVE_UP_SECONDS = 120.0
"""After this long, a mail that some recipients accepted counts as sent and the others as failed, because the thread's
later messages wait for it. A mail that no recipient accepted is retried for hours.
"""
REMEMBERED_MAX = 1_000


class Outbox:
    def __init__(self, server: MailServer, sender: str) -> None:
        self._server = server
        self._sender = sender
        self._idle: list[tuple[aiosmtplib.SMTP, float]] = []
        self._room = asyncio.Semaphore(CONNECTIONS_MAX)
        self._taken: dict[str, set[str]] = {}
        """By Message-ID: the recipients that have accepted one of the last mails, so that a retry skips them."""

    async def deliver(self, letter: Letter, *, owed_seconds: float = 0.0) -> None:
        """Raises SendFailed, or SentInPart if some recipients were refused for good."""
        taken = self._taken.get(letter.message_id, set())
        left = [one for one in letter.recipients if one not in taken]
        refused = await self._hand_over(letter, left) if left else {}
        taken = taken | set(left) - set(refused)
        self._remember(letter.message_id, taken)
        later = {one: text for one, (code, text) in refused.items() if code < 500}
        if later and not (taken and owed_seconds > GIVE_UP_SECONDS):
            raise SendFailed(_listed(later), RETRY_SECONDS)
        if not taken:
            raise SendFailed(_listed({one: text for one, (_, text) in refused.items()}))
        if refused:
            raise SentInPart(letter.message_id, {one: text for one, (_, text) in refused.items()})

    def _remember(self, message_id: str, taken: set[str]) -> None:
        if taken:
            self._taken[message_id] = taken
            if len(self._taken) > REMEMBERED_MAX:
                self._taken.pop(next(iter(self._taken)))

    async def _hand_over(self, letter: Letter, recipients: list[str]) -> dict[str, tuple[int, str]]:
        """The refused recipients, with the code and the text of the reply."""
        try:
            async with self._connection() as client:
                refused, _ = await client.sendmail(self._sender, recipients, letter.data)
                return {one: (answer.code, _reply_text(answer.code, answer.message)) for one, answer in refused.items()}
        except SMTPRecipientsRefused as error:
            return {one.recipient: (one.code, _reply_text(one.code, one.message)) for one in error.recipients}
        except LoginRefused as error:
            # It is not about this mail, which goes out when a person has done what the error says.
            raise SendFailed(str(error), RETRY_AFTER_LOGIN_SECONDS, until_repaired=True) from error
        except TokenUnavailable as error:
            raise SendFailed(f"There is no access token for the mail server: {error}.", RETRY_SECONDS) from error
        except SMTPDataError as error:
            return dict.fromkeys(recipients, (error.code, _reply_text(error.code, error.message)))
        except SMTPResponseException as error:
            # Such a reply (no service, authentication required, sender refused) is not about this mail.
            is_login = isinstance(error, SMTPAuthenticationError)
            what = "rejects the login" if is_login and error.code >= 500 else "says"
            text = f"The mail server {self._server.where} {what}: {_reply_text(error.code, error.message)}."
            retry = RETRY_SECONDS if error.code < 500 else RETRY_AFTER_REPAIR_SECONDS
            raise SendFailed(text, retry) from error
        except (SMTPException, OSError, TimeoutError) as error:
            raise SendFailed(
                f"The mail server {self._server.where} is in trouble: {_error_text(error)}.", RETRY_SECONDS
            ) from error

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[aiosmtplib.SMTP]:
        async with self._room:
            client = await self._ready()
            try:
                yield client
            except (SMTPResponseException, SMTPRecipientsRefused):
                self._keep(client)  # the server replied, so the connection still works
                raise
            except BaseException:
                client.close()
                raise
            self._keep(client)

    def _keep(self, client: aiosmtplib.SMTP) -> None:
        if client.is_connected:
            self._idle.append((client, time.monotonic()))

    async def _ready(self) -> aiosmtplib.SMTP:
        while self._idle:
            client, since = self._idle.pop()
            if client.is_connected and time.monotonic() - since < IDLE_SECONDS_MAX:
                try:
                    await client.rset()  # also tests the connection
                    return client
                except (SMTPException, OSError, TimeoutError):
                    pass
                except BaseException:
                    client.close()
                    raise
            client.close()
        return await connect(self._server)

    async def aclose(self) -> None:
        while self._idle:
            client, _ = self._idle.pop()
            with contextlib.suppress(SMTPException, OSError, TimeoutError):
                await client.quit(timeout=2)
            client.close()


async def connect(server: MailServer) -> aiosmtplib.SMTP:
    """A connected, authenticated client. Raises aiosmtplib's exceptions, and LoginRefused and TokenUnavailable."""
    tokens = server.tokens
    if tokens is None:
        return await _connect(server, "")
    token = await tokens.token()
    try:
        return await _connect(server, token)
    except SMTPAuthenticationError as error:
        if error.code < 500 or not tokens.rejected(token):
            raise
    # It was over before its time, or revoked.
    return await _connect(server, await tokens.token())


async def _connect(server: MailServer, token: str) -> aiosmtplib.SMTP:
    async def given() -> str:
        return token

    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        use_tls=server.security == "tls",
        start_tls=server.security == "starttls",
        tls_context=server.tls(),
        username=server.user or None,
        password=server.password or None,
        oauth_token_generator=given if token else None,
        timeout=SECONDS_MAX,
    )
    try:
        await client.connect()
    except BaseException:
        client.close()
        raise
    return client


async def check(server: MailServer) -> None:
    """For `bot doctor`. Raises ChannelUnavailable."""
    try:
        client = await connect(server)
        await client.quit()
    except LoginRefused as error:
        raise ChannelUnavailable(str(error)) from None
    except TokenUnavailable as error:
        raise ChannelUnavailable(f"There is no access token for SMTP: {error}.") from None
    except SMTPAuthenticationError as error:
        remedy = (
            "Allow authenticated SMTP for the mailbox, and the app to send." if server.tokens else "Correct SMTP_URL."
        )
        raise ChannelUnavailable(f"SMTP at {server.where}: {_error_text(error)}. {remedy}") from None
    except (SMTPException, OSError, TimeoutError) as error:
        raise ChannelUnavailable(f"SMTP at {server.where}: {_error_text(error)}. Correct SMTP_URL.") from None


def _listed(refused: dict[str, str]) -> str:
    return "Refused: " + "; ".join(f"{one}: {text}" for one, text in refused.items())[:800] + "."


def _reply_text(code: int, text: str) -> str:
    return f"{code} {one_line(text, 300)}"


def _error_text(error: BaseException) -> str:
    return one_line(str(error), 300).rstrip(".") or type(error).__name__

"""Explains the failures of an endpoint, in one line for the model or a person: what, where, what to do.

It knows how endpoints and the layers below them word their errors. Its texts contain no key and no password. It sends
no request and retries nothing.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
import httpx2
from openai import APIStatusError

from agent.model.base import ERROR_CHARS_MAX, RETRY_AFTER_SECONDS_MAX, Concerns, ModelFailure

_FORMAT = re.compile(
    r"response.?format|json.?(schema|object|mode)|structured.?output|\bschema\b|grammar"
    r"|(unsupported|unknown|unrecognized).{0,20}(parameter|field|argument|value|variant)|extra.?(inputs|fields)",
    re.IGNORECASE,
)
_TOO_LONG = re.compile(
    r"context.?(length|window|size)|maximum.{0,20}(context|tokens)|too many tokens|(prompt|input) is too long",
    re.IGNORECASE,
)
_SECRET = re.compile(r"\b(sk-|Bearer\s+|Basic\s+)[\w*.+/=-]{4,}")


@dataclass(frozen=True, slots=True)
class SettingNames:
    """Where people have set up the endpoint, to say what to check."""

    model: str = "OPENAI_MODEL"
    url: str = "OPENAI_BASE_URL"
    key: str = "OPENAI_API_KEY"


ENVIRONMENT = SettingNames()


class Failures:
    """Explains the failures of one endpoint."""

    def __init__(self, *, where: str, model: str, secrets: Sequence[str], names: SettingNames) -> None:
        """`where`: its URL without secrets."""
        self._where = where
        self._model = model
        self._secrets = secrets
        self._names = names

    def of_time(self, limit_seconds: float) -> ModelFailure:
        return ModelFailure(
            "unavailable", f"{self._where} did not answer in time (limit {round(limit_seconds, 2):g} s)."
        )

    def of_connection(self, error: BaseException) -> ModelFailure:
        return ModelFailure("unavailable", self._explain_connection(error))

    def _explain_connection(self, error: BaseException) -> str:
        chain = [error]
        while (cause := chain[-1].__cause__) is not None:
            chain.append(cause)
        for cause in reversed(chain):
            match cause:
                case socket.gaierror():
                    return f"The host of {self._where} is unknown; check {self._names.url}."
                case ssl.SSLError():
                    return f"No TLS connection to {self._where}: {getattr(cause, 'verify_message', cause.reason)}."
                case ConnectionRefusedError():
                    return f"{self._where} refuses connections; is it running, and is {self._names.url} right?"
                case TimeoutError():
                    return f"{self._where} did not answer in time."
                case aiohttp.ServerConnectionError() | aiohttp.ClientPayloadError() | ConnectionError():
                    return f"{self._where} closed the connection."
        return f"The connection to {self._where} failed ({type(chain[-1]).__name__})."

    def of_status(self, error: APIStatusError) -> ModelFailure:
        status, text, names = error.status_code, error_text(error), self._names
        if status == 401:
            return ModelFailure("unavailable", f"The endpoint does not accept the API key (401); check {names.key}.")
        if status == 403:
            return ModelFailure("unavailable", f"The endpoint forbids this (403); check {names.key}. {text}")
        if error.code in ("content_filter", "content_policy_violation"):
            return ModelFailure("refused", f"The endpoint's content filter refused the request. {text}")
        if error.code == "json_validate_failed":  # Groq: the model failed to keep to the schema
            return ModelFailure("invalid", f"The answer did not match the schema. {text}")
        if status == 404:
            check = f"check {names.model} ({self._model}) and {names.url}."
            return ModelFailure("unavailable", f"The endpoint found nothing there (404); {check} {text}")
        what = "asks to slow down" if status == 429 else "has an error" if status >= 500 else "refuses the request"
        return ModelFailure(
            "unavailable",
            f"The endpoint {what} ({status}). {text}",
            retry_after_seconds=retry_after(error.response.headers),
            concerns=_concerns(status),
        )

    def shown(self, text: str) -> str:
        """One line without secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        line = "".join(c if c.isprintable() else " " for c in _SECRET.sub("***", text[: 4 * ERROR_CHARS_MAX]))
        return " ".join(line.split())[:ERROR_CHARS_MAX]


def _concerns(status: int) -> Concerns:
    """Whether another request would be answered in the same way."""
    if status == 429:
        return "pace"
    # RFC 9110: 402 is about the account, and 408 says that the endpoint did not wait any longer.
    return "model" if status >= 500 or status in (401, 402, 403, 404, 408) else "request"


def retry_after(headers: httpx2.Headers) -> float | None:
    """RFC 9110, 10.2.3: seconds or a date. OpenAI also sends milliseconds."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "")
        try:
            seconds = float(value) * unit
        except ValueError:
            try:
                seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
            except (TypeError, ValueError, OverflowError):
                continue
        if seconds == seconds:  # not NaN
            return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)
    return None


def is_too_long(error: APIStatusError) -> bool:
    if error.status_code == 413 or error.code == "context_length_exceeded":
        return True
    return error.status_code in (400, 422) and bool(_TOO_LONG.search(error_text(error)))


def rejects_format(error: APIStatusError) -> bool:
    if error.status_code not in (400, 404, 422, 501) or error.code == "json_validate_failed" or is_too_long(error):
        return False
    return bool(_FORMAT.search(f"{error.code} {error.param} {error_text(error)}"))


def refused_parameter(error: APIStatusError, sent: Iterable[str]) -> str:
    """Which of the parameters that were sent the endpoint refuses; empty: the error is about something else."""
    if error.status_code not in (400, 422, 501) or is_too_long(error):
        return ""
    names, text = [*sent], error_text(error)
    if isinstance(error.param, str) and error.param in names:
        return error.param
    return next((name for name in names if re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text)), "")


def error_text(error: APIStatusError) -> str:
    """The endpoint's error message, without anything it may quote from the request."""
    match error.body:
        case {"message": str(text)} | {"detail": str(text)}:
            return text
        case {"detail": [{"msg": str(text), **rest}, *_]}:
            return f"{rest.get('loc')}: {text}"
        case str(text) if not text.startswith("<"):
            return text
    return ""

"""What the HTTP API answers when something goes wrong, and its OpenAPI description.

Every answer is a problem document (RFC 9457). None holds a value of the request, which may be secret, nor a traceback.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from bot.web import statuses
from bot.web.api import shapes as shapes
from bot.web.api.stream import TooManyStreams
from bot.web.callers import problem
from channels.inbound import Refused
from store.base import StoreUnavailable, ThreadDiverged, UnknownThread
from store.codec import EventTooLarge
from store.text import one_line

RETRY_SECONDS = 5


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    return problem(statuses.of_refusal(error), str(error))


async def _unknown(request: Request, _: Exception) -> Response:
    return problem(404, f"There is no thread {one_line(str(request.path_params.get('thread_id', '')), 100)}.")


async def _later(_: Request, error: Exception) -> Response:
    return problem(503, str(error), headers={"Retry-After": str(RETRY_SECONDS)})


async def _too_large(_: Request, error: Exception) -> Response:
    return problem(413, str(error))


async def _http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem(error.status_code, error.detail, headers=error.headers)


async def _invalid(_: Request, error: Exception) -> Response:
    """Leaves out the values, which may be secret."""
    assert isinstance(error, RequestValidationError)
    found = [f"{'.'.join(str(part)[:60] for part in item['loc'])}: {item['msg']}" for item in error.errors()[:10]]
    return problem(422, "; ".join(found))


async def _broken(_: Request, __: Exception) -> Response:
    return problem(500, "This is a bug in the program. Its log has the details.")


HANDLERS: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
    Refused: _refused,
    UnknownThread: _unknown,
    StoreUnavailable: _later,
    ThreadDiverged: _later,
    TooManyStreams: _later,
    EventTooLarge: _too_large,
    HTTPException: _http,
    RequestValidationError: _invalid,
    Exception: _broken,
}


def errors(*more: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": shapes.Problem} for status in (400, 401, 403, 413, 422, 429, 503, *more)}


class Described(FastAPI):
    """Adds to the OpenAPI description what FastAPI does not know: authentication, and the type of problems."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema:
            return self.openapi_schema
        schema = super().openapi()
        schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        schema["security"] = [{"token": []}]
        for operations in schema["paths"].values():
            for operation in operations.values():
                for status, response in operation["responses"].items():
                    if int(status) >= 400:
                        response["content"] = {"application/problem+json": response["content"]["application/json"]}
        return schema

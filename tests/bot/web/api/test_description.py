"""The API's description of itself: every route, and what each is asked for."""

from __future__ import annotations

from typing import Any

from fastapi.openapi.models import OpenAPI
from starlette.routing import Route

from bot.web.api import shapes as shapes
from tests.bot.web.api.client import Client


async def description(client: Client) -> dict[str, Any]:
    async with client.session.get(f"{client.url}/openapi.json") as it:
        assert it.status == 200
        told: dict[str, Any] = await it.json()
        return told


async def test_the_description_is_one(client: Client) -> None:
    told = await description(client)
    assert OpenAPI.model_validate(told).openapi.startswith("3.1")
    known = {f"#/components/schemas/{name}" for name in told["components"]["schemas"]}
    assert set(_references(told)) <= known
    assert told["security"] == [{"token": []}]
    assert told["components"]["securitySchemes"]["token"] == {"type": "http", "scheme": "bearer"}
    operations = [operation for path in told["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert {"400", "401", "413", "422", "503"} <= set(operation["responses"])
        for status, response in operation["responses"].items():
            (media_type,) = response["content"]
            assert (media_type == "application/problem+json") == (int(status) >= 400)


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [value["$ref"]] if "$ref" in value else [each for item in value.values() for each in _references(item)]
    return [each for item in value for each in _references(item)] if isinstance(value, list) else []


async def test_the_description_names_every_route(client: Client) -> None:
    told = await description(client)
    described = {(path, method.upper()) for path, item in told["paths"].items() for method in item}
    routes = client.api.app().routes
    served = {
        (r.path, method)
        for r in routes
        if isinstance(r, Route) and r.path != "/openapi.json"
        for method in r.methods or ()
    }
    assert described == served
    one = "/api/threads/{thread_id}"
    parts = ("messages", "answers", "decisions", "edit", "stop", "pause", "resume", "cancel", "fork")
    assert described == {
        ("/api/threads", "POST"),
        ("/api/threads", "GET"),
        (one, "GET"),
        (f"{one}/events", "GET"),
        *((f"{one}/{part}", "POST") for part in parts),
    }


async def test_the_description_tells_what_is_asked_for(client: Client) -> None:
    told = await description(client)
    schemas = told["components"]["schemas"]
    assert set(schemas["NewThread"]["properties"]) == {"text", "trigger", "agent", "place"}
    assert schemas["Trigger"]["required"] == ["source", "name"]
    assert set(schemas["Decision"]["required"]) == {"request", "digest", "approved"}
    assert all(schemas[name]["additionalProperties"] is False for name in ("NewThread", "Trigger", "Decision", "Edit"))
    headers = {
        parameter["name"]
        for operation in told["paths"].values()
        for each in operation.values()
        for parameter in each.get("parameters", ())
        if parameter["in"] == "header"
    }
    assert headers == {"Idempotency-Key", "Last-Event-ID"}

"""The test of do_something, without a model."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from agent import Call, ToolError

from .do_something import DoSomething


def call() -> Call:
    return Call("t1", "t1/s1", attempt=1, now=datetime.now(UTC), requested_by="Ann")


def test_it_is_approved_first_and_then_done() -> None:
    tool = DoSomething(service="web")
    assert tool.needs_approval()
    assert asyncio.run(tool.prepare(call())) == {"position": 1}
    assert asyncio.run(tool.run(call())) == {"done_to": "web", "key": "t1/s1"}


def test_what_is_not_known_is_refused_before_people_are_asked() -> None:
    with pytest.raises(ToolError, match="There are web, worker"):
        asyncio.run(DoSomething(service="db").prepare(call()))

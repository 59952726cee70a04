"""What a test does to a call on its way: let it fail before or after its effect, or hold it exactly there.

After the effect is the crash window that matters: Slack has the message, and the bot will never hear of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.patience import PATIENCE_SECONDS

Arguments = Mapping[str, Any]
Found = TypeVar("Found")


@dataclass
class Fault:
    """One planned failure of calls to `method` ("*": all methods)."""

    method: str
    error: str = "internal_error"
    status: int = 200
    retry_after_seconds: int | None = None
    left: int = 1
    """How many calls still fail."""
    after_effect: bool = False
    cut: bool = False
    """The connection is closed, nothing is answered."""
    body: bytes | None = None
    """Answered as it is: a proxy's HTML page, half of a JSON."""
    when: Callable[[Arguments], bool] = field(default=lambda arguments: True)
    met: int = 0

    def fits(self, method: str, arguments: Arguments, after_effect: bool) -> bool:
        named = self.method in (method, "*")
        return named and self.left > 0 and self.after_effect == after_effect and self.when(arguments)

    def use(self) -> Fault:
        self.left -= 1
        self.met += 1
        return self


class Hold:
    """A gate before or after the effect of a method.

        async with slack.hold("chat.postMessage", after_effect=True) as gate:
            await gate.reached()
            bot.kill()
            await gate.abandoned()

    A caller that goes away while it is held before the effect takes its call with it. Leaving the block opens the gate.
    """

    def __init__(self, method: str, *, after_effect: bool, when: Callable[[Arguments], bool] | None = None) -> None:
        self.method = method
        self.after_effect = after_effect
        self.held: list[Arguments] = []
        """The arguments of the calls that came here, oldest first."""
        self._when = when or (lambda arguments: True)
        self._waiting = 0
        self._open = asyncio.Event()
        self._changes = Changes()

    def fits(self, method: str, arguments: Arguments, after_effect: bool) -> bool:
        named = self.method in (method, "*") and not self._open.is_set()
        return named and self.after_effect == after_effect and self._when(arguments)

    async def wait(self, arguments: Arguments) -> None:
        self.held.append(arguments)
        self._waiting += 1
        self._changes.tell()
        try:
            await self._open.wait()
        finally:
            self._waiting -= 1
            self._changes.tell()

    async def reached(self, times: int = 1, *, seconds: float = PATIENCE_SECONDS) -> Arguments:
        """Returns the arguments of the latest call once so many are held."""
        await self._changes.wait_for(
            lambda: len(self.held) >= times, seconds, lambda: f"{self.method} was held {len(self.held)} times"
        )
        return self.held[-1]

    async def abandoned(self, *, seconds: float = PATIENCE_SECONDS) -> None:
        """Returns when every caller that was held has gone."""
        await self._changes.wait_for(lambda: self._waiting == 0, seconds, lambda: f"{self._waiting} are held")

    def release(self) -> None:
        """For good: later calls pass."""
        self._open.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Changes:
    """Wakes who waits for a condition on state that plain (not async) code changes."""

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def tell(self) -> None:
        self._next.set()
        self._next = asyncio.Event()

    async def next(self) -> None:
        await self._next.wait()

    async def wait_for(
        self, predicate: Callable[[], Found], seconds: float, seen: Callable[[], str] = lambda: ""
    ) -> Found:
        """Returns what the predicate gives as soon as it is true. Raises TimeoutError with what has been `seen`."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := predicate()):
                    await self._next.wait()
                return found
        except TimeoutError:
            raise TimeoutError(f"not within {seconds} s. {seen()}") from None


@dataclass(frozen=True)
class Call:
    """One call of a Web API method, or of a response_url (method "response_url")."""

    number: int
    method: str
    args: Arguments
    at: float
    token: str | None = None
    answer: Mapping[str, Any] | None = None
    """None while it is under way, and when the connection was cut."""
    status: int | None = None
    """The HTTP status that went out; 0 when the connection was cut or the caller had gone."""

    @property
    def ok(self) -> bool:
        return bool(self.answer and self.answer.get("ok"))

    @property
    def error(self) -> str | None:
        return self.answer.get("error") if self.answer else None

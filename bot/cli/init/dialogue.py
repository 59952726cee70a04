"""The questions of `bot init` and where their answers come from: an option, the person at the terminal, a suggestion.

Where nobody can be asked, it collects what is missing. A secret is never an option, because other users of the machine
see the options of a process; it is typed without echo, or comes from the environment.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import termios
import textwrap
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Literal

from bot.cli import asking, console
from bot.cli.findings import Finding
from channels.inbound import Refused

LATER = "later"
LEFT = "Left here. What was written stays: `{} init` goes on with the rest."


class Later(Exception):
    """The person leaves this part for later."""


class Dialogue:
    def __init__(self, given: Mapping[str, str], *, asks: bool, suggests: bool = False) -> None:
        """`given`: answers by their options. `suggests`: take what is suggested, and ask nothing."""
        self.asks = asks
        self.missing: list[str] = []
        """The options and variables of answers that are needed and were not given."""
        self._given = {option: text.strip() for option, text in given.items() if text.strip()}
        self._before: dict[str, str] = {}
        self._explained: set[str] = set()
        self._suggests = suggests
        self._lines: AsyncIterator[str] | None = None

    @property
    def lines(self) -> AsyncIterator[str]:
        """What the person types. There is one reader of it in a process."""
        self._lines = self._lines or asking.typed_lines()
        return self._lines

    @property
    def is_empty(self) -> bool:
        """Nobody can be asked, and nothing was given."""
        return not (self.asks or self._given)

    def explain(self, text: str) -> None:
        """Once, and only to a person who is asked."""
        if self.asks and text not in self._explained:
            self._explained.add(text)
            for line in text.split("\n"):
                console.say_prose(line)

    def explained(self, text: str) -> bool:
        return text in self._explained

    @property
    def unused(self) -> list[str]:
        """The options that answered no question."""
        return list(self._given)

    def take(self, option: str) -> None:
        """It answers no question, but was heeded."""
        self._given.pop(option, None)

    def has(self, *options: str) -> bool:
        """Whether one of these was given, and not used yet."""
        return any(option in self._given for option in options)

    async def answer(self, option: str, question: str, suggestion: str = "", *, needed: bool = True) -> str:
        """Empty: it need not be answered, and was not. Raises Later, and Refused at the end of the input."""
        if given := self._given.pop(option, ""):
            self._before[option] = given
            return given
        suggestion = self._before.get(option, suggestion)
        if not self.asks:
            if needed and not (self._suggests and suggestion):
                self.missing.append(option)
            return suggestion if self._suggests or not needed else ""
        asked = f"{question}{f' [{suggestion}]' if suggestion else ''}: "
        while not (text := await self._typed(asked) or suggestion) and needed:
            pass
        self._before[option] = text
        return text

    async def secret(self, variable: str, question: str, *, is_set: bool, needed: bool = True) -> str:
        """Typed without echo. Empty: the one that is set, if any, is kept. Raises Later, and Refused likewise."""
        if not self.asks:
            if needed and not is_set:
                self.missing.append(variable)
            return ""
        before = self._before.get(variable, "")
        kept = " [as before]" if before else " [as it is set]" if is_set else "" if needed else " [none]"
        while True:
            text = await self._typed(f"{question}, not shown{kept}: ", hidden=True) or before
            if text or is_set or not needed:
                self._before[variable] = text
                return text

    async def confirmed(self, question: str, *, default: bool) -> bool:
        """Nobody there: the default, where suggestions are taken, otherwise a no."""
        if not self.asks:
            return default and self._suggests
        text = (await self._typed(f"{question} {'[Y/n]' if default else '[y/N]'} ")).lower()
        return text in ("y", "yes") if text else default

    async def after_failure(self, *, may_keep: bool) -> Literal["again", "keep"]:
        """Raises Later."""
        says = ", keep: keep it as it is" if may_keep else ""
        choices: tuple[Literal["again", "keep"], ...] = ("again", "keep") if may_keep else ("again",)
        while True:
            text = (await self._typed(f"Enter: answer again, {LATER}: leave it for later{says}: ")).lower() or "again"
            if found := next((one for one in choices if one == text), None):
                return found

    async def _typed(self, asked: str, *, hidden: bool = False) -> str:
        with _unechoed() if hidden else contextlib.nullcontext():
            console.log(_wrapped(asked))
            async for line in self.lines:
                if hidden:
                    console.log("\n")
                if line.strip().lower() == LATER:
                    raise Later
                return line.strip()
        raise Refused(LEFT.format(console.program()))


@contextlib.contextmanager
def _unechoed() -> Iterator[None]:
    """What was typed before is dropped, so that nothing that stands on the screen is taken for the secret."""
    before = termios.tcgetattr(0)
    silent = [*before]
    silent[3] &= ~termios.ECHO
    termios.tcsetattr(0, termios.TCSAFLUSH, silent)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _wrapped(asked: str) -> str:
    """Between words, with the blank at its end."""
    width = shutil.get_terminal_size().columns
    text = asked.rstrip()
    return textwrap.fill(text, max(width - 1, 20), break_long_words=False, break_on_hyphens=False) + " "


# What is shown


def show_heading(text: str) -> None:
    if screen := console.drawing():
        from rich.text import Text

        screen.print()
        screen.print(Text(text, style="bold"))
    else:
        print(f"\n{text}", flush=True)


def show_findings(findings: Sequence[Finding]) -> None:
    for finding in findings:
        if screen := console.drawing():
            from bot.cli import typeset

            typeset.show_finding(screen, finding)
        else:
            print(finding.line(), flush=True)


def show_link(words: str, url: str) -> None:
    """On a terminal that can draw, words to click; elsewhere the whole link. `words`: without a full stop."""
    if screen := console.drawing():
        from rich.style import Style
        from rich.text import Text

        screen.print(Text(words, style=Style(link=url, underline=True, color="cyan")))
    else:
        print(f"{words}: {url}", flush=True)
    sys.stdout.flush()

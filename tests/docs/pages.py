"""The pages and their parts: code, links, headings. It reads Markdown as GitHub shows it, and judges nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from tests import ROOT

_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
_LINK = re.compile(r"\]\(([^()\s]+)\)")


class Block(NamedTuple):
    language: str
    text: str


@dataclass(frozen=True)
class Page:
    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """All but the blocks of code."""
        return _BLOCK.sub("", self.text)

    def blocks(self, language: str) -> list[str]:
        return [block.text for block in self.all_blocks() if block.language == language]

    def all_blocks(self) -> list[Block]:
        return [Block(language, text) for _, language, text in _BLOCK.findall(self.text)]

    def block(self, language: str, containing: str) -> str:
        found = [body for body in self.blocks(language) if containing in body]
        assert len(found) == 1, f"{self.name} has one {language} block with {containing!r}"
        return found[0]

    def code(self) -> Iterator[str]:
        """What stands between backticks, a line break in it being a space."""
        for found in _CODE.findall(self.prose):
            yield found.replace("\n", " ")

    def links(self) -> list[str]:
        return _LINK.findall(self.prose)

    def anchors(self) -> set[str]:
        """Of its headings, as GitHub makes them."""
        anchors: set[str] = set()
        for heading in re.findall(r"^#+ +(.+)$", self.prose, re.MULTILINE):
            plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
            anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
            same = sum(1 for one in anchors if re.fullmatch(rf"{re.escape(anchor)}(-\d+)?", one))
            anchors.add(f"{anchor}-{same}" if same else anchor)
        return anchors


README = Page(ROOT / "README.md")
SECURITY = Page(ROOT / ".github" / "SECURITY.md")
DOCS = {path.stem: Page(path) for path in sorted((ROOT / "docs").glob("*.md"))}
PAGES = (README, *DOCS.values(), SECURITY)

"""The pages hold together: links lead somewhere, files and make targets are there, and the README stays short."""

from __future__ import annotations

import re

import pytest

from tests import ROOT
from tests.docs.pages import DOCS, PAGES, README, SECURITY, Page

README_LINES_MAX = 150
LINE_CHARS_MAX = 120
SHORT = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def test_the_readme_is_short() -> None:
    lines = README.text.splitlines()
    assert len(lines) <= README_LINES_MAX
    assert [line for line in lines if len(line) > LINE_CHARS_MAX] == []


@SHORT
def test_no_line_is_long(page: Page) -> None:
    """But rows of tables, which Markdown does not let us break."""
    lines = page.text.splitlines()
    assert [line for line in lines if len(line) > LINE_CHARS_MAX and not line.startswith("|")] == []


@SHORT
def test_every_link_leads_somewhere(page: Page) -> None:
    by_path = {one.path.resolve(): one for one in PAGES}
    for link in page.links():
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.path.parent / path).resolve() if path else page.path.resolve()
        assert target.exists(), link
        if anchor:
            assert anchor in by_path[target].anchors(), link


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {(README.path.parent / link.partition("#")[0]).resolve() for link in README.links()}
    assert {page.name for page in (*DOCS.values(), SECURITY) if page.path.resolve() not in linked} == set()


@SHORT
def test_every_make_target_is_there(page: Page) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"(?:`|^)make ([a-z][a-z-]*)", page.text, re.MULTILINE)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"make {target}"


@SHORT
def test_every_file_that_is_named_exists(page: Page) -> None:
    for name in re.findall(r"`((?:agent|bot|channels|store|tests|docs)/[\w./-]*)`", page.text):
        if "yours" not in name and "NAME" not in name:
            assert (ROOT / name).exists(), name


@SHORT
def test_every_block_says_its_language_or_is_a_picture(page: Page) -> None:
    known = {"python", "toml", "json", "yaml", "sh", "powershell"}
    for block in page.all_blocks():
        assert block.language in known | {""}, block

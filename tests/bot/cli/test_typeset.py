"""What a terminal shows of a thread: it fits, links stay whole, and words from outside draw nothing."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from bot.cli import typeset
from bot.cli.lines import fitted
from bot.views.entry import Entry
from channels.messages import Approval, Question

SHA = "8da8a0629067a0973932e15dfb1665fbe803b16b"
LINK = "https://github.example.com/shop/actions/runs/7301884410/attempts/1?check_suite_focus=true#step:4:12"
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
FACTS: dict[str, Any] = {
    "new": {"sha": SHA, "subject": "Pay by invoice", "date": "2026-11-20T16:05:00+00:00"},
    "adds": ["8da8a06 Pay by invoice (Ada Okafor)", "ca05217 Show delivery dates (Lin Berg)"],
    "running": {"sha": SHA, "since": "2026-11-27T22:12:19Z", "by": "Lin Berg"},
}
CARD = Approval(
    step="s1",
    digest="43e7e48200a7" + "0" * 52,
    intent="deploy",
    arguments={"component": "checkout", "environment": "live", "revision": "8da8a06"},
    facts=FACTS,
    requested_by="github",
    requested_at=datetime(2026, 11, 27, 22, 12, tzinfo=UTC),
    title="Deploy checkout 8da8a06 to live",
)


def drawn(entry: Entry, width: int = 60, **environment: str) -> str:
    """With its colours."""
    file = io.StringIO()
    variables = {"TERM": "xterm", **environment}
    console = Console(file=file, width=width, force_terminal=True, color_system="standard", _environ=variables)
    typeset.show(console, entry.made_safe())
    return file.getvalue()


def on_screen(entry: Entry, width: int = 60) -> list[str]:
    return COLOURS.sub("", drawn(entry, width)).splitlines()


@pytest.mark.parametrize("width", [60, 80, 150])
def test_a_request_is_a_panel_that_fits(width: int) -> None:
    lines = on_screen(Entry.of("request", CARD), width)
    assert lines[0].startswith("╭─ Approval needed ─")
    panel = min(width, 100)
    assert lines[-1] == f"╰{'─' * (panel - 2)}╯"
    assert {cell_len(line) for line in lines} == {panel}
    text = " ".join(" ".join(lines).split())
    assert "Deploy checkout 8da8a06 to live?" in text
    assert text.count(SHA) == 2, "whole"
    assert "component: checkout" in text
    assert "- ca05217 Show delivery dates (Lin Berg)" in text
    assert "date: 2026-11-20 16:05 UTC" in text, "one format of time"
    assert "since: 2026-11-27 22:12 UTC" in text
    assert "digest 43e7e48200a7" in text


def test_a_link_that_is_wider_than_the_screen_stays_whole() -> None:
    lines = on_screen(Entry.of("request", replace(CARD, facts={"run": LINK})))
    assert any(LINK in line for line in lines)
    assert lines[0] == "── Approval needed ".ljust(60, "─")
    assert all(cell_len(line) <= 60 for line in lines if LINK not in line)
    spoken = on_screen(Entry("bot", "bot", f"Done, and this is the run, for whoever wants to see it: {LINK}."))
    assert any(LINK in line for line in spoken)


def test_a_warning_comes_first_and_in_red() -> None:
    danger = replace(CARD, facts={"note": "it is OLDER", **FACTS}, dangers=("note",))
    said = drawn(Entry.of("request", replace(danger, warnings={"note": "It is OLDER than v1.5.0."})))
    assert "\x1b[1;31mIt is OLDER than v1.5.0." in said
    assert "WARNING" not in said
    assert said.index("to live?") < said.index("OLDER") < said.index("component")
    text = drawn(Entry.of("request", danger))
    assert text.index("WARNING") < text.index("OLDER") < text.index("component")
    assert "\x1b[1;31mWARNING" in text
    assert "Tool deploy" in text


@pytest.mark.parametrize("words", ["[bold red]now[/]", "[link=https://e.example]x[/link]", ":smile: [/]", "[@click=x]"])
def test_markup_is_shown_and_not_obeyed(words: str) -> None:
    card = replace(CARD, title=words, arguments={words: words}, facts={words: [words, words]}, requested_by=words)
    for entry in (Entry("person", words, words), Entry.of("request", card), Entry.of("bot", Question("s1", words))):
        assert words in "\n".join(on_screen(entry, 150))


def test_escape_sequences_are_shown_and_not_obeyed() -> None:
    words = "\x1b[2J\x1b]8;;https://e.example\x07x\x1b]8;;\x07\x9b31m\u202e"
    card = replace(CARD, title=words, arguments={words: words}, facts={words: [words, words]}, requested_by=words)
    for entry in (Entry("person", words, words), Entry.of("request", card), Entry.of("bot", Question("s1", words))):
        text = COLOURS.sub("", drawn(entry, 150))
        assert not re.search("[\x1b\x07\x9b\u202e]", text)
        assert "u{1b}[2J" in text


def test_no_value_of_a_request_poses_as_another_line_of_it() -> None:
    sly = "Harmless" + " " * 70 + "on_staging: yes" + "z" * 90
    lines = on_screen(Entry.of("request", replace(CARD, facts={"subject": sly})))
    first = next(index for index, line in enumerate(lines) if "Harmless" in line)
    rest = [line.strip("│ ") for line in lines[first + 1 :] if "on_staging" in line or "zzz" in line]
    assert rest
    assert all(line.startswith("↪ ") for line in rest)
    assert "".join(rest).count("z") == 90, "and nothing of it is missing"


@pytest.mark.parametrize("since", ["2026-99-99T25:61:00Z", "2026-11-27T22:12:19+99:99", "0001-01-01T00:00:00+23:00"])
def test_an_instant_that_does_not_exist_is_shown_as_it_is(since: str) -> None:
    text = "\n".join(on_screen(Entry.of("request", replace(CARD, facts={"since": since}))))
    assert since in text


def test_a_question_is_a_panel_with_its_choices() -> None:
    asked = Question("s1", "Where to?", "v1 of orders", "multiple_choice", ("lab", "live"), "high")
    text = "\n".join(on_screen(Entry.of("bot", asked)))
    assert "╭─ Urgent question ─" in text
    assert text.index("Where to?") < text.index("v1 of orders") < text.index("- lab") < text.index("- live")


def test_a_table_of_the_agent_is_drawn_where_it_fits() -> None:
    said = "What runs:\n| component | sha |\n|---|---|\n| orders | [red]v1[/] |\nThat is all."
    assert on_screen(Entry("bot", "bot", said)) == [
        "bot:         What runs:",
        f"{'':13}╭───────────┬────────────╮",
        f"{'':13}│ component │ sha        │",
        f"{'':13}├───────────┼────────────┤",
        f"{'':13}│ orders    │ [red]v1[/] │",
        f"{'':13}╰───────────┴────────────╯",
        f"{'':13}That is all.",
    ]
    wide = said.replace("orders", SHA)
    assert f"{'':13}| {SHA} |" in "\n".join(on_screen(Entry("bot", "bot", wide))), "as it is"


def test_a_long_name_stands_above_what_does_not_fit_beside_it() -> None:
    assert on_screen(Entry("step", "run_end_to_end_tests", "passed yes")) == ["run_end_to_end_tests: passed yes"]
    lines = on_screen(Entry("step", "wait_for_deployment", "state succeeded · sha 8da8a06 · subject Pay by invoice"))
    assert lines == [
        "wait_for_deployment:",
        f"{'':13}state succeeded · sha 8da8a06 · subject Pay by",
        f"{'':13}invoice",
    ]


def test_without_colours_there_are_none() -> None:
    for entry in (Entry.of("request", CARD), Entry("problem", "bot", "no"), Entry("person", "Ann", "hello")):
        assert re.search(r"\x1b\[[0-9;]*3[0-9]", drawn(entry))
        assert not re.search(r"\x1b\[[0-9;]*3[0-9]", drawn(entry, NO_COLOR="1"))


def test_lines_are_as_wide_as_their_characters_and_nothing_is_lost() -> None:
    text = "日本語" * 30 + " and words " + "x" * 100
    lines = fitted(text, 40)
    assert all(cell_len(line) <= 40 for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert fitted("  - a list item that goes on for a while", 20) == [
        "  - a list item that",
        "    goes on for a",
        "    while",
    ]
    assert fitted(f"revision={SHA}", 30) == [f"revision={SHA}"], "a digest is not broken"

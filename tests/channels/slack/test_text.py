"""Text as Slack's blocks: literal, whole, within the limits; and Slack's text as people read it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from inline_snapshot import snapshot
from slack_sdk.models.blocks import Block as SdkBlock
from slack_sdk.models.blocks import HeaderBlock, RichTextBlock, TableBlock

from channels.slack import markdown as limits
from channels.slack.layout import BLOCKS_MAX, ELEMENT_CHARS_MAX, MESSAGE_WEIGHT_MAX, Block, packed, weight
from channels.slack.markdown import messages_of
from channels.slack.text import escape, plain, rich, unescaped
from store.text import visible
from tests.fakes.slack.limits import check_blocks

INLINE = {"text", "link"}
ELEMENTS = {"rich_text_section", "rich_text_list", "rich_text_quote", "rich_text_preformatted"}
OTHERS = {"header", "plain_text", "divider", "table", "raw_text", "rich_text"}


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    match node:
        case dict():
            yield node
            for value in node.values():
                yield from nodes(value)
        case list():
            for value in node:
                yield from nodes(value)


def shown(blocks: Any) -> str:
    """Everything that can be read, in order."""
    texts = []
    for node in nodes(blocks):
        if isinstance(node.get("text"), str):
            texts.append(node["text"])
        elif node.get("type") == "link":
            texts.append(node["url"])
    return "".join(texts)


def elements(markdown: str) -> list[Block]:
    """Of a text that makes one rich text block."""
    [[block]] = messages_of(markdown)
    assert block["type"] == "rich_text"
    return list(block["elements"])


def inline(markdown: str) -> list[Block]:
    """Of a text that makes one paragraph."""
    [section] = elements(markdown)
    assert section["type"] == "rich_text_section"
    return list(section["elements"])


def text(text: str, *styles: str) -> Block:
    return {"type": "text", "text": text, **({"style": dict.fromkeys(styles, True)} if styles else {})}


def link(url: str, text: str = "") -> Block:
    return {"type": "link", "url": url, **({"text": text} if text else {})}


def check(messages: list[list[Block]]) -> None:
    """All that holds for every message, whatever it was made of."""
    for message in messages:
        assert 1 <= len(message) <= BLOCKS_MAX
        assert sum(map(weight, message)) <= MESSAGE_WEIGHT_MAX
        assert sum(block["type"] == "table" for block in message) <= 1
        check_blocks(message)
        for block in message:
            SdkBlock.parse(block).validate_json()  # type: ignore[union-attr]
        for node in nodes(message):
            assert node.get("type", "text") in INLINE | ELEMENTS | OTHERS
            assert 0 <= node.get("indent", 0) <= 8
            if node.get("type") == "text":
                assert 1 <= len(node["text"]) <= ELEMENT_CHARS_MAX
            if "elements" in node:
                assert node["elements"]
            if node.get("type") == "link":
                assert node["url"].lower().startswith(("http://", "https://", "mailto:"))
    whole = shown(messages)
    assert visible(whole) == whole


# -- inside a line -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("markdown", "runs"),
    [
        (
            "**bold** *it* ~~no~~",
            [text("bold", "bold"), text(" "), text("it", "italic"), text(" "), text("no", "strike")],
        ),
        ("`a*b*`", [text("a*b*", "code")]),
        ("***both***", [text("both", "bold", "italic")]),
        (r"\*a\* &amp; &lt;b&gt;", [text("*a* & <b>")]),
        ("one\ntwo  \nthree\\\nfour", [text("one\ntwo\nthree\nfour")]),
        ("<b>x</b> <!-- y --> <br>", [text("<b>x</b> <!-- y --> <br>")]),
        ("[docs](https://good.example/a)", [link("https://good.example/a", "docs")]),
        ("[m](mailto:a@good.example)", [link("mailto:a@good.example", "m")]),
        ("<https://good.example/%20a>", [link("https://good.example/%20a")]),
        ("[](https://good.example)", [link("https://good.example")]),
        ('[a](https://good.example "T")', [link("https://good.example", "a"), text(" “T”")]),
        ("![alt](https://good.example/i.png)", [link("https://good.example/i.png", "alt")]),
        ("at https://a.example/x_y_z.", [text("at "), link("https://a.example/x_y_z"), text(".")]),
        (
            "[<https://a.example>](https://b.example)",
            [link("https://a.example"), text(" ("), link("https://b.example"), text(")")],
        ),
        ("(https://a.example/(b))", [text("("), link("https://a.example/(b)"), text(")")]),
        ("`https://a.example`", [text("https://a.example", "code")]),
        ("[b][a]\n\n[a]: https://a.example", [text("[b][a]"), text("\n\n"), text("[a]: "), link("https://a.example")]),
        ("a\n\nb", [text("a"), text("\n\n"), text("b")]),
    ],
)
def test_a_line_has_its_styles_and_links(markdown: str, runs: list[Block]) -> None:
    assert inline(markdown) == runs


@pytest.mark.parametrize(
    "literal",
    [
        "<!channel> <!here|x> <@U123> <#C1|general> <!subteam^S1> <!date^1^{date}|x> :smile: @here",
        "[x](javascript:alert(1))",
        "[x](JavaScript:alert(1))",
        "[x](file:///etc/passwd)",
        "[x](slack://open)",
        "[x](data:text/html,a)",
        "[x](src/main.py)",
        "![x](data:image/png;base64,AAAA)",
        "<ftp://files.example>",
        "[x](https://good.example@evil.example/)",
        "https://good.example@evil.example/",
        "https://g\u043e\u043ed.example/",
    ],
)
def test_what_could_do_harm_is_only_text(literal: str) -> None:
    assert inline(literal) == [text(literal)]


@pytest.mark.parametrize(
    ("said", "target"),
    [
        ("https://good.example", "https://evil.example"),
        ("good.example", "https://evil.example"),
        ("see **good.example** now", "https://evil.example"),
        ("https://good.example/a", "https://good.example/b"),
        ("https://good.example", "https://good.example.evil.example"),
        ("good\u3002example", "https://evil.example"),
        ("good\uff0eexample", "https://evil.example"),
        ("boss@good.example", "mailto:boss@evil.example"),
        ("boss@good.example", "mailto:other@good.example"),
        ("good.example", "https://evil.example/good.example"),
    ],
)
def test_a_link_that_says_another_place_tells_its_own(said: str, target: str) -> None:
    runs = inline(f"[{said}]({target})")
    assert shown(runs) == f"{said.replace('*', '')} ({target})"
    assert runs[-2:] == [link(target), text(")")]
    # What is clicked is what is read.
    assert all("text" not in run for run in runs if run["type"] == "link")


@pytest.mark.parametrize(
    ("said", "target"),
    [
        ("https://good.example/", "https://good.example"),
        ("good.example", "https://www.good.example/a"),
        ("v1.2.3", "https://good.example/tags"),
        ("boss@good.example", "mailto:boss@good.example"),
        ("the docs", "https://good.example"),
    ],
)
def test_a_link_that_says_its_own_place_is_a_link(said: str, target: str) -> None:
    assert inline(f"[{said}]({target})") == [link(target, said)]


def test_a_link_with_an_image_leads_to_both() -> None:
    badge = inline("[![build](https://i.example/b.svg)](https://ci.example)")
    assert badge == [link("https://ci.example", "build"), text(" ("), link("https://i.example/b.svg"), text(")")]


def test_hidden_characters_are_written_out_everywhere() -> None:
    hidden = "a\u202eb `c\u200bd` &#x202e;\n\n# h\u2066\n\n| t\ufeff |\n|-|\n| x |\n\n```\n\x1b[2J\n```"
    whole = shown(messages_of(hidden))
    assert whole == visible(whole)
    for code in ("202e", "200b", "2066", "feff", "1b"):
        assert f"\\u{{{code}}}" in whole


# -- the page ----------------------------------------------------------------------------------------------------------


def test_a_page_has_its_blocks_in_order() -> None:
    page = """\
# Deploy *v1.2*

Done:

3. one

   more
4. two
   - [ ] open
   - [x] done
     ```python
     x = 1
     ```
   - after
5. three

---
> said
>
> - listed
"""
    [message] = messages_of(page)
    assert message == snapshot(
        [
            {"type": "header", "text": {"type": "plain_text", "text": "Deploy v1.2", "emoji": False}},
            {
                "type": "rich_text",
                "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "Done:"}]}],
            },
            {
                "type": "rich_text",
                "elements": [
                    {
                        "type": "rich_text_list",
                        "style": "ordered",
                        "indent": 0,
                        "elements": [
                            {
                                "type": "rich_text_section",
                                "elements": [
                                    {
                                        "type": "text",
                                        "text": """\
one
more\
""",
                                    }
                                ],
                            },
                            {"type": "rich_text_section", "elements": [{"type": "text", "text": "two"}]},
                        ],
                        "offset": 2,
                    },
                    {
                        "type": "rich_text_list",
                        "style": "bullet",
                        "indent": 1,
                        "elements": [
                            {"type": "rich_text_section", "elements": [{"type": "text", "text": "☐ open"}]},
                            {"type": "rich_text_section", "elements": [{"type": "text", "text": "☑ done"}]},
                        ],
                    },
                    {
                        "type": "rich_text_preformatted",
                        "elements": [{"type": "text", "text": "x = 1"}],
                        "language": "python",
                    },
                    {
                        "type": "rich_text_list",
                        "style": "bullet",
                        "indent": 1,
                        "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "after"}]}],
                    },
                    {
                        "type": "rich_text_list",
                        "style": "ordered",
                        "indent": 0,
                        "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "three"}]}],
                        "offset": 4,
                    },
                ],
            },
            {"type": "divider"},
            {
                "type": "rich_text",
                "elements": [
                    {"type": "rich_text_quote", "elements": [{"type": "text", "text": "said"}]},
                    {
                        "type": "rich_text_list",
                        "style": "bullet",
                        "indent": 0,
                        "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "listed"}]}],
                        "border": 1,
                    },
                ],
            },
        ]
    )


@pytest.mark.parametrize("blank", ["", " ", "\n\n \t\n"])
def test_blank_text_makes_no_message(blank: str) -> None:
    assert messages_of(blank) == []
    assert rich(blank) == []


@pytest.mark.parametrize("bare", ["#", ">", "```\n```", "&nbsp;", "> >", "# #"])
def test_markers_around_nothing_are_shown_as_they_are(bare: str) -> None:
    assert inline(bare) == [text(bare)]


def test_a_bullet_stays_where_its_item_begins_with_something_else() -> None:
    assert [element["type"] for element in elements("1. ```\n   x\n   ```\n2.\n3. a")] == [
        "rich_text_list",
        "rich_text_preformatted",
        "rich_text_list",
    ]
    assert elements("1. ```\n   x\n   ```\n2.\n3. a")[2]["offset"] == 1


def test_a_list_from_zero_keeps_its_numbers() -> None:
    first, second = elements("0. a\n1. b")
    assert (first["style"], shown(first)) == ("bullet", "0. a")
    assert (second["style"], second.get("offset", 0)) == ("ordered", 0)


def test_lists_deeper_than_slack_shows_stay_at_its_deepest() -> None:
    deep = "\n".join("  " * level + f"- l{level}" for level in range(12))
    assert [element["indent"] for element in elements(deep)] == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert shown(elements(deep)) == "".join(f"l{level}" for level in range(12))


@pytest.mark.parametrize("heading", ["# " + "x" * 151, "# a [b](https://good.example)", "# &amp;lt; a", "# `<!here>`"])
def test_a_heading_that_a_header_cannot_hold_is_bold(heading: str) -> None:
    assert all(run["style"]["bold"] for run in inline(heading))


def test_a_header_is_plain_text_without_emoji() -> None:
    assert messages_of("## R&D `x` :tada:") == [
        [{"type": "header", "text": {"type": "plain_text", "text": "R&D x :tada:", "emoji": False}}]
    ]


def test_the_language_of_code_goes_where_slack_names_it_and_other_words_are_shown() -> None:
    assert elements("```py\nx\n```") == [
        {"type": "rich_text_preformatted", "elements": [text("x")], "language": "python"}
    ]
    assert elements("```sh\nx\n```") == [{"type": "rich_text_preformatted", "elements": [text("x")]}]
    assert shown(messages_of("```sh rm everything\nx\n```")) == "sh rm everythingx"


# -- tables ------------------------------------------------------------------------------------------------------------


def test_a_table_has_its_columns_and_no_empty_cell() -> None:
    [[table]] = messages_of("| a | b | c |\n|:-:|--:|---|\n| **x** |  | 1 |")
    assert table == {
        "type": "table",
        "column_settings": [
            {"align": "center", "is_wrapped": True},
            {"align": "right", "is_wrapped": True},
            {"align": "left", "is_wrapped": True},
        ],
        "rows": [
            [{"type": "raw_text", "text": name} for name in "abc"],
            [
                {
                    "type": "rich_text",
                    "elements": [{"type": "rich_text_section", "elements": [text("x", "bold")]}],
                },
                {"type": "raw_text", "text": " "},
                {"type": "raw_text", "text": "1"},
            ],
        ],
    }


@pytest.mark.parametrize("quote", ["", "> ", "- > "])
def test_cells_beyond_the_columns_of_their_table_are_not_lost(quote: str) -> None:
    rows = [
        quote + "| a | b |",
        quote.replace("-", " ") + "|---|---|",
        quote.replace("-", " ") + r"| 1 | 2 | 3 | 4\|5 |",
    ]
    assert shown(messages_of("\n".join(rows))).endswith("ab12 | 3 | 4|5")


def test_a_table_ends_its_message() -> None:
    table = "| a |\n|---|\n| b |\n\n"
    messages = messages_of(f"before\n\n{table}between\n\n{table}{table}after")
    assert [[block["type"] for block in message] for message in messages] == [
        ["rich_text", "table"],
        ["rich_text", "table"],
        ["table"],
        ["rich_text"],
    ]


@pytest.mark.parametrize(
    ("columns", "rows", "cell"),
    [(21, 1, "x"), (2, 100, "x"), (2, 20, "word " * 50), (1, 1, "**b** " * 1500), (20, 700, "")],
)
def test_a_table_too_large_for_slack_is_code_in_columns(columns: int, rows: int, cell: str) -> None:
    head = "|" + "|".join(f"h{column}" for column in range(columns)) + "|\n" + "|-" * columns + "|\n"
    body = "".join("|" + "|".join([f"r{row} {cell}"] * columns) + "|\n" for row in range(rows))
    messages = messages_of((head + body)[: limits.MARKDOWN_CHARS_MAX])
    check(messages)
    assert {block["elements"][0]["type"] for message in messages for block in message} == {"rich_text_preformatted"}
    read = shown(messages)
    assert read.count("h0") == read.count("r0") / columns == 1
    assert len(read) < 4 * len(head + body)


def test_columns_stand_under_each_other_in_code() -> None:
    body = "".join(f"| t{row} | [n](https://good.example/{row}) |\n" for row in range(100))
    lines = shown(messages_of(f"| tag | number |\n|---|--:|\n{body}")).split("\n")
    assert lines[0] == "tag |" + " " * 22 + "number"
    assert lines[1] == "t0  | n (https://good.example/0)".replace("| n", "|  n")


# -- long text ---------------------------------------------------------------------------------------------------------


def test_long_text_is_divided_after_sentences_and_nothing_is_lost() -> None:
    prose = "".join(f"Sentence number {number} is here. " for number in range(2000)).strip()
    messages = messages_of(prose[: limits.MARKDOWN_CHARS_MAX])
    check(messages)
    assert shown(messages) == prose[: limits.MARKDOWN_CHARS_MAX]
    assert len(messages) == 4
    assert all(shown(block).rstrip().endswith(".") for message in messages[:-1] for block in message)


def test_a_long_list_is_divided_between_items() -> None:
    messages = messages_of("\n".join(f"{number}. {'word ' * 20}" for number in range(1, 300)))
    check(messages)
    lists = [element for message in messages for block in message for element in block["elements"]]
    assert len(lists) > 5
    done = 0
    for element in lists:
        assert element.get("offset", 0) == done
        done += len(element["elements"])
    assert done == 299


def test_long_code_is_divided_between_lines() -> None:
    lines = [f"line {number}: {'x' * (number % 90)}" for number in range(700)]
    messages = messages_of("```\n" + "\n".join(lines) + "\n```")
    check(messages)
    boxes = [shown(block) for message in messages for block in message]
    assert len(boxes) > 5
    assert "\n".join(boxes).split("\n") == lines


def test_a_heading_is_not_left_behind() -> None:
    messages = messages_of("a\n\n" + "***\n\n" * 43 + "# heading\n\nunder it")
    assert [block["type"] for block in messages[1]] == ["header", "rich_text"]


@pytest.mark.parametrize("whole", ["e\u0301", "👍🏽", "🇩🇪"])
def test_no_accent_skin_tone_or_flag_is_cut_off(whole: str) -> None:
    for before in ("", "x"):
        messages = messages_of(before + whole * 5000)
        check(messages)
        for node in nodes(messages):
            if node.get("type") == "text":
                assert node["text"].removeprefix(before).replace(whole, "") == ""


HOSTILE = {
    "quotes": ">" * 9000 + "a",
    "brackets": "[" * 9000 + "a",
    "images": "![" * 4500 + "a",
    "emphasis": "*a**b_" * 1500,
    "backquotes": "".join("`" * (number % 200 + 1) + "a" for number in range(90)),
    "links": "[a](" * 2000,
    "dots in a link": "[" + "a." * 9000 + "](https://b.example)",
    "word in a link": "[" + "a" * 18_000 + "](https://b.example)",
    "angles": "<a" * 4500,
    "list in list": "\n".join(" " * (2 * level) + "- a" for level in range(90)),
    "items": "- a\n" * 2000,
    "headings": "# a\n" * 1000,
    "wide table": "|a" * 3000 + "\n" + "|-" * 3000 + "\n" + "|b\n" * 10,
    "ampersands": "&" * 20_000 + "a",
    "closing brackets": "https://a.example/" + ")" * 9000,
    "a megabyte": "A sentence. " * 85_000,
    "a megabyte of a word": "a" * 1_000_000,
    "spaces": " " * 50_000 + "a",
    "newlines": "\n" * 50_000 + "a",
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_arrives_whole(hostile: str) -> None:
    messages = messages_of(hostile)
    check(messages)
    assert letters(shown(messages)).startswith(letters(hostile).removesuffix("httpsbexample"))
    assert len(messages) <= 3 + len(hostile) // 120


# -- any text ----------------------------------------------------------------------------------------------------------


def letters(text: str) -> str:
    return "".join(filter(str.isalpha, text))


BITS = [
    "a",
    "b",
    "c d",
    " ",
    "\n",
    "\n\n",
    "    ",
    *"*_~`[]()!<>#-+|:\\&;=.",
    "**",
    "> ",
    "- ",
    "1. ",
    "|-|-|\n",
    "[ ] ",
]
LINKS = [
    "https://a.example",
    "](https://b.example/c 'd')",
    "<https://e.example>",
    "mailto:a@b.c",
    "&amp;",
    "```py\n",
    "~~~",
]


@given(st.lists(st.sampled_from(BITS), max_size=60).map("".join))
def test_no_letter_of_any_markdown_is_lost(markdown: str) -> None:
    assume("```" not in markdown and "~~~" not in markdown)  # a language is not shown
    messages = messages_of(markdown)
    check(messages)
    assert letters(shown(messages)) == letters(markdown)


@given(st.lists(st.sampled_from(BITS + LINKS), max_size=60).map("".join))
def test_any_markdown_with_links_and_code_keeps_to_the_limits(markdown: str) -> None:
    check(messages_of(markdown))


@given(st.text(st.characters(), max_size=300))
def test_any_text_keeps_to_the_limits(text: str) -> None:
    check(messages_of(text))
    check(packed(rich(text)))


words = st.integers(0, 9).map(lambda length: "wxyz"[length % 4] * (length + 1))
sentences = st.lists(
    st.builds(lambda mark, word: f"{mark}{word}{mark}", st.sampled_from(["", "*", "**", "`", "~~"]), words), min_size=1
).map(" ".join)


def indented(first: str, rest: str, text: str) -> str:
    return first + text.replace("\n", "\n" + rest)


pages = st.recursive(
    st.one_of(
        sentences,
        sentences.map("# {}".format),
        sentences.map("```\n{}\n```".format),
        st.lists(words, min_size=2, max_size=2).map(lambda row: f"| {row[0]} | {row[1]} |\n|---|---|\n| x | y | z |"),
        st.just("***"),
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("\n\n".join),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda all_: "\n\n".join(indented("- ", "  ", one) for one in all_)
        ),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda all_: "\n\n".join(indented("7. ", "   ", one) for one in all_)
        ),
        inner.map(lambda one: indented("> ", "> ", one)),
    ),
    max_leaves=12,
)


@given(pages, st.integers(1, 40))
def test_pages_arrive_whole_in_whatever_way_they_are_nested(page: str, times: int) -> None:
    messages = messages_of("\n\n".join([page] * times))
    check(messages)
    assert letters(shown(messages)) == letters(page) * times


@given(st.text(st.characters(), max_size=300), st.sampled_from([1, 50]))
def test_plain_text_is_shown_exactly(text: str, times: int) -> None:
    assume(text.strip())
    assert shown(rich(text * times)) == visible(text * times)


def test_plain_text_has_no_markdown_but_links() -> None:
    [block] = rich("*a* <!here>\n  b https://a.example")
    [section] = block["elements"]
    assert section["elements"] == [text("*a* <!here>\n  b "), link("https://a.example")]


def test_the_sdk_knows_the_blocks() -> None:
    [message] = messages_of("# a\n\nb\n\n| c |\n|---|\n| *d* |")
    kinds = [HeaderBlock, RichTextBlock, TableBlock]
    for block, kind in zip(message, kinds, strict=True):
        parsed = SdkBlock.parse(block)
        assert isinstance(parsed, kind)
        parsed.validate_json()
        assert json.loads(json.dumps(parsed.to_dict())) == block


# -- the text argument -------------------------------------------------------------------------------------------------


def test_no_tag_is_live_in_the_text_of_a_message() -> None:
    assert escape("<!channel> & <@U1> &lt;") == "&lt;!channel&gt; &amp; &lt;@U1&gt; &amp;lt;"
    assert escape("a\u202eb") == "a\\u{202e}b"
    assert plain("  a <!here>\n\n\n b  ", 100) == "a &lt;!here&gt;\nb"


def test_what_is_clipped_says_so_and_cuts_no_entity() -> None:
    assert plain("a&b", 7) == "a&amp;b"
    assert plain("a&b", 6) == "a…"
    assert plain("&&&", 11) == "&amp;&amp;…"
    assert plain("&&&", 10) == "&amp;…"
    assert plain("abc", 0) == ""


@given(st.text(st.sampled_from("a&<>\n \u0301👍\u202e"), max_size=60), st.integers(0, 80))
def test_the_text_of_a_message_is_within_its_limit_and_escaped(text: str, chars_max: int) -> None:
    clipped = plain(text, chars_max)
    assert len(clipped) <= chars_max
    assert not set("<>") & set(clipped)
    assert "&" not in clipped.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")


# -- the way in --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("received", "read"),
    [
        ("<@U1> deploy &lt;v1&gt; &amp; go", "@dex deploy <v1> & go"),
        ("<@U9> <@U9|bob> <@U1|old>", "<@U9> @bob @dex"),
        ("<#C1|general> <#C2> <#C2|>", "#general <#C2> <#C2|>"),
        ("<!here> <!channel> <!everyone> <!here|here>", "@here @channel @everyone @here"),
        ("<!subteam^S1> <!subteam^S2|@ops> <!subteam^S9>", "@crew @ops <!subteam^S9>"),
        ("<!date^139^{date} at {time}|Feb 18> <!date^139^{date}>", "Feb 18 <!date^139^{date}>"),
        ("<https://a.example/?b=1&amp;c=2>", "https://a.example/?b=1&c=2"),
        ("<https://a.example|the &lt;docs&gt;>", "the <docs> (https://a.example)"),
        ("<http://a.example|a.example> <http://a.example/|a.example>", "http://a.example http://a.example/"),
        ("<https://evil.example|https://good.example>", "https://good.example (https://evil.example)"),
        ("<mailto:a@b.example|a@b.example>", "a@b.example"),
        ("&amp;lt;@U1&amp;gt; &lt;@U1&gt;", "&lt;@U1&gt; <@U1>"),
        ("<> <|> <|a> <<@U1>> < @U1 > <| <a|b> <!> <@> <https:", "<> <|> <|a> <@dex> < @U1 > <| <a|b> <!> <@> <https:"),
    ],
)
def test_a_message_of_slack_is_read_as_people_read_it(received: str, read: str) -> None:
    assert unescaped(received, {"U1": "dex", "S1": "crew"}) == read


@given(st.text(st.sampled_from("<>@#!|^&;ampltgU1dehttps:/ \n"), max_size=40))
def test_any_message_can_be_read(received: str) -> None:
    unescaped(received, {"U1": "dex"})


@given(st.text(max_size=60))
def test_what_people_type_is_what_is_read(typed: str) -> None:
    sent = typed.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert unescaped(sent, {}) == typed

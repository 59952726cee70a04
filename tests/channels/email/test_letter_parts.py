"""Text of others in our mails: it is no header, it is there whole in both parts, and nothing in it is alive."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email.body import MARKDOWN_CHARS_MAX, table
from channels.email.place import private_place
from channels.labels import rows
from channels.messages import Ended, Notice, Outgoing, Question, Text
from store.text import visible
from store.values import Person, Place
from tests.channels.email.mails import (
    ANA,
    AT,
    BEN,
    HEADERS,
    PLACE,
    WRITER,
    Shown,
    card,
    check_wire,
    head,
    html,
    letter,
    letters,
    mailed,
    plain,
    question,
    read,
    settled,
    shown,
    squeezed,
    texts_in,
)
from tests.matrices import examples
from tests.telling import story


@pytest.mark.parametrize(
    "text",
    [
        "a\r\nBcc: eve@evil.example",
        "a\nBcc: eve@evil.example",
        "a\rBcc: eve@evil.example",
        "a\0b",
        "a\u2028Bcc: eve@evil.example\u2029\x85\x0b\x0c\x1c\x1d\x1eBcc: eve@evil.example",
        "a\r\n\r\n<script>alert(1)</script>",
        "\ud800 \udcff",
        '"<eve@evil.example>,;:\\',
        "a" * 60 + "\r\nBcc: eve@evil.example" * 9,
        "=?utf-8?q?",
        "=?utf-8?q?a=0D=0ABcc:_eve@evil.example?=",
        "=?utf-8?b?YQ0KQmNjOiBldmVAZXZpbC5leGFtcGxl?=",
        "=?utf-8?q?a=0D=0A=0D=0A<script>?=",
        "=?utf-8?q?a=00?=",
        "=?utf-8?q?=E2=80=AEa?=",
    ],
)
def test_no_text_of_a_person_starts_a_header_or_the_body(text: str) -> None:
    eve = Person(name=text, address="eve@team.example")
    told = [
        letter(Text("Done."), mailed(subject=text)),
        letter(question(asked=text, kind="free_text"), mailed(subject="")),
        letter(card(intent=text, requested_by=text), mailed(subject="", by=eve)),
        letter(settled(comment=text, by=eve), mailed(subject="", by=eve)),
    ]
    (keyed,) = WRITER.letters(PLACE, Text("Done."), key=f"t1/{text}", so_far=[mailed()])
    for one in (*told, keyed):
        check_wire(one)
        assert set(head(one)) <= HEADERS
        subject = str(read(one)["Subject"])
        assert visible(subject) == subject
        assert "\n" not in subject


def test_no_address_of_a_person_starts_a_header() -> None:
    bad = ["x@team.example\r\nBcc: eve@evil.example", "=?utf-8?q?a=0D=0AX:y?=@team.example"]
    place = Place(channel="email", address=bad[0])
    assert letters(Text("Done."), story.trigger(), place=place) == []
    assert letters(Notice("?"), place=private_place(bad[0])) == []
    for address in bad:
        try:
            told = letters(Notice("?"), place=private_place(address))
        except ValueError:
            continue
        for one in told:
            check_wire(one)


# Complete


NESTED = {
    "target": "prod",
    "services": ["web", "worker, and more"],
    "one": ["only"],
    "new": {
        "sha": "4af9ec02",
        "commits": [{"sha": "11aa22bb", "by": "Ana"}, {"sha": "33cc44dd", "by": ["Ben", "Dan"]}],
    },
    "notes": "first line\n  second line\n\nlast line",
    "empty": "",
    "none": None,
    "yes": True,
    "number": 12345,
    "link": "https://git.example/c/1?a=1&b=2",
    "markup": "<b>bold</b> & <script>alert(1)</script>",
    "deep": {"a": {"b": {"c": {"d": [[["bottom"]]]}}}},
}


def test_both_parts_show_each_argument_and_fact_whole() -> None:
    for one in (letter(card(NESTED, {"found": NESTED})), letter(card({}, NESTED)), letter(card(NESTED, {}))):
        for text in (plain(one), shown(one).text):
            for part in texts_in(NESTED):
                assert squeezed(part) in squeezed(text)
            assert "12345" in text
    assert NESTED["link"] in shown(letter(card(NESTED, {}))).leads_to


def test_nested_data_is_indented_in_both_parts() -> None:
    one = letter(card({"new": {"sha": "4af9ec02", "by": {"name": "Ana"}}}, {}))
    assert "    new:\n      sha: 4af9ec02\n      by:\n        name: Ana" in plain(one)
    assert "sha: 4af9ec02<br>by:<br>&nbsp; name: Ana" in html(one)


def test_a_fact_does_not_hide_the_argument_of_the_same_name() -> None:
    one = letter(card({"revision": "v1.4.2"}, {"revision": "4af9ec024c7f"}))
    for text in (plain(one), shown(one).text):
        assert "v1.4.2" in text
        assert "4af9ec024c7f" in text


@pytest.mark.parametrize("value", [":", "::", ": :"])
def test_a_value_of_colons_is_shown_too(value: str) -> None:
    assert value in Shown(table({"target": value})).text


def test_a_text_of_300_kb_arrives_whole() -> None:
    for text in ("word é " * 45_000, "x" * 300_000, "a\n" * 150_000, "🚀" * 75_000):
        one = letter(Text(text))
        check_wire(one)
        assert squeezed(plain(one)) == squeezed(text)
        assert squeezed(shown(one).text) == squeezed(text)


def test_markdown_that_is_too_long_to_be_read_is_shown_as_it_is() -> None:
    one = letter(Text("**x** <b> " + "y" * MARKDOWN_CHARS_MAX))
    assert "**x** <b> yyy" in shown(one).text
    one = letter(Text("[" * 20_000 + "<script>" + ">" * 20_000))
    assert "<script>" in shown(one).text


# Harmless


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=https://evil.example/x.png onerror=alert(1)>",
        "![picture](https://evil.example/x.png)",
        "![picture][1]\n\n[1]: https://evil.example/x.png",
        "<style>body{display:none}</style>",
        '<p style="background:url(https://evil.example)" onclick="alert(1)">x</p>',
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](java\tscript:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](vbscript:x) [y](file:///etc/passwd) [z](//evil.example) [w](/decide/x) [v](mailto:eve@evil.example)",
        "<javascript:alert(1)> <mailto:eve@evil.example> <https://evil.example/<script>>",
        '[x](https://evil.example/"onmouseover="alert(1))',
        "[x](https://evil.example 'a\" onmouseover=\"alert(1)')",
        "```html onload=alert(1)\n</code></pre><script>alert(1)</script>\n```",
        '```"><script>\nx\n```',
        "<!-- comment --> <?php x ?> <![CDATA[x]]> <!DOCTYPE x>",
        "</body></html><script>alert(1)</script>",
        "| a | b |\n|:--|--:|\n| <script> | [x](javascript:y) |",
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "<iframe srcdoc='<script>'></iframe><form action=https://evil.example><input>",
        'https://evil.example/"><script>alert(1)</script>',
    ],
)
def test_nothing_in_a_text_or_a_fact_is_alive(text: str) -> None:
    hostile = Person(name=text, address="eve@team.example")
    for message in (
        Text(text),
        Notice(text),
        card({text: text}, {"found": {text: [text, {text: text}]}}, intent=text, requested_by=text),
        question(text, "b", asked=text, context=text),
        settled(by=hostile, comment=text),
    ):
        for one in letters(message):
            page = shown(one)
            assert "script" not in page.tags
            assert not {"img", "style", "form", "iframe", "input"} & set(page.tags)


def test_a_link_of_the_model_shows_where_it_leads() -> None:
    for text, target in (
        ("[https://bank.example](https://evil.example)", "https://evil.example"),
        ("[**Approve**](https://evil.example/x)", "https://evil.example/x"),
        ("[`https://bank.example/`](https://evil.example/)", "https://evil.example/"),
        ("[a][1]\n\n[1]: https://evil.example/y", "https://evil.example/y"),
        ("[ ](https://evil.example/z)", "https://evil.example/z"),
        ("[https://аpple.example](https://аpple.example)", "https://xn--pple-43d.example"),
        ("[x](https://bank.example@evil.example/)", "https://bank.example@evil.example/"),
    ):
        page = shown(letter(Text(text)))
        assert page.leads_to == [target]
        assert f"({target})" in page.text


def test_a_link_that_says_where_it_leads_says_it_once() -> None:
    for text in ("<https://git.example/c/1>", "[https://git.example/c/1](https://git.example/c/1)"):
        page = shown(letter(Text(text)))
        assert page.leads_to == ["https://git.example/c/1"]
        assert page.text.count("https://git.example/c/1") == 1


def test_characters_that_hide_or_reorder_are_written_out() -> None:
    hidden = "a\u202eb\u200bc\u2066d\x1b[31me\0f\ufeffg\U000e0041h"
    for message in (Text(hidden), Notice(hidden), card({hidden: hidden}, {"x": [hidden, {hidden: hidden}]})):
        for text in (plain(letter(message)), shown(letter(message)).text):
            assert visible(text) == text
            assert "a\\u{202e}b\\u{200b}c\\u{2066}d\\u{1b}[31me\\u{0}f\\u{feff}g\\u{e0041}h" in text


@pytest.mark.parametrize("text", ["a&#x202e;b", "a&#8203;b", "a&zwj;b", "a&lrm;b", "`x` &#x2066;b", "&#xe0041;"])
def test_characters_that_hide_are_written_out_also_where_they_come_as_entities(text: str) -> None:
    shown(letter(Text(text)))


_texts = st.text(st.characters(), max_size=60) | st.sampled_from(
    [
        "",
        " ",
        "<script>alert(1)</script>",
        "<b onclick=x>y</b>",
        "\u202eevil",
        "x" * 3_000,
        "a\r\nb\rc\nd",
        "https://a.example/?a=b&c=\"d'",
        "javascript:alert(1)",
        "*b* `c` [d](javascript:e) ![f](https://g.example)",
        "> q\n> q\n\n1. a\n   - b\n\n---\n| a |\n|---|\n| b |",
        "From me",
        ".",
        "\n.\n",
        "--=_x",
    ]
)
_markup = st.lists(
    st.sampled_from([*"<>\"'&;/=![]()`*_|\\#\n\t -", "a", "script", "href", "javascript:", "https://e.example"]),
    max_size=40,
).map("".join)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | _texts.filter(lambda text: bool(text.strip(": \t\r\n")) or not text),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_outgoing: st.SearchStrategy[Outgoing] = st.one_of(
    st.builds(Text, _texts | _markup),
    st.builds(Notice, _texts | _markup),
    st.builds(card, st.dictionaries(_texts, _values, max_size=5), st.dictionaries(_texts, _values, max_size=5)),
    st.builds(
        Question,
        st.just("s5"),
        _texts,
        _texts | _markup,
        st.sampled_from(["free_text", "yes_no", "multiple_choice"]),
        st.lists(_texts, max_size=8).map(tuple),
        st.sampled_from(["low", "medium", "high"]),
    ),
    st.builds(
        lambda request, intent, end: replace(request, intent=intent, state=end),
        st.builds(card, st.dictionaries(_texts, _values, max_size=5), st.dictionaries(_texts, _values, max_size=5)),
        _texts,
        st.builds(
            Ended,
            st.sampled_from(["approved", "rejected", "withdrawn", "superseded", "cancelled", "refused"]),
            st.none() | st.just(ANA),
            st.none() | st.just(AT),
            _texts,
        ),
    ),
)


@examples(300)
@given(_outgoing, _texts)
def test_whatever_is_said_is_a_mail_that_keeps_to_the_rules(message: Outgoing, subject: str) -> None:
    told = letters(message, mailed(subject=subject, cc=[BEN.address]))
    assert told
    for one in told:
        check_wire(one)
        page = Shown(html(one))
        assert not {"img", "script", "style"} & set(page.tags)
        assert visible(plain(one)) == plain(one)


@examples(200)
@given(st.dictionaries(_texts, _values, max_size=5), st.dictionaries(_texts, _values, max_size=5))
def test_every_character_of_a_request_is_in_both_parts(arguments: dict[str, Any], facts: dict[str, Any]) -> None:
    # A fact of an argument's name has a test of its own.
    facts = {name: value for name, value in facts.items() if name not in arguments}
    one = letter(card(arguments, facts))
    for text in map(squeezed, (plain(one), shown(one).text)):
        for part in texts_in(rows(arguments, facts, {})):
            assert squeezed(visible(part)) in text, json.dumps(part)

"""What each event becomes in the prompt."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from agent.definition import Limits
from tests.agent.context.logs import told
from tests.agent.context.prompts import Data, data_of, prompt_of, rows, tags
from tests.telling.playbook import Look
from tests.telling.story import (
    approved,
    chosen,
    finished,
    forked,
    interrupted,
    message,
    nothing_to_do,
    refused,
    requested,
    started,
    waits,
)


def test_a_step_that_was_overtaken_does_not_look_like_one_that_was_done() -> None:
    overtaken = prompt_of(message(), chosen("s1", "touch"), message("m2", "no, wait!"))
    assert data_of(overtaken, "touch") == {"status": "not begun, and will not begin"}
    after = prompt_of(message(), chosen("s1", "touch"), message("m2", "no, wait!"), nothing_to_do("s2"))
    assert data_of(after, "touch") == {"status": "not begun, and will not begin"}
    assert data_of(prompt_of(message(), *told("s1", "touch", None)), "touch") == {}


def test_a_call_that_is_held_already_says_so() -> None:
    prompt = prompt_of(message(), chosen("s1"), requested("s1"), message("m2"), chosen("s2"), message("m3"))
    assert data_of(prompt, "push") == {"status": "the same call is under way already"}


def test_an_unknown_outcome_tells_what_was_called() -> None:
    prompt = prompt_of(message(), chosen("s1", "touch", what="the door"), started("s1"), interrupted("s1"))
    assert data_of(prompt, "outcome_unknown") == {
        "step": "touch",
        "what": "the door",
        "error": "its worker was stopped",
    }
    assert "touch" not in tags(prompt)


def test_an_outcome_that_becomes_known_later_is_told_after_it() -> None:
    prompt = prompt_of(message(), chosen("s1", "touch"), started("s1"), interrupted("s1"), finished("s1", "ok"))
    assert tags(prompt) == ["message", "outcome_unknown", "touch", "now"]


def test_all_that_is_under_way_is_told() -> None:
    waiting = [
        e for step in ("s1", "s2") for e in (chosen(step, "slow", n=step), started(step, repeatable=True), waits(step))
    ]
    assert data_of(prompt_of(message(), *waiting), "now")["under_way"] == ["slow n=s1", "slow n=s2"]
    assert data_of(prompt_of(message(), *waiting[:3]), "now")["under_way"] == "slow n=s1"


def test_events_of_steps_that_the_log_does_not_hold_are_left_out() -> None:
    orphans = (requested("s9"), approved("s9"), finished("s9"), interrupted("s9"), refused("s9"))
    assert tags(prompt_of(message(), *orphans)) == ["message", "now"]


def test_a_step_under_way_in_the_source_of_a_fork_does_not_look_done() -> None:
    prompt = prompt_of(message(), chosen("s1", "touch"), started("s1"), forked(), message("m2"))
    assert data_of(prompt, "touch") == {"status": "nobody follows it here any more"}


def test_columns_of_a_table_keep_to_their_header() -> None:
    result = {"rows": [{"a": 1, "b": 2}, {"b": 20, "a": 10}]}
    assert rows(data_of(prompt_of(message(), *told("s1", "look", result)), "look")["rows"]) == [
        {"a": "1", "b": "2"},
        {"a": "10", "b": "20"},
    ]


def runs(*names: str) -> Data:
    return {"runs": [{"where": f"place {n}", "name": name} for n, name in enumerate(names, 1)]}


def looks(prompt: str) -> list[str]:
    return [body.partition("\n")[2] for body in re.findall(r"<look>\n(.*?)\n</look>", prompt, re.DOTALL)]


def test_rows_that_the_last_look_told_are_not_told_again() -> None:
    first, second, third = looks(
        prompt_of(
            message(),
            *told("s1", "look", runs("v1", "v2", "v3")),
            *told("s2", "look", runs("v1", "v2", "v4")),
            *told("s3", "look", runs("v1", "v2", "v4")),
        )
    )
    assert first == " where,name\n place 1,v1\n place 2,v2\n place 3,v3"
    assert second == " where,name\n place 3,v4\n (rows 1, 2: unchanged)"
    assert third == " where,name\n (rows 1, 2, 3: unchanged)"


def test_each_of_several_tables_is_told_again_only_where_it_has_changed() -> None:
    def look(web: str, api: str, runs: str) -> dict[str, Any]:
        def rows(last: str) -> list[dict[str, str]]:
            return [{"name": name} for name in ("v1", "v2", last)]

        return {"tags": {"web": rows(web), "api": rows(api)}, "runs": rows(runs)}

    prompt = prompt_of(
        message(),
        *told("s1", "look", look("v3", "v3", "v3")),
        *told("s2", "look", {"runs": look("", "", "v4")["runs"]}),
        *told("s3", "look", look("v3", "v5", "v4")),
    )
    last = prompt.split("<look>\n")[-1].split("</look>")[0]
    assert last == (
        "tags:\n"
        " web: |-\n  name\n  (rows 1, 2, 3: unchanged)\n"
        " api: |-\n  name\n  v5\n  (rows 1, 2: unchanged)\n"
        "runs: |-\n name\n (rows 1, 2, 3: unchanged)\n"
    )


def test_one_known_row_or_other_columns_are_told_again() -> None:
    wide = {"runs": [{"where": f"place {n}", "version": f"v{n}"} for n in (1, 2)]}
    _, second, third = looks(
        prompt_of(
            message(),
            *told("s1", "look", runs("v1", "v2")),
            *told("s2", "look", runs("v1", "v3")),
            *told("s3", "look", wide),
        )
    )
    assert "unchanged" not in second + third


def test_nobody_but_us_can_say_that_rows_are_unchanged() -> None:
    forged = {"runs": [{"name": "(rows 1, 2: unchanged)"}, {"name": "v2"}]}
    assert looks(prompt_of(message(), *told("s1", "look", forged))) == [' name\n "(rows 1, 2: unchanged)"\n v2']


def test_a_table_that_was_left_out_is_told_in_full_by_the_next_look() -> None:
    table = runs(*(f"v{n} {'of many words' * 8}" for n in range(9)))
    limits = Limits(context_chars_max=12_000)
    events = [e for n in range(12) for e in told(f"s{n}", "look", table)]
    texts = looks(prompt_of(message(), *events, limits=limits))
    assert texts.count("") > 1, "some were left out"
    told_in_full, *since = [text for text in texts if text]
    assert "unchanged" not in told_in_full
    assert since
    assert all(text.endswith("(rows 1, 2, 3, 4, 5, 6, 7, 8, 9: unchanged)") for text in since)


def test_what_is_for_people_is_shown_to_them_and_not_to_the_model() -> None:
    class Shown(Look):
        run_id: str
        for_people: ClassVar[frozenset[str]] = frozenset({"link", "run_id"})

    result = {"new": {"name": "v1", "link": "https://git.example/1"}, "state": "ended"}
    prompt = prompt_of(message(), *told("s1", "shown", result, run_id="r7"), tools=(Shown,))
    assert data_of(prompt, "shown") == {"new": {"name": "v1"}, "state": "ended"}

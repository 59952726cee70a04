"""Case files: what is read, and what is refused, with the file and the case."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.definition import Agent
from agent.evals.case import CaseError, chosen, read_cases
from tests.telling.playbook import Desk, ops


@pytest.fixture
def agent() -> Agent:
    return ops(Desk([]))


def write(folder: Path, text: str) -> Path:
    (folder / "some.yaml").write_text(text, encoding="utf-8")
    return folder


GOOD = """
tags: [talk]
cases:
- name: thanks
  given: ["thanks"]
  then: [{intent: nothing_to_do}]
- name: hello
  given: [{text: hello, from: Mallory, trust: unverified}]
  then: [{intent: [done_for_now, request_human_input], text: "hello"}]
  tags: [greeting]
  held_out: true
"""


def test_cases_are_chosen_by_tag_name_and_whether_they_are_held_out(tmp_path: Path, agent: Agent) -> None:
    cases = read_cases(write(tmp_path, GOOD), agent)
    assert [case.name for case in cases] == ["thanks", "hello"]
    assert cases[1].tags == ("talk", "greeting")
    assert [case.name for case in chosen(cases, ["talk"], held_out=False)] == ["thanks"]
    assert [case.name for case in chosen(cases, ["hello"], held_out=None)] == ["hello"]
    with pytest.raises(CaseError, match="no-such-tag"):
        chosen(cases, ["no-such-tag"], held_out=None)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("then: [{intent: nothing_to_do}]", "then: [{intent: nothing}]"), "case thanks: 'nothing' is no step of ops"),
        (
            ("then: [{intent: nothing_to_do}]", "than: [{intent: nothing_to_do}]"),
            "case thanks: than: is not known here",
        ),
        (("{intent: nothing_to_do}]", "{intent: nothing_to_do, arguments: {x: 1}}]"), "no argument 'x'"),
        (("{intent: nothing_to_do}]", "{intent: nothing_to_do, stopped: x}]"), "either intent or stopped"),
        (('text: "hello"}', 'text: "("}'), "case hello: then.0.text: is no regular expression"),
        (("then: [{intent: nothing_to_do}]", ""), "case thanks: needs `then`"),
        (("- name: hello", "- name: thanks"), "two cases have the name 'thanks'"),
        (("held_out: true", "held_out: true\n  held_out: false"), "'held_out' is given twice"),
        (("tags: [talk]\n", ""), "case thanks: tags"),
        (('given: ["thanks"]', "given: []"), "case thanks: given"),
        (('given: ["thanks"]', "given: [{text: x, trigger: y}]"), "exactly one of"),
        (("trust: unverified", "trust: someone"), "case hello: given.0.trust"),
        (("cases:", "case:"), "must hold `cases`"),
    ],
)
def test_what_is_misspelt_is_refused(tmp_path: Path, agent: Agent, change: tuple[str, str], says: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(CaseError) as refused:
        read_cases(write(tmp_path, GOOD.replace(*change, 1)), agent)
    assert says in str(refused.value)
    assert "some.yaml" in str(refused.value) or "two cases" in says


def test_the_digest_of_a_case_is_that_of_what_is_played(tmp_path: Path, agent: Agent) -> None:
    before = read_cases(write(tmp_path, GOOD), agent)[0].digest
    words = GOOD.replace("- name: thanks", "- name: thanks\n  about: Something else.")
    assert read_cases(write(tmp_path, words), agent)[0].digest == before
    other = GOOD.replace('["thanks"]', '["thank you"]')
    assert read_cases(write(tmp_path, other), agent)[0].digest != before

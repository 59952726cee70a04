"""The page about hooks: its rules do what it says with the samples, and its tables name what there is."""

from __future__ import annotations

import re
import tomllib

import yaml

from bot.team.hooks import HookRule, HookTable, kind_of, secret_variable
from bot.web.hooks.judging import rule_for, trigger_of
from bot.web.hooks.records import KEEP
from bot.web.hooks.way_in import BODY_BYTES_MAX
from channels.hooks.kind import Delivery, Posted
from channels.hooks.kinds import KINDS
from tests.channels.hooks.samples import sample
from tests.channels.hooks.signing import NOW
from tests.docs.pages import DOCS

PAGE = DOCS["hooks"]
HOOKS = {
    name: HookTable.model_validate(table)
    for block in PAGE.blocks("toml")
    for name, table in tomllib.loads(block)["hooks"].items()
}


def read(name: str) -> Delivery:
    found = sample(name)
    return KINDS[found.kind].read(found.posted(), found.options)


def test_the_merge_on_the_page_becomes_its_task() -> None:
    delivery = read("github/pull_request_merged")
    verdict = rule_for(HOOKS["github"], delivery)
    assert verdict.rule
    trigger = trigger_of(KINDS["github"], "github", verdict.rule, delivery, NOW)
    assert trigger.data["task"] == f"deploy {trigger.data['sha']} to prod-eu"
    assert rule_for(HOOKS["github"], read("github/pull_request_closed_unmerged")).rule is None


def test_the_alerts_on_the_page_find_their_rules() -> None:
    for name, number in (("firing", 1), ("resolved", 2)):
        assert rule_for(HOOKS["alertmanager"], read(f"alertmanager/{name}")).number == number


def test_the_other_service_on_the_page_is_understood() -> None:
    table = HOOKS["status"]
    kind = kind_of("status", table)
    assert kind
    posted = Posted({"x-request-id": "r1"}, b'{"type":"service.down","service":"payments","minutes":7}', NOW)
    delivery = kind.read(posted, table.options())
    verdict = rule_for(table, delivery)
    assert verdict.rule
    trigger = trigger_of(kind, "status", verdict.rule, delivery, NOW)
    assert (trigger.data, trigger.third_party) == ({"task": "look at payments"}, ())


def test_the_tables_name_what_there_is() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$", PAGE.text, re.MULTILINE))
    assert rows.keys() == KINDS.keys()
    for name, kind in KINDS.items():
        assert set(re.findall(r"`(\w+)`", rows[name])) == set(kind.events)
    named = set(re.findall(r"^\| (`[^|]+) \| [^|]+ \|$", PAGE.text, re.MULTILINE))
    keys = {key for cell in named for key in re.findall(r"`(\w+)`", cell)}
    assert keys == set(HookRule.model_fields) - {"name", "facts"}


def test_its_numbers_are_those_of_the_code() -> None:
    assert f"{BODY_BYTES_MAX // 1_000_000} MB" in PAGE.text
    assert (KEEP.count, KEEP.seconds) == (200, 14 * 86_400)
    assert f"{KEEP.count} deliveries" in PAGE.text
    assert secret_variable("shop-github") in PAGE.text


def test_what_alertmanager_is_told_is_yaml_with_its_url() -> None:
    (block,) = PAGE.blocks("yaml")
    (config,) = yaml.safe_load(block)["receivers"][0]["webhook_configs"]
    assert config["url"].endswith("/hooks/alertmanager")

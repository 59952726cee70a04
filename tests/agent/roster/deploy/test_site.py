"""The site of a team: any names, any number, an order that holds, and nothing declared that has no effect."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.arguments import arguments_of
from agent.model.schema import step_schema
from agent.roster import deploy
from agent.roster.deploy.called import components_called, environments_called
from agent.roster.deploy.in_words import in_words
from agent.roster.deploy.site import DeployConfig, read_site
from agent.roster.deploy.site_as_read import site_in
from agent.roster.deploy.tools import tools_of
from agent.roster.deploy.tools.deploy import Deploy, Rollback
from agent.roster.deploy.tools.guards import Waiver

TARGET = {"deploy": ["deploy", "{sha}"], "status": ["status"]}
TEST = ["test", "{environment}"]


def component(*environments: str, repository: str = "/srv/git/shop.git", **more: Any) -> dict[str, Any]:
    return {"repository": repository, "targets": dict.fromkeys(environments, TARGET), **more}


def table(environments: dict[str, Any], **components: dict[str, Any]) -> dict[str, Any]:
    return {"environments": environments, "components": components}


REGIONS = table(
    {
        "prod-us": {"after": "prod-eu"},
        "prod-eu": {"after": "qa", "test": TEST, "on_failed_test": "rollback"},
        "lab": {"approval": "none"},
        "qa": {"after": "lab", "approval": "none", "test": TEST},
    },
    payments=component("lab", "qa", "prod-eu", "prod-us", repository="/srv/git/payments.git"),
    ledger=component("lab", "prod-us", path="ledger"),
    docs=component("prod-us", path="docs"),
)

NAMED = REGIONS | {"only_named": True}


def test_the_order_is_what_comes_after_what() -> None:
    site = read_site(REGIONS)
    assert site.order == ("lab", "qa", "prod-eu", "prod-us")
    assert site.unattended == ("lab", "qa")
    assert [site.before("payments", name) for name in site.order] == ["", "lab", "qa", "prod-eu"]
    assert site.before("ledger", "prod-us") == "lab", "the nearest to which it is deployed"
    assert site.before("docs", "prod-us") == ""


def test_what_comes_after_an_environment_that_needs_an_approval_is_not_reached_unattended() -> None:
    environments = {"one": {}, "two": {"after": "one", "approval": "none"}, "three": {"approval": "none"}}
    site = read_site(table(environments, web=component("one", "two", "three")))
    assert site.unattended == ("three",)
    assert site.free == {"two", "three"}


def test_only_an_environment_that_says_so_needs_no_approval() -> None:
    (made,) = [tool for tool in tools_of(read_site(REGIONS)) if issubclass(tool, Deploy)]
    waits = {
        name: made(component="payments", environment=name, revision="v1").needs_approval()
        for name in arguments_of(made)["environment"].values or ()
    }
    assert waits == {"lab": False, "qa": False, "prod-eu": True, "prod-us": True}
    assert Deploy(component="payments", environment="lab", revision="v1").needs_approval(), "made for no site"


def test_a_waived_call_always_waits_and_is_never_approved_beforehand() -> None:
    (made,) = [tool for tool in tools_of(read_site(REGIONS)) if issubclass(tool, Deploy)]
    call = made(component="payments", environment="lab", revision="v1")
    assert (call.needs_approval(), call.takes_standing_approval(), "waiver" in call.arguments) == (False, True, False)
    waived = call.model_copy(update={"waiver": Waiver(message="m2", words="the old one")})
    assert (waived.needs_approval(), waived.takes_standing_approval()) == (True, False)
    assert waived.arguments["waiver"] == {"message": "m2", "words": "the old one"}


def test_the_steps_take_the_names_of_the_site_and_the_schema_holds_them_once() -> None:
    tools = tools_of(read_site(REGIONS))
    (made,) = [tool for tool in tools if issubclass(tool, Deploy)]
    assert made.intent_name() == "deploy"
    assert arguments_of(made)["component"].values == ("payments", "ledger", "docs")
    assert arguments_of(made)["revision"].values is None
    with pytest.raises(ValidationError, match="component"):
        made(component="backend", environment="lab", revision="v1")
    agent = deploy.build(REGIONS, Path("home"))
    schema = step_schema(agent)
    assert schema.strict
    assert str(schema.schema).count("'ledger'") == 1
    assert tools_of(read_site(REGIONS)) == tools, "the same classes for the same site"


def test_the_prompt_says_the_site_and_holds_no_other_name() -> None:
    words = in_words(read_site(REGIONS))
    assert words.splitlines()[2:] == [
        "Environments, in their order:",
        "- lab: no approval",
        "- qa, after lab: no approval, tested by code",
        "- prod-eu, after qa: people approve, tested by code",
        "- prod-us, after prod-eu: people approve",
        "Components, each with its repository, and the environments that they are deployed to:",
        "- payments (payments.git): lab, qa, prod-eu, prod-us",
        "- ledger (shop.git/ledger): lab, prod-us",
        "- docs (shop.git/docs): prod-us",
    ]
    prompt = deploy.build(REGIONS, Path("home")).prompt
    assert prompt.endswith(f"\n\n{words}\n")
    assert not any(name in prompt for name in ("backend", "frontend", "staging", "production"))


def called(**more: Any) -> dict[str, Any]:
    """Two components and two environments, with these other names."""
    environments = {"staging": {"approval": "none"}, "production": {"after": "staging"}}
    for name in environments:
        environments[name] |= {"also": more[name]} if name in more else {}
    return {"only_named": True} | table(
        environments,
        **{
            name: component("staging", "production", **({"also": more[name]} if name in more else {}))
            for name in ("backend", "frontend")
        },
    )


def test_other_names_stand_at_the_end_of_the_prompt_and_the_rest_stays_as_it_is() -> None:
    words = in_words(read_site(called(backend=["API", "バックエンド"], production=["the shop", "本番"])))
    assert words == in_words(read_site(called())) + (
        "\nWhat people also call them:\n- backend: API, バックエンド\n- production: the shop, 本番"
    )
    assert site_in(f"\n{words}") == site_in(f"\n{in_words(read_site(called()))}")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"backend": ["API"], "frontend": ["api"]}, "components.frontend.also.0.*'api' names 'backend' too"),
        ({"backend": ["front-end"]}, "components.backend.also.0.*'front-end' names 'frontend' too"),
        ({"backend": ["production"]}, "'production' names 'production' too"),
        ({"staging": ["バックエンド"], "backend": ["ﾊﾞｯｸｴﾝﾄﾞ"]}, "environments.staging.also.0.*names 'backend' too"),
        ({"backend": ["Back End"]}, "'Back End' names it already"),
        ({"backend": ["API", "api"]}, "components.backend.also.1.*'api' names it already"),
        ({"backend": [str(number) for number in range(11)]}, "at most 10"),
        ({"backend": ["x" * 61]}, "at most 60"),
        ({"backend": ["(old)"]}, "no punctuation"),
        ({"backend": ["a\nb"]}, "on one line"),
        ({"backend": ["a\u202eb"]}, "on one line"),
        ({"backend": [""]}, "on one line"),
        ({"backend": "API"}, "valid tuple"),
    ],
)
def test_another_name_must_be_one_and_name_one_thing(more: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError) as refused:
        read_site(called(**more))
    assert re.search(why, str(refused.value).replace("\n", " ")), str(refused.value)


def test_people_name_a_component_by_all_its_names_and_what_is_short_for_it() -> None:
    site = read_site(
        table(
            {"prod-eu": {}, "prod-us": {}},
            **{
                "web-api": component("prod-eu", also=["バックエンド"]),
                "web-shop": component("prod-us"),
            },
        )
    )
    assert components_called(site) == {"web-api": ("web-api", "バックエンド", "api"), "web-shop": ("web-shop", "shop")}
    assert environments_called(site) == {"prod-eu": ("prod-eu", "eu"), "prod-us": ("prod-us", "us")}


def test_who_names_an_environment_names_for_deployments_those_before_it() -> None:
    (deploys,) = [tool for tool in tools_of(read_site(NAMED)) if issubclass(tool, Deploy)]
    (rolls_back,) = [tool for tool in tools_of(read_site(NAMED)) if issubclass(tool, Rollback)]
    assert deploys.named_by_people["environment"]["qa"] == ("qa", "prod-eu", "eu", "prod-us", "us")
    assert deploys.named_by_people["environment"]["prod-us"] == ("prod-us", "us")
    assert rolls_back.named_by_people["environment"]["qa"] == ("qa",)
    assert set(deploys.named_by_people["component"]) == {"payments", "ledger", "docs"}


def test_what_is_the_only_one_goes_without_saying() -> None:
    one_component = read_site({"only_named": True} | table({"lab": {}, "live": {}}, shop=component("lab", "live")))
    one_environment = read_site(
        {"only_named": True} | table({"live": {}}, shop=component("live"), docs=component("live"))
    )
    assert to_name(one_component) == {"environment"}
    assert to_name(one_environment) == {"component"}


def to_name(site: DeployConfig) -> set[str]:
    (made,) = {frozenset(tool.named_by_people) for tool in tools_of(site) if issubclass(tool, Deploy | Rollback)}
    return set(made)


def test_a_revision_names_its_component_where_it_can_be_of_one_repository_only() -> None:
    (of_many,) = [tool for tool in tools_of(read_site(NAMED)) if issubclass(tool, Deploy)]
    (of_one,) = [tool for tool in tools_of(read_site(called())) if issubclass(tool, Deploy)]
    for revision, in_many in (("v1.2.0", {}), ("8da8a06", {"component": "8da8a06"})):
        assert of_many(component="payments", environment="qa", revision=revision).stands_for() == in_many
        call = of_one(component="backend", environment="staging", revision=revision)
        assert call.stands_for() == {"component": revision}


def test_the_stand_in_reads_the_site_from_the_prompt() -> None:
    site = site_in(deploy.build(REGIONS, Path("home")).prompt)
    assert site.before == {"lab": "", "qa": "lab", "prod-eu": "qa", "prod-us": "prod-eu"}
    assert site.targets["ledger"] == ("lab", "prod-us")
    assert [*site.all_before("payments", "prod-us")] == ["prod-eu", "qa", "lab"]
    assert site.environment("to prod-us please") == "prod-us"
    assert site.components_in("the docs, then payments") == ("docs", "payments")


WEB = component("one", "two")


@pytest.mark.parametrize(
    ("environments", "components", "told"),
    [
        ({"one": {}}, {"web": WEB}, ["components.web.targets.two: no environment 'two' is declared, known are one"]),
        ({}, {"web": component("one")}, ["components.web.targets.one: no environment 'one' is declared, none is"]),
        ({"one": {}, "two": {}, "three": {}}, {"web": WEB}, ["environments.three: it has no effect, because no comp"]),
        (
            {"one": {}, "two": {"after": "won"}},
            {"web": WEB},
            ["environments.two.after: no environment 'won' is declared; known are one, two"],
        ),
        (
            {"one": {"after": "two"}, "two": {"after": "one"}},
            {"web": WEB},
            [
                "environments.one.after: the order goes round in a circle: one after two after one",
            ],
        ),
        (
            {"one": {"after": "one"}, "two": {"after": "one"}},
            {"web": WEB},
            ["environments.one.after: the order goes round in a circle: one after one"],
        ),
        (
            {"one": {}, "two": {"on_failed_test": "rollback"}},
            {"web": WEB},
            ["environments.two.on_failed_test: it has no effect without `test`"],
        ),
        (
            {"one": {"approval": "none"}, "two": {"after": "one", "in_turn": True}},
            {"web": WEB},
            ["environments.two.in_turn: it has no effect, because code deploys no merge there"],
        ),
        ({"one": {"approval": "some"}, "two": {}}, {"web": WEB}, ["environments.one.approval: Input should be"]),
        ({"one": {"test": ["{environment}"]}, "two": {}}, {"web": WEB}, ["environments.one.test: Value error, the pr"]),
    ],
)
def test_what_cannot_be_or_has_no_effect_is_refused_all_together(
    environments: dict[str, Any], components: dict[str, Any], told: list[str]
) -> None:
    with pytest.raises(ValidationError) as refused:
        read_site(table(environments, **components))
    found = [f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in refused.value.errors()]
    assert len(found) == len(told)
    assert all(line.startswith(beginning) for line, beginning in zip(found, told, strict=True)), found


def test_that_only_what_is_named_is_changed_has_no_effect_where_there_is_nothing_else() -> None:
    with pytest.raises(ValidationError, match="it has no effect, because there is only one component and one env"):
        read_site({"only_named": True} | table({"one": {}}, web=component("one")))


def test_a_target_says_its_kind_and_without_one_it_is_a_command() -> None:
    def with_target(**target: Any) -> dict[str, Any]:
        return table({"live": {}}, web={"repository": "/srv/web", "targets": {"live": target}})

    assert read_site(with_target(**TARGET)).components["web"].targets["live"].kind == "command"
    with pytest.raises(ValidationError, match=r"`kind` must be one of command"):
        read_site(with_target(kind="ftp", **TARGET))


def test_a_wrong_target_is_named_as_the_file_names_it() -> None:
    wrong = {"deploy": ["deploy", "{tag}"], "staus": ["status"], "timeout_seconds": 0}
    with pytest.raises(ValidationError) as caught:
        read_site(table({"live": {}}, web={"repository": "/srv/web", "targets": {"live": wrong}}))
    at = ("components", "web", "targets", "live")
    found = {(error["loc"], error["type"]) for error in caught.value.errors()}
    assert found == {
        ((*at, "deploy"), "value_error"),
        ((*at, "status"), "missing"),
        ((*at, "staus"), "extra_forbidden"),
        ((*at, "timeout_seconds"), "greater_than"),
    }

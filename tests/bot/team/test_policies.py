"""Who may approve what: the first rule that matches holds, times become instants, and no rule stands for nothing."""

from __future__ import annotations

import tomllib
from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from agent.authority import CallToApprove
from agent.definition import Agent
from agent.steps import Tool
from bot.cli.doctor import examine
from bot.cli.findings import Finding
from bot.settings import Settings
from bot.setup import Setup
from bot.team.file import Team
from bot.team.people import People
from bot.team.policies import Policies
from bot.team.reach import Reach
from bot.team.rule_checks import rule_problems, rule_warnings
from bot.team.rule_effects import tools_of
from channels.messages import CALLED_MAX
from store.authority.terms import Terms
from store.values import Place
from tests.shop import Site

NOW = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)  # a Friday, 17:00 in Berlin
BOTH: Reach = {"slack": None, "email": None}
PEOPLE = """
[people.dex]
name = "Dex Example"
slack = "U0DEX"
emails = ["dex@example.com"]
groups = ["release", "leads"]
[people.ana]
emails = ["ana@example.com"]
groups = ["release"]
[people.bob]
groups = ["release"]
[people.eve]
slack = "U0EVE"
groups = ["leads"]
"""
PRODUCTION = '[[rule]]\ntool = "deploy"\nwhen.environment = "production"\n'
HOURS = """
[hours]
time_zone = "Europe/Berlin"
from = "09:00"
to = "18:00"
"""


class Deploy(Tool):
    """Production needs an approval."""

    environment: Literal["staging", "production"]

    def needs_approval(self) -> bool:
        return self.environment == "production"


class Restart(Tool):
    """All of its calls are alike to policies, and it looks at an argument."""

    service: str

    def needs_approval(self) -> bool:
        return self.service != "web"


class Push(Tool):
    """Its scope can be any text."""

    target: str

    def needs_approval(self) -> bool:
        return True


class Touch(Tool):
    """Nobody has to approve it, unless a rule says so."""


class Look(Tool):
    """It only looks."""

    environment: Literal["staging", "production"]
    acts: ClassVar[bool] = False


ROSTER = {
    "deploy": Agent(name="deploy", prompt="", tools=(Deploy, Restart, Touch, Look)),
    "ops": Agent(name="ops", prompt="", tools=(Push, Deploy)),
}


def read(text: str) -> Team:
    return Team.model_validate(tomllib.loads(PEOPLE + text))


def policies(text: str, channels: Collection[str] = BOTH) -> Policies:
    team = read(text)
    return Policies(People(team.people), team.rules, team.business_hours, channels=channels)


def call(intent: str = "deploy", environment: str = "production", **more: Any) -> CallToApprove:
    given: dict[str, Any] = {
        "thread": "t1",
        "step": "s1",
        "agent": "deploy",
        "at": NOW,
        "requesters": ("ana",),
        "unverified": False,
    }
    return CallToApprove(intent=intent, **{"arguments": {"environment": environment}} | given | more)


def terms(text: str, **more: Any) -> Terms:
    rule = policies(text).rule_for(call(**more))
    assert rule is not None
    return rule.terms


def problems(text: str, reach: Reach = BOTH, *, known: bool = True) -> list[str]:
    team = read(text)
    tools = tools_of(ROSTER) if known else None
    return rule_problems(team.rule, People(team.people), team.business_hours, tools=tools, reach=reach)


# Which one holds


@pytest.mark.parametrize(
    ("intent", "environment", "group"),
    [
        ("deploy", "production", "both"),
        ("deploy", "staging", "the-tool"),
        ("push", "production", "the-value"),
        ("push", "staging", "neither"),
    ],
)
def test_the_first_rule_that_matches_holds(intent: str, environment: str, group: str) -> None:
    text = """
        [[rule]]
        tool = "deploy"
        when.environment = "production"
        group = "both"
        [[rule]]
        tool = "deploy"
        group = "the-tool"
        [[rule]]
        tool = "*"
        when.environment = "production"
        group = "the-value"
        [[rule]]
        tool = "*"
        group = "neither"
    """
    assert terms(text, intent=intent, environment=environment).group == group
    assert terms(text, intent="restart", arguments={"service": "web"}).group == "neither"


def test_without_a_rule_nobody_may() -> None:
    only = PRODUCTION + 'group = "release"'
    assert policies(only).rule_for(call(environment="staging")) is None
    assert policies(only).rule_for(call(intent="push")) is None
    assert Policies().rule_for(call()) is None


# What it says


def test_a_rule_becomes_terms_with_instants() -> None:
    text = """
        [[rule]]
        tool = "deploy"
        when.environment = "production"
        group = "release"
        quorum = 2
        requester_may = false
        expires = "4h"
        remind = "30m"
        widen = "1h"
        then = "leads"
    """
    assert terms(text) == Terms(
        group="release",
        quorum=2,
        requester_may=False,
        requesters=("ana",),
        remind_at=datetime(2026, 11, 20, 16, 30, tzinfo=UTC),
        widen_at=datetime(2026, 11, 20, 17, 0, tzinfo=UTC),
        then="leads",
        expires_at=datetime(2026, 11, 20, 20, 0, tzinfo=UTC),
    )


def test_what_is_not_said_is_the_default() -> None:
    assert terms(PRODUCTION + 'group = "release"') == Terms(
        group="release", requesters=("ana",), expires_at=datetime(2026, 11, 21, 16, 0, tzinfo=UTC)
    )


def test_it_is_widened_after_twice_the_time_of_the_reminder() -> None:
    found = terms(PRODUCTION + 'group = "release"\nremind = "45m"\nthen = "leads"')
    assert found.widen_at == datetime(2026, 11, 20, 17, 30, tzinfo=UTC)
    assert terms(PRODUCTION + 'group = "release"\nremind = "45m"').widen_at is None
    in_days = PRODUCTION + 'group = "release"\nremind = "1d"\nthen = "leads"\nexpires = "7d"'
    assert terms(in_days).widen_at == NOW + timedelta(days=2)


def test_times_are_counted_in_business_hours_and_people_are_spoken_to_in_them() -> None:
    text = PRODUCTION + 'group = "release"\nremind = "1h"\nthen = "leads"\nexpires = "1d"' + HOURS
    found = terms(text)
    assert found.remind_at == datetime(2026, 11, 23, 8, 0, tzinfo=UTC)  # not at 18:00, when everybody leaves
    assert found.widen_at == datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    assert found.expires_at == datetime(2026, 11, 23, 16, 0, tzinfo=UTC)


def test_a_stronger_rule_holds_where_it_is_not_sure_who_asked() -> None:
    text = """
        [[rule]]
        tool = "deploy"
        when.environment = "production"
        group = "team"
        expires = "4h"
        ask = ["slack:C0RELEASE"]
        unverified = { group = "leads", quorum = 2, requester_may = false, ask = [] }
    """
    assert terms(text).group == "team"
    found = policies(text).rule_for(call(unverified=True))
    assert found is not None
    assert (found.terms.group, found.terms.quorum, found.terms.requester_may) == ("leads", 2, False)
    assert found.terms.expires_at == datetime(2026, 11, 20, 20, 0, tzinfo=UTC)
    assert found.asks == ()
    assert [one.member for one in found.approvers] == ["dex", "eve"]


# Whom it asks, and where


def test_it_is_shown_where_the_rule_says_and_to_each_member_once() -> None:
    text = """
        [[rule]]
        tool = "deploy"
        when.environment = "production"
        group = "release"
        ask = ["slack:C0RELEASE", "email:Oncall@example.com", "members", "slack:U0DEX"]
        then = "leads"
        widen = "1h"
    """
    rule = policies(text).rule_for(call())
    assert rule is not None
    assert rule.asks == (
        Place(channel="slack", address="/C0RELEASE/"),
        Place(channel="email", address="oncall@example.com/approvals"),
        Place(channel="slack", address="/U0DEX/"),
        Place(channel="email", address="ana@example.com/approvals"),
    )
    assert rule.then_asks == (Place(channel="slack", address="/U0EVE/"),)


def test_members_are_asked_by_mail_where_slack_is_not_set_up() -> None:
    rule = policies(PRODUCTION + 'group = "leads"\nask = ["members"]', ("email",)).rule_for(call())
    assert rule is not None
    assert rule.asks == (Place(channel="email", address="dex@example.com/approvals"),)


def test_approvers_are_named_as_they_can_be_called() -> None:
    rule = policies(PRODUCTION + 'group = "release"').rule_for(call())
    assert rule is not None
    assert [(one.name, one.address, one.member, one.trust) for one in rule.approvers] == [
        ("Dex Example", "U0DEX", "dex", "verified"),
        ("ana", "ana@example.com", "ana", "verified"),
        ("bob", "", "bob", "verified"),
    ]


def test_who_asked_is_not_named_where_they_may_not_approve_it() -> None:
    rule = policies(PRODUCTION + 'group = "release"\nrequester_may = false').rule_for(call())
    assert rule is not None
    assert [one.member for one in rule.approvers] == ["dex", "bob"]


def test_of_many_approvers_some_are_named_and_of_anyone_nobody() -> None:
    crowd = "".join(f"[people.p{n}]\n" for n in range(30))
    everybody = policies(crowd + PRODUCTION + 'group = "team"').rule_for(call())
    anyone = policies(PRODUCTION + 'group = "anyone"').rule_for(call())
    assert everybody is not None
    assert anyone is not None
    assert len(everybody.approvers) == CALLED_MAX
    assert anyone.approvers == ()


# What is wrong with them


def test_rules_that_are_right_have_no_problems() -> None:
    text = """
        [[rule]]
        tool = "deploy"
        when.environment = "production"
        group = "release"
        quorum = 3
        requester_may = false
        ask = ["slack:C0RELEASE", "email:oncall@example.com", "members"]
        remind = "30m"
        then = "leads"
        unverified = { quorum = 4, widen = "2h", expires = "20h" }
        standing = { group = "leads", max = "8h" }
        [[rule]]
        tool = "deploy"
        group = "anyone"
        [[rule]]
        tool = "restart"
        group = "team"
        quorum = 4
        [[rule]]
        tool = "push"
        when.target = "any text"
        group = "release"
        quorum = 4
        then = "leads"
        widen = "1h"
        [[rule]]
        tool = "*"
        group = "release"
    """
    assert problems(text) == []
    assert problems(text + HOURS) == []


def test_everything_that_is_wrong_is_told_at_once() -> None:
    text = """
        [[rule]]
        tool = "deploi"
        when.environment = "production"
        group = "release"
        [[rule]]
        tool = "deploy"
        when.environment = "prodction"
        group = "relase"
        quorum = 9
        then = "leeds"
        ask = ["slack:#release", "irc:x", "everybody"]
        unverified = { group = "nobody" }
        standing = { group = "lead", max = "8h" }
        [[rule]]
        tool = "restart"
        when.service = "web"
        group = "release"
        quorum = 5
    """
    ask = "ask takes slack:CHANNEL_ID, email:ADDRESS, webhook:ENDPOINT, or members, not"
    second = "rule 2 (deploy) in the team file"
    assert problems(text) == [
        "rule 1 (deploi) in the team file: 'deploi' is no tool; did you mean deploy?",
        f"{second}: 'prodction' is no environment of deploy; did you mean production?",
        f"{second}: 'relase' is no group that somebody is in; did you mean release?",
        f"{second}: 'leeds' is no group that somebody is in; did you mean leads?",
        f"{second}: quorum is 9, but 4 people are in release or leads.",
        f"{second}: then needs widen or remind, which say when that group may decide as well.",
        f"{second}: {ask} 'slack:#release'.",
        f"{second}: {ask} 'irc:x'.",
        f"{second}: {ask} 'everybody'.",
        f"{second}, unverified: 'nobody' is no group that somebody is in; known are leads, release, team, anyone.",
        f"{second}, unverified: quorum is 9, but 4 people are in team or leads.",
        f"{second}, standing: 'lead' is no group that somebody is in; did you mean leads?",
        "rule 3 (restart) in the team file: quorum is 5, but 3 people are in release.",
    ]


def test_where_the_agents_are_not_known_their_tools_are_not_judged() -> None:
    assert problems('[[rule]]\ntool = "deploi"\nwhen.environment = "production"\ngroup = "release"', known=False) == []


def test_where_no_agent_is_set_up_no_tool_is_known() -> None:
    team = read(PRODUCTION + 'group = "release"')
    told = rule_problems(team.rule, People(team.people), team.business_hours, tools={}, reach=BOTH)
    assert told == ["rule 1 (deploy) in the team file: 'deploy' is no tool; known are none."]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ('group = "anyone"\nquorum = 2', "quorum does not work with 'anyone': it is unknown which addresses"),
        ('group = "anyone"\nrequester_may = false', "requester_may does not work with 'anyone'"),
        ('group = "release"\nquorum = 2\nthen = "anyone"\nwiden = "1h"', "quorum does not work with 'anyone'"),
        ('group = "anyone"\nask = ["members"]', "ask: 'anyone' has no known members"),
        ('group = "team"\nquorum = 5', "quorum is 5, but 4 people are in team."),
        (
            'group = "release"\nquorum = 5\nthen = "leads"\nwiden = "1h"',
            "quorum is 5, but 4 people are in release or leads.",
        ),
        ('group = "release"\nwiden = "1h"', "widen needs then"),
        ('group = "release"\nremind = "4h"\nexpires = "4h"', "remind must be shorter than expires"),
        (
            'group = "release"\nremind = "2h"\nwiden = "1h"\nthen = "leads"',
            "remind must be shorter than widen",
        ),
        (
            'group = "release"\nremind = "2h"\nthen = "leads"\nexpires = "3h"',
            "widen (twice remind) must be shorter than expires",
        ),
        (
            'group = "release"\nrequester_may = false\nstanding = { group = "anyone", max = "1h" }',
            "requester_may = false does not work with 'anyone'",
        ),
        (
            'group = "release"\nunverified = { quorum = 4 }',
            "unverified: quorum is 4, but 3 people are in release.",
        ),
    ],
)
def test_a_rule_that_nobody_could_meet_is_refused(rule: str, words: str) -> None:
    (told,) = problems(PRODUCTION + rule)
    assert words in told


def test_a_problem_of_the_rule_is_told_once_though_the_stronger_one_has_it_too() -> None:
    assert len(problems(PRODUCTION + 'group = "x"\nunverified = { quorum = 2 }')) == 1


def test_days_are_as_long_as_the_business_hours_say() -> None:
    text = PRODUCTION + 'group = "release"\nremind = "2d"\nexpires = "24h"'
    assert problems(text + HOURS) == []
    assert len(problems(text)) == 1


def test_people_are_asked_only_at_channels_that_are_set_up() -> None:
    text = PRODUCTION + 'group = "release"\nask = ["slack:C0RELEASE", "email:a@example.com"]'
    assert problems(text, {"email": None}) == [
        "rule 1 (deploy) in the team file: ask names 'slack:C0RELEASE', and slack is not set up."
    ]
    members = PRODUCTION + 'group = "leads"\nask = ["members"]'
    assert problems(members, {"email": None}) == []
    (told,) = problems(members, {})
    assert "nobody in leads can be reached" in told


def test_a_crowd_is_not_asked_one_by_one() -> None:
    crowd = "".join(f"[people.p{n}]\nemails = ['p{n}@example.com']\n" for n in range(30))
    (told,) = problems(crowd + PRODUCTION + 'group = "team"\nask = ["members"]')
    assert "team has more than 20 people" in told
    (told,) = problems(crowd + PRODUCTION + 'group = "leads"\nthen = "team"\nwiden = "1h"')
    assert "then: team has more than 20 people" in told


def test_a_team_of_nobody_is_told() -> None:
    team = Team.model_validate(tomllib.loads(PRODUCTION + 'group = "team"'))
    told = rule_problems(team.rule, People(), team.business_hours, tools=None, reach=BOTH)
    assert "rule 1 (deploy) in the team file: 'team' means everybody in [people], which is empty." in told


# What nobody may approve


def test_what_nobody_may_approve_is_told() -> None:
    assert rule_warnings(ROSTER, policies("")) == [
        "Nobody may approve deploy, restart, push: bot.toml has no rule for them. "
        'Add a [[rule]] with tool = "deploy" and a group, or one with tool = "*" as the last.'
    ]
    text = '[[rule]]\ntool = "*"\nwhen.environment = "production"\ngroup = "leads"\n'
    text += '[[rule]]\ntool = "push"\ngroup = "leads"'
    assert rule_warnings(ROSTER, policies(text)) == [
        "Nobody may approve restart: bot.toml has no rule for it. "
        'Add a [[rule]] with tool = "restart" and a group, or one with tool = "*" as the last.'
    ]


def test_whoever_is_alone_in_deciding_is_told_that_nobody_may_approve_what_they_ask_for() -> None:
    people = '[people.eli]\ngroups = ["one"]\n[people.fay]\ngroups = ["other"]\n'
    rule = '[[rule]]\ntool = "*"\ngroup = "one"\nrequester_may = false\n'

    def told(text: str) -> list[str]:
        return rule_warnings(ROSTER, policies(people + text))

    assert told(rule) == [
        "rule 1 (*) in the team file: nobody may approve what eli asks for, because requester_may = false and it takes "
        "1 of the others. Name more people."
    ]
    (both,) = told(rule + 'quorum = 2\nthen = "other"\nwiden = "1h"\n')
    assert "what eli or fay asks for, because requester_may = false and it takes 2 of the others" in both
    assert told(rule + 'then = "other"\nwiden = "1h"\n') == []
    assert told(rule.replace("false", "true")) == []


async def test_doctor_tells_it_too(template: Path, tmp_path: Path) -> None:
    async def found(text: str) -> Finding | None:
        site = Site(template)
        site.write_team_file(tmp_path / "bot.toml")
        agents = tomllib.loads((tmp_path / "bot.toml").read_text())["agents"]
        team = read(text).model_copy(update={"agents": agents})
        findings = examine(Setup(Settings(bot_home=tmp_path), team))
        # No further: the others ask servers.
        return next((one for one in [await anext(findings) for _ in range(4)] if one.what == "team file"), None)

    warned = await found("")
    assert warned is not None
    assert warned.state == "warning"
    assert "Nobody may approve deploy, rollback, release_target: " in warned.text
    text = '[[rule]]\ntool = "*"\ngroup = "release"\nstanding = { group = "leads", max = "1h" }'
    assert await found(text) == Finding(
        "team file", "ok", "every call that needs approval has people who may approve it."
    )
    wrong = await found('[[rule]]\ntool = "deploy"\nwhen.environment = "production"\ngroup = "relase"')
    assert wrong is not None
    assert (wrong.state, "did you mean release?" in wrong.text) == ("failed", True)


def test_what_somebody_may_approve_is_not() -> None:
    some = PRODUCTION + 'group = "leads"\n[[rule]]\ntool = "*"\ngroup = "release"'
    assert rule_warnings(ROSTER, policies(some)) == []
    (only,) = rule_warnings(
        ROSTER, policies('[[rule]]\ntool = "deploy"\nwhen.environment = "staging"\ngroup = "leads"')
    )
    assert "Nobody may approve deploy (environment production), restart, " in only


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("quorum = 2\nunverified = { quorum = 1 }", "quorum is 1, but 2 otherwise: it must not be weaker."),
        ("requester_may = false\nunverified = { requester_may = true }", "requester_may is true, but false otherwise"),
        (
            'unverified = { group = "anyone" }',
            "group is 'anyone', but release otherwise, without anyone, eve: it must not be weaker. It takes a group of "
            "people who are all in release.",
        ),
        ('unverified = { group = "leads", quorum = 2 }', "group is 'leads', but release otherwise, without eve: it"),
        (
            'unverified = { then = "leads", widen = "1h" }',
            "then is 'leads', but only release may decide otherwise, without eve: it must not be weaker.",
        ),
        (
            'then = "leads"\nwiden = "2h"\nunverified = { widen = "1h" }',
            "widen is 1h, but 2h otherwise: it must not be weaker. It takes 2h or more.",
        ),
        ('unverified = { expires = "25h" }', "expires is 25h, but 24h otherwise: it must not be weaker. It takes 24h"),
        ('decide_by = ["link"]\nunverified = { decide_by = ["link", "mail"] }', "decide_by is link, mail, but link"),
        ('standing = { group = "anyone", max = "1h" }', "approving in advance must not be easier"),
        ("quorum = true", "should be a valid integer"),
    ],
)
def test_what_would_open_approvals_unseen_is_refused(rule: str, says: str) -> None:
    text = f'{PRODUCTION}group = "release"\n{rule}'
    try:
        found = problems(text)
    except ValueError as error:
        found = [str(error)]
    assert any(says in one for one in found), found


def test_members_whose_mail_is_not_taken_in_are_named() -> None:
    one = policies('[people.zoe]\nemails = ["zoe@elsewhere.example"]\n[[rule]]\ntool = "*"\ngroup = "team"')
    told = rule_warnings(ROSTER, one, lambda address: address.endswith("@example.com"))
    assert "zoe@elsewhere.example of [people] is not in EMAIL_ALLOWED_SENDERS, so it cannot decide by mail." in told


def test_a_request_that_too_few_may_ever_approve_says_so_at_once() -> None:
    text = """
        [people.ada]
        name = "Ada"
        groups = ["pair"]
        [people.bea]
        name = "Bea"
        groups = ["pair"]
        [[rule]]
        tool = "*"
        group = "pair"
        quorum = 2
        requester_may = false
    """
    one = policies(text).rule_for(call(requesters=("ada",)))
    assert one is not None
    assert one.unsatisfiable.startswith("It needs 2 approvals from pair, by people who did not request it: Bea.")
    nobody = policies(text).rule_for(call(requesters=("ada", "bea")))
    assert nobody is not None
    assert "who did not request it: nobody." in nobody.unsatisfiable
    both = policies(text).rule_for(call(requesters=("zed",)))
    assert both is not None
    assert both.unsatisfiable == ""


def test_who_asked_for_it_is_not_asked_when_more_may_decide() -> None:
    text = """
        [people.ada]
        slack = "U0000000ADA"
        groups = ["pair", "heads"]
        [people.bea]
        slack = "U0000000BEA"
        groups = ["heads"]
        [people.cyn]
        slack = "U0000000CYN"
        groups = ["heads", "pair"]
        [[rule]]
        tool = "*"
        group = "pair"
        requester_may = false
        remind = "1m"
        then = "heads"
    """
    rule = policies(text).rule_for(call(requesters=("ada",)))
    assert rule is not None
    # Cyn could before.
    assert [place.address for place in rule.then_asks] == ["/U0000000BEA/"]

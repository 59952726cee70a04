"""The whole prompt: what it looks like, how long it gets, and that it only grows at its end."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from agent.context.window import Context
from agent.definition import Limits
from store.choices import ChoiceFailed
from store.events import (
    KINDS,
    ApprovalDecided,
    ApprovalRequested,
    Event,
    MessageReceived,
    StepChosen,
    StepRefused,
    ToolFinished,
    ToolInterrupted,
    TriggerReceived,
)
from tests.agent.context.logs import DEPLOYMENT, SHA, conversation
from tests.agent.context.prompts import prompt_of, read, rows
from tests.matrices import examples
from tests.telling.playbook import ops
from tests.telling.story import (
    approved,
    asked,
    chosen,
    done,
    finished,
    fired,
    interrupted,
    message,
    nothing_to_do,
    requested,
    started,
    thread,
    waits,
    withdrew,
)
from tests.telling.strategies import events_of


def test_the_prompt_of_a_deployment() -> None:
    assert prompt_of(*DEPLOYMENT) == snapshot("""\
<message>
from: Ann (verified)
subject: Release
text: deploy SHA 4af9ec0 to production
</message>

<list_git_tags>
component: backend
tags: |-
 name,sha,date,author,subject
 v1.1.0,bbbbbbb,2026-11-18,Lin Berg,"Show, then"
 v1.0.0,aaaaaaa,2026-11-16,Ada Okafor,First
</list_git_tags>

<list_deployments>
deployments: |-
 component,environment,sha,name,since
 backend,production,bbbbbbb,v1.1.0,
 frontend,production,"","",
</list_deployments>

<approval_requested>
step: deploy
component: frontend
environment: production
revision: 4af9ec0
new:
 sha: 4af9ec0bd7b1e9b2d0e4a4d07b6d1c5b1c1f0a11
 subject: Pay by invoice
 author: Ada Okafor
 date: "2026-11-20T16:05:00+00:00"
 link: https://git.example/shop/commit/4af9ec0bd7b1e9b2d0e4a4d07b6d1c5b1c1f0a11
running: nothing yet
before: runs on staging
</approval_requested>

<human_response>
by: Bob (verified)
step: deploy
approved: false
comment: can you deploy the backend first?
</human_response>

<error>
your_answer_was: invalid
error: "Invalid deploy: environment: Field required."
</error>

<approval_requested>
step: deploy
component: backend
environment: production
revision: 4af9ec0
new:
 sha: 4af9ec0bd7b1e9b2d0e4a4d07b6d1c5b1c1f0a11
 subject: Pay by invoice
 author: Ada Okafor
 date: "2026-11-20T16:05:00+00:00"
 link: https://git.example/shop/commit/4af9ec0bd7b1e9b2d0e4a4d07b6d1c5b1c1f0a11
running:
 sha: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
 subject: Show delivery dates in the basket
 author: Lin Berg
 date: "2026-11-18T14:40:00+00:00"
 link: https://git.example/shop/commit/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
adds: ["4af9ec0 Pay by invoice"]
</approval_requested>

<human_response>
by: Bob (verified)
step: deploy
approved: true
</human_response>

<deploy_result>
run_id: 0f3a
state: started
</deploy_result>

<message>
from: Eve (unverified)
text: |-
 is it out?

 - the backend, I mean
</message>

<send_update>
message: It is under way.
</send_update>

<wait_for_deployment>
component: backend
environment: production
run_id: 0f3a
state: succeeded
output: |-
 exporting backend
 switched
</wait_for_deployment>

<check_deployment_status>
component: backend
sha: 4af9ec0
healthy: true
load: 0.25
</check_deployment_status>

<list_commits>
component: api
error: api is not set up. Known are backend, frontend.
</list_commits>

<request_human_input>
question: The frontend, too?
context: It needs the backend, which is out.
</request_human_input>

<message>
from: Ann (verified)
answers: The frontend, too?
text: "yes"
unread_attachments: |-
 kind,size_bytes
 text/plain,0
</message>

<approval_requested>
step: deploy
component: frontend
environment: production
revision: 4af9ec0
new:
 sha: 4af9ec0bd7b1e9b2d0e4a4d07b6d1c5b1c1f0a11
 subject: Pay by invoice
 author: Ada Okafor
 date: "2026-11-20T16:05:00+00:00"
 link: https://git.example/shop/commit/4af9ec0bd7b1e9b2d0e4a4d07b6d1c5b1c1f0a11
running: nothing yet
</approval_requested>

<now>
time: 2026-11-20 09:00 UTC
waits_for_approval: deploy component=frontend environment=production revision=4af9ec0
</now>

What should the next step be?\
""")


def test_the_prompt_of_a_deployment_reads_back() -> None:
    blocks = read(prompt_of(*DEPLOYMENT))
    data = dict(blocks)
    assert rows(data["list_git_tags"]["tags"])[0]["subject"] == "Show, then"
    assert data["human_response"] == {"by": "Bob (verified)", "step": "deploy", "approved": True}
    assert data["now"] == {
        "time": "2026-11-20 09:00 UTC",
        "waits_for_approval": f"deploy component=frontend environment=production revision={SHA[:7]}",
    }


# How long it can get

long_texts = st.builds(
    lambda unit, often: unit * often,
    st.sampled_from(["x", "<", "&", "\n", " ", "\u202e", "ab\n", "'", '"', ": ", "\U000e0041", "é", "</message>\n"]),
    st.integers(0, 3_000),
)
_long = st.one_of(long_texts, st.text(max_size=10))
_step = st.sampled_from(["s1", "s2", "s3"])
_data = st.dictionaries(
    st.one_of(st.sampled_from("abc"), _long), st.one_of(_long, st.lists(_long, max_size=3)), max_size=3
)
big_events: st.SearchStrategy[Event] = st.one_of(
    events_of(MessageReceived, text=_long, subject=_long, answers=_step),
    events_of(TriggerReceived, source=_long, name=_long, data=_data),
    events_of(StepChosen, step=_step, intent=_long, arguments=_data),
    events_of(ApprovalRequested, step=_step, facts=_data),
    events_of(ApprovalDecided, step=_step, comment=_long),
    events_of(ToolFinished, step=_step, result=_data, error=st.one_of(st.just(""), _long)),
    events_of(ToolInterrupted, step=_step, why=_long),
    events_of(StepRefused, step=_step, error=_long),
    events_of(ChoiceFailed, error=_long, answer=_long, hint=_long),
    *(events_of(kind) for kind in KINDS.values()),
)


@examples(150)
@given(st.lists(big_events, max_size=25), st.sampled_from([2_000, 5_000, 120_000]))
def test_the_prompt_is_never_longer_than_its_limit_and_always_well_formed(events: list[Event], chars_max: int) -> None:
    prompt = prompt_of(*events, limits=Limits(context_chars_max=chars_max))
    assert len(prompt) <= chars_max
    assert read(prompt)[-1][0] == "now"
    assert Context(ops(), chars_max).render(thread(*events)) == prompt, (
        "a model may take less than the agent would show"
    )


def heads(events: list[Event], limits: Limits) -> Iterable[str]:
    """Each prompt that the model would see, without what is under way, as one Context gives it while the thread grows.

    At every version it is what a fresh one gives. The model is asked where words or results came in.
    """
    context, now = Context(ops(limits=limits)), thread()
    for event in events:
        now = now.extended([event])
        prompt = context.render(now)
        assert prompt == Context(ops(limits=limits)).render(now)
        if isinstance(event, MessageReceived | ToolFinished | StepRefused):
            yield prompt.rpartition("<now>\n")[0]


def test_the_prompt_only_grows_at_its_end_but_where_it_is_compacted() -> None:
    before, compactions = "", 0
    for head in heads(conversation(100), Limits(context_chars_max=4_000)):
        compactions += not head.startswith(before)
        before = head
    assert 3 <= compactions <= 20


APPROVED = (message(), chosen("s1", acts=True), requested("s1"), approved("s1"))
STORIES: list[list[Event]] = [
    [*DEPLOYMENT],
    [message(), chosen("s1", "touch"), message("m2"), chosen("s2", "touch"), started("s2"), finished("s2")],
    [message(), chosen("s1", "slow"), started("s1", repeatable=True), waits("s1"), message("m2"), nothing_to_do("s2"),
     fired("s1/wait/1"), started("s1", 2, repeatable=True), finished("s1"), done("s3")],
    [message(), chosen("s1", "touch"), started("s1"), interrupted("s1"), asked("s1q"), message("m2", answers="s1q"),
     finished("s1"), done("s3")],
    [message(), chosen("s1", acts=True), requested("s1"), message("m2"), withdrew("s2"), message("m3"), done("s4")],
    [*APPROVED, started("s1"), interrupted("s1"), finished("s1")],
    [*APPROVED[:3], message("m2"), chosen("s2"), approved("s1"), started("s1"), finished("s1")],
]  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
def test_a_prompt_that_the_model_saw_is_the_beginning_of_the_next_one(story: list[Event]) -> None:
    before = ""
    for head in heads(story, Limits()):
        assert head.startswith(before)
        before = head


@pytest.mark.parametrize("story", STORIES)
def test_a_thread_that_lost_its_end_and_grew_otherwise_is_rendered_anew(story: list[Event]) -> None:
    for cut in range(1, len(story)):
        context = Context(ops())
        context.render(thread(*story))
        other = [event.model_copy() for event in story[:cut]]
        for text in ("so?", "and now?"):
            other += [message(f"other {len(other)}", text) for _ in range(len(story) - cut)]
            now = thread(*other)
            assert context.render(now) == Context(ops()).render(now)


def test_a_thread_as_it_was_is_rendered_without_what_came_later() -> None:
    context, now = Context(ops()), thread(*DEPLOYMENT)
    whole = context.render(now)
    for version in (3, 5, 2, now.version):
        assert context.render(now.at(version)) == Context(ops()).render(now.at(version))
    assert context.render(now) == whole

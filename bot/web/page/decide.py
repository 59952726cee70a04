"""The pages behind the links in mails: GET shows the request, and only submitting the form decides or edits it.

Mail clients and scanners open every link, so GET and HEAD change nothing. The link is the proof of identity: it is
signed, belongs to one person, names the request and its digest, and expires. A request is settled only once, so using a
link again changes nothing. For an invalid link, the page says only that it is invalid.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import parse_qs

from starlette.requests import Request as HttpRequest
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from agent.speech.messages import question
from agent.speech.outcomes import state_in_words, why_not
from agent.speech.requests import approval
from bot.inbox import Inbox
from bot.team.people import People
from bot.web import statuses
from channels.email import look
from channels.email.body import details, question_of, terms_of, words
from channels.email.identity.tokens import Link, LinkExpired, LinkForged, Signer
from channels.inbound import Refused
from channels.messages import YES_NO, Approval
from store.base import Store, StoreUnavailable, UnknownThread
from store.events import TEXT_CHARS_MAX, MessageReceived
from store.state import Request, StepState
from store.text import one_line, visible
from store.thread import Thread
from store.values import Person

FORM_BYTES_MAX = 1_000_000
FIELDS_MAX = 10
"""The most fields of a form, besides one for each editable argument."""
ARGUMENT = "argument "
"""Prefix of the form field of an argument."""
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex, nofollow",
}


class _Wrong(Exception):
    """The link or form is not usable: a status and a text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Decisions:
    store: Store
    inbox: Inbox
    signer: Signer
    clock: Callable[[], datetime]
    allowed: Callable[[str], bool]
    """Whether this address may still write to us, and therefore decide."""
    people: People | None = None
    """The team's people. None: the form is shown to everybody, and only its submission is judged."""

    @property
    def route(self) -> Route:
        return Route("/decide/{sealed}", self.answer, methods=["GET", "POST"])

    async def answer(self, request: HttpRequest) -> Response:
        """GET and HEAD show the request, POST decides it."""
        try:
            link, thread, step = await self._opened(request.path_params["sealed"])
            if request.method != "POST":
                return _page(
                    *(self._question(thread, step, link) if link.number >= 0 else self._card(thread, step, link))
                )
            editable = step.request.asked.editable if step.request else ()
            form = await _form(request, FIELDS_MAX + len(editable))
            by = Person(name=link.person, address=link.person, trust="verified")
            if link.number >= 0:
                return await self._answered(link, by)
            if form.get("action") == "edit":
                return await self._edited(link, by, _changed(step, form))
            return await self._decided(link, by, form.get("comment", "").strip()[:TEXT_CHARS_MAX])
        except _Wrong as wrong:
            return _page("Not possible", f"<p>{html.escape(str(wrong))}</p>", wrong.status)
        except StoreUnavailable:
            text = "I cannot reach my database. Please open the link again later to see the current state."
            return _page("Not now", f"<p>{text}</p>", 503)

    async def _opened(self, sealed: str) -> tuple[Link, Thread, StepState]:
        try:
            link = self.signer.open(sealed, self.clock())
            thread = await self.store.load(link.thread_id)
        except LinkExpired:
            raise _Wrong(410, "This link has expired. Please reply in the mail thread and ask again.") from None
        except (LinkForged, UnknownThread):
            raise _Wrong(404, "This link is not valid. Was it copied completely?") from None
        if not self.allowed(link.person):
            raise _Wrong(403, "You may no longer decide here. Nothing was changed.")
        step = thread.step(link.step)
        if step is None or (link.number < 0 and step.request is None):
            raise _Wrong(404, "This link is not valid. Was it copied completely?")
        return link, thread, step

    def _card(self, thread: Thread, step: StepState, link: Link) -> tuple[str, str, int]:
        request = step.request
        assert request is not None
        shown = approval(thread, request)
        if step.status != "requested" or link.digest != request.digest:
            return "Settled", _described(shown, f"<p><b>{_escaped(state_in_words(step))}</b></p>"), 200
        if why_not := self._why_not(step, request, link):
            return "Not yours to decide", _described(shown, f"<p><b>{_escaped(why_not)}</b></p>"), 200
        title = "Approve?" if link.approved else "Reject?"
        return title, asking(shown, link.person, approves=link.approved) + _changes(request), 200

    def _why_not(self, step: StepState, request: Request, link: Link) -> str:
        """Why this person cannot decide here; empty: they can."""
        by = Person(name=link.person, address=link.person, trust="verified")
        by = self.people.identified(by) if self.people else by
        groups = self.people.groups_of(by) if self.people else ()
        match request.verdict(by, groups, self.clock(), approved=link.approved, way="link"):
            case "expired":
                return state_in_words(step)
            case _ if link.approved and request.has_voted(by):
                return f"Your approval was already counted: {len(request.votes)} of {request.terms.quorum}."
            case "not_entitled" if self.people:
                why = why_not(request, by, approved=link.approved, way="link")
                return f"You may not decide this as {link.person}. {why}"
            case _:
                return ""

    def _question(self, thread: Thread, step: StepState, link: Link) -> tuple[str, str, int]:
        asked = question(step.chosen)
        body = f"<h1>{_escaped(asked.question)}</h1>"
        if asked.context:
            body += f"<p>{_escaped(asked.context)}</p>"
        if thread.state.question != step.id or thread.state.cancelled:
            return "Answered", body + "<p><b>This question no longer needs an answer.</b></p>", 200
        choice = _choice(step, link.number)
        body += (
            f'<form method="post">{look.submit_button(visible(choice), "other")}</form>'
            f"<p><small>You answer as {_escaped(link.person)}.</small></p>"
        )
        return "Answer?", body, 200

    async def _decided(self, link: Link, by: Person, comment: str) -> Response:
        result = await self.inbox.decide(
            link.thread_id,
            by,
            approved=link.approved,
            comment=comment,
            step_id=link.step,
            digest=link.digest,
            proof=f"signed link to {link.person}",
            way="link",
        )
        status = statuses.OF_OUTCOME[result.outcome]
        return _page("Done" if status == 200 else "Not changed", f"<p><b>{_escaped(result.text)}</b></p>", status)

    async def _edited(self, link: Link, by: Person, arguments: dict[str, str]) -> Response:
        try:
            await self.inbox.edit(
                link.thread_id,
                by,
                step_id=link.step,
                digest=link.digest,
                arguments=arguments,
                proof=f"signed link to {link.person}",
                way="link",
            )
        except Refused as error:
            return _page("Not changed", f"<p><b>{_escaped(str(error))}</b></p>", statuses.of_refusal(error))
        text = "Accepted. You will get a mail with the new request, or with the reason why it is not possible."
        return _page("Done", f"<p><b>{text}</b></p>")

    async def _answered(self, link: Link, by: Person) -> Response:
        try:
            thread = await self.store.load(link.thread_id)
            step = thread.step(link.step)
            choice = _choice(step, link.number) if step else ""
            thread = await self.inbox.answer(link.thread_id, by, choice, step=link.step)
            given = (e.text for e in thread.events if isinstance(e, MessageReceived) and e.answers == link.step)
            if (standing := next(given, choice)) != choice:
                raise Refused(f"You have already answered: {standing}")
        except Refused as error:
            return _page("Not changed", f"<p><b>{_escaped(str(error))}</b></p>", 409)
        return _page("Done", f"<p><b>Answered: {_escaped(choice)}</b></p>")


async def _form(request: HttpRequest, fields_max: int) -> dict[str, str]:
    """The submitted form (application/x-www-form-urlencoded). Raises _Wrong."""
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise _Wrong(415, "That is not the form of this page. Nothing was changed.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_BYTES_MAX:
            raise _Wrong(413, "That is too long. Nothing was changed.")
    try:
        form = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=fields_max)
    except ValueError:
        raise _Wrong(400, "That form could not be read. Nothing was changed.") from None
    return {name: first.replace("\r\n", "\n") for name, (first, *_) in form.items()}


def asking(shown: Approval, person: str, *, approves: bool) -> str:
    """The form to decide, as HTML: below what is dangerous, and above the rest."""
    label = "Comment (optional)" if approves else "Reason (the agent reads it)"
    button = look.submit_button("Approve" if approves else "Reject", "approve" if approves else "reject")
    form = (
        f'<form method="post"><p><label>{label}<br><textarea name="comment" rows="2" maxlength="5000"></textarea>'
        f"</label></p>{button}</form><p><small>You decide as {_escaped(person)}.</small></p>"
    )
    return _described(shown, form)


def _described(shown: Approval, middle: str) -> str:
    """The request in full, with this HTML below what is dangerous about it."""
    return f"{question_of(shown)}{middle}{words(shown)}{details(shown)}{terms_of(shown)}"


def _changes(request: Request) -> str:
    """The form for editing the call; empty: nothing is editable."""
    fields = "".join(
        # Browsers drop the first line break of a textarea.
        f'<p><label>{_escaped(name)}<br><textarea name="{_escaped(ARGUMENT + name)}" rows="1">'
        f"\n{_escaped(text)}</textarea>"
        "</label></p>"
        for name, text in request.editable.items()
    )
    if not fields:
        return ""
    button = look.submit_button("Request with these changes", "other", ' name="action" value="edit"')
    return f'<h2>Edit</h2><form method="post">{fields}{button}</form>'


def _changed(step: StepState, form: Mapping[str, str]) -> dict[str, str]:
    """The changed arguments in the form."""
    assert step.request is not None
    shown = {name: visible(text).strip() for name, text in step.request.editable.items()}
    given = {name.removeprefix(ARGUMENT): text for name, text in form.items() if name.startswith(ARGUMENT)}
    return {name: text for name, text in given.items() if text.strip() != shown.get(name)}


def _choice(step: StepState, number: int) -> str:
    offers = question(step.chosen).offers or YES_NO  # If the step is not a question, the inbox refuses the answer.
    if number >= len(offers):
        raise _Wrong(404, "This link is not valid. Was it copied completely?")
    return offers[number]


def _escaped(text: str) -> str:
    return html.escape(visible(text))


def _page(title: str, body: str, status: int = 200) -> Response:
    return HTMLResponse(look.page(one_line(title, 100), body), status, _HEADERS)

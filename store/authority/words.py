"""Whose words led to a step: every text that the model could read before the step was chosen, and who vouches for it.

`words_behind` is the only answer to this question. The loop, the terms of a request, standing approvals and the cards
ask it; none of them looks for senders in the log.

| Text                                          | Author             | Doubt                        |
|-----------------------------------------------|--------------------|------------------------------|
| a message, an answer, and their edits         | its sender         | unless the sender is verified |
| what another program wrote, an alert          | the program        | always: third party          |
| the history before the first mention          | its sender         | always: third party          |
| the quoted part of a mail that opens a thread | nobody             | always: third party          |
| an attached file or image that is read        | nobody             | always: it was passed on     |
| a message that passes on others' words        | its sender, nobody | always: it was passed on     |
| an edit that passes on others' words          | its sender, nobody | always: it was passed on     |
| the comment of a decision                     | who decided        | no: only verified people do  |
| a call as a person edited it                  | the editor         | no: only verified people do  |
| a call that code makes for somebody outside   | that somebody      | unless they are verified     |
| the reason for cancelling a thread            | who cancelled      | unless that one is verified  |
| a delivery report                             | nobody             | always: anybody can forge it |
| the task of a schedule, a signed trigger      | nobody: the team's | only a schedule alone        |
| a trigger that came over the HTTP API         | who sent it        | unless that one is verified  |
| what people wrote inside a trigger            | nobody             | always: third party          |
| a tool's result, the note of a hand-over      | nobody: the team's | no                           |
| what a tool of third parties' texts looked up | nobody             | always: `Tool.third_party`   |

A text whose author is nobody may be by anybody, also by somebody who may approve what it leads to. So it counts as a
stranger's (see `store.authority.terms`), even if a colleague has passed it on: they are a requester for their message
and answer for having passed it on, but they need not have written it. The team's own tasks and triggers are no such
text.

Only the author can edit a message, so an edit has the author of its message. What the model never reads is not here: a
rejection without a comment, a vote that did not settle a request, the reason of a standing approval, the quoted part of
a mail in a thread that exists, the name of a file whose text is not read.

Doubt stays: a text that the model has read is not unread because somebody else writes too. Only the doubt of a schedule
alone ends, with the first message of a verified person.

The fold keeps the words of a thread, and each step keeps those of the moment when it was chosen, so nobody scans a log.
An answer of the model that stands over newer messages (`StepChosen.seen`) counts those too; none of these steps acts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from store.events import CRON, MessageReceived, TriggerReceived
from store.names import called
from store.values import Person

if TYPE_CHECKING:
    from store.thread import Thread

MACHINE = "api"
"""The name and the address of the caller with BOT_API_TOKEN; the addresses of other machines begin with it."""


class Words(NamedTuple):
    """Texts that the model could read. Grows only; an author is named once."""

    authors: tuple[Person, ...] = ()
    """Whoever wrote one of them, as the channel knew them."""
    passed_on: tuple[str, ...] = ()
    """Texts whose author is unknown, in words. Each may be by anybody."""
    unattended: bool = False
    """A schedule woke the thread, and no verified person has written since."""
    known: frozenset[tuple[str, ...]] = frozenset()
    """The authors as keys, to find one quickly."""

    @property
    def requesters(self) -> tuple[Person, ...]:
        """The authors whose addresses the channel has confirmed.

        An unverified message is not its apparent sender's: anybody could keep an approver from approving with one.
        """
        return tuple(person for person in self.authors if is_theirs(person))

    @property
    def doubts(self) -> tuple[str, ...]:
        """The texts that nobody vouches for, in words, as people are told of them."""
        unproven = (called(person) for person in self.authors if person.trust != "verified")
        alone = ("a schedule, with nobody else",) if self.unattended else ()
        return tuple(dict.fromkeys((*unproven, *self.passed_on, *alone)))

    @property
    def doubtful(self) -> bool:
        """Whether nobody vouches for one of them."""
        return self.unattended or bool(self.passed_on) or any(person.trust != "verified" for person in self.authors)

    def by(self, person: Person) -> Words:
        """With words of this person."""
        key = _key(person)
        if key in self.known:
            return self
        return self._replace(authors=(*self.authors, person), known=self.known | {key})

    def by_nobody(self, what: str) -> Words:
        """With a text whose author is unknown."""
        return self if what in self.passed_on else self._replace(passed_on=(*self.passed_on, what))

    def in_message(self, message: MessageReceived) -> Words:
        words = self.by(message.sender)
        if message.attachments and any(attachment.text or attachment.image for attachment in message.attachments):
            words = words.by_nobody(f"a file from {called(message.sender)}")
        if message.passes_on:
            words = words.by_nobody(f"what {called(message.sender)} passed on")
        if words.unattended and message.sender.trust == "verified" and not is_machine(message.sender):
            words = words._replace(unattended=False)
        return words

    def in_trigger(self, trigger: TriggerReceived) -> Words:
        words = self._replace(unattended=trigger.source == CRON)
        words = words.by(trigger.by) if trigger.by else words
        return words.by_nobody(f"what {trigger.source} passed on") if trigger.third_party else words


NO_WORDS = Words()


def words_behind(thread: Thread, step_id: str) -> Words:
    """Everything that the model could read before it chose this step; for an edited call, its editor's words too."""
    return thread.state.steps[step_id].words


def is_theirs(person: Person) -> bool:
    """Whether words under this address are that person's: the channel has confirmed who wrote them.

    `third_party`: the channel itself reported the author, though nobody verified them (the history of a Slack thread).
    """
    return person.trust in ("verified", "third_party")


def is_machine(person: Person) -> bool:
    """Whether it is a program with a token of its own, and not a person."""
    return not person.member and person.address.partition(":")[0] == MACHINE


def _key(person: Person) -> tuple[str, ...]:
    if person.address or person.member or person.email:
        return (person.trust, person.address, person.member, person.email, person.login, person.token)
    return (person.trust, person.name)

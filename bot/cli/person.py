"""Who is at the terminal: the OS user and host of this process, and the person of the team file whom that makes.

Where `[people]` names people, a login is theirs only as `logins` says; everybody else is unverified and decides
nothing. Where it names nobody, people are whoever they say. Either way the record has the login.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import pwd
import socket
from collections.abc import AsyncIterator

from bot.app import App, opened
from bot.setup import Setup
from bot.team.people import People
from channels.inbound import Reason, Refused
from store.values import Person

PROOF = "terminal"
"""How people are authenticated here: by the OS, as `login` says. The login follows."""


def at_terminal(name: str, people: People) -> Person:
    """The person at this terminal. `name` is what `--as` says; empty: nothing."""
    return known_by(login(), name, people)


def known_by(here: str, name: str, people: People) -> Person:
    """The person at a terminal with the login `here`, who says to be `name`."""
    if not people.members:
        # With nobody to be mistaken for, and everybody who can run commands here can write to the store anyway.
        name = name or _name_of_user()
        return Person(name=name, address=name, trust="verified", login=here)
    member = people.by_login(here)
    if member and name in ("", member):
        return Person(name=people.members[member].name or member, address=member, trust="verified", login=here)
    # No address: it could be somebody's.
    return Person(name=name or here.rpartition("@")[0], trust="unverified", login=here)


def login() -> str:
    """`USER@HOST`: the user that this process runs as, which no variable of the environment changes."""
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = f"uid-{os.getuid()}"
    return f"{user}@{socket.gethostname().lower() or 'localhost'}"


def proof_of(me: Person) -> str:
    """As in `ApprovalDecided.proof`."""
    return f"{PROOF} {me.login}".rstrip()


@contextlib.asynccontextmanager
async def acting(setup: Setup, name: str) -> AsyncIterator[tuple[App, Person]]:
    """The program, and the person at this terminal, who is told how to be known if they are refused as a stranger."""
    async with opened(setup) as bot:
        me = at_terminal(name, bot.people)
        try:
            yield bot, me
        except Refused as refused:
            raise Refused(f"{refused}{how_to_be_known(me, refused.reason, bot.people)}", refused.reason) from None


def how_to_be_known(me: Person, reason: Reason, people: People) -> str:
    """Added to a refusal: what somebody can do whom their login does not make who they say. Empty: it is not that."""
    if me.trust == "verified" or reason != "not_entitled":
        return ""
    if member := people.by_login(me.login):
        return f" You are {people.members[member].name} here: leave out --as."
    return f" You are {me.login} here: add that to `logins` of a person in bot.toml, and use no other --as."


def _name_of_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return login().rpartition("@")[0]

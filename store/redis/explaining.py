"""What an error of Redis means for the people who run the bot: one line that says what is so and what to do."""

from __future__ import annotations

import re

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

_CODE = re.compile(r"^(MISCONF|NOREPLICAS|ACL|BUSY|UNKILLABLE) ")
_WANTED = "Point REDIS_URL at a server without cluster mode, at a cluster of one node, or at a proxy for the cluster."


def is_away(error: RedisError | OSError) -> bool:
    """Whether it may be enough to wait: nobody answers, or the server is loading its data."""
    if isinstance(error, BusyLoadingError):
        return True
    denied = isinstance(error.__cause__ or error, AuthenticationError)
    return isinstance(error, RedisConnectionError | RedisTimeoutError | OSError) and not denied


def cannot_write(error: RedisError) -> bool:
    """Whether the server's disk is full, or fails."""
    return str(error).startswith("MISCONF ")


def explained(error: RedisError | OSError, where: str, seconds_max: float) -> str:
    """`where`: the URL without its password. `seconds_max`: the time limit of a command."""
    text = " ".join(str(error).split()) or f"no answer within {seconds_max:g} s"
    match error:
        case NoScriptError():
            return f"Redis at {where} lost our scripts and does not accept them again: {text}"
        case _ if isinstance(error.__cause__ or error, AuthenticationError):
            return f"Redis at {where} denies access. Correct the user and the password in REDIS_URL."
        case BusyLoadingError():
            return (
                f"Redis at {where} is loading its data and answers nobody until it is done. "
                "Wait: large data take minutes; the server's log shows how far it is."
            )
        case MasterDownError():
            return f"Redis at {where} is a replica that lost its primary. Point REDIS_URL at the primary."
        case RedisConnectionError() | RedisTimeoutError() | OSError():
            return f"Cannot reach Redis at {where}: {text.rstrip('.')}. Start it, or correct REDIS_URL."
        case OutOfMemoryError():
            return f"Redis at {where} is full and accepts no writes ({text}). Give it more memory; nothing was lost."
        case ReadOnlyError():
            return f"Redis at {where} is a read-only replica. Point REDIS_URL at the primary."
        case MovedError() | AskError():
            return (
                f"Redis at {where} is one node of a cluster, and keeps some of our keys on another node "
                f"({error.host}:{error.port}), which the bot cannot follow. {_WANTED}"
            )
        case ClusterDownError() | TryAgainError():
            return (
                f"Redis at {where} is a node of a cluster that does not serve all keys now ({text}). "
                "Look at `CLUSTER INFO` there, and give every slot a node."
            )
        case ClusterCrossSlotError():
            return f"Redis at {where} spreads the keys of one thread over several nodes. {_WANTED}"
        case NoPermissionError():
            return _forbidden(text, where)
        case _:
            return _by_code(text, where)


def _by_code(text: str, where: str) -> str:
    """For errors that redis-py has no type for."""
    code = _CODE.match(text)
    match code[1] if code else "":
        case "MISCONF":
            return (
                f"Redis at {where} cannot write to its disk and accepts no writes ({text}). "
                "Free space there, and look at its log; nothing acknowledged was lost."
            )
        case "NOREPLICAS":
            return (
                f"Redis at {where} accepts no writes, because fewer replicas are connected than its "
                "min-replicas-to-write asks for. Bring the replicas back, or lower it."
            )
        case "ACL":
            return _forbidden(text, where)
        case "BUSY" | "UNKILLABLE":
            return f"Redis at {where} is busy with a script that does not end. Look at its log; SCRIPT KILL may end it."
        case _:
            return f"Redis at {where} refused: {text}"


def _forbidden(text: str, where: str) -> str:
    return (
        f"Redis at {where} forbids a command to the user of REDIS_URL: {text.rstrip('.')}. "
        "Allow this user the keys and channels bot:*, EVAL, EVALSHA, and the commands that the scripts call."
    )

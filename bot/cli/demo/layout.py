"""What the demo's site consists of: its repositories with their histories, its components, its environments.

The names are the demo's own, as those of any team are; the program knows none of them. The commits have fixed authors
and dates, so their SHAs are the same on every machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Commit:
    author: str
    """As git writes it: a name and a mail address."""
    date: str
    message: str
    files: Mapping[str, str]
    tag: str = ""


@dataclass(frozen=True)
class Layout:
    repositories: Mapping[str, tuple[Commit, ...]]
    """By name, each with its history, oldest first."""
    components: Mapping[str, str]
    """Each with its repository. It is the folder of its name there."""
    environments: Mapping[str, str]
    """In their order, each with its table of the team file; TEST in it stands for the command that tests."""
    begins_with: tuple[tuple[str, str, str], ...]
    """What runs at the beginning: environment, component, tag."""
    check: str
    """The lines of the shell script that tests the environment in `$live`."""


_ADA, _LIN = "Ada Okafor <ada@example.com>", "Lin Berg <lin@example.com>"

MERGED = "8da8a06"
"""The merged commit, which the scenario deploys to the last environment."""

DEMO = Layout(
    repositories={
        "shop": (
            Commit(
                _ADA,
                "2026-11-16T09:12:00+0000",
                "First version of the shop\n",
                {"orders/api": "1\n", "checkout/needs-api": "1\n", "README": "the shop: orders and checkout\n"},
                tag="v1.0.0",
            ),
            Commit(
                _LIN,
                "2026-11-18T14:40:00+0000",
                "Show delivery dates in the basket\n",
                {"orders/api": "2\n", "checkout/basket": "delivery dates\n"},
                tag="v1.1.0",
            ),
            Commit(
                _ADA,
                "2026-11-20T16:05:00+0000",
                "Pay by invoice\n\nThe checkout needs the new endpoint of the orders.\n",
                {"orders/api": "3\n", "checkout/needs-api": "3\n", "checkout/payment": "card or invoice\n"},
            ),
        ),
        "search": (
            Commit(
                _LIN,
                "2026-11-12T08:30:00+0000",
                "Rank exact matches first\n",
                {"search/ranking": "exact, then close\n"},
                tag="2026.46",
            ),
        ),
    },
    components={"orders": "shop", "checkout": "shop", "search": "search"},
    environments={
        "lab": '{ approval = "none" }',
        "preview": '{ after = "lab", approval = "none", test = TEST }',
        "live": '{ after = "preview", test = TEST, on_failed_test = "rollback" }',
    },
    begins_with=(
        *(("live", component, "v1.0.0") for component in ("orders", "checkout")),
        *((name, component, "v1.1.0") for name in ("preview", "lab") for component in ("orders", "checkout")),
        *((name, "search", "2026.46") for name in ("live", "preview", "lab")),
    ),
    check="""\
offered=$(cat "$live/orders/current/orders/api")
needed=$(cat "$live/checkout/current/checkout/needs-api")
echo "the checkout needs api $needed, the orders offer api $offered"
[ "$offered" -ge "$needed" ] || { echo "FAILED: no order can be completed"; exit 1; }
grep -q exact "$live/search/current/search/ranking"
echo "4 checks passed: start page, search, basket, checkout"
""",
)

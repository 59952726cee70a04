"""The site that tests deploy to: a shop of two components in one repository, with a staging and a production.

It is one team's site among others: the demo has another one (`bot.cli.demo.layout`), so that no name can hide in code.
The last commit is 4af9ec0, as in the example of the 12-factor guide.
"""

from __future__ import annotations

from bot.cli.demo import site
from bot.cli.demo.layout import Commit, Layout

MERGED = "4af9ec0"
"""The merged commit, which stories deploy to production."""
COMPONENTS = ("backend", "frontend")

_ADA, _LIN = "Ada Okafor <ada@example.com>", "Lin Berg <lin@example.com>"
_NONCE = "392a6ef178441b57"

SHOP = Layout(
    repositories={
        "shop": (
            Commit(
                _ADA,
                "2026-11-16T09:12:00+0000",
                "First version of shop\n",
                {"backend/api": "1\n", "frontend/needs-api": "1\n", "README": "shop: a backend and a frontend\n"},
                tag="v1.0.0",
            ),
            Commit(
                _LIN,
                "2026-11-18T14:40:00+0000",
                "Show delivery dates in the basket\n",
                {"backend/api": "2\n", "frontend/needs-api": "1\n", "frontend/basket": "delivery dates\n"},
                tag="v1.1.0",
            ),
            Commit(
                _ADA,
                "2026-11-20T16:05:00+0000",
                f"Pay by invoice\n\nThe frontend needs the backend's new endpoint.\n\nChange-Id: I{_NONCE}\n",
                {"backend/api": "3\n", "frontend/needs-api": "3\n", "frontend/checkout": "card or invoice\n"},
            ),
        )
    },
    components=dict.fromkeys(COMPONENTS, "shop"),
    environments={
        "staging": '{ approval = "none", test = TEST }',
        "production": '{ after = "staging", test = TEST, on_failed_test = "rollback" }',
    },
    begins_with=(
        *(("production", component, "v1.0.0") for component in COMPONENTS),
        *(("staging", component, "v1.1.0") for component in COMPONENTS),
    ),
    check="""\
offered=$(cat "$live/backend/current/backend/api")
needed=$(cat "$live/frontend/current/frontend/needs-api")
echo "the frontend needs api $needed, the backend offers api $offered"
[ "$offered" -ge "$needed" ] || { echo "FAILED: checkout cannot be completed"; exit 1; }
echo "4 checks passed: start page, search, basket, checkout"
""",
)


class Site(site.Site):
    layout = SHOP

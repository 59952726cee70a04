"""`[github.environments]` of the team file: for which environments at GitHub we are asked, and where that is shown.

    [github.environments."acme/payments"]
    production = "slack:C0123456789"                # the environment, and the place where its requests are shown
    "prod-*" = "email:ops@example.com"

GitHub asks for every environment that has our app as a protection rule. What is not named here is not answered: the
run goes on waiting there. Names are compared without regard to case, as GitHub does. Who may decide, the rules say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from channels import places
from channels.places import Firing

ENVIRONMENT_CHARS_MAX = 255
"""As at GitHub."""
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}/[A-Za-z0-9._-]{1,100}")


def _repository(name: str) -> str:
    if not _REPOSITORY.fullmatch(name):
        raise ValueError(f"must be a repository, such as acme/payments, not {name[:60]!r}")
    return name


def _place(text: str) -> str:
    places.parse(text, Firing("any", "any"))
    return text


RepositoryName = Annotated[str, AfterValidator(_repository)]
EnvironmentName = Annotated[str, Field(min_length=1, max_length=ENVIRONMENT_CHARS_MAX)]
PlaceText = Annotated[str, AfterValidator(_place)]
Environments = dict[RepositoryName, Annotated[dict[EnvironmentName, PlaceText], Field(min_length=1)]]
"""By repository and environment, the place where a request is shown. The first that matches holds."""


class GitHubTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    environments: Environments = Field(default_factory=dict)
    """Of each repository, the environments (or globs) for which GitHub asks us, and where people see it."""


def is_repository(name: str) -> bool:
    return bool(_REPOSITORY.fullmatch(name))


def place_for(environments: Mapping[str, Mapping[str, str]], repository: str, environment: str) -> str:
    """Where a request for it is shown; empty: it is not named."""
    for name, within in environments.items():
        if name.lower() == repository.lower():
            for pattern, place in within.items():
                if fnmatchcase(environment.lower(), pattern.lower()):
                    return place
    return ""

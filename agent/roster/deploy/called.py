"""What people call the components and environments of a site: their names, `also`, and what is short for one of them.

`agent.naming` asks it before a call of the model begins, and the plan before it looks things up. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping

from agent.roster.deploy.site import DeployConfig

PART_CHARS_MIN = 2
_PART = re.compile(r"[a-z0-9]+")
Called = Mapping[str, tuple[str, ...]]
"""By name, all that people call it."""


def components_called(site: DeployConfig) -> Called:
    return _called((name, one.also) for name, one in site.components.items())


def environments_called(site: DeployConfig) -> Called:
    return _called((name, site.environments[name].also) for name in site.order)


def environments_to_deploy_to(site: DeployConfig) -> Called:
    """A deployment to production that runs on staging first is one to staging too: code refuses to skip it."""
    called = environments_called(site)
    after = {name: [other for other in site.order if name in site.all_before(other)] for name in site.order}
    return {name: tuple(dict.fromkeys(sum((called[one] for one in (name, *after[name])), ()))) for name in site.order}


def _called(named: Iterable[tuple[str, tuple[str, ...]]]) -> Called:
    """With each part of a name that no other has: web-api is the api where there is no second one."""
    also = dict(named)
    parts = {name: [part for part in _PART.findall(name) if len(part) >= PART_CHARS_MIN] for name in also}
    counted = Counter(part for found in parts.values() for part in set(found))
    return {
        name: tuple(dict.fromkeys((name, *more, *(part for part in parts[name] if counted[part] == 1))))
        for name, more in also.items()
    }

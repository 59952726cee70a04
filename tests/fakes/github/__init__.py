"""A GitHub for tests: the parts of its REST API that deployments need, over real HTTP on loopback.

    async with GitHubServer() as github:
        shop = github.add_repository("acme/shop", files={DEPLOY_FILE: DEPLOY_WORKFLOW})
        first = shop.commit("Fix the basket")                   # on the default branch
        shop.flows.append(FAILED)                               # what becomes of the next run
        github.fails(Fault("actions/create-workflow-dispatch", cut=True, after_effect=True))
        ...                                     # github.url is the base; github.requests is what came in
        await github.hooks.send(github.hooks.waiting[0], url)

Each answer and each delivery is checked against the models that githubkit makes from GitHub's published OpenAPI
description (`shapes`) before it goes out. It knows nothing of ours.
"""

from tests.fakes.github.app import App
from tests.fakes.github.faults import Fault, limited, limited_until
from tests.fakes.github.hooks import SECRET, Delivery, signature
from tests.fakes.github.repository import DEPLOY_FILE, DEPLOY_WORKFLOW, Repository
from tests.fakes.github.runs import FAILED, SLOW, STUCK, Flow, Run
from tests.fakes.github.server import TOKEN, GitHubServer, Request

__all__ = [
    "DEPLOY_FILE",
    "DEPLOY_WORKFLOW",
    "FAILED",
    "SECRET",
    "SLOW",
    "STUCK",
    "TOKEN",
    "App",
    "Delivery",
    "Fault",
    "Flow",
    "GitHubServer",
    "Repository",
    "Request",
    "Run",
    "limited",
    "limited_until",
    "signature",
]

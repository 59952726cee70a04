"""A Vercel for tests: the parts of its REST API that deployments need, over real HTTP on loopback.

    async with VercelServer() as vercel:
        web = vercel.add_project("web")                    # linked to a repository at GitHub
        live = vercel.deployed(web, "a" * 40)              # what runs in production
        vercel.builds.append(FAILED)                       # what becomes of the next one that is created
        vercel.fails(Fault("createDeployment", cut=True, after_effect=True))
        ...                                                # vercel.url is the base; vercel.requests is what came in
        await vercel.hooks.send(vercel.hooks.waiting[0], url)

Each answer is checked against the published shapes (`shapes`) before it goes out. It knows nothing of ours.
"""

from tests.fakes.vercel.account import BITBUCKET, CUSTOM_HOST, FAILED, GITLAB, STUCK, Account, Build, Made, Project
from tests.fakes.vercel.faults import Fault, rate_limited
from tests.fakes.vercel.hooks import SECRET, Signed
from tests.fakes.vercel.server import TOKEN, Request, VercelServer

__all__ = [
    "BITBUCKET",
    "CUSTOM_HOST",
    "FAILED",
    "GITLAB",
    "SECRET",
    "STUCK",
    "TOKEN",
    "Account",
    "Build",
    "Fault",
    "Made",
    "Project",
    "Request",
    "Signed",
    "VercelServer",
    "rate_limited",
]

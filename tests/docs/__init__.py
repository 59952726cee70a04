"""The pages that people read: README.md, docs/ and SECURITY.md. What they say is run, loaded, followed and compared."""

from __future__ import annotations

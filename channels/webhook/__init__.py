"""Webhooks: what is said at `webhook:NAME` is posted, signed, to an endpoint that the team runs."""

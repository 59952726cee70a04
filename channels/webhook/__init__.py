"""The webhook channel: messages to `webhook:NAME` are posted, signed, to an endpoint of the team."""

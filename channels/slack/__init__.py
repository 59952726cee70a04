"""The Slack channel: events and clicks in, messages and cards out."""

"""The HTTP API: threads as JSON and as a stream of events."""

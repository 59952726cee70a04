"""The role `web`: the HTTP server with its API and pages, and the listeners of the channels."""

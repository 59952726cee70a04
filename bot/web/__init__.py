"""The ways in over the network: the HTTP server with its API and pages, and what listens to the channels."""

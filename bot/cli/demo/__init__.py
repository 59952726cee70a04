"""`bot demo`: plays the main scenario with real deployments, to a site that it builds on this disk."""

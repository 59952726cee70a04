"""`bot new`: agents and tools of the team's own, copied from an example that is tested here."""

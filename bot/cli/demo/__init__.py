"""`bot demo`: the main job, played for real against a site that it builds on this disk."""

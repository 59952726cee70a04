"""The tests. What they share: `conftest` (fixtures), `servers`, `story` (events to write tests with), `strategies`."""

"""The door for requests from outside: what others ask to have approved, and how they hear the answer."""

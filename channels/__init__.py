"""How people reach us and how we reach them."""

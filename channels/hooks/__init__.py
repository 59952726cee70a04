"""What other services post to us: how a delivery proves who sent it, and what it says. One file for each kind."""

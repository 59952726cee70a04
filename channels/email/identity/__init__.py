"""Identity by mail: what verifies a sender, and what we sign so that a reply or a link proves what it refers to."""

"""Who is who by mail: what proves the author of a mail, and what we sign so that an answer proves where it belongs."""

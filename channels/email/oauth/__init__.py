"""OAuth 2 for the mailbox, at Microsoft and Google: the login by a person or an app, and the access tokens."""

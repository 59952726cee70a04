"""The web pages behind the links in mails."""

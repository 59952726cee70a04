"""The channels without any account: a real `bot run` between the Slack for tests and a mailbox on loopback.

    make demo-channels

One request is made in a Slack channel and one by mail, and each is approved where it was asked for. Every message is
printed as people read it, and two files show the cards and the mails as they look: `slack.html` and `mail.html`. The
model is the demo's stand-in; everything else is what ships.
"""

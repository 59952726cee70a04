"""What Postfix asks over TCP, answered by a thread of the test. So an answer changes at once, with no reload."""

from __future__ import annotations

import base64
import socketserver
import threading
import urllib.parse

from tests.fakes.mail.daemon import HOST

_LINE_BYTES_MAX = 8192
_STOP_SECONDS = 0.02


class Answers:
    """One line for each line."""

    greeting = b""

    def __init__(self) -> None:
        answers = self

        class Conversation(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                self.wfile.write(answers.greeting)
                while line := self.rfile.readline(_LINE_BYTES_MAX):
                    self.wfile.write(answers.answer(line.decode().rstrip("\n")).encode())

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server((HOST, 0), Conversation)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(_STOP_SECONDS,), daemon=True)
        self._thread.start()

    def answer(self, line: str) -> str:
        raise NotImplementedError

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Refusals(Answers):
    """tcp_table(5): is this recipient to be refused, and how?"""

    def __init__(self) -> None:
        self.replies: dict[str, str] = {}
        self.asked: list[str] = []
        super().__init__()

    def answer(self, line: str) -> str:
        recipient = urllib.parse.unquote(line.removeprefix("get "))
        self.asked.append(recipient)
        reply = refusal(self.replies, recipient)
        return f"200 {urllib.parse.quote(reply)}\n" if reply else "500 not%20found\n"


class Logins(Answers):
    """Dovecot's authentication protocol, PLAIN only. Not asked of Dovecot, so that SMTP works while that is down."""

    greeting = (
        b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00000000000000000000000000000000\nDONE\n"
    )

    def __init__(self, passwords: dict[str, str]) -> None:
        self._passwords = passwords
        super().__init__()

    def answer(self, line: str) -> str:
        command, *words = line.split("\t")
        if command == "AUTH":
            given = [word.removeprefix("resp=") for word in words if word.startswith("resp=")]
            return self._judged(words[0], given[0]) if given else f"CONT\t{words[0]}\t\n"
        return self._judged(*words[:2]) if command == "CONT" else ""

    def _judged(self, number: str, response: str) -> str:
        _, user, password = base64.b64decode(response).decode().split("\0")
        holds = self._passwords.get(user.lower()) == password
        return f"OK\t{number}\tuser={user}\n" if holds else f"FAIL\t{number}\tuser={user}\n"


def refusal(replies: dict[str, str], recipient: str) -> str | None:
    """Its own, or that of the address without what comes after the plus."""
    user, _, domain = recipient.lower().partition("@")
    return replies.get(recipient.lower()) or replies.get(f"{user.partition('+')[0]}@{domain}")

"""A real DNS server on loopback, for TXT records: it answers over UDP, fails, or keeps silent, as the test says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Mapping
from typing import Self

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from tests.fakes.mail.daemon import HOST

_STRING_MAX = 255


class NameServer:
    """`with NameServer({"s1._domainkey.team.example": "v=DKIM1; p=…"}) as names:`, or `start` and `stop`."""

    def __init__(self, records: Mapping[str, str]) -> None:
        self.records = dict(records)
        self.asked: list[str] = []
        self.is_silent = False
        self.failures_left = 0
        """So many of the next questions are answered with SERVFAIL."""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((HOST, 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                question, client = self._socket.recvfrom(4096)
            except OSError:
                return
            if not question:
                return
            with contextlib.suppress(dns.exception.DNSException, OSError):
                answer = self._answer(dns.message.from_wire(question))
                if not self.is_silent:
                    self._socket.sendto(answer.to_wire(), client)

    def _answer(self, question: dns.message.Message) -> dns.message.Message:
        asked = question.question[0]
        name = asked.name.to_text(omit_final_dot=True).lower()
        self.asked.append(name)
        answer = dns.message.make_response(question)
        answer.flags |= dns.flags.RA
        record = self.records.get(name)
        if self.failures_left:
            self.failures_left -= 1
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif record is None:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif asked.rdtype == dns.rdatatype.TXT:
            strings = [record[at : at + _STRING_MAX] for at in range(0, len(record), _STRING_MAX)] or [""]
            text = " ".join(f'"{one}"' for one in strings)
            answer.answer.append(dns.rrset.from_text(asked.name, 60, dns.rdataclass.IN, dns.rdatatype.TXT, text))
        return answer

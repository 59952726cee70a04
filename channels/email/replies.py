"""Splits a mail's body into new and quoted text. Pure. What the new text decides: `channels.email.decisions`.

It replaces the libraries for this task. On the mails of tests/payloads/email they leave more quoted text in, and a
crafted mail can keep most of them busy for minutes. Here, every pattern matches a line of bounded length once.

A quotation is recognised by `>`, by an attribution line (who wrote, and when), by a block of mail headers, or by a
banner such as `--- Original Message ---`. All text between quotations is new, so a reply below a quotation is not lost,
and no `approve` is read without the `but` that follows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from channels.email.added import is_of_program

LINES_MAX = 20_000
WIDTH_MAX = 500
"""Patterns match at most this much of a line."""
DEVICE_CHARS_MAX = 120
HEADERS_MIN = 3
"""This many consecutive header lines begin a mail that is quoted in full."""

# Header names that mail programs write above a quoted mail. The first group can begin such a block.
_FIRST_NAMES = "From|Von|De|Da|Van|Från|Fra|Od|От|Kimden|差出人|发件人|寄件者|보낸 사람|Betreff|Subject|Objet"
_NAMES = (
    f"{_FIRST_NAMES}|Sent|Date|To|Cc|Gesendet|Datum|An|Envoyé|Envoyé le|À|Enviado|Enviado el|Enviada em|Fecha|Data|Para"
    "|Asunto|Assunto|Inviato|A|Oggetto|Verzonden|Aan|Onderwerp|Skickat|Till|Ämne|Sendt|Til|Emne|Wysłano|Do|Temat"
    "|Отправлено|Дата|Кому|Тема|Gönderildi|Tarih|Kime|Konu|送信日時|日時|日付|宛先|件名|发送时间|日期|收件人|主题"
    "|보낸 날짜|받는 사람|제목"
)
_FIRST_HEADER, _HEADER = (
    re.compile(rf"[*_ ]{{0,9}}(?:{names})[*_]{{0,3}} ?[:\uff1a][*_]{{0,3}}(?:\s|$)", re.IGNORECASE)
    for names in (_FIRST_NAMES, _NAMES)
)
_RULE = re.compile(r"[ *]*(?:_{10,}|-{10,}|(?:\* ){2,}\*)[ *]*$")
_BANNER = re.compile(
    r"-{3,} ?[^\W\d_][^-]{3,60} ?-{3,}$|(?:Begin forwarded message|Anfang der weitergeleiteten Nachricht"
    r"|Début du message (?:transféré|réexpédié)|Inicio del mensaje reenviado|Inizio messaggio inoltrato) ?:$",
    re.IGNORECASE,
)
_WROTE = re.compile(
    "wrote|schrieb|écrit|escribió|escreveu|scritto|schreef|napisał|skrev|kirjoitti|написал|пишет|yazdı"
    "|写道|寫道|작성|のメッセージ",
    re.IGNORECASE,
)
WHEN = re.compile(r"\d{1,2}[:.h]\d\d|\b(?:19|20)\d\d\b|\d{1,2}[./]\d{1,2}[./]\d\d")
_ADDRESS = re.compile(r"[^\s<>@]{1,64}@[^\s<>@]{1,200}")
_DEVICE = re.compile(
    r"(?!.*[,!?])(?:Sent (?:from|with|via)|Get (?:Outlook|BlueMail)|Von meine[mr] .* gesendet|Gesendet (?:von|mit)"
    r"|Envoyé (?:de|depuis|à partir de)|Enviado (?:desde|do|de)|Inviato da|Verzonden (?:vanaf|met)|Verstuurd vanaf"
    r"|Skickat från|Wysłane z|Отправлено (?:с|из)|Outlook für .* beziehen|Télécharger Outlook|iPhoneから送信"
    r"|发自我的|Diese Nachricht wurde von .* gesendet)",
    re.IGNORECASE,
)
_QUOTE = re.compile(r"[ \t]{0,4}>")
_PGP_BEGIN, _PGP_END = "-----BEGIN PGP SIGNED MESSAGE-----", "-----BEGIN PGP SIGNATURE-----"
# Invisible characters that mail programs insert. They would keep a line from matching its pattern.
_INVISIBLE = dict.fromkeys(map(ord, "\u200b\u200c\u200e\u200f\u2060\ufeff\u00ad\u034f"), "") | dict.fromkeys(
    map(ord, "\u00a0\u2007\u202f"), " "
)


@dataclass(frozen=True, slots=True)
class SplitBody:
    new: str
    quoted: str
    """Quotations and signatures."""
    is_complete: bool
    """Whether `new` certainly holds all new text: only quotations and lines of the mail program were removed."""


def split_body(body: str) -> SplitBody:
    given = body.translate(_INVISIBLE).split("\n")
    is_complete = len(given) <= LINES_MAX and _PGP_BEGIN not in body
    # Only `-- ` with its space certainly begins a signature; a person may have typed the dashes alone.
    is_complete = is_complete and not any(line in ("--", "--\r") for line in given)
    lines = [line.rstrip() for line in given]
    beyond = lines[LINES_MAX:]
    lines = _without_pgp(lines[:LINES_MAX])
    pieces: list[list[str]] = [[]]
    quoted: list[str] = []
    at = 0
    while at < len(lines):
        if _QUOTE.match(lines[at]):
            size = 1
        elif _is_forwarded(lines, at):
            size = len(lines) - at
        elif size := _attribution(lines, at):
            if not _is_quoted(lines, at + size):
                size = len(lines) - at  # what follows is quoted without `>`
        else:
            pieces[-1].append(lines[at])
            at += 1
            continue
        quoted += lines[at : at + size]
        at += size
        pieces.append([])
    new = []
    for piece in pieces:
        text, signature = _without_signature(piece)
        quoted += signature
        marked = next((line for line in signature if line), "") == "--"
        is_complete = is_complete and (marked or all(not line or is_of_program(line) for line in signature))
        if text:
            new.append("\n".join(text))
    return SplitBody("\n\n".join(new).strip(), "\n".join((*quoted, *beyond)).strip("\n"), is_complete)


def _without_pgp(lines: list[str]) -> list[str]:
    """The lines inside a cleartext signature (RFC 9580, 7)."""
    if _PGP_BEGIN not in lines:
        return lines
    begin = lines.index(_PGP_BEGIN)
    end = lines.index(_PGP_END, begin) if _PGP_END in lines[begin:] else len(lines)
    text = next((n + 1 for n in range(begin, end) if not lines[n]), end)
    return lines[:begin] + lines[text:end]


def _is_forwarded(lines: Sequence[str], at: int) -> bool:
    """Whether a mail quoted in full begins here, with a banner or with its headers."""
    line = lines[at][:WIDTH_MAX]
    if _BANNER.match(line.strip()):
        return True
    if is_rule := bool(_RULE.match(line)):
        at += 1
    while is_rule and at < len(lines) and not lines[at]:
        at += 1
    near = [line[:WIDTH_MAX] for line in lines[at : at + 9] if line][:6]
    if not near or not _FIRST_HEADER.match(near[0]):
        return False
    return sum(bool(_HEADER.match(line)) for line in near) >= HEADERS_MIN


def _attribution(lines: Sequence[str], at: int) -> int:
    """How many lines from here are the attribution of a quotation; 0: none."""
    for end in range(at + 1, min(at + 3, len(lines)) + 1):
        if not lines[end - 1] or _QUOTE.match(lines[end - 1]):
            return 0
        if _is_attribution(lines, at, end):
            # Only the shortest match counts: new text may end directly above it.
            shorter = any(_is_attribution(lines, later, end) for later in range(at + 1, end))
            return 0 if shorter else end - at
    return 0


def _is_attribution(lines: Sequence[str], at: int, end: int) -> bool:
    if not lines[end - 1].endswith((":", "\uff1a")):
        return False
    text = " ".join(lines[at:end])
    if len(text) > WIDTH_MAX or not WHEN.search(text):
        return False
    who, wrote = bool(_ADDRESS.search(text)), bool(_WROTE.search(text))
    return (who and wrote) or ((who or wrote) and _is_quoted(lines, end))


def _is_quoted(lines: Sequence[str], at: int) -> bool:
    return any(_QUOTE.match(line) for line in lines[at : at + 3])


def _without_signature(piece: list[str]) -> tuple[list[str], list[str]]:
    """(text, signature) of a piece between quotations."""
    end = piece.index("--") if "--" in piece else len(piece)
    while end and (not piece[end - 1] or _names_device(piece[end - 1])):
        end -= 1
    begin = next((n for n in range(end) if piece[n]), end)
    return piece[begin:end], piece[end:]


def _names_device(line: str) -> bool:
    return len(line) < DEVICE_CHARS_MAX and bool(_DEVICE.match(line.strip()))

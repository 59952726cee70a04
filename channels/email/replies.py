"""What somebody wrote anew, apart from what the mail quotes; and whether those words decide a request. Pure.

Our own, because of what was measured on the mails of tests/payloads/email: the libraries for this leave more of the
quoted text in, and most of them can be kept busy for minutes by a mail made for that. Every pattern here looks at a
line of bounded length once.

A quotation is told by its `>`, by the line before it that says who wrote when, by the headers of a mail that stand in
the text, or by a rule with words. What stands between quotations is new, so nothing that somebody wrote below a
quotation is lost, and no `approve` is read without the `but` that follows it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LINES_MAX = 20_000
WIDTH_MAX = 500
"""Of a line, so much is looked at."""
DEVICE_CHARS_MAX = 120
HEADERS_MIN = 3
"""So many names of headers, one below the other, make a mail that is quoted whole."""

# Names of headers, as mail programs write them above what they quote. The first group begins such a block.
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
_WHEN = re.compile(r"\d{1,2}[:.h]\d\d|\b(?:19|20)\d\d\b|\d{1,2}[./]\d{1,2}[./]\d\d")
_ADDRESS = re.compile(r"[^\s<>@]{1,64}@[^\s<>@]{1,200}")
_DEVICE = re.compile(
    r"(?!.*[,!?])(?:Sent (?:from|with|via)|Get (?:Outlook|BlueMail)|Von meine[mr] .* gesendet|Gesendet (?:von|mit)"
    r"|Envoyé (?:de|depuis|à partir de)|Enviado (?:desde|do|de)|Inviato da|Verzonden (?:vanaf|met)|Verstuurd vanaf"
    r"|Skickat från|Wysłane z|Отправлено (?:с|из)|Outlook für .* beziehen|Télécharger Outlook|iPhoneから送信"
    r"|发自我的|Diese Nachricht wurde von .* gesendet)",
    re.IGNORECASE,
)
# Whole lines that mail programs write by themselves: nobody's words are among them.
_SENT_FROM = re.compile(
    r"Sent from my (?:iPhone|iPad|Galaxy|Android device|mobile device|phone)|Get Outlook for (?:iOS|Android|Mac)"
    r"|Sent from Outlook for (?:iOS|Android)|Sent from (?:Yahoo Mail|Proton Mail|Gmail Mobile|Mail for Windows)"
    r"|Sent from (?:Yahoo Mail on Android|Yahoo Mail for iPhone|Proton Mail for iOS|Proton Mail for Android)"
    r"|Von meinem (?:iPhone|iPad) gesendet|Envoyé de mon (?:iPhone|iPad)|Enviado desde mi (?:iPhone|iPad)"
    r"|Outlook für (?:iOS|Android) beziehen|Télécharger Outlook pour (?:iOS|Android)|iPhoneから送信",
    re.IGNORECASE,
)
_QUOTE = re.compile(r"[ \t]{0,4}>")
_PGP_BEGIN, _PGP_END = "-----BEGIN PGP SIGNED MESSAGE-----", "-----BEGIN PGP SIGNATURE-----"
# Mail programs put these where nobody sees them: they would stand between a line and its pattern.
_UNSEEN = dict.fromkeys(map(ord, "\u200b\u200c\u200e\u200f\u2060\ufeff\u00ad\u034f"), "") | dict.fromkeys(
    map(ord, "\u00a0\u2007\u202f"), " "
)

_APPROVE = re.compile(r"(?:i )?approved?[.!]{0,3}", re.IGNORECASE)
_REJECT = re.compile(r"(?:i )?reject(?:ed)?(?:[.!]{0,3}|\s*(?:[:,;.!–—-]|\n)\s*(?P<reason>\S.*))", re.I | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Verdict:
    approved: bool
    reason: str = ""


def verdict(text: str) -> Verdict | None:
    """Only words that cannot mean anything else decide: `approve`, or `reject` and why. None: it is a message.

    `approve, but only staging` is a message, and so is `don't approve`.
    """
    text = text.strip()
    if _APPROVE.fullmatch(text):
        return Verdict(True)
    if found := _REJECT.fullmatch(text):
        return Verdict(False, (found["reason"] or "").strip())
    return None


@dataclass(frozen=True, slots=True)
class Words:
    new: str
    rest: str
    """What is quoted, and signatures."""
    whole: bool
    """Nothing else was taken off: what was no quotation is in `new`, or is beyond doubt a mail program's own."""


def split(body: str) -> Words:
    """The new text and the rest. A mail of nothing but quotations has no new text."""
    given = body.translate(_UNSEEN).split("\n")
    whole = len(given) <= LINES_MAX and _PGP_BEGIN not in body
    # An unmistakable mark of a signature is `-- ` with its blank; without it, somebody may have typed the dashes.
    whole = whole and not any(line in ("--", "--\r") for line in given)
    lines = [line.rstrip() for line in given]
    beyond = lines[LINES_MAX:]
    lines = _without_pgp(lines[:LINES_MAX])
    pieces: list[list[str]] = [[]]
    rest: list[str] = []
    at = 0
    while at < len(lines):
        if _QUOTE.match(lines[at]):
            size = 1
        elif _is_forwarded(lines, at):
            size = len(lines) - at
        elif size := _attribution(lines, at):
            if not _is_quoted(lines, at + size):
                size = len(lines) - at  # what follows is quoted without a mark
        else:
            pieces[-1].append(lines[at])
            at += 1
            continue
        rest += lines[at : at + size]
        at += size
        pieces.append([])
    new = []
    for piece in pieces:
        words, signature = _unsigned(piece)
        rest += signature
        marked = next((line for line in signature if line), "") == "--"
        whole = whole and (marked or all(map(_is_programs_own, signature)))
        if words:
            new.append("\n".join(words))
    return Words("\n\n".join(new).strip(), "\n".join((*rest, *beyond)).strip("\n"), whole)


def _without_pgp(lines: list[str]) -> list[str]:
    """What a cleartext signature is put around (RFC 9580, 7)."""
    if _PGP_BEGIN not in lines:
        return lines
    begin = lines.index(_PGP_BEGIN)
    end = lines.index(_PGP_END, begin) if _PGP_END in lines[begin:] else len(lines)
    text = next((n + 1 for n in range(begin, end) if not lines[n]), end)
    return lines[:begin] + lines[text:end]


def _is_forwarded(lines: Sequence[str], at: int) -> bool:
    """Whether the rest is a mail that is quoted whole: after a rule with words, or by its headers."""
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
    """How many lines from here on say who wrote the quotation that follows; 0: they do not."""
    for end in range(at + 1, min(at + 3, len(lines)) + 1):
        if not lines[end - 1] or _QUOTE.match(lines[end - 1]):
            return 0
        if _says_who(lines, at, end):
            # The shortest that does: a person's own words may stand right above it.
            shorter = any(_says_who(lines, later, end) for later in range(at + 1, end))
            return 0 if shorter else end - at
    return 0


def _says_who(lines: Sequence[str], at: int, end: int) -> bool:
    if not lines[end - 1].endswith((":", "\uff1a")):
        return False
    said = " ".join(lines[at:end])
    if len(said) > WIDTH_MAX or not _WHEN.search(said):
        return False
    who, wrote = bool(_ADDRESS.search(said)), bool(_WROTE.search(said))
    return (who and wrote) or ((who or wrote) and _is_quoted(lines, end))


def _is_quoted(lines: Sequence[str], at: int) -> bool:
    return any(_QUOTE.match(line) for line in lines[at : at + 3])


def _unsigned(piece: list[str]) -> tuple[list[str], list[str]]:
    """(words, signature) of a piece between quotations."""
    end = piece.index("--") if "--" in piece else len(piece)
    while end and (not piece[end - 1] or _names_device(piece[end - 1])):
        end -= 1
    begin = next((n for n in range(end) if piece[n]), end)
    return piece[begin:end], piece[end:]


def _is_programs_own(line: str) -> bool:
    return not line or bool(_SENT_FROM.fullmatch(line.strip()))


def _names_device(line: str) -> bool:
    return len(line) < DEVICE_CHARS_MAX and bool(_DEVICE.match(line.strip()))

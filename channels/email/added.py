"""Recognises what a person did not write: lines of mail programs, banners of gateways, disclaimers, signatures. Pure.

Whether a reply decides a request depends on it, so every pattern matches a whole line, sentence or paragraph, and knows
its words. A banner that a firm has written for itself is not recognised, nor a signature with anything besides a
closing formula, the sender's own name, telephone numbers and addresses. This module does not decide what a reply means.
"""

from __future__ import annotations

import re
import unicodedata

LINE_CHARS_MAX = 500
"""No line longer than this is matched."""
DISCLAIMER_CHARS_MAX = 6_000

_LINK = r"(?: ?[<(\[]{1,2}(?:https?|mailto):[^\s<>()\[\]]{1,300}[>)\]]{1,2})?"
_DEVICE = (
    r"(?:(?:Verizon|AT&T|T-Mobile|Sprint|Vodafone),? )?(?:(?:Samsung|Google|Apple|Huawei|Motorola|LG|HTC) )?"
    r"(?:iPhone|iPad|Galaxy|Pixel|Android(?:[ -](?:device|phone|tablet|Gerät|Mobiltelefon))?|Mac|BlackBerry"
    r"|OnePlus|Xiaomi"
    r"|(?:mobile|cell ?|smart)(?:phone| device)?|phone|tablet|Handy|Mobiltelefon|Smartphone|Samsung)"
    r"(?: (?:[A-Z]?\d{1,3}\+?|5G|4G|LTE|Pro|Max|Plus|Ultra|Note|Tab|Fold|Flip|SE|mini|XL|smartphone|device|phone))*"
)
_PROGRAM = (
    r"(?:Outlook|Yahoo ?Mail|Proton ?Mail|Gmail|Mail|K-9 Mail|Thunderbird|Spark|Fastmail|AquaMail|BlueMail|GMX Mail"
    r"|WEB\.DE Mail|Samsung Mail|Zoho Mail|myMail)"
)
_SYSTEM = r"(?:iOS|iPhone|iPad|Android|Windows(?: 1[01])?|Mac|macOS|Mobile|mobile)"

# In English, German, French, Spanish, Portuguese, Italian, Dutch, Swedish, Danish, Norwegian, Finnish, Polish, Czech,
# Russian, Turkish, Japanese, Chinese and Korean, as the programs write them.
_OF_PROGRAMS = re.compile(
    "|".join(
        (
            rf"Sent from my {_DEVICE}(?: (?:with|using) {_PROGRAM})?{_LINK}(?:\. Please excuse my brevity)?\.?",
            rf"Sent (?:from|with|via) {_PROGRAM}{_LINK}(?: (?:for|on|from) {_SYSTEM})?(?: secure email)?{_LINK}\.?",
            rf"Sent (?:from|with) \[{_PROGRAM}\]\(https?:[^\s()]{{1,300}}\)(?: (?:for"
            rf"|on) {_SYSTEM})?(?: secure email)?\.?",
            rf"Get Outlook for {_SYSTEM}{_LINK}",
            rf"Get {_PROGRAM} for {_SYSTEM}{_LINK}",
            rf"(?:Von|Gesendet von) meine[mr]? {_DEVICE}(?: gesendet)?{_LINK}\.?",
            rf"Gesendet (?:von|mit)(?: der)? {_PROGRAM}(?:[ -]App)?{_LINK}(?: (?:für|auf) {_SYSTEM})?{_LINK}\.?",
            rf"Outlook für {_SYSTEM}{_LINK} (?:beziehen|herunterladen){_LINK}"
            rf"|Holen Sie sich Outlook für {_SYSTEM}{_LINK}",
            rf"(?:Diese Nachricht wurde )?von meinem {_DEVICE} mit {_PROGRAM} gesendet\.?",
            rf"Envoyé (?:de|depuis) mon (?:appareil )?{_DEVICE}{_LINK}\.?",
            rf"Envoyé (?:à partir de|depuis|avec) {_PROGRAM}{_LINK}(?: (?:pour|sur) {_SYSTEM})?{_LINK}\.?",
            rf"(?:Télécharger|Obtenir|Obtenez) Outlook pour {_SYSTEM}{_LINK}",
            rf"Enviado desde mi {_DEVICE}{_LINK}\.?|Enviado do meu {_DEVICE}{_LINK}\.?",
            rf"Enviado (?:desde|con|do|com) {_PROGRAM}{_LINK}(?: (?:para|no|en) {_SYSTEM})?{_LINK}\.?",
            rf"(?:Obtener|Obtenga|Obter o|Obtenha o) Outlook para {_SYSTEM}{_LINK}",
            rf"Inviato da(?:l mio)? {_DEVICE}{_LINK}\.?|Inviato da {_PROGRAM}{_LINK}(?: (?:per"
            rf"|su) {_SYSTEM})?{_LINK}\.?",
            rf"(?:Ottieni|Scarica) Outlook per {_SYSTEM}{_LINK}",
            rf"(?:Verstuurd|Verzonden) vanaf mijn {_DEVICE}{_LINK}\.?",
            rf"Verzonden (?:vanuit|met|vanaf) {_PROGRAM}{_LINK}(?: voor {_SYSTEM})?{_LINK}\.?",
            rf"Outlook voor {_SYSTEM}{_LINK} (?:downloaden|ophalen|verkrijgen){_LINK}"
            rf"|Download Outlook voor {_SYSTEM}{_LINK}",
            rf"Skickat från min {_DEVICE}{_LINK}|(?:Hämta|Skaffa) Outlook för {_SYSTEM}{_LINK}",
            rf"Sendt fra min {_DEVICE}{_LINK}|(?:Hent|Få) Outlook (?:til|for) {_SYSTEM}{_LINK}",
            r"Lähetetty (?:iPhonesta|iPadista|Android-laitteesta)",
            rf"Wysłane z (?:iPhone['’]?a|iPada|mojego {_DEVICE})"
            rf"|Pobierz (?:aplikację )?Outlook dla systemu {_SYSTEM}{_LINK}",
            r"Odesláno z (?:iPhonu|iPadu|mobilního telefonu)",
            rf"Отправлено с (?:моего )?{_DEVICE}|Получить Outlook для {_SYSTEM}{_LINK}",
            rf"(?:iPhone|iPad)['’](?:um|im)dan gönderildi|{_SYSTEM} için Outlook['’]u edinin{_LINK}",
            rf"(?:iPhone|iPad)から送信|{_SYSTEM} ?版 ?Outlook を入手{_LINK}|Outlook for {_SYSTEM}{_LINK} を入手{_LINK}",
            rf"发自我的 ?{_DEVICE}|從我的 ?{_DEVICE} ?傳送|获取 ?Outlook for {_SYSTEM}{_LINK}",
            rf"나의 {_DEVICE}에서 보냄|{_SYSTEM}용 Outlook 다운로드{_LINK}",
        )
    ),
    re.IGNORECASE,
)

# Banners: each sentence of one has to be known.
_ORGANISATION = r"(?:the|your|our|this) ?(?:organi[sz]ation|company|network|institution)"
_OF_GATEWAYS = re.compile(
    "|".join(
        (
            r"\W{0,4}(?:\[?EXTERNAL(?: (?:E-?MAIL|SENDER|MESSAGE))?\]?|CAUTION|WARNING|ATTENTION|ACHTUNG"
            r"|VORSICHT)\W{0,4}",
            r"(?:(?:CAUTION|WARNING|ATTENTION|EXTERNAL(?: E-?MAIL)?|NOTICE)\s?[:!-]\s?)?(?:This|The following) "
            r"(?:is an external e-?mail|(?:e-?mail|message)(?: was)? (?:originated|originates|came|comes|was sent"
            r"|is|sent)"
            rf" (?:from )?(?:an )?(?:outside|external)(?: (?:of|to))?(?: {_ORGANISATION}| (?:a )?(?:sender"
            rf"|source))?)",
            r"This Message Is From an (?:External|Untrusted) Sender",
            r"This message came from outside your organization",
            r"You have not previously corresponded with this sender"
            r"|You have not received (?:e-?)?mail from this sender before",
            r"(?:Please )?(?:Do not|Don['’]t) click (?:on )?(?:any )?(?:links?|links or attachments)(?:,? (?:or"
            r"|and) open "
            r"(?:any )?attachments?)?(?: unless you (?:recogni[sz]e|know|trust|verify) the sender(?:['’]s (?:name"
            r"|address))?"
            r"(?: and know(?: that)? the content is safe)?)?",
            r"You don['’]t often get e-?mail from \S{3,200}\. Learn why this is important" + _LINK,
            r"Some people who received this message don['’]t often get e-?mail from \S{3,200}\. Learn why this is"
            r" important" + _LINK,
            r"(?:ACHTUNG|VORSICHT)\s?[:!-]\s?Diese (?:E-?Mail|Nachricht) (?:stammt|kommt"
            r"|wurde) von (?:einem externen Absender"
            r"|außerhalb (?:der|unserer|Ihrer) (?:Organisation|Firma)(?: gesendet)?)",
            r"(?:Bitte )?klicken Sie (?:nicht )?auf (?:keine )?Links(?: (?:und|oder) öffnen Sie keine Anhänge)?"
            r"(?:, (?:wenn|außer) Sie (?:den|der) Absender (?:nicht )?kennen)?",
            r"ZjQcmQRYFpfptBanner(?:Start|End)|Report Suspicious" + _LINK,
        )
    ),
    re.IGNORECASE,
)
_LEARN_WHY = re.compile(
    r"(?:You don['’]t often|Some people who received this message don['’]t often) get e-?mail from \S{3,200}\s{1,3}"
    r"Learn why this is important" + _LINK,
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!])\s+(?!Learn why)")

# Disclaimers: known first words, and the vocabulary of lawyers.
_LEGAL_BEGIN = re.compile(
    r"[*_\s]{0,4}(?:(?:CONFIDENTIALITY|LEGAL|PRIVACY)(?: AND \w{3,20})? (?:NOTICE|DISCLAIMER)|DISCLAIMER"
    r"|Th(?:is|e (?:contents?|information)(?: (?:of|in|contained in) this)?) (?:e-?mail|message|communication"
    r"|transmission)"
    r"|The information (?:contained )?in this (?:e-?mail|message)"
    r"|Diese (?:E-?Mail|Nachricht)|Der Inhalt dieser E-?Mail|Ce (?:message|courriel|mail)|Este (?:mensaje|correo"
    r"|e-?mail)"
    r"|Esta mensagem|Questo messaggio|(?:Dit|Deze) (?:e-?mail|bericht))\b",
    re.IGNORECASE,
)
_LEGAL_WORDS = re.compile(
    r"\b(?:confidential|privileged|intended (?:recipients?|solely|only|for)|addressee|unauthori[sz]ed|disclos\w{0,5}"
    r"|dissemination|distribution|copying|vertraulich\w{0,3}|rechtlich geschützt\w{0,2}|Adressat\w{0,2}"
    r"|Empfänger\w{0,2}"
    r"|Weitergabe|unbefugt\w{0,3}|confidentiel\w{0,4}|destinataires?|diffusion|confidencia(?:l|les|is)"
    r"|destinatari[oa]s?"
    r"|divulgaci[oó]n|divulgação|riservat[oaie]|vertrouwelijk\w{0,2}|geadresseerde\w{0,1})\b",
    re.IGNORECASE,
)
LEGAL_WORDS_MIN = 3
"""A paragraph with fewer different words of lawyers is no disclaimer."""
_LEGAL_SENTENCE = re.compile(
    r"confidential|privilege|disclaimer|recipient|addressee|sender|e-?mail|message|transmission|attachment|prohibited"
    r"|unlawful|liab|virus|vertraulich|Adressat|Empfänger|Absender|Nachricht|gestattet|courriel|destinataire"
    r"|expéditeur"
    r"|confidentiel|mensaje|correo|destinatari|remitente|mensagem|messaggio|mittente|bericht|geadresseerde|afzender",
    re.IGNORECASE,
)
_OWN_MARK = re.compile(r"\b(?:approv|reject|staging|production|prod\b|deploy)", re.IGNORECASE)

# Signatures that anybody may have typed, and that change nothing whoever did.
_CLOSING = re.compile(
    r"(?:(?:best|kind|warm)(?:est)? (?:regards|wishes)|regards|best|cheers|sincerely|yours(?: (?:truly"
    r"|sincerely))?|br|kr|vg|mfg|lg"
    r"|(?:mit )?(?:freundlichen|besten|lieben|vielen|herzlichen) grüße?n?|(?:viele|beste|liebe|freundliche"
    r"|schöne) grüße|grüße|gruß"
    r"|cordialement|bien (?:à (?:vous|toi)|cordialement)|(?:un )?saludos?(?: cordiales)?|atentamente"
    r"|atenciosamente|abraços?"
    r"|cordiali saluti|saluti|(?:met )?vriendelijke groeten?|groeten?|(?:med )?vänliga? hälsning(?:ar)?|mvh"
    r"|med vennlig hilsen"
    r"|hilsen|pozdrawiam|с уважением)[,.!]?",
    re.IGNORECASE,
)
_TELEPHONE = re.compile(
    r"(?:(?:tel|phone|mobile|mob|cell|direct|office|fax|t|m|p|o|d|telefon|mobil|handy|tél|telefono|teléfono)\s?[.:]{0,2}\s?"
    r"|(?=[+(0]))\+?[\d(][\d\s().\-–/]{6,24}\d(?:\s?(?:ext|x|dw)\.?\s?\d{1,5})?",
    re.IGNORECASE,
)
_DATE = re.compile(r"\b\d{1,2}[./-]\d{1,2}[./-]\d{2,4}\b|\b\d{4}[./-]\d{1,2}[./-]\d{1,2}\b")
# Without a path: a link to a page may say something.
_WEB_ADDRESS = re.compile(r"(?:(?:web|www|site)\s?:\s?)?(?:https?://|www\.)[\w.-]{3,100}/?" + _LINK, re.IGNORECASE)
_RULE = re.compile(r"[-_=*~ ]{2,80}")
_NO = re.compile(r"\b(?:no|not|only|but|don['’]?t|stop|wait|hold|reject\w*|nein|nicht|non)\b")
"""Somebody may be called No; below `approve`, that word is no signature."""


def is_of_program(line: str) -> bool:
    """Whether a mail program adds exactly this line by itself."""
    line = line.strip()
    return len(line) <= LINE_CHARS_MAX and bool(_OF_PROGRAMS.fullmatch(line))


def without_banners(paragraphs: list[str]) -> list[str]:
    """The paragraphs, less the banners that a gateway has put above them."""
    first = next((n for n, one in enumerate(paragraphs) if not is_banner(one)), len(paragraphs))
    return paragraphs[first:]


def is_banner(paragraph: str) -> bool:
    """Whether each of its sentences is one that a gateway writes above mail from outside."""
    text = " ".join(paragraph.split())
    if len(text) > 4 * LINE_CHARS_MAX:
        return False
    if _LEARN_WHY.fullmatch(text):
        return True
    sentences = [one.strip(" .*|") for line in paragraph.split("\n") for one in _SENTENCE_END.split(line.strip())]
    joined = [one.strip(" .*|") for one in _SENTENCE_END.split(text)]
    return any(all(not one or _OF_GATEWAYS.fullmatch(one) for one in cut) and any(cut) for cut in (sentences, joined))


def is_disclaimer(paragraph: str) -> bool:
    if len(paragraph) > DISCLAIMER_CHARS_MAX or not _LEGAL_BEGIN.match(paragraph) or _OWN_MARK.search(paragraph):
        return False
    sentences = [one for one in re.split(r"[.!?;]\s", paragraph) if any(map(str.isalpha, one))]
    words = {one.casefold() for one in _LEGAL_WORDS.findall(paragraph)}
    return len(words) >= LEGAL_WORDS_MIN and all(_LEGAL_SENTENCE.search(one) for one in sentences)


def is_neutral(line: str, name: str, address: str) -> bool:
    """Whether the line of a signature changes no decision: who writes, and how to reach them."""
    line = line.strip().strip("*_").strip()
    if not line or len(line) > LINE_CHARS_MAX:
        return not line
    if _spelled(line) in _names(name):
        return True
    bare = re.sub(r"^(?:e-?mail|e|mail)\s?:\s?", "", line, flags=re.IGNORECASE).partition("<mailto:")[0].strip("<> ")
    if address and bare.casefold() == address.casefold():
        return True
    if _TELEPHONE.fullmatch(line):
        return not _DATE.search(line)
    return any(one.fullmatch(line) for one in (_CLOSING, _WEB_ADDRESS, _RULE))


def _names(name: str) -> set[str]:
    """The ways in which a person signs: the display name, `First Last` also where it is written `Last, First`."""
    last, comma, first = name.partition(",")
    whole = f"{first.strip()} {last.strip()}" if comma else name.strip()
    spelled = {_spelled(whole), _spelled(whole.split(" ")[0])} if whole else set[str]()
    return {one for one in spelled if one and not _NO.search(one)}


def _spelled(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().strip(" ,.").split())

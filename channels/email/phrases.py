"""The words by which people say yes or no in a mail, in the common languages. Pure.

They decide nothing: whoever wrote them is asked to confirm (`channels.email.decisions`). A phrase that is missing only
gets another answer. This module does not decide which words are an approval; those are `approve` and `reject`.
"""

from __future__ import annotations

import re
import unicodedata

PHRASE_WORDS_MAX = 5
"""The longest phrase below."""

_APART = re.compile(r"[\s,.!;:()\-–—…_*\"'‘’“”„«»、。!,]+")
# Variants of one sign: as an emoji, and in the colours of skin.
_SHADES = dict.fromkeys((0xFE0F, *range(0x1F3FB, 0x1F400)))


def words_of(text: str) -> list[str]:
    """The words as they are compared: no punctuation, no capitals."""
    text = unicodedata.normalize("NFC", text).translate(_SHADES).casefold()
    return [one for one in _APART.split(text) if one]


def _phrases(text: str) -> frozenset[str]:
    return frozenset(" ".join(words_of(one)) for one in text.split(";"))


YES = _phrases(
    """approve; approved; approving; i approve; i approve this; i approve it; approve it; approve this;
    approved by me; lgtm; yes; yep; yeah; yup; sure; ok; okay; ok with me; ok for me; fine; fine by me;
    fine with me; go; go ahead; go for it; please go ahead; you can go ahead; ship it; shipit; do it;
    please do; proceed; please proceed; sounds good; looks good; looks good to me; all good; good to go;
    confirmed; confirm; agreed; i agree; granted; accept; accepted; +1; 👍; ✅; ✔; 🚀; 👌; ja; ja bitte;
    jawohl; genehmigt; genehmige ich; freigegeben; freigabe; freigabe erteilt; passt; passt so; einverstanden;
    in ordnung; geht klar; zugestimmt; ich stimme zu; gerne; mach das; machen; oui; approuvé; approuvée;
    j approuve; d accord; validé; je valide; c est bon; c est ok; ok pour moi; vas y; allez y; sí; si;
    aprobado; aprobada; apruebo; lo apruebo; de acuerdo; conforme; vale; adelante; dale; sim; aprovado;
    aprovada; aprovo; de acordo; pode ir; pode seguir; pode prosseguir; sì; approvato; approvata; approvo;
    va bene; d accordo; procedi; procedete; confermo; goedgekeurd; akkoord; mee eens; ga je gang; prima;
    godkänt; godkänd; godkänner; kör; godkendt; godkender; godkjent; godkjenner; i orden; hyväksytty; hyväksyn;
    kyllä; tak; zatwierdzam; zatwierdzone; zgoda; zgadzam się; akceptuję; schvaleno; schvaluji; ano; souhlasím;
    да; одобрено; одобряю; утверждаю; утверждено; согласен; согласна; подтверждаю; хорошо; так; схвалено;
    схвалюю; evet; onaylıyorum; onaylandı; onay; tamam; ναι; εγκρίνεται; εγκρίνω; da; aprob; aprobat; igen;
    jóváhagyva; 承認; 承認します; 承認しました; 承認いたします; 承認済み; はい; 了解; 了解です; 了解しました;
    お願いします; 同意; 批准; 已批准; 可以; 通过; 好; 好的; 核准; 同意发布; 승인; 승인합니다; 네; 예; 좋습니다;
    מאושר; כן; מאשר; מאשרת; موافق; نعم; موافقة"""
)
NO = _phrases(
    """reject; rejected; i reject; i reject this; rejecting; no; nope; nah; no go; denied; deny; decline;
    declined; do not; don t; do not approve; i do not approve; don t approve; i don t approve; not approved;
    disapproved; 👎; ❌; stop; no way; not now; not yet; nein; abgelehnt; ablehnen; ich lehne ab;
    nicht genehmigt; nicht freigegeben; non; refusé; refusée; rejeté; je refuse; rechazado; rechazada; rechazo;
    não; rejeitado; rejeitada; rifiutato; respinto; nee; afgewezen; afgekeurd; niet akkoord; nej; avslag;
    avslås; avvist; afvist; ei; hylätty; nie; odrzucam; odrzucone; odmowa; ne; zamítnuto; нет; отклонено;
    отклоняю; не согласен; не согласна; ні; відхилено; hayır; reddedildi; όχι; απορρίπτεται; 却下; 却下します;
    否認; いいえ; 不同意; 拒绝; 不批准; 不行; 거절; 거절합니다; 아니요; לא; نדחה; لا; مرفوض"""
)
PLEASANT = _phrases(
    """thanks; thank you; thanks a lot; many thanks; thank you very much; thx; ty; cheers; please; pls; great;
    nice; nice work; great work; good work; good job; well done; perfect; team; all; everyone; everybody;
    deploybot; bot; from me; from my side; from my end; for me; by me; with me; this; it; that; and; 🙏; 🎉;
    😀; 🙂; 👏; 🙌; danke; danke dir; danke schön; vielen dank; besten dank; bitte; von mir; von meiner seite;
    super; perfekt; gut; merci; merci beaucoup; s il vous plaît; s il te plaît; de ma part; pour moi; parfait;
    gracias; muchas gracias; por favor; por mi parte; perfecto; obrigado; obrigada; muito obrigado;
    da minha parte; grazie; grazie mille; per favore; per me; da parte mia; bedankt; dank je; dank je wel;
    dank u; alvast bedankt; graag; tack; tack så mycket; mange tak; takk; kiitos; dzięki; dziękuję; díky;
    děkuji; спасибо; пожалуйста; дякую; teşekkürler; ありがとう; ありがとうございます; よろしくお願いします;
    お願いいたします; 谢谢; 謝謝; 감사합니다; ευχαριστώ; תודה; شكرا"""
)

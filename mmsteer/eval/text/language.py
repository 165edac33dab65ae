"""The language of an answer, by its function words and its letters.

Seven languages are known: English, German, French, Spanish, Italian, Portuguese and Dutch. Error rates, on
`tests/eval/text/languages.tsv`, which was written after the lists of words: of 98 single sentences of 2 to 13 words
86 are found, 11 are not and one is taken for another language; of 98 texts of three such sentences all are found. Of
14 sentences in other languages or none, 3 are taken for a known one.
"""

import re
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

SHARE = 0.12  # least score per word: texts in other languages share a word or two by chance

_FUNCTION_WORDS = {
    "en": """the of and to in is that it for was on are with as be this by at from have has had not but or an they
        which you were their his her she he we there been will would can could should if when what who
        how all your my our its than then them so do does did about into out up some these those here i
        i'm it's don't can't because just like very""",
    "de": """der die das und in den von zu mit sich des auf für ist im dem nicht ein eine als auch es an werden aus
        er hat dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur
        oder aber vor zur bis mehr durch man sein wurde wenn kann ich wir ihr du mir mich uns hier heute
        sehr ja nein keine kein was wo warum""",
    "fr": """le la les de des du et à un une est que qui dans en pour pas sur au aux avec ce cette ces il elle ils
        elles nous vous je tu ne se sont par plus ou mais son sa ses leur était être ont fait comme tout
        très si on mon ma mes votre notre y où quand aussi bien ici chez peut c'est j'ai d'un d'une
        qu'il n'est deux sans""",
    "es": """el la los las de del y a un una es que en por para con no se su sus al lo como más pero o este esta fue
        son está han hay muy también ya cuando yo él ella nosotros mi tu me te le nos qué donde sin
        sobre entre todo todos puede ser si porque hasta desde era aquí hoy eso esto cada dos están
        tiene""",
    "it": """il lo la i gli le di del della dei delle e a un una è che in per con non si su al alla sono come più ma
        o questo questa ha hanno anche io tu lui lei noi voi mio mia suo sua nel nella da dal dalla
        quando dove perché molto essere era ci ne mi ti cosa tutto tutti può qui se oggi ogni sempre c'è
        fra""",
    "pt": """o a os as de do da dos das e em um uma é que no na nos nas por para com não se seu sua ao à como mais
        mas ou este esta foi são está tem muito também já quando eu ele ela nós meu minha você isso isto
        onde porque sem sobre entre tudo todos pode ser até pelo pela aqui hoje era cada há lhe dois""",
    "nl": """de het een en van in is dat op te zijn met voor niet aan er om ook als dan maar bij of uit naar door
        over ze zich hij zij wij ik je jij mijn haar hun dit deze die wordt worden werd heeft hebben had
        was nog wel geen kan kunnen moet veel meer waar wat wie hoe hier toen tot al we u uw heel""",
}
_LETTERS = {"de": "äöüß", "fr": "àâçéèêëîïôœùû", "es": "ñáíóúé", "it": "àèéìòù", "pt": "ãõçáâêíóúé"}

LANGUAGES = tuple(_FUNCTION_WORDS)
_KNOWN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        word: tuple(language for language, words in _FUNCTION_WORDS.items() if word in words.split())
        for words in _FUNCTION_WORDS.values()
        for word in words.split()
    }
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_ELISION = re.compile(r"\b(l|d|j|n|s|c|m|t|qu|dell|all|nell|un|quest)['’]")


def find_language(text: str) -> str | None:
    """The language of a text by its ISO 639-1 code; None where it is none of those known, or cannot be found.

    Each function word counts one, divided among the languages that have it; each word with a letter that is special
    to some languages counts a half, divided likewise. The language with the most counts is the text's if it has more
    than the next one, and at least `SHARE` a word.

    Args:
        text: Any text.

    >>> find_language("Das Haus steht am Ende der Straße."), find_language("Dogs!"), find_language("Привет, как дела?")
    ('de', None, None)
    """
    lowered = text.lower().replace("’", "'")
    words = _WORD.findall(lowered)
    counts: Counter[str] = Counter()
    for word in words:
        _add(counts, _KNOWN.get(word, ()), 1.0)
        _add(counts, [language for language, letters in _LETTERS.items() if any(one in letters for one in word)], 0.5)
    for elided in _ELISION.findall(lowered):
        _add(
            counts, ("it",) if len(elided) > 2 or elided == "un" else ("fr", "it") if elided in "ldcm" else ("fr",), 1.0
        )
    (first, most), (_, next_most) = (*counts.most_common(2), ("", 0.0), ("", 0.0))[:2]
    return first if most > next_most and most >= SHARE * len(words) else None


def _add(counts: Counter[str], languages: tuple[str, ...] | list[str], weight: float) -> None:
    for language in languages:
        counts[language] += weight / len(languages)  # type: ignore[assignment]

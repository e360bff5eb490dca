"""How names of countries are compared, whoever typed them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from sync_lib.fields.texts import clean_code, fold_case, fold_spaces

# What a state calls itself before its name. Not "State of": Georgia is one too. China has a line for each of its two.
_FORMAL = re.compile(
    r"(?:(?:the|arab|bolivarian|co-operative|democratic|federal|federative|gabonese|hashemite|independent|islamic|people's|"
    r"plurinational|socialist|united|federale|democratische|islamitische|foderative|foderale|demokratische|islamische)\s+)*"
    r"(?:republic|kingdom|commonwealth|principality|grand duchy|sultanate|union|republiek|bondsrepubliek|koninkrijk|"
    r"vorstendom|groothertogdom|republik|bundesrepublik|konigreich|furstentum|grossherzogtum|republique|royaume|"
    r"principaute|grand-duche)\s+(?:(?:of|van|der|des|de|du|von)\s+|d'\s*)*(?:(?:the|het|de|la|les)\s+|l')?(?!chin)(\S.*)"
)
_ARTICLE = re.compile(r"(?:(?:the|de|het|die|der|das|la|le|les|los|el|il)\s+|l')(\S.*)")
# ISO writes "Tanzania, the United Republic of" and "Virgin Islands (British)".
TURNED = re.compile(r"([^(,]*[^(,\s])\s*[(,]\s*([^(),]+?)\s*\)?")
_MARKS = re.compile("[\u0300-\u036f]")
_AND = re.compile(r"\b(?:and|en|und|et|y)\b")
_BETWEEN = re.compile(r"[\s.,'()\[\]\-\u2010-\u2015\u2212]+")


def folded(name: str) -> str:
    """Fold what people leave out: case, accents, typographic apostrophes, and "(the)"."""
    text = fold_case(fold_spaces(clean_code(name))).replace("’", "'").replace("ß", "ss").replace("ø", "o")
    if not text.isascii():
        text = unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFD", text)))
    return text.replace("(the)", "").strip()


def country_key(name: str) -> str:
    """Return a name as names are compared: also without spaces, dots and hyphens, ``&`` for *and*, *St* for *Saint*."""
    words = _AND.sub("&", folded(name)).replace("saint ", "st ").replace("saint-", "st-")
    return _BETWEEN.sub("", words)


def readings(name: str) -> Iterator[str]:
    """Yield the keys under which a name may be known: as typed first, then turned, without article or formal words."""
    yield country_key(name)
    text = folded(name)
    if turned := TURNED.fullmatch(text):
        text = f"{turned[2]} {turned[1]}"
        yield country_key(text)
    for pattern in (_ARTICLE, _FORMAL):
        if found := pattern.fullmatch(text):
            yield country_key(found[1])
            if article := _ARTICLE.fullmatch(found[1]):
                yield country_key(article[1])

"""Values that users type beside the plain ones: written otherwise, odd, and as long as Business Central allows."""

from __future__ import annotations

import random
import unicodedata

#: Mapped field -> what Business Central holds of it at most; of the street its first line.
LENGTHS = {
    "name": 100, "email": 80, "job": 30, "company": 100, "phone": 30, "mobile": 30, "home": 255, "street": 100,
    "city": 30, "county": 30, "post": 20, "country": 10, "first": 30, "middle": 30, "surname": 30, "initials": 30,
    "email2": 80,
}  # fmt: skip
TEXTS = ("name", "job", "street", "city", "county", "first", "middle", "surname", "initials")
#: Fields in which marks that nobody sees do not count (rules 6).
CODES = ("email", "email2", "phone", "mobile", "home", "post", "country")
KINDS = (
    "plain",
    "plain",
    "otherwise",
    "otherwise",
    "case",
    "invisible",
    "odd",
    "odd",
    "full",
    "over",
    "blank",
)
#: What nobody sees and what counts in no code, and what the fields of a text keep.
INVISIBLE = "\u00ad\u200b\u200e\u200f\u202a\u202e\u2060\u2066\u2069\ufeff"
ODD = (
    "{} \U0001f600\U0001f469\u200d\U0001f4bb", "\u05d3\u05df {} \u05db\u05d4\u05df", "\u0645\u062d\u0645\u062f {}",
    "Ame\u0301lie {}", "Zoe\u0308 {} A\u030a", "{}\x07\x1b[1m", "a\tb {}", "=HYPERLINK({})", "<b>{}</b> & \"x\"",
    "O'Neill {}; DROP TABLE", "{} \u674e\u5c0f\u9f99", "{}\u00a0x", "\u0130stanbul {}", "Stra\u00dfe {}", "+{}", "'{}",
    "%{}_\\", "{{{}}}", "van der {}-de Vries", "{} (Jr.)", "Familie {}", "{},  twee  ",
)  # fmt: skip
_ODD_DIGITS = (
    "+31 (0)20 5{:06}",
    "0031 20 5{:06}",
    "020/5{:06}",
    "+1 (415) 5{:06}",
    "020 5{:06} toestel 12",
    "{}",
)
_ODD_ADDRESSES = (
    "q{}q+x@klant.example",
    "o'q{}q@klant.example",
    "q{}q@m\u00fcnchen.example",
    "q{}q@klant",
    "q{} q",
)


def value(name: str, kind: str, n: int, old: str) -> str:
    """Return a value of a field.

    Args:
        name: The field.
        kind: One of ``KINDS``.
        n: Number of this value; no other one has it.
        old: What the field holds now.
    """
    rng = random.Random(f"{name} {kind} {n}")
    if kind == "blank":
        return rng.choice(("", "", "  ", "\u200b" if name in CODES else "\t"))
    if kind == "otherwise" and old:
        return _otherwise(name, old, rng)
    if kind == "case" and old:
        return old.swapcase() if name not in ("country", "home") else old.upper()
    if kind == "invisible" and old:
        at = rng.randrange(len(old) + 1)
        return old[:at] + rng.choice(INVISIBLE) + old[at:]
    if kind in ("full", "over"):
        return _long(name, n, LENGTHS[name] + (kind == "over"))
    return _odd(name, n, rng) if kind == "odd" else plain(name, n)


def plain(name: str, n: int) -> str:
    """Return a value as anybody types one."""
    made = {
        "email": f"q{n}q@klant.example",
        "email2": f"q{n}q@tweede.example",
        "phone": f"+31 20 5{n:06}",
        "mobile": f"06 5{n:07}",
        "home": f"https://www.q{n}q.example",
        "post": f"{n} QX",
        "country": ("NL", "BE", "DE", "FR")[n % 4],
    }
    return made.get(name, f"Waarde q{n}q")


def _otherwise(name: str, old: str, rng: random.Random) -> str:
    """Return the same value in another written form."""
    if name in ("phone", "mobile"):
        return _phone_otherwise(old, rng)
    if name == "post":
        return rng.choice((old.replace(" ", ""), old.lower(), f" {old} ", " ".join(old)))
    if name in ("email", "email2"):
        return rng.choice((old.upper(), old.title(), f"{old}\u200b"))
    if name == "country":
        return {"NL": "Nederland", "Nederland": "nl", "DE": "Germany", "Duitsland": "DE"}.get(old, f" {old}")
    if name == "home":
        return old[:4] + rng.choice(INVISIBLE) + old[4:]
    return rng.choice((unicodedata.normalize("NFD", old), f"{old} ", f" {old}", old + "\x07", f"{old}\r\n"))


def _phone_otherwise(old: str, rng: random.Random) -> str:
    digits = "".join(c for c in old if c.isdigit() or c == "+")
    if digits.startswith("+31"):
        digits = rng.choice((digits, "0" + digits[3:], "0031" + digits[3:]))
    elif digits.startswith("0") and not digits.startswith("00"):
        digits = rng.choice((digits, "+31" + digits[1:]))
    if not any(c.isdigit() for c in digits) or any(c.isalpha() for c in old):
        return old
    cut = rng.randrange(3, max(len(digits) - 2, 4))
    return f"{digits[:cut]}{rng.choice(' -.')}{digits[cut:]}"


def _odd(name: str, n: int, rng: random.Random) -> str:
    if name in ("phone", "mobile"):
        return rng.choice(_ODD_DIGITS).format(n)
    if name in ("email", "email2"):
        return rng.choice(_ODD_ADDRESSES).format(n)
    if name == "post":
        return rng.choice((f"{n}-qx", f"{n}\u00a0QX", f"D-{n}", f"{n} \u0130x"))
    if name == "country":
        return rng.choice(("Netherlands", "BELGI\u00cb", "Holland", "Verweggistan", "nl", "XX"))
    if name == "home":
        return rng.choice(
            ("q{}q.example", "HTTP://Q{}Q.EXAMPLE/\u00e9", "javascript:q{}q", "q{}q zoeken")
        ).format(n)
    if rng.random() < 0.15:
        return f"q{n}q " + "lang " * 40
    return rng.choice(ODD).format(f"q{n}q")


def _long(name: str, n: int, length: int) -> str:
    """Return a value of that many UTF-16 units, sometimes with an emoji at its end."""
    if name in ("phone", "mobile"):
        return (f"+31 20 5{n:06}" + " " * length)[: length - 1] + "1"
    if name in ("email", "email2"):
        end = "@klant.example"
        return (f"q{n}q" + "x" * 60)[: min(length - len(end), 64)] + _domain(length - 64 - 1, end)
    start = {"home": f"https://q{n}q.example/", "country": "Land"}.get(name, f"q{n}q ")
    end = "\U0001f600" if n % 3 == 0 and name in TEXTS else ""
    return start + "x" * (length - len(start) - 2 * len(end)) + end


def _domain(length: int, end: str) -> str:
    return end if length < len(end) else "@" + "k" * (length - len(".example")) + ".example"

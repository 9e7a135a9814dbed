"""Texts from elsewhere are made harmless before anybody can read them, or a log takes them.

Secrets and personal data are cut out; nothing passes for a line of a log or a spreadsheet's formula.
"""

from __future__ import annotations

import re

MASK = "[redacted]"

_LONGEST = 20_000
"""Nobody reads more of a message, and no pattern gets to chew on more."""

_SECRETS = re.compile(
    r"-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\Z)"  # PEM keys and certificates
    r"|\beyJ[\w-]{8,}(?:\.[\w-]*){0,2}"  # JSON Web Tokens: assertions and save links
    r"|\bya29\.[\w./-]+"  # Google's access tokens
    r"|(?<![\w.+-])[\w.+-]+(?:@|%40)[\w-]+(?:\.[\w-]+)*",  # e-mail addresses
    re.DOTALL,
)
_NAMED_SECRETS = re.compile(
    r"""(?P<name>(?:bearer|applepass|basic)(?:\s|%20)+["']?|(?:token|private_key|assertion"""
    r"""|client_secret|signature|password)\\?["']?\s*(?:[:=]|%3D)\s*\\?["']?)(?P<value>[^\s"'\\,}&]+)""",
    re.IGNORECASE,
)


_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
"""No text from elsewhere begins a line of its own in a log, nor colours a terminal."""


def redact(text: str, *, limit: int = 500) -> str:
    """Return `text` without keys, tokens and e-mail addresses.

    It becomes one line, at most `limit` characters long.
    """
    text = _SECRETS.sub(MASK, text[:_LONGEST])
    text = _NAMED_SECRETS.sub(rf"\g<name>{MASK}", text)
    text = _CONTROLS.sub(" ", text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def harmless(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula: a quote in front keeps it text."""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value

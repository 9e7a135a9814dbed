"""What the passes say in the phone's language; the English text is the key.

A shop's own texts are not here and stay as it wrote them; only one that is the same as one of
ours, such as a tier named "Member", is taken for it, since Wallet translates values as well.
Source: Apple, Wallet Developer Guide, "Localization".
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..words import TRANSLATIONS


def strings_files() -> dict[str, bytes]:
    """Return the `pass.strings` files of a pass, by their paths in it."""
    files = {
        f"{language}.lproj/pass.strings": _strings(texts)
        for language, texts in TRANSLATIONS.items()
    }
    # Without a folder for English, an English phone would take another language.
    files["en.lproj/pass.strings"] = _strings({text: text for text in TRANSLATIONS["de"]})
    return files


def _strings(texts: Mapping[str, str]) -> bytes:
    # The format quotes and escapes as JSON does.
    lines = [f"{_quoted(key)} = {_quoted(text)};\n" for key, text in sorted(texts.items())]
    return "".join(lines).encode()


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)

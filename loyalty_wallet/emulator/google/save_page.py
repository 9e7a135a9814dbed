"""The page that a save link leads to, for a person with a browser: the emulated "Save" button."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from http import HTTPStatus
from urllib.parse import parse_qs

from aiohttp import web

from .customers import SaveRefusedError
from .operations import GoogleOperations

SAVE_ROOT = "/gp/v/save/"
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} - emulated Google Wallet</title>
<main style="max-width: 30rem; margin: 15vh auto; padding: 0 1rem; font: 100%/1.5 system-ui">
<h1>{title}</h1>
<p>{text}</p>
<form method="post"><button name="{name}" value="{value}" style="font: inherit; padding: .75rem 1.5rem">{label}</button></form>
</main>
</html>
"""


class SavePage:
    """Lets whoever opens a save link act as the customer; no real Google is asked."""

    def __init__(self, operations: GoogleOperations) -> None:
        self._operations = operations

    def handle(self, method: str, target: str, raw: bytes) -> web.Response:
        """Answer one request: GET asks, POST saves or removes."""
        if method != "POST":
            return _page("Add to Google Wallet", "This is an emulated Google, on this machine.")
        try:
            form = parse_qs(raw.decode("utf-8", "replace"))
            if "remove" in form:
                return self._remove(form["remove"][0].split())
            return self._save(target.partition("?")[0])
        except (SaveRefusedError, KeyError) as error:
            return _page("Something went wrong", str(error), status=HTTPStatus.BAD_REQUEST)

    def _save(self, link: str) -> web.Response:
        saved = self._operations.customer_saves(link)
        return _page("Saved", f"Now on the phone: {', '.join(saved)}", removable=saved)

    def _remove(self, object_ids: Sequence[str]) -> web.Response:
        for object_id in object_ids:
            self._operations.customer_removes(object_id)
        return _page("Removed", f"No longer on the phone: {', '.join(object_ids)}")


def _page(
    title: str, text: str, *, removable: Sequence[str] = (), status: HTTPStatus = HTTPStatus.OK
) -> web.Response:
    body = _PAGE.format(
        title=escape(title),
        text=escape(text),
        name="remove" if removable else "save",
        value=escape(" ".join(removable)),
        label="Remove it" if removable else "Save",
    )
    return web.Response(status=status, text=body, content_type="text/html")

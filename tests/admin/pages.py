"""Using the admin as a person does: by its forms and what its pages say."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.test import Client
from django.urls import reverse


def list_url(model: str) -> str:
    return reverse(f"admin:loyalty_wallet_{model}_changelist")


def page_url(model: str, pk: object) -> str:
    return reverse(f"admin:loyalty_wallet_{model}_change", args=[pk])


def text_of(response: Any) -> str:
    """Return what a page says, without its markup."""
    body = re.sub(r"<(script|style|title).*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def messages_of(response: Any) -> list[str]:
    return [str(message) for message in response.context["messages"]]


def ask(
    client: Client,
    url: str,
    pks: Iterable[object],
    *,
    across: bool = False,
    action: str = "resync_cards",
) -> Any:
    """Tick rows of a list and choose the action; return the page that asks."""
    return client.post(
        url,
        {
            "action": action,
            "index": "0",
            "select_across": "1" if across else "0",
            ACTION_CHECKBOX_NAME: [str(pk) for pk in pks],
        },
    )


def hidden_fields(response: Any) -> dict[str, list[str]]:
    """Return what the question would post again."""
    fields: dict[str, list[str]] = {}
    found = re.findall(
        r'<input type="hidden" name="([^"]+)" value="([^"]*)"', response.content.decode()
    )
    for name, value in found:
        if name != "csrfmiddlewaretoken":
            fields.setdefault(name, []).append(value)
    return fields


def sync_url(model: str, pk: object) -> str:
    """Return where the button "Sync now" of a page posts to."""
    return reverse(f"admin:loyalty_wallet_{model}_sync", args=[pk])


def sync_buttons(response: Any) -> list[tuple[str, str, bool]]:
    """Return the buttons above a page that sync at once: text, address, whether it forces."""
    forms = re.findall(
        r'<form method="post" action="([^"]+)" class="lw-tool">(.*?)</form>',
        response.content.decode(),
        flags=re.DOTALL,
    )
    texts = [re.findall(r"<button[^>]*>([^<]+)</button>", form)[0] for _, form in forms]
    return [
        (text, url, 'name="force"' in form) for text, (url, form) in zip(texts, forms, strict=True)
    ]


def confirm(
    client: Client, url: str, question: Any, *, force: bool = False, notify: bool = False
) -> Any:
    """Answer the question with yes; return the list that follows."""
    assert question.status_code == 200, question
    fields: dict[str, Any] = hidden_fields(question)
    if force:
        fields["force"] = "on"
    if notify:
        fields["notify"] = "on"
    return client.post(url, fields, follow=True)


def resync(client: Client, model: str, pks: Sequence[object], *, force: bool = False) -> str:
    """Re-sync from a list, question and answer; return the one message that follows."""
    url = list_url(model)
    (message,) = messages_of(confirm(client, url, ask(client, url, pks), force=force))
    return message

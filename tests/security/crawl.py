"""Everything that a person can read: the pages of the admin, and what commands print."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse


def models() -> list[Any]:
    """Return our models that have pages in the admin."""
    return [model for model in admin.site._registry if model._meta.app_label == "loyalty_wallet"]


def list_of_all(model: Any) -> str:
    url = reverse(f"admin:loyalty_wallet_{model._meta.model_name}_changelist")
    # Some lists show only what is open by default.
    return f"{url}?{getattr(admin.site._registry[model], 'list_of_all', '')}"


def admin_pages(client: Client) -> Iterator[tuple[str, Any]]:
    """Yield each page that we have in the admin, with each row's own pages and each question."""
    urls = [reverse("admin:index"), reverse("admin:app_list", args=["loyalty_wallet"])]
    for model in models():
        prefix = f"admin:loyalty_wallet_{model._meta.model_name}"
        urls.append(list_of_all(model))
        for pk in model._default_manager.values_list("pk", flat=True):
            urls += [reverse(f"{prefix}_{view}", args=[pk]) for view in ("change", "history")]
    urls.append(reverse("admin:loyalty_wallet_loyaltytransaction_add"))
    for url in urls:
        yield url, client.get(url)
    yield from questions(client)


def questions(client: Client) -> Iterator[tuple[str, Any]]:
    """Yield what each action asks, or downloads."""
    request: Any = client.get(reverse("admin:index")).wsgi_request
    for model in models():
        url = list_of_all(model)
        keys = [str(pk) for pk in model._default_manager.values_list("pk", flat=True)]
        for action in admin.site._registry[model].get_actions(request):
            data = {"action": action, "index": "0", "_selected_action": keys}
            yield f"{url} {action}", client.post(url, data, follow=True)


def text_of(answer: Any) -> str:
    """Return an answer's headers and body, as they travel."""
    body = answer.getvalue() if answer.streaming else answer.content
    return f"{dict(answer.headers)}\n{body.decode('utf-8', 'replace')}"


def said(*command: str) -> str:
    """Return all that a command prints, its complaint included."""
    stdout, stderr = io.StringIO(), io.StringIO()
    complaint: object = ""
    try:
        call_command(*command, stdout=stdout, stderr=stderr)
    except (CommandError, SystemExit) as error:
        complaint = error
    return f"{stdout.getvalue()}{stderr.getvalue()}{complaint}"

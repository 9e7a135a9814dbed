"""The migrations say what the models say."""

from __future__ import annotations

import pytest
from django.core.management import call_command


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    """`makemigrations --check` finds nothing to write."""
    call_command("makemigrations", "loyalty_wallet", check=True, dry_run=True)

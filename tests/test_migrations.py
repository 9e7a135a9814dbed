"""The migrations say what the models say, and let workers of the release before go on."""

from __future__ import annotations

import pytest
from django.core.management import call_command
from django.db import models
from django.db.migrations import operations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation

ADDING = (
    operations.AddIndex,
    operations.AlterModelManagers,
    operations.AlterModelOptions,
    operations.CreateModel,
    operations.RemoveIndex,
    operations.RenameIndex,
    operations.RunPython,
)


def keeps_old_code_working(operation: Operation) -> bool:
    """Whether code that does not know of it can still read and write the tables after it."""
    if isinstance(operation, operations.AddField):
        # The INSERTs of the old code leave the column out: the database must know what to put in.
        field = operation.field
        return bool(field.null or field.many_to_many) or field.has_db_default()
    if isinstance(operation, operations.SeparateDatabaseAndState):
        return all(keeps_old_code_working(each) for each in operation.database_operations)
    return isinstance(operation, ADDING)


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    """`makemigrations --check` finds nothing to write."""
    call_command("makemigrations", "loyalty_wallet", check=True, dry_run=True)


@pytest.mark.parametrize(
    ("operation", "is_safe"),
    [
        (operations.AddField("walletpass", "note", models.TextField(null=True)), True),
        (operations.AddField("walletpass", "note", models.TextField(db_default="")), True),
        (operations.AddField("walletpass", "note", models.TextField(default="")), False),
        (operations.RemoveField("walletpass", "payload"), False),
        (operations.RenameField("walletpass", "payload", "body"), False),
        (operations.AlterField("walletpass", "wallet", models.CharField(max_length=8)), False),
        (operations.DeleteModel("walletlimit"), False),
        (operations.RenameModel("walletlimit", "limit"), False),
        (operations.RunSQL("DROP TABLE loyalty_wallet_walletlimit"), False),
        (operations.RemoveIndex("walletpass", "wallet_pass_due"), True),
    ],
    ids=lambda value: value.describe() if isinstance(value, Operation) else str(value),
)
def test_what_old_code_would_not_survive_is_known(operation: Operation, is_safe: bool) -> None:
    """Case 65: a column that is gone, renamed, narrower, or asks for a value it does not give."""
    assert keeps_old_code_working(operation) is is_safe


def test_migrations_after_the_first_release_only_add() -> None:
    """Case 65: workers of the release before go on while, and after, the tables are migrated."""
    migrations = MigrationLoader(None).disk_migrations
    ours = sorted(name for app, name in migrations if app == "loyalty_wallet")
    assert ours[0] == "0001_initial"
    breaking = [
        f"{name}: {operation.describe()}"
        for name in ours[1:]
        for operation in migrations["loyalty_wallet", name].operations
        if not keeps_old_code_working(operation)
    ]
    assert breaking == []

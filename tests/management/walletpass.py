"""The tables of django-walletpass, as its migrations leave them, with passes on phones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection, models
from django.utils import timezone


class Pass(models.Model):
    pass_type_identifier = models.CharField(max_length=150)
    serial_number = models.CharField(max_length=150)
    authentication_token = models.CharField(max_length=150)
    data = models.FileField(upload_to="passes")
    updated_at = models.DateTimeField()

    class Meta:
        app_label = "django_walletpass"

    def __str__(self) -> str:
        return self.serial_number


class Registration(models.Model):
    device_library_identifier = models.CharField(max_length=150)
    push_token = models.TextField()
    pazz = models.ForeignKey(Pass, on_delete=models.CASCADE)

    class Meta:
        app_label = "django_walletpass"

    def __str__(self) -> str:
        return self.device_library_identifier


@dataclass(frozen=True, slots=True)
class OldSystem:
    """Hands out passes as django-walletpass does."""

    pass_type: str

    def hand_out(self, serial_number: str, token: str, *phones: tuple[str, str]) -> None:
        """Make a pass and let these phones, each a device and a push token, register it."""
        made = Pass._default_manager.create(
            pass_type_identifier=self.pass_type,
            serial_number=serial_number,
            authentication_token=token,
            data="passes/old.pkpass",
            updated_at=timezone.now(),
        )
        for device, push_token in phones:
            Registration._default_manager.create(
                device_library_identifier=device, push_token=push_token, pazz=made
            )


@contextmanager
def tables() -> Iterator[None]:
    """Have the tables for a while."""
    with connection.schema_editor() as editor:
        editor.create_model(Pass)
        editor.create_model(Registration)
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Registration)
            editor.delete_model(Pass)

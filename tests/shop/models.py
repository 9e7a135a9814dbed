"""The shop's members: nothing here knows of wallets."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Member(models.Model):
    """Somebody who collects coffee points. The till knows them by the number on their card."""

    membership_no = models.CharField(max_length=20, unique=True)
    full_name = models.CharField(max_length=100)
    coffee_points = models.IntegerField(default=0)
    level = models.CharField(max_length=1, default="B")
    last_visit = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[models.Manager[Member]] = models.Manager()

    def __str__(self) -> str:
        return self.full_name

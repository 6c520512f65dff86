"""Encrypted columns, and the check values that tell whether the key rings are the right ones."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models

from gateway_project.core import crypto

CIPHERTEXT_MAX = 8192


class CheckValue(models.Model):
    """A known value under each ring, written once: a wrong ring is noticed at start, not at first use."""

    ring = models.CharField(max_length=20, primary_key=True)
    value = models.TextField()

    class Meta:
        verbose_name = "ring check value"

    def __str__(self) -> str:
        return self.ring


def seal(plain: str, *, label: str, row_id: object) -> str:
    """Encrypt a secret for one column of one row; empty stays empty."""
    if not plain:
        return ""
    return crypto.encrypt(plain, ring=settings.GATEWAY_ENCRYPTION_RING, associated=f"{label}:{row_id}")


def unseal(sealed: str, *, label: str, row_id: object) -> str:
    """Decrypt what `seal` made; raises `crypto.DecryptionError` if the ring or the row is another."""
    if not sealed:
        return ""
    return crypto.decrypt(sealed, ring=settings.GATEWAY_ENCRYPTION_RING, associated=f"{label}:{row_id}")


def sealed_column(**options: Any) -> models.TextField[Any, Any]:
    """A column for a ciphertext: never edited in a form, never shown."""
    return models.TextField(blank=True, default="", editable=False, max_length=CIPHERTEXT_MAX, **options)

"""Configuration that lives in the database and is read from a snapshot in memory.

`ConfigVersion` counts the changes of each section; every write of a `ConfigModel` bumps its section
in the same transaction, so a process that sees version N also sees all that led to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Self, TypeVar

from django.db import models, transaction
from django.db.models import F

M = TypeVar("M", bound="ConfigModel")
SECTIONS = ("security", "people", "rules", "limits", "usage", "upstreams", "tools", "agent_folders", "agents", "alerts")


class ConfigVersion(models.Model):
    """One row per section of the snapshot; its version grows with each change."""

    section = models.CharField(max_length=20, primary_key=True)
    version = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = "configuration version"

    def __str__(self) -> str:
        return f"{self.section} {self.version}"

    @classmethod
    def bump(cls, section: str) -> int:
        """Count one change of a section and return the new version; call it inside the write's transaction.

        The row stays locked until that transaction ends, so versions become visible in order.
        """
        if not cls.objects.filter(section=section).update(version=F("version") + 1):
            cls.objects.get_or_create(section=section)
            cls.objects.filter(section=section).update(version=F("version") + 1)
        version: int = cls.objects.values_list("version", flat=True).get(section=section)
        return version


class ConfigQuerySet(models.QuerySet[M]):
    """A query set whose bulk writes bump the section too."""

    def _bump(self) -> int:
        return ConfigVersion.bump(self.model.config_section)

    def _stamp(self, objs: Iterable[Any], version: int) -> None:
        for obj in objs:
            obj.changed_version = version

    def update(self, **kwargs: Any) -> int:
        """As Django's, with the change counted."""
        with transaction.atomic():
            return super().update(changed_version=self._bump(), **kwargs)

    def delete(self) -> tuple[int, dict[str, int]]:
        """As Django's, with the change counted."""
        with transaction.atomic():
            self._bump()
            return super().delete()

    # As Django's own: `objects` itself has no `delete`, which would take every row.
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """As Django's, with the change counted."""
        rows = list(objs)
        with transaction.atomic():
            self._stamp(rows, self._bump())
            return super().bulk_create(rows, *args, **kwargs)

    def bulk_update(self, objs: Iterable[Any], fields: Iterable[str], *args: Any, **kwargs: Any) -> int:
        """As Django's, with the change counted."""
        rows = list(objs)
        with transaction.atomic():
            return super().bulk_update(rows, [*fields], *args, **kwargs)


ConfigManager = models.Manager.from_queryset(ConfigQuerySet)


class ConfigModel(models.Model):
    """Base of every row that the snapshot is built from.

    Run-time facts (use, health, probe results) never live here: writing them would rebuild the snapshot.
    """

    config_section: ClassVar[str]

    changed_version = models.BigIntegerField(default=0, editable=False, db_index=True)
    created_at = models.DateTimeField(auto_now_add=True, editable=False)
    updated_at = models.DateTimeField(auto_now=True, editable=False)
    managed_by = models.CharField(
        max_length=100,
        default="admin",
        editable=False,
        help_text="Who owns this row: admin, or the file or process that writes it.",
    )

    objects = ConfigManager()

    class Meta:
        abstract = True

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save and count the change, in one transaction."""
        with transaction.atomic():
            self.changed_version = ConfigVersion.bump(self.config_section)
            if kwargs.get("update_fields") is not None:
                kwargs["update_fields"] = {*kwargs["update_fields"], "changed_version", "updated_at"}
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete and count the change, in one transaction."""
        with transaction.atomic():
            ConfigVersion.bump(self.config_section)
            return super().delete(*args, **kwargs)

    def clone(self) -> Self:
        """A detached copy of the row's current values, for before-and-after comparison."""
        copy = self.__class__()
        for field in self._meta.concrete_fields:
            setattr(copy, field.attname, getattr(self, field.attname))
        return copy

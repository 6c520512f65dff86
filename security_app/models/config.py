"""Configuration that lives in the database and is read from a snapshot in memory.

`ConfigVersion` counts the changes of each section; every write of a `ConfigModel` bumps its section
in the same transaction, so a process that sees version N also sees all that led to it. Every write is
recorded in the audit, too (`security_app.models.recording`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Self, TypeVar

from django.db import models, transaction

from security_app.models import recording

M = TypeVar("M", bound="ConfigModel")
SECTIONS = (
    "security",
    "people",
    "rules",
    "limits",
    "content",
    "usage",
    "upstreams",
    "tools",
    "agent_folders",
    "agents",
    "alerts",
    "sinks",
    "doors",
)


class ConfigVersion(models.Model):
    """One row per section of the snapshot; its version grows with each change."""

    section = models.CharField(max_length=20, primary_key=True)
    version = models.BigIntegerField(default=0)

    class Meta:
        verbose_name = "configuration version"

    def __str__(self) -> str:
        return f"{self.section} {self.version}"

    @classmethod
    def lock(cls) -> dict[str, int]:
        """Lock all sections until the transaction ends; their versions.

        Whoever writes the configuration or the audit does this first, so that no two wait for each other,
        whichever sections they go on to change.
        """
        rows = cls.objects.select_for_update().order_by("section").values_list("section", "version")
        versions = dict(rows)
        if missing := sorted({*SECTIONS} - versions.keys()):
            new = [ConfigVersion(section=section) for section in missing]
            ConfigVersion.objects.bulk_create(new, ignore_conflicts=True)
            versions = dict(rows.all())
        return versions

    @classmethod
    def bump(cls, section: str) -> int:
        """Count one change of a section and return the new version; call it inside the write's transaction.

        All sections stay locked until that transaction ends, so versions become visible in order.
        """
        version = cls.lock()[section] + 1
        cls.objects.filter(section=section).update(version=version)
        return version


class ConfigQuerySet(models.QuerySet[M]):
    """A query set whose bulk writes bump the section and are recorded, too."""

    def _bump(self) -> int:
        return ConfigVersion.bump(self.model.config_section)

    def _stamp(self, objs: Iterable[Any], version: int) -> None:
        for obj in objs:
            obj.changed_version = version

    def update(self, **kwargs: Any) -> int:
        """As Django's, with the change counted and recorded."""
        with transaction.atomic():
            version = self._bump()
            if recording.is_muted():
                return super().update(changed_version=version, **kwargs)
            before = recording.images_of(self)
            rows = super().update(changed_version=version, **kwargs)
            recording.note_updated(self, before, rows=rows, values=kwargs)
            return rows

    def delete(self) -> tuple[int, dict[str, int]]:
        """As Django's, with the change counted and recorded."""
        with transaction.atomic():
            self._bump()
            with recording.deleting():
                return super().delete()

    # As Django's own: `objects` itself has no `delete`, which would take every row.
    delete.queryset_only = True  # type: ignore[attr-defined]

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """As Django's, with the change counted and recorded."""
        rows = list(objs)
        with transaction.atomic():
            self._stamp(rows, self._bump())
            may_conflict = bool(kwargs.get("ignore_conflicts") or kwargs.get("update_conflicts"))
            before = recording.existing(self.model, rows) if may_conflict else None
            created = super().bulk_create(rows, *args, **kwargs)
            recording.note_created(self.model, created, before=before)
            return created

    def bulk_update(self, objs: Iterable[Any], fields: Iterable[str], *args: Any, **kwargs: Any) -> int:
        """As Django's, with the change counted and recorded."""
        rows, names = list(objs), [*fields]
        with transaction.atomic():
            if len(rows) <= recording.MAX_EVENTS:
                return super().bulk_update(rows, names, *args, **kwargs)
            with recording.muted():
                count = super().bulk_update(rows, names, *args, **kwargs)
            recording.note_bulk_update(self.model, count, names)
            return count


ConfigManager = models.Manager.from_queryset(ConfigQuerySet)


class ConfigModel(models.Model):
    """Base of every row that the snapshot is built from.

    Run-time facts (use, health, probe results) never live here: writing them would rebuild the snapshot.
    """

    config_section: ClassVar[str]
    # Fields that hold secrets though their names don't say so: the audit shows digests of them.
    audit_masked: ClassVar[tuple[str, ...]] = ()
    # Whether a deleted row is whole again with what the audit says of it.
    can_be_recreated: ClassVar[bool] = True

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
        """Save, count and record the change, in one transaction."""
        with transaction.atomic():
            self.changed_version = ConfigVersion.bump(self.config_section)
            if kwargs.get("update_fields") is not None:
                kwargs["update_fields"] = {*kwargs["update_fields"], "changed_version", "updated_at"}
            before = recording.stored_image(self, is_new=bool(kwargs.get("force_insert")))
            super().save(*args, **kwargs)
            recording.note_saved(self, before, kwargs.get("update_fields"))

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Delete, count and record the change, in one transaction."""
        with transaction.atomic():
            ConfigVersion.bump(self.config_section)
            with recording.deleting():
                return super().delete(*args, **kwargs)

    def check_restored(self, before: Self) -> None:
        """Before an older version is written over `before`: ValidationError if it must not be."""

    def clone(self) -> Self:
        """A detached copy of the row's current values, for before-and-after comparison."""
        copy = self.__class__()
        for field in self._meta.concrete_fields:
            setattr(copy, field.attname, getattr(self, field.attname))
        return copy


def record_deletion(instance: ConfigModel, **_: Any) -> None:
    """Before a row goes: keep what it says; one that goes along with what is no configuration counts too."""
    if not recording.note_deletion(instance):
        with transaction.atomic():
            ConfigVersion.bump(instance.config_section)
            with recording.deleting():
                recording.note_deletion(instance)

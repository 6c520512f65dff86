"""Who looks for the requests of a team, a user, an end user or an agent is served by an index."""

from __future__ import annotations

from django.db import migrations, models

from usage_app.partitioned_indexes import AddIndexByPartition

_INDEXES = {
    "team_id": models.Q(team_id__isnull=False),
    "user_id": models.Q(user_id__gt=""),
    "end_user": models.Q(end_user__gt=""),
    "agent": models.Q(agent__gt=""),
}


class Migration(migrations.Migration):

    # Concurrent builds can't be part of a transaction.
    atomic = False

    dependencies = [("usage_app", "0009_usage_groups")]

    operations = [
        AddIndexByPartition(
            model_name="usagerecord",
            index=models.Index(
                fields=[name, "-at"], name=f"usage_{name.removesuffix('_id')}_at", condition=condition
            ),
        )
        for name, condition in _INDEXES.items()
    ]

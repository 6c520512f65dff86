"""Hours beside the quarter-hours; those of existing quarter-hours come with the next runs of `usage.roll_up`."""

from __future__ import annotations

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import gateway_project.core.money


def note(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    starts = apps.get_model("usage_app", "UsageRollup").objects.order_by("window_start")
    window = apps.get_model("usage_app", "RollupWindow")
    window.objects.bulk_create(
        [window(window_start=start, mark=0) for start in starts.values_list("window_start", flat=True).distinct()],
        batch_size=500,
        ignore_conflicts=True,
    )


class Migration(migrations.Migration):

    dependencies = [
        ('usage_app', '0005_index_failed_records'),
    ]

    operations = [
        migrations.AlterField(
            model_name='latencyrollup',
            name='window_start',
            field=models.DateTimeField(help_text='Start of the span, UTC.'),
        ),
        migrations.AlterField(
            model_name='usagerollup',
            name='window_start',
            field=models.DateTimeField(help_text='Start of the span, UTC.'),
        ),
        migrations.CreateModel(
            name='HourlyLatencyRollup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('window_start', models.DateTimeField(help_text='Start of the span, UTC.')),
                ('bucket', models.PositiveSmallIntegerField(help_text='From 1.2^n milliseconds up to 1.2^(n + 1).')),
                ('requests', models.BigIntegerField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('window_start', 'bucket'), name='hourly_latency_rollup_once')],
            },
        ),
        migrations.CreateModel(
            name='HourlyUsageRollup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('window_start', models.DateTimeField(help_text='Start of the span, UTC.')),
                ('model', models.CharField(help_text='As the client asked.', max_length=264)),
                ('key_id', models.UUIDField(help_text='All zeros for the master key.')),
                ('upstream', models.CharField(blank=True, max_length=63)),
                ('upstream_model', models.CharField(blank=True, max_length=200)),
                ('requests', models.BigIntegerField()),
                ('errors', models.BigIntegerField(help_text='Status 400 and above, without 499: clients that left.')),
                ('unpriced', models.BigIntegerField(help_text='Requests that used tokens of a model without a price.')),
                ('input_tokens', models.BigIntegerField()),
                ('output_tokens', models.BigIntegerField()),
                ('cached_input_tokens', models.BigIntegerField(help_text='Part of the input tokens.')),
                ('reasoning_tokens', models.BigIntegerField(help_text='Part of the output tokens.')),
                ('cost', gateway_project.core.money.MoneyField(help_text='US dollars; what has no price counts as nothing.')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('window_start', 'model', 'key_id', 'upstream', 'upstream_model'), name='hourly_usage_rollup_once')],
            },
        ),
        migrations.RunPython(note, migrations.RunPython.noop),
    ]

"""A migration's operation that gives the partitioned usage records an index while they are written to.

PostgreSQL builds no index of a partitioned table concurrently, but one of a partition: each partition gets
its own, and the whole table's is valid once all are attached. The migration must not be atomic. One that was
interrupted can be run again.
"""

from __future__ import annotations

from typing import Any

from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.backends.ddl_references import Table
from django.db.migrations import AddIndex
from django.db.models import Index, Model


class AddIndexByPartition(AddIndex):
    """As AddIndex, but on PostgreSQL nobody waits who writes."""

    atomic = False

    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
    ) -> None:
        """Make the index of each partition, then the whole table's from them."""
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        model = to_state.apps.get_model(app_label, self.model_name)
        add_index_by_partition(schema_editor, model, self.index)

    def describe(self) -> str:
        """What it does."""
        return f"{super().describe()}, partition by partition"


def add_index_by_partition(schema_editor: BaseDatabaseSchemaEditor, model: type[Model], index: Index) -> None:
    """Make a valid index of the table and of all of its partitions, whatever is there of it already."""
    table = model._meta.db_table
    quoted = schema_editor.quote_name
    whole = str(index.create_sql(model, schema_editor)).replace(
        "CREATE INDEX", "CREATE INDEX IF NOT EXISTS", 1
    )
    schema_editor.execute(whole.replace(f" ON {quoted(table)}", f" ON ONLY {quoted(table)}", 1))
    for partition, attached in _partitions(schema_editor, table, index.name):
        if attached:
            continue
        name = f"{partition}_{index.name}"[:63]
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {quoted(name)}")
        statement = index.create_sql(model, schema_editor, concurrently=True)
        statement.parts["table"] = Table(partition, quoted)
        statement.parts["name"] = Table(name, quoted)
        schema_editor.execute(statement)
        schema_editor.execute(f"ALTER INDEX {quoted(index.name)} ATTACH PARTITION {quoted(name)}")


def _partitions(schema_editor: BaseDatabaseSchemaEditor, table: str, index: str) -> list[tuple[str, bool]]:
    """The table's partitions, and whether each one's part of the index is attached."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname, EXISTS (SELECT 1 FROM pg_index JOIN pg_inherits AS part "
            "ON part.inhrelid = pg_index.indexrelid WHERE pg_index.indrelid = child.oid "
            "AND part.inhparent = to_regclass(%s)) FROM pg_inherits JOIN pg_class AS child "
            "ON child.oid = pg_inherits.inhrelid WHERE pg_inherits.inhparent = to_regclass(%s) ORDER BY 1",
            [index, table],
        )
        return [(name, attached) for name, attached in cursor.fetchall()]

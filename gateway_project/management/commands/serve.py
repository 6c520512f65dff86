"""`manage.py serve`: the server's processes, and Celery's worker and beat beside them."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor

from gateway_project.checks import OF_OPERATORS
from gateway_project.observability.metrics import FOLDER_VARIABLE
from gateway_project.own_address import own_base_url
from gateway_project.processes import Child, Supervisor

_KILL_AFTER_S = 40.0
_BACKLOG = 2048
# glibc keeps an arena a thread and raises its own thresholds: with these the memory of a server stays flat,
# and that for the pieces of streams is not asked of the system each time.
_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": "524288",
    "MALLOC_TRIM_THRESHOLD_": "2097152",
}


class Command(BaseCommand):
    """Serve until SIGTERM or Ctrl-C; no process is left behind."""

    help = "Serve the gateway: WEB_CONCURRENCY server processes, a Celery worker and beat."
    requires_system_checks = OF_OPERATORS

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Options of the command line."""
        parser.add_argument("--no-tasks", action="store_true", help="Start no Celery worker and no beat.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Open the socket, start the children, wait."""
        self._refuse_unmigrated()
        listener = self._listen()
        children = [self._server(listener.fileno(), number) for number in range(settings.WEB_CONCURRENCY)]
        if not options["no_tasks"]:
            children += self._tasks()
        environment = {FOLDER_VARIABLE: str(self._metrics_folder())}
        for child in children:
            child.environment |= environment
        self.stdout.write(f"Listening on {settings.HOST}, {own_base_url()}/ (Ctrl-C stops)")
        self.stdout.flush()
        supervisor = Supervisor(children, report=self.stderr.write)
        status = supervisor.run(
            kill_after_s=max(_KILL_AFTER_S, settings.STREAM_DRAIN_S + settings.DRAIN_DELAY_S + 10)
        )
        listener.close()
        if status:
            sys.exit(status)

    def _refuse_unmigrated(self) -> None:
        try:
            executor = MigrationExecutor(connection)
            missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
        except DatabaseError as error:
            raise CommandError(f"The database of DATABASE_URL can't be used: {error}") from error
        connection.close()
        if missing:
            raise CommandError(
                f"{len(missing)} migrations are not applied; run `manage.py bootstrap` or `migrate`."
            )

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in settings.HOST else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.HOST, settings.PORT))
        except OSError as error:
            raise CommandError(
                f"Can't listen on {settings.HOST} port {settings.PORT}: {error.strerror}. Set PORT or HOST."
            ) from error
        listener.listen(_BACKLOG)
        return listener

    def _server(self, fd: int, number: int) -> Child:
        command = [sys.executable, "-m", "gateway_project.server", "--fd", str(fd)]
        allocator = {name: os.environ.get(name, value) for name, value in _ALLOCATOR.items()}
        return Child(f"server {number + 1}", command, allocator, pass_fds=(fd,))

    def _tasks(self) -> list[Child]:
        for name in ("queue", "control"):
            (settings.CELERY_DIR / name).mkdir(parents=True, exist_ok=True)
        celery = [sys.executable, "-m", "celery", "-A", "gateway_project.celery"]
        quiet = ["--loglevel", settings.LOG_LEVEL]
        worker = [*celery, "worker", "--pool", "solo", "--without-gossip", "--without-mingle", *quiet]
        beat = [*celery, "beat", "--schedule", str(settings.CELERY_DIR / "beat"), "--pidfile=", *quiet]
        # This process has looked; all checks would load every page and route.
        checked = {"CELERY_SKIP_CHECKS": "1"}
        # Root is what a container or a test machine often is; only JSON is accepted, never pickle.
        return [
            Child("worker", worker, {"GATEWAY_PROCESS": "worker", "C_FORCE_ROOT": "1", **checked}),
            Child("beat", beat, {"GATEWAY_PROCESS": "beat", **checked}),
        ]

    def _metrics_folder(self) -> Path:
        """A folder for this start; those of earlier ones go, for their processes are gone."""
        root: Path = settings.METRICS_DIR
        if root.is_dir():
            for old in root.iterdir():
                shutil.rmtree(old, ignore_errors=True)
        folder = root / secrets.token_hex(4)
        folder.mkdir(parents=True)
        return folder

"""The image without Docker: its steps replayed in a folder, its parts started as by compose.yaml.

What stays unproved here: the base images, tini, what the engine confines (capabilities, networks, mounts).
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.doors.gateway import KEPT, Template
from tests.repository.container_files import (
    ROOT,
    compose,
    copied_sources,
    dockerfile_steps,
    image_environment,
)
from tests.services import free_port, guarded_folder, is_open_to_all, own_valkey_database, wait_until

UID = 1000
START_S = 90.0
STOP_S = 60.0
PLACES = ("/opt/venv", "/build", "/app", "/data")
# Made by the base image and its package manager, which are not here.
_SYSTEM_STEPS = re.compile(r"^(apt-get|groupadd) ")
ASK = {"model": "demo/chat", "messages": [{"role": "user", "content": "Hello!"}]}


class Image:
    """A folder that holds what the image holds; `inside` says where a path of the image is."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder = folder
        self.programs = programs
        self.children: list[subprocess.Popen[bytes]] = []

    def inside(self, text: str) -> str:
        """A text with the image's folders replaced by ours."""
        for place in PLACES:
            text = re.sub(rf"(?<![\w/.]){place}(?![\w])", f"{self.folder}{place}", text)
        return text

    def copy(self) -> None:
        """What COPY takes from the checkout, and nothing else."""
        for source, target in copied_sources():
            path = Path(self.inside(target))
            path.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, path, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, path)

    def environment(self, port: int, **more: str) -> dict[str, str]:
        """The image's variables, a port of our own, and what was given."""
        ours = {name: self.inside(value) for name, value in image_environment().items()}
        home = self.folder / "tmp"
        path = f"{self.programs}:{ours['PATH']}"
        return {**ours, "PATH": path, "HOME": str(home), "TMPDIR": str(home), "PORT": str(port), **more}

    def start(
        self, *arguments: str, environment: dict[str, str], user: int | None = None
    ) -> subprocess.Popen[bytes]:
        """The entry point with these arguments, without tini."""
        with (self.folder / "log").open("ab") as log:
            child = subprocess.Popen(
                [self.inside("/app/ops/docker/entrypoint.sh"), *arguments],
                cwd=self.inside("/app"),
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
        self.children.append(child)
        return child

    def is_healthy(self, environment: dict[str, str]) -> bool:
        """What the image's health check finds."""
        script = self.inside("/app/ops/docker/healthcheck.py")
        result = subprocess.run(["python", script], env=environment, capture_output=True, check=False)
        return result.returncode == 0

    @property
    def log(self) -> str:
        """Everything that was written by what was started."""
        return (self.folder / "log").read_text(errors="replace")

    def stop(self) -> list[int]:
        """SIGTERM to all, as the engine sends it; their exit statuses."""
        for child in self.children:
            if child.poll() is None:
                child.terminate()
        return [child.wait(STOP_S) for child in self.children]


@pytest.fixture
def image() -> Iterator[Image]:
    """An image whose Python is this environment's."""
    with guarded_folder("gateway-image-", signal.SIGTERM) as folder:
        made = Image(folder, Path(sys.executable).parent)
        for name in ("data", "tmp"):
            (folder / name).mkdir()
        made.copy()
        yield made


def reachable_python() -> str | None:
    """A Python that user 1000 may execute; None if this machine has none that is new enough."""
    candidates = [
        "/usr/local/bin/python3.12",
        "/usr/bin/python3.12",
        "/usr/bin/python3.13",
        "/usr/bin/python3.11",
    ]
    for candidate in [getattr(sys, "_base_executable", sys.executable), *candidates]:
        path = Path(candidate).resolve()
        if path.exists() and is_open_to_all(path):
            return candidate
    return None


def key_in(log: str) -> str:
    """The first key, as bootstrap printed it."""
    found = re.search(r"API key:\s+(\S+)", log)
    assert found is not None, log[-4000:]
    return found[1]


def chat(port: int, key: str) -> httpx.Response:
    """One chat with the built-in model."""
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    return httpx.post(url, json=ASK, headers={"authorization": f"Bearer {key}"}, timeout=20, trust_env=False)


def test_the_parts_of_compose_work_together(
    image: Image, shared_postgres_url: str, shared_valkey_url: str
) -> None:
    services = compose()["services"]
    port = free_port()
    secrets = image.folder / "secrets"
    subprocess.run(["sh", ROOT / "ops/docker/make-secrets.sh", secrets], check=True, capture_output=True)
    (secrets / "database_url").write_text(Template(image.folder, shared_postgres_url).empty().url)
    (secrets / "redis_url").write_text(own_valkey_database(shared_valkey_url))
    given = {
        name: str(value).replace("/run/secrets", str(secrets))
        for name, value in services["gateway"]["environment"].items()
    }
    environment = image.environment(port, **given)
    assert environment["WEB_CONCURRENCY"] == "2"

    setup = image.start(*services["setup"]["command"], environment=environment)
    assert setup.wait(START_S) == 0, image.log[-4000:]
    for name in ("gateway", "worker", "beat"):
        image.start(*services[name]["command"], environment=environment)
    wait_until(lambda: image.is_healthy(environment), START_S, "the gateway to be ready")
    # A worker that answers is what its health check asks for; Celery waits its whole time for more answers.
    *ping, timeout, _ = services["worker"]["healthcheck"]["test"][1:]
    assert timeout == "--timeout"
    wait_until(
        lambda: (
            subprocess.run(
                [*ping, timeout, "1"],
                cwd=image.inside("/app"),
                env=environment,
                capture_output=True,
                check=False,
            ).returncode
            == 0
        ),
        START_S,
        "the worker to answer",
    )
    answers = [chat(port, key_in(image.log)) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [200] * 4
    assert image.stop() == [0, 0, 0, 0], image.log[-4000:]
    # The gateway wrote to its volume and to /tmp only; the code is as it was copied.
    assert not [*Path(image.inside("/app")).rglob("__pycache__")]
    assert "Traceback" not in image.log


@pytest.mark.soak
def test_the_dockerfile_replayed_in_a_clean_folder_serves_as_user_1000() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can start it as another user")
    python = reachable_python()
    if python is None:
        pytest.skip("no Python here may be executed by user 1000")
    with guarded_folder("gateway-image-", signal.SIGTERM) as folder:
        folder.chmod(0o755)
        programs = folder / "programs"
        programs.mkdir()
        (programs / "python3").symlink_to(python)
        image = Image(folder, programs)
        _replay(image)
        (folder / "tmp").mkdir()
        os.chown(folder / "tmp", UID, UID)
        (folder / "log").touch()
        code = sorted(str(path) for path in Path(image.inside("/app")).rglob("*"))
        port = free_port()
        environment = image.environment(port, GATEWAY_PROBE_LOCAL_SERVERS="false", HOST="127.0.0.1")
        # The image has no programs but its own.
        environment["PATH"] = image.inside(image_environment()["PATH"])

        server = image.start("all", environment=environment, user=UID)
        probe = {**environment, "PATH": os.environ["PATH"]}
        wait_until(
            lambda: server.poll() is not None or image.is_healthy(probe), START_S, "the image to be healthy"
        )
        assert server.poll() is None, image.log[-4000:]
        answer = chat(port, key_in(image.log))

        assert answer.status_code == 200
        assert image.stop() == [0], image.log[-4000:]
        assert not image.is_healthy(probe)
        assert {path.stat().st_uid for path in (folder / "data").rglob("*")} == {UID}
        assert sorted(str(path) for path in Path(image.inside("/app")).rglob("*")) == code


def _replay(image: Image) -> None:
    """RUN and COPY of both stages in one folder; what one stage takes from the other is there already."""
    environment = {
        **{name: os.environ[name] for name in KEPT if name in os.environ},
        **{
            name: value
            for name, value in os.environ.items()
            if name.startswith(("PIP_", "SSL_", "REQUESTS_"))
        },
    }
    environment["PATH"] = f"{image.programs}:{environment['PATH']}"
    has_copied = False
    for step in dockerfile_steps():
        if step.instruction == "COPY" and step.text.startswith("--from"):
            _stage, source, target = step.words
            assert source == target
            assert Path(image.inside(source)).is_dir()
        elif step.instruction == "COPY" and not has_copied:
            image.copy()
            has_copied = True
        elif step.instruction == "RUN":
            commands = [part.strip() for part in step.text.split("&&")]
            ours = [part for part in commands if not _SYSTEM_STEPS.match(part) and "/var/lib/apt" not in part]
            ours = [part for part in ours if not part.startswith("useradd ")]
            for command in ours:
                subprocess.run(["sh", "-ec", image.inside(command)], env=environment, check=True, timeout=600)

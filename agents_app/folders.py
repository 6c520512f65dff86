"""Drop-in agents on disk: folders with an `agent.py`, their ids, and digests of what is in them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ENTRY_FILE = "agent.py"
DEFAULT_NAMESPACE = "default"
MAX_FILES = 200
MAX_FILE_BYTES = 1024 * 1024
_NOT_IN_SLUG = re.compile(r"[^a-z0-9_-]")


@dataclass(frozen=True, slots=True)
class Folder:
    """One drop-in. `problem` says why it can't be read, else `digest` stands for its content."""

    path: Path
    namespace: str
    slug: str
    digest: str
    problem: str = ""


def slug_of(name: str) -> str:
    """A folder's name as part of a model id: `WeatherAgent` is `weatheragent`."""
    return _NOT_IN_SLUG.sub("-", name.lower())


def find_folders(roots: tuple[Path, ...]) -> list[Folder]:
    """All drop-ins: `<root>/<Name>/agent.py` and `<root>/<namespace>/<Name>/agent.py`, in a fixed order."""
    found = []
    for root in roots:
        for folder in _folders_in(root):
            if (folder / ENTRY_FILE).is_file():
                found.append(_folder(root, folder, DEFAULT_NAMESPACE))
                continue
            inner = [one for one in _folders_in(folder) if (one / ENTRY_FILE).is_file()]
            found += [_folder(root, one, slug_of(folder.name)) for one in inner]
    return found


def _folders_in(path: Path) -> list[Path]:
    try:
        children = sorted(path.iterdir())
    except OSError:
        return []
    return [one for one in children if one.name[0] not in "._" and one.is_dir()]


def _folder(root: Path, path: Path, namespace: str) -> Folder:
    slug = slug_of(path.name)
    try:
        if not path.resolve().is_relative_to(root.resolve()):
            return Folder(path, namespace, slug, "", "the folder is a link that leads out of its root")
        return Folder(path, namespace, slug, _digest(path))
    except (OSError, ValueError) as error:
        return Folder(path, namespace, slug, "", str(error))


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in _sources(folder):
        content = path.read_bytes()
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"{path.name} is larger than {MAX_FILE_BYTES} bytes")
        digest.update(f"{path.relative_to(folder)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _sources(folder: Path) -> Iterator[Path]:
    """What an agent consists of: Python files and its requirements, in a fixed order."""
    count = 0
    for path in sorted(folder.rglob("*")):
        if path.suffix != ".py" and path.name != "requirements.txt":
            continue
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{path.name} is a link that leads out of the folder")
        count += 1
        if count > MAX_FILES:
            raise ValueError(f"there are more than {MAX_FILES} files")
        yield path

"""Drop-in agents on disk: folders with an `agent.py`, their ids, and digests of what is in them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ENTRY_FILE = "agent.py"
REQUIREMENTS_FILE = "requirements.txt"
DEFAULT_NAMESPACE = "default"
MAX_FILES = 200
MAX_FILE_BYTES = 1024 * 1024
# Code, and what code tends to read when it is imported. Other files may change without a reload.
WATCHED_SUFFIXES = frozenset({".py", ".txt", ".md", ".json", ".toml", ".yaml", ".yml"})
_NOT_IN_SLUG = re.compile(r"[^a-z0-9_-]")
_SLUG = re.compile(r"(?=.*[a-z0-9])[a-z0-9_-]{1,99}")


@dataclass(frozen=True, slots=True)
class Folder:
    """One drop-in. `problem` says why it can't be read, else `digest` stands for its content.

    `name` is its path below its root, such as `WeatherAgent` or `team/WeatherAgent`.
    """

    path: Path
    name: str
    namespace: str
    slug: str
    digest: str
    problem: str = ""


def slug_of(name: str) -> str:
    """A folder's name as part of a model id: `WeatherAgent` is `weatheragent`."""
    return _NOT_IN_SLUG.sub("-", name.lower())


def is_slug(text: str) -> bool:
    """Whether a text can be one side of the slash in an agent's id."""
    return _SLUG.fullmatch(text) is not None


def writable(text: str) -> str:
    """The text as it can be stored and sent: what is no Unicode (odd file names, lone surrogates) is `?`."""
    return text.encode("utf-8", "replace").decode()


def find_folders(roots: tuple[Path, ...]) -> list[Folder]:
    """All drop-ins: `<root>/<Name>/agent.py` and `<root>/<namespace>/<Name>/agent.py`, in a fixed order."""
    found = []
    for root in roots:
        for folder in _folders_in(root):
            if _is_agent(folder):
                found.append(_folder(root, folder, DEFAULT_NAMESPACE))
                continue
            inner = [one for one in _folders_in(folder) if _is_agent(one)]
            found += [_folder(root, one, slug_of(folder.name)) for one in inner]
    return found


def _folders_in(path: Path) -> list[Path]:
    try:
        return sorted(one for one in path.iterdir() if one.name[0] not in "._" and one.is_dir())
    except OSError:
        return []


def _is_agent(folder: Path) -> bool:
    """Whether it has an entry file; a folder that can't be read counts, so that somebody is told of it."""
    try:
        next(folder.iterdir(), None)
        return (folder / ENTRY_FILE).is_file()
    except OSError:
        return True


def _folder(root: Path, path: Path, namespace: str) -> Folder:
    name, slug = writable(path.relative_to(root).as_posix()), slug_of(path.name)
    for part in (namespace, slug):
        if not is_slug(part):
            problem = f"'{part}' can't be in an id: it needs a letter or digit, and at most 99 characters"
            return Folder(path, name, namespace, slug, "", problem)
    try:
        if not path.resolve().is_relative_to(root.resolve()):
            problem = "the folder is a link that leads out of its root"
            return Folder(path, name, namespace, slug, "", problem)
        # Files that can't be listed would count as none.
        next(path.iterdir(), None)
        return Folder(path, name, namespace, slug, digest_of(path))
    except (OSError, RuntimeError, ValueError) as error:
        return Folder(path, name, namespace, slug, "", writable(str(error)))


def digest_of(folder: Path) -> str:
    """What stands for a folder's content; OSError, and ValueError if it is too much or leads elsewhere."""
    digest = hashlib.sha256()
    for path in _watched_files(folder):
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"{path.name} is larger than {MAX_FILE_BYTES} bytes")
        content = path.read_bytes()
        digest.update(f"{path.relative_to(folder)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def source_files(folder: Path) -> list[Path]:
    """The Python files of a folder, in a fixed order; OSError and ValueError as for a digest."""
    return [path for path in _watched_files(folder) if path.suffix == ".py"]


def _watched_files(folder: Path) -> Iterator[Path]:
    """What an agent consists of, in a fixed order; ValueError if it is too much, or leads elsewhere."""
    count = 0
    for path in sorted(folder.rglob("*")):
        is_hidden = any(part[0] == "." for part in path.relative_to(folder).parts)
        if is_hidden or path.suffix not in WATCHED_SUFFIXES or not path.is_file():
            continue
        if not path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{path.name} is a link that leads out of the folder")
        count += 1
        if count > MAX_FILES:
            raise ValueError(f"there are more than {MAX_FILES} files")
        yield path

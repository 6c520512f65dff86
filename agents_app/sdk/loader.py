"""Imports drop-ins: each load of a folder is a generation, a package `gateway_dropins.g<number>_<slug>`.

Only source files of the folder itself are imported, nothing is written beside them, and a generation stays
importable for as long as something holds it: the snapshot, or runs that began on it.
"""

from __future__ import annotations

import asyncio
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import itertools
import re
import sys
import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from agents import Agent
from agents_app.folders import ENTRY_FILE, REQUIREMENTS_FILE, Folder, is_slug, slug_of, writable
from agents_app.requirements import unmet_requirements
from agents_app.sdk import assert_ours
from agents_app.sdk.members import members_of

ROOT_PACKAGE = "gateway_dropins"
BUILD_TIMEOUT_S = 30.0
_OVERRIDES = {"namespace", "display_name", "description", "model", "upstream"}
_IDENTIFIER = re.compile(r"\W")
_MAX_REASON = 500
_lock = threading.Lock()
_numbers = itertools.count(1)
_paths: dict[str, Path] = {}


class DropInError(Exception):
    """The folder holds no agent that can be served; the text says why, for who wrote it."""


class Generation:
    """One load of a folder: its modules can be imported until nothing holds this any more."""

    def __init__(self, folder: Folder) -> None:
        self.package = f"{ROOT_PACKAGE}.g{next(_numbers)}_{_IDENTIFIER.sub('_', folder.slug)}"
        _paths[self.package] = folder.path.resolve()
        weakref.finalize(self, _forget, self.package).atexit = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """One agent of a folder. `slug` is the second part of its id, `members` are the names of its members."""

    slug: str
    agent: Agent[Any]
    overrides: dict[str, str]
    generation: Generation
    members: tuple[str, ...] = ()


def load(folder: Folder) -> list[Loaded]:
    """Import the folder and return its agents, `agent` first; DropInError if that fails in any way."""
    if unmet := unmet_requirements(folder.path / REQUIREMENTS_FILE):
        raise DropInError(writable(f"{REQUIREMENTS_FILE}: {'; '.join(unmet)}"[:_MAX_REASON]))
    with _lock:
        generation = Generation(folder)
        try:
            return _agents_of(_import(generation), folder, generation)
        except DropInError:
            _forget(generation.package)
            raise
        except BaseException as error:
            _forget(generation.package)
            # In the main thread it is a person's Ctrl-C; elsewhere nobody but the agent's code raises it.
            if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
                raise
            raise DropInError(_describe(error, folder.path)) from None
        finally:
            assert_ours()


def _forget(package: str) -> None:
    """Drop the modules of a generation. Takes no lock: it runs wherever the last holder lets go."""
    _paths.pop(package, None)
    for name in [name for name in list(sys.modules) if name == package or name.startswith(package + ".")]:
        sys.modules.pop(name, None)
    vars(sys.modules[ROOT_PACKAGE]).pop(package.rpartition(".")[2], None)


def _import(generation: Generation) -> ModuleType:
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    # A package that was installed a moment ago is to be found.
    importlib.invalidate_caches()
    return importlib.import_module(f"{generation.package}.{ENTRY_FILE.removesuffix('.py')}")


class _SourceLoader(importlib.machinery.SourceFileLoader):
    """Compiles from source each time: no bytecode is read or written."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class _Finder(importlib.abc.MetaPathFinder):
    """Finds a drop-in's package and the modules below it in its folder, and nowhere else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(ROOT_PACKAGE + "."):
            return None
        _, package, *parts = fullname.split(".")
        root = _paths.get(f"{ROOT_PACKAGE}.{package}")
        spec = None if root is None else _spec(fullname, root, parts)
        if spec is None:
            # Nobody else is to look: Python's own finder follows links, and takes bytecode and libraries.
            raise ModuleNotFoundError(f"No module named '{'.'.join(parts) or package}'", name=fullname)
        return spec


def _spec(fullname: str, root: Path, parts: list[str]) -> importlib.machinery.ModuleSpec | None:
    place = root.joinpath(*parts)
    if place.parent.resolve() != place.parent or (place.is_dir() and place.resolve() != place):
        # What a linked folder holds is in no digest, and nobody checked it.
        return None
    files = [(place / "__init__.py", True), *([(place.with_suffix(".py"), False)] if parts else [])]
    for file, is_package in files:
        if file.is_file() and file.resolve().is_relative_to(root):
            return importlib.util.spec_from_file_location(
                fullname,
                file,
                loader=_SourceLoader(fullname, str(file)),
                submodule_search_locations=[str(place)] if is_package else None,
            )
    if not place.is_dir():
        return None
    # A folder without an __init__.py is a package, too.
    spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
    spec.submodule_search_locations = [str(place)]
    return spec


_finder = _Finder()
_root = ModuleType(ROOT_PACKAGE)
_root.__path__ = []
sys.modules[ROOT_PACKAGE] = _root


def _agents_of(module: ModuleType, folder: Folder, generation: Generation) -> list[Loaded]:
    overrides = _overrides(getattr(module, "__gateway__", {}))
    found = []
    main = getattr(module, "agent", None)
    if main is None and callable(build := getattr(module, "build_agent", None)):
        main = _built(build)
        if not isinstance(main, Agent):
            raise DropInError(f"build_agent() must return an Agent, not {type(main).__name__}")
    if main is not None:
        if not isinstance(main, Agent):
            raise DropInError(f"'agent' must be an Agent, not {type(main).__name__}")
        found.append(Loaded(folder.slug, main, overrides, generation, tuple(members_of(main))))
    # Names and texts of the folder's `__gateway__` are for its main agent, where it is served is for all.
    others = {name: text for name, text in overrides.items() if name not in ("display_name", "description")}
    seen = {id(main)}
    for name, value in list(vars(module).items()):
        if isinstance(value, Agent) and not name.startswith("_") and id(value) not in seen:
            seen.add(id(value))
            slug, members = f"{folder.slug}-{slug_of(name)}", tuple(members_of(value))
            found.append(Loaded(slug, value, others, generation, members))
    if not found:
        raise DropInError(f"{ENTRY_FILE} has neither 'agent' nor 'build_agent()' nor another Agent")
    return found


def _built(build: Any) -> Any:
    made = build()
    if not inspect.isawaitable(made):
        return made

    async def wait() -> Any:
        async with asyncio.timeout(BUILD_TIMEOUT_S):
            return await made

    return asyncio.run(wait())


def _overrides(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise DropInError("__gateway__ must be a dict of texts")
    if unknown := sorted(map(str, set(value) - _OVERRIDES)):
        raise DropInError(f"__gateway__ has no member {', '.join(unknown)}")
    if "namespace" in value and not is_slug(value["namespace"]):
        raise DropInError("__gateway__: 'namespace' may have a-z, 0-9, _ and -, at most 99 of them")
    if value.get("upstream") and not value.get("model"):
        raise DropInError("__gateway__: 'upstream' needs a 'model'")
    return dict(value)


def _describe(error: BaseException, folder: Path) -> str:
    """What went wrong, and in which line of the folder's files."""
    try:
        text = writable(f"{type(error).__name__}: {error}"[:_MAX_REASON])
    except Exception:  # noqa: BLE001  (the author's exception may fail to say what it is)
        text = type(error).__name__
    if isinstance(error, SyntaxError):
        return text
    traceback, line = error.__traceback__, ""
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        if name.startswith(f"{folder.resolve()}/"):
            line = f" ({Path(name).name}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    return text + line

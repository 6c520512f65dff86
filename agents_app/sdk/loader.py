"""Imports drop-ins: each generation of a folder is a package of its own, `gateway_dropins.g<digest>_<slug>`.

Only source files of the folder itself are imported, nothing is written beside them, and what a former
generation is still running on stays alive with the runs.
"""

from __future__ import annotations

import asyncio
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import re
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from agents import Agent

from agents_app.folders import ENTRY_FILE, Folder, slug_of
from agents_app.sdk import assert_ours

ROOT_PACKAGE = "gateway_dropins"
BUILD_TIMEOUT_S = 30.0
_OVERRIDES = {"namespace", "display_name", "description", "model", "upstream"}
_IDENTIFIER = re.compile(r"\W")
_lock = threading.Lock()
_paths: dict[str, Path] = {}


class DropInError(Exception):
    """The folder holds no agent that can be served; the text says why, for who wrote it."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One agent of a folder. `slug` is the second part of its id."""

    slug: str
    agent: Agent[Any]
    overrides: dict[str, str]


def package_of(folder: Folder) -> str:
    """The package that this generation of the folder is imported as."""
    return f"{ROOT_PACKAGE}.g{folder.digest[:16]}_{_IDENTIFIER.sub('_', folder.slug)}"


def load(folder: Folder) -> list[Loaded]:
    """Import the folder and return its agents, `agent` first; DropInError if that fails in any way."""
    package = package_of(folder)
    with _lock:
        try:
            module = _import(package, folder.path)
            return _agents_of(module, folder)
        except DropInError:
            unload(package)
            raise
        except BaseException as error:
            unload(package)
            if isinstance(error, KeyboardInterrupt):
                raise
            raise DropInError(_describe(error, folder.path)) from error
        finally:
            assert_ours()


def unload(package: str) -> None:
    """Forget a generation; runs that are under way keep what they hold."""
    _paths.pop(package, None)
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        del sys.modules[name]


def _import(package: str, path: Path) -> ModuleType:
    sys.modules.setdefault(ROOT_PACKAGE, _package(ROOT_PACKAGE))
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
    _paths[package] = path.resolve()
    sys.modules[package] = _package(package)
    return importlib.import_module(f"{package}.{ENTRY_FILE.removesuffix('.py')}")


def _package(name: str) -> ModuleType:
    module = ModuleType(name)
    module.__path__ = []
    return module


class _SourceLoader(importlib.machinery.SourceFileLoader):
    """Compiles from source each time: no bytecode is read or written."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


class _Finder(importlib.abc.MetaPathFinder):
    """Finds modules below a drop-in's package in its folder, and nowhere else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not fullname.startswith(ROOT_PACKAGE + "."):
            return None
        _, package, *parts = fullname.split(".")
        root = _paths.get(f"{ROOT_PACKAGE}.{package}")
        if root is None or not parts:
            return None
        place = root.joinpath(*parts)
        for file, is_package in ((place.with_suffix(".py"), False), (place / "__init__.py", True)):
            if file.is_file() and file.resolve().is_relative_to(root):
                return importlib.util.spec_from_file_location(
                    fullname,
                    file,
                    loader=_SourceLoader(fullname, str(file)),
                    submodule_search_locations=[str(place)] if is_package else None,
                )
        return None


_finder = _Finder()


def _agents_of(module: ModuleType, folder: Folder) -> list[Loaded]:
    overrides = _overrides(getattr(module, "__gateway__", {}))
    found = []
    main = getattr(module, "agent", None)
    if main is None and callable(build := getattr(module, "build_agent", None)):
        main = _built(build)
    if main is not None:
        if not isinstance(main, Agent):
            raise DropInError(f"'agent' must be an Agent, not {type(main).__name__}")
        found.append(Loaded(folder.slug, main, overrides))
    for name, value in vars(module).items():
        if isinstance(value, Agent) and name != "agent" and not name.startswith("_"):
            found.append(Loaded(f"{folder.slug}-{slug_of(name)}", value, overrides))
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
    if unknown := sorted(set(value) - _OVERRIDES):
        raise DropInError(f"__gateway__ has no member {', '.join(unknown)}")
    return dict(value)


def _describe(error: BaseException, folder: Path) -> str:
    """What went wrong, and in which line of the folder's files."""
    text = f"{type(error).__name__}: {error}"[:500]
    if isinstance(error, SyntaxError):
        return text
    traceback, line = error.__traceback__, ""
    while traceback is not None:
        name = traceback.tb_frame.f_code.co_filename
        if name.startswith(f"{folder.resolve()}/"):
            line = f" ({Path(name).name}, line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    return text + line

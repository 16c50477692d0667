"""The Python files of the repository that a stage's command imports, found by reading, without running anything.

Not by grimp (3.19, tried): to it a script is "not a top-level module", one syntax error ends everything,
``import_module("literal")`` is not seen, and Canon itself would have to be able to import the packages; hence ``ast``.

How modules are found: docs.python.org/3/reference/import.html; what comes first in ``sys.path``:
docs.python.org/3/library/sys_path_init.html.
"""

from __future__ import annotations

import ast
import os
import posixpath
import re
import shlex
import sys
import tomllib
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from canon.checks.commands import Program, programs

_T = TypeVar("_T")

_LARGEST = 2_000_000  # bytes of a module; beyond it is data
# Folders of installed packages, tools and version control; those with one of the marks are virtual environments.
_FOREIGN = frozenset(
    (".git", ".hg", ".svn", ".dvc", ".venv", "venv", ".tox", ".nox", ".eggs", "site-packages", "dist-packages")
) | {
    "node_modules",
    "__pycache__",
    "__pypackages__",
    ".ipynb_checkpoints",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
}
_ENVIRONMENT_MARKS = frozenset(("pyvenv.cfg", "conda-meta"))
# Modules that the interpreter has loaded, or finds frozen, before it looks into any folder.
_LOADED = frozenset(
    """sys builtins os io abc site codecs encodings posixpath ntpath genericpath stat marshal posix nt time zipimport
    _abc _codecs _collections_abc _frozen_importlib _frozen_importlib_external _imp _io _signal _sitebuiltins _stat
    _thread _warnings _weakref __main__ __future__ importlib""".split()  # noqa: SIM905  words read better
)
_EXTENSION = re.compile(r"([^.]+)(?:\.[\w-]+)?\.(?:so|pyd)")


@dataclass(frozen=True, slots=True)
class Scan:
    """What a command reads as code.

    ``files`` are paths relative to the repository, sorted: every module of it that is imported, the entry itself, the
    ``__init__.py`` of each package on the way, and files that other interpreters are given. Links are resolved: a file
    stands under its own name. ``unread`` are sentences: what could not be read, and where.
    """

    files: tuple[str, ...]
    unread: tuple[str, ...]


def scan_command(root: Path, cmd: str | tuple[str, ...], wdir: str = ".") -> Scan:
    """Return what one command reads; `ImportScanner` is quicker for many."""
    return ImportScanner(root).scan(cmd, wdir)


# ---- what one file imports ----


@dataclass(frozen=True, slots=True)
class _Import:
    """``import module`` or ``from module import names`` with ``level`` dots; or a module or a path that ``runpy`` runs.

    ``main``: it stands under ``if __name__ == "__main__"``.
    """

    module: str
    names: tuple[str, ...] = ()
    level: int = 0
    kind: Literal["import", "run", "path"] = "import"
    main: bool = False


@dataclass(frozen=True, slots=True)
class _Source:
    """A parsed file. ``exports`` are the names in its ``__all__``, ``notes`` say what in it cannot be read."""

    imports: tuple[_Import, ...] = ()
    exports: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _source_from_text(text: bytes | str, place: str) -> _Source:
    """Parse a module. Problems become notes that begin with ``place``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes: for the interpreter that runs it to say
            tree = ast.parse(text)
        return _SourceReader(tree, place).source()
    except (SyntaxError, ValueError) as error:
        line = f":{error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        return _Source(notes=(f"{place}{line}: what it imports is not read: not Python {version} in UTF-8 ({reason})",))
    except (RecursionError, MemoryError):
        return _Source(notes=(f"{place}: what it imports is not read: nested too deep",))


# Calls that import: what their first argument names. `resource` is a package, and may be an object instead of text.
_CALLS = {
    "importlib.import_module": "module",
    "importlib.__import__": "from",
    "builtins.__import__": "from",
    "importlib.util.find_spec": "parent",
    "runpy.run_module": "run",
    "runpy.run_path": "path",
    "importlib.util.spec_from_file_location": "location",
    "importlib.machinery.SourceFileLoader": "location",
    "pkgutil.get_data": "resource",
    "builtins.exec": "exec",
    "site.addsitedir": "sys.path",
    **{
        f"importlib.resources.{name}": "resource"
        for name in ("files", "path", "open_text", "open_binary", "read_text", "read_binary", "contents", "is_resource")
    },
}
_HANDED_ON = frozenset(name for name, kind in _CALLS.items() if kind in {"module", "from", "run", "path"})
_CHANGES = frozenset(("append", "insert", "extend", "remove", "pop", "clear", "reverse", "sort"))


class _SourceReader:
    """Collects what one syntax tree imports."""

    def __init__(self, tree: ast.Module, place: str) -> None:
        self.place = place
        self.names = {"__import__": "builtins.__import__", "exec": "builtins.exec", **_bound_names(tree)}
        self.tree = tree
        self.imports: list[_Import] = []
        self.exports: list[str] = []
        self.notes: list[str] = []

    def source(self) -> _Source:
        called: set[int] = set()
        for node, main in self.reached():
            if isinstance(node, ast.Import):
                self.imports += [_Import(alias.name, main=main) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = tuple(alias.name for alias in node.names)
                self.imports.append(_Import(node.module or "", names, node.level, main=main))
            elif isinstance(node, ast.Call):
                called.add(id(node.func))
                self.call(node, main=main)
            elif isinstance(node, ast.Name | ast.Attribute):
                if id(node) not in called and self.qualified(node) in _HANDED_ON:
                    self.note(node, f"`{ast.unparse(node)}` is handed on: which modules it imports is not known")
            elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
                self.assignment(node)
        return _Source(_distinct(self.imports), _distinct(self.exports), _distinct(self.notes))

    def note(self, node: ast.expr | ast.stmt, sentence: str) -> None:
        self.notes.append(f"{self.place}:{node.lineno}: {sentence}")

    def reached(self) -> Iterator[tuple[ast.AST, bool]]:
        """Yield the nodes that can run, and whether they stand under ``if __name__ == "__main__"``; parents first.

        What only a type checker sees is left out. A stack, not recursion: a tree may be deeper than Python recurses.
        """
        stack: list[tuple[ast.AST, bool]] = [(self.tree, False)]
        while stack:
            node, main = stack.pop()
            yield node, main
            if not isinstance(node, ast.If):
                stack += [(child, main) for child in ast.iter_child_nodes(node)]
                continue
            truth = self.truth(node.test)
            stack.append((node.test, main))
            if truth is not False:
                body_main = main or _is_main(node.test)
                stack += [(child, body_main) for child in node.body]
            if truth is not True:
                stack += [(child, main) for child in node.orelse]

    def truth(self, test: ast.expr) -> bool | None:
        """Return what a condition is at run time, ``None`` if that cannot be said."""
        if isinstance(test, ast.Constant):
            return bool(test.value)
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            truth = self.truth(test.operand)
            return None if truth is None else not truth
        if isinstance(test, ast.BoolOp):
            truths = {self.truth(value) for value in test.values}
            decisive = isinstance(test.op, ast.Or)
            return decisive if decisive in truths else None if None in truths else not decisive
        name = self.qualified(test) or (test.id if isinstance(test, ast.Name) else "")
        return False if name.rpartition(".")[2] == "TYPE_CHECKING" else None

    def qualified(self, node: ast.expr) -> str:
        """Return the dotted name that an expression stands for by this file's imports, empty if none."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        bound = self.names.get(node.id, "") if isinstance(node, ast.Name) else ""
        return ".".join((bound, *reversed(parts))) if bound else ""

    def assignment(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign) -> None:
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            changed = target.value if isinstance(target, ast.Subscript) else target
            if isinstance(changed, ast.Name) and changed.id == "__all__" and node.value is not None:
                self.exports += _texts_within(node.value)
            elif (isinstance(changed, ast.Name) and changed.id == "__path__") or self.qualified(changed) == "sys.path":
                self.changed(node, ast.unparse(changed))

    def changed(self, node: ast.expr | ast.stmt, path: str) -> None:
        self.note(node, f"changes `{path}`: modules that are found through it are not read")

    def call(self, node: ast.Call, *, main: bool) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGES:
            owner = ast.unparse(node.func.value) if isinstance(node.func.value, ast.Name) else ""
            if owner == "__all__":
                self.exports += _texts_within(*node.args)
            elif owner == "__path__" or self.qualified(node.func.value) == "sys.path":
                self.changed(node, owner or "sys.path")
        kind = _CALLS.get(self.qualified(node.func), "")
        if kind == "sys.path":
            self.changed(node, kind)
        elif kind == "exec":
            self.note(node, "`exec`: what this text imports is not read")
        elif kind:
            found = self.imported(node, kind)
            if found is not None:
                self.imports += [_Import(one.module, one.names, one.level, one.kind, main) for one in found]
            elif kind not in {"resource", "parent"}:
                self.note(node, f"`{_short(node)}`: which module it imports is known only at run time")

    def imported(self, node: ast.Call, kind: str) -> list[_Import] | None:
        """Return what a call imports by its literal arguments, ``None`` if they are not literal."""
        arguments = {keyword.arg or "**": keyword.value for keyword in node.keywords}
        arguments |= dict(zip(_PARAMETERS[kind], node.args, strict=False))
        if "**" in arguments or any(isinstance(argument, ast.Starred) for argument in node.args):
            return None
        name = _text(arguments.get(_PARAMETERS[kind][-1 if kind == "location" else 0]))
        if name is None:
            return None
        if kind in {"path", "location", "run"}:
            return [_Import(name, kind="run" if kind == "run" else "path")]
        if kind == "parent":
            return [_Import(name.rpartition(".")[0])] if "." in name.lstrip(".") else []
        if kind == "from":
            return _imported_by_function(name, arguments)
        return _imported_by_name(name, arguments.get("package"))


_PARAMETERS = {
    "module": ("name", "package"),
    "from": ("name", "globals", "locals", "fromlist", "level"),
    "parent": ("name", "package"),
    "run": ("mod_name",),
    "path": ("path_name",),
    "location": ("name", "location"),
    "resource": ("package",),
}


def _imported_by_function(name: str, arguments: dict[str, ast.expr]) -> list[_Import] | None:
    """Read ``__import__``."""
    names, level = arguments.get("fromlist"), arguments.get("level")
    dots = level.value if isinstance(level, ast.Constant) else None if level else 0
    if not isinstance(dots, int) or not isinstance(names, ast.List | ast.Tuple | ast.Constant | None):
        return None
    texts = _texts_within(names) if names is not None else []
    return [_Import(name, tuple(texts), dots)]


def _imported_by_name(name: str, package: ast.expr | None) -> list[_Import] | None:
    """Read ``import_module``: dots count from ``package``, which is text or this module's own."""
    module = name.lstrip(".")
    level = len(name) - len(module)
    if not level:
        return [_Import(name)]
    if isinstance(package, ast.Name) and package.id in {"__package__", "__name__"}:
        return [_Import(module, (), level)]
    base = _text(package)
    if base is None:
        return None
    parts = base.split(".")
    return [_Import(".".join([*parts[: len(parts) - level + 1], module]))] if level <= len(parts) else []


def _distinct(found: Iterable[_T]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys(found))


def _bound_names(tree: ast.Module) -> dict[str, str]:
    """Return what the names that imports bind stand for, wherever in the file they are bound."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _is_main(test: ast.expr) -> bool:
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return any(_is_main(value) for value in test.values)
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
        return False
    sides = (test.left, test.comparators[0])
    return any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides) and "__main__" in map(
        _text, sides
    )


def _text(node: ast.expr | None) -> str | None:
    """Return a literal's text, also one that is put together of literals."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr) and all(isinstance(value, ast.Constant) for value in node.values):
        return "".join(_texts_within(*node.values))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and isinstance(node.right, ast.Constant):
        left, right = _text(node.left), _text(node.right)
        return None if left is None or right is None else left + right
    return None


def _texts_within(*nodes: ast.expr) -> list[str]:
    """Return the literal texts in expressions."""
    return [
        node.value
        for root in nodes
        for node in ast.walk(root)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]


def _short(node: ast.expr) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004  the width of a sentence


# ---- where modules are ----


@dataclass(frozen=True, slots=True)
class _Folder:
    """What a folder holds that can be imported: names to files and to folders, with their links resolved."""

    modules: dict[str, str] = field(default_factory=dict)
    folders: dict[str, str] = field(default_factory=dict)
    leaving: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Place:
    """An entry of ``sys.path``. ``installed``: it comes after the standard library; ``alias``: it is this package."""

    folder: str
    installed: bool = False
    alias: str = ""


class _Tree:
    """The repository's files, read once; nothing outside is read."""

    def __init__(self, root: Path) -> None:
        self.given = os.path.abspath(root)  # noqa: PTH100  keeps links, as paths in commands do
        self.root = os.path.realpath(root)
        self.folders: dict[str, _Folder] = {}
        self.foreign: dict[str, bool] = {}

    def absolute(self, path: str) -> str:
        return os.path.join(self.root, path)  # noqa: PTH118  text throughout: thousands of paths

    def real(self, path: str) -> str | None:
        """Return a path (relative to the repository, or absolute) with its links resolved, ``None`` if it leaves."""
        lexical = os.path.normpath(self.absolute(path))
        if not any(f"{lexical}/".startswith(f"{root}/") for root in (self.root, self.given)):
            return None
        try:
            real = os.path.realpath(lexical)
        except (OSError, ValueError):
            return None
        return posixpath.relpath(real, self.root) if f"{real}/".startswith(f"{self.root}/") else None

    def is_file(self, path: str) -> bool:
        return os.path.isfile(self.absolute(path))  # noqa: PTH113

    def is_foreign(self, folder: str) -> bool:
        """Return whether a folder is, or stands in, one of installed packages or tools."""
        if folder not in self.foreign:
            parts = [] if folder == "." else folder.split("/")  # an environment in the root changes nothing
            self.foreign[folder] = not _FOREIGN.isdisjoint(parts) or any(
                os.path.lexists(self.absolute("/".join((*parts[:end], mark))))
                for end in range(1, len(parts) + 1)
                for mark in _ENVIRONMENT_MARKS
            )
        return self.foreign[folder]

    def folder(self, folder: str) -> _Folder:
        """Return what can be imported from a folder (a real one); nothing if it is missing or holds others' code."""
        if folder not in self.folders:
            self.folders[folder] = _Folder() if self.is_foreign(folder) else self._listed(folder)
        return self.folders[folder]

    def _listed(self, folder: str) -> _Folder:
        modules: dict[str, tuple[int, str]] = {}
        folders: dict[str, str] = {}
        leaving: set[str] = set()
        try:
            with os.scandir(self.absolute(folder)) as listed:
                entries = list(listed)
        except (OSError, ValueError):
            return _Folder()
        for entry in entries:
            path = posixpath.normpath(posixpath.join(folder, entry.name))
            name, rank = _module_name(entry.name)
            if not name.isidentifier():
                continue
            if entry.is_symlink():
                real = self.real(path)
                if real is None or self.is_foreign(posixpath.dirname(real)):
                    leaving.add(name)
                    continue
                path = real
            if rank is None:
                if os.path.isdir(self.absolute(path)):  # noqa: PTH112
                    folders[name] = path
            elif name not in modules or rank < modules[name][0]:
                modules[name] = (rank, path)
        return _Folder({name: path for name, (_, path) in modules.items()}, folders, frozenset(leaving))


def _module_name(file: str) -> tuple[str, int | None]:
    """Return the module that a file's name stands for, and Python's order among such files (``None``: not a module)."""
    if match := _EXTENSION.fullmatch(file):
        return match[1], 0
    stem, dot, suffix = file.rpartition(".")
    return (stem, {"py": 1, "pyc": 2}[suffix]) if dot and suffix in {"py", "pyc"} else (file, None)


# ---- what a pyproject.toml declares ----


@dataclass(frozen=True, slots=True)
class _Project:
    """Where an installed project's modules are, its console scripts (name to ``module:function``, or a path), notes."""

    places: tuple[_Place, ...] = ()
    scripts: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


# Keys whose value (text, or a list of texts) names folders that hold modules; with `parent`, names packages in them.
_FOLDER_KEYS = {
    "tool.setuptools.packages.find.where": "",
    "tool.pdm.build.package-dir": "",
    "tool.uv.build-backend.module-root": "",
    "tool.maturin.python-source": "",
    "tool.hatch.build.sources": "",
    "tool.hatch.build.targets.wheel.sources": "",
    "tool.hatch.build.packages": "parent",
    "tool.hatch.build.targets.wheel.packages": "parent",
    "tool.scikit-build.wheel.packages": "parent",
}


def _load_project(tree: _Tree, folder: str) -> _Project:
    """Read what a folder's pyproject.toml says of its modules; `src/`, or the folder itself, where it says nothing."""
    path = tree.real(posixpath.join(folder, "pyproject.toml"))
    data: dict[str, Any] = {}
    notes: tuple[str, ...] = ()
    if path is not None and tree.is_file(path):
        try:
            data = tomllib.loads(Path(tree.absolute(path)).read_bytes().decode())
        except (OSError, ValueError, RecursionError) as error:
            notes = (f"{path}: the project's layout and scripts are not read: {error}",)
    places = [
        _Place(posixpath.normpath(posixpath.join(folder, where)), True, alias) for where, alias in _declared(data)
    ]
    source = posixpath.normpath(posixpath.join(folder, "src"))
    if os.path.isdir(tree.absolute(source)):  # noqa: PTH112
        places.append(_Place(source, installed=True))
    installable = any(_at(data, key) is not None for key in ("project", "build-system", "tool.poetry")) or any(
        tree.is_file(posixpath.join(folder, name)) for name in ("setup.py", "setup.cfg")
    )
    if installable and not places:
        places.append(_Place(folder, installed=True))
    real = ((place, tree.real(place.folder)) for place in places)
    return _Project(
        tuple(dict.fromkeys(_Place(at, place.installed, place.alias) for place, at in real if at is not None)),
        _scripts(data, folder),
        notes,
    )


def _at(data: object, key: str) -> object:
    """Return the value at a dotted key, ``None`` where there is none."""
    for part in key.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return data


def _declared(data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the folders in which a project declares its modules, each with the package that it is, if it is one."""
    for key, meaning in _FOLDER_KEYS.items():
        value = _at(data, key)
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str):
                yield (posixpath.dirname(text.rstrip("/")) if meaning else text), ""
    folders = _at(data, "tool.setuptools.package-dir")
    for package, text in folders.items() if isinstance(folders, dict) else ():
        if isinstance(text, str) and "." not in package:
            yield text, package
    packages = _at(data, "tool.poetry.packages")
    for package in packages if isinstance(packages, list) else ():
        if isinstance(_at(package, "include"), str):
            where = _at(package, "from")
            yield (where if isinstance(where, str) else ""), ""


def _scripts(data: dict[str, Any], folder: str) -> dict[str, str]:
    """Return the console scripts; Poetry also installs files."""
    scripts: dict[str, str] = {}
    for key in ("tool.poetry.scripts", "project.gui-scripts", "project.scripts"):
        declared = _at(data, key)
        for name, target in declared.items() if isinstance(declared, dict) else ():
            reference = target if isinstance(target, str) else _at(target, "reference") or _at(target, "callable")
            if isinstance(reference, str):
                is_file = _at(target, "type") == "file"
                scripts[name] = posixpath.normpath(posixpath.join(folder, reference)) if is_file else reference
    return scripts


# ---- from a program to its files ----


@dataclass(frozen=True, slots=True)
class _Node:
    """A file as it is imported: ``package`` is what its leading dots count from; ``main``: it runs as ``__main__``."""

    file: str
    package: str = ""
    main: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """What importing a module loads, its packages first. ``path``: where its submodules are, none if not a package.

    ``complete`` if the module itself was found; its own file (none for a namespace package) is then the last node.
    """

    nodes: tuple[_Node, ...] = ()
    path: tuple[str, ...] = ()
    complete: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Reach:
    """Files and notes."""

    files: frozenset[str] = frozenset()
    notes: frozenset[str] = frozenset()

    def __or__(self, other: _Reach) -> _Reach:
        return _Reach(self.files | other.files, self.notes | other.notes)


class _Finder:
    """Python's import system for one ``sys.path`` and one current folder, over the files of the repository alone."""

    def __init__(self, sources: _Sources, places: tuple[_Place, ...], folder: str) -> None:
        self.sources = sources
        self.tree = sources.tree
        self.places = places
        self.cwd = folder
        self.found: dict[str, _Found] = {"": _Found()}
        self.edges: dict[_Node, tuple[tuple[_Node, ...], tuple[str, ...]]] = {}

    def find(self, name: str) -> _Found:
        """Find a module by its absolute name."""
        if name not in self.found:
            package, _, last = name.rpartition(".")
            parent = self.find(package) if package.count(".") < _DEEPEST else _Found()
            if package and not parent.path:
                self.found[name] = _Found(parent.nodes, notes=parent.notes)
            else:
                places = [_Place(folder) for folder in parent.path] if package else self.places
                self.found[name] = self.find_in(last, places, package, parent)
        return self.found[name]

    def find_in(self, name: str, places: Iterable[_Place], package: str, parent: _Found) -> _Found:
        """Find one name in the entries of a path, as `importlib.machinery.PathFinder` does."""
        portions: list[str] = []
        notes = parent.notes
        full = f"{package}.{name}" if package else name
        standard = not package and name in sys.stdlib_module_names
        for place in () if not package and name in _LOADED else places:
            folder = self.tree.folder(place.folder)
            inner = place.folder if place.alias == name else None if place.alias else folder.folders.get(name)
            if standard and place.installed:
                break
            init = self.tree.folder(inner).modules.get("__init__") if inner is not None else None
            if inner is not None and init is not None:
                return _Found((*parent.nodes, _Node(init, full)), (inner,), complete=True, notes=notes)
            if not place.alias and (file := folder.modules.get(name)):
                return _Found((*parent.nodes, _Node(file, package)), (), complete=True, notes=notes)
            portions += [inner] if inner is not None else []
            if name in folder.leaving and not place.alias:
                link = posixpath.normpath(posixpath.join(place.folder, name))
                notes = (*notes, f"{link}: a link that leaves the repository, it is not followed")
        if portions and not standard:  # a package of the standard library comes before a namespace
            return _Found(parent.nodes, tuple(portions), complete=True, notes=notes)
        return _Found(parent.nodes, notes=notes)

    def run_module(self, name: str) -> _Found:
        """Find what ``python -m name`` runs: the module, or the package's ``__main__``."""
        found = self.find(name)
        if found.path:
            found = self.find(f"{name}.__main__")
        if not found.complete or not found.nodes:
            return found
        *before, entry = found.nodes
        package = name if found is not self.find(name) else name.rpartition(".")[0]
        return _Found((*before, _Node(entry.file, package, main=True)), complete=True, notes=found.notes)

    def reach(self, entries: Iterable[_Node]) -> _Reach:
        """Return the files that running or importing these files loads, themselves included."""
        stack = list(entries)
        seen = set(stack)
        notes: set[str] = set()
        while stack:
            nodes, said = self.next(stack.pop())
            notes.update(said)
            for node in nodes:
                if node not in seen:
                    seen.add(node)
                    stack.append(node)
        return _Reach(frozenset(node.file for node in seen), frozenset(notes))

    def next(self, node: _Node) -> tuple[tuple[_Node, ...], tuple[str, ...]]:
        """Return what one file imports."""
        if node not in self.edges:
            self.edges[node] = self.imported(self.sources.source(node.file), node)
        return self.edges[node]

    def imported(self, source: _Source, node: _Node) -> tuple[tuple[_Node, ...], tuple[str, ...]]:
        """Return the files that a source imports, and what of it cannot be read."""
        nodes: dict[_Node, None] = {}
        notes = dict.fromkeys(source.notes)
        for one in source.imports:
            if one.main and not node.main:
                continue
            found = self.of_import(one, node)
            nodes |= dict.fromkeys(found.nodes)
            notes |= dict.fromkeys(found.notes)
        return tuple(nodes), tuple(notes)

    def of_import(self, one: _Import, node: _Node) -> _Found:
        """Find what one statement imports."""
        if one.kind == "run":
            return self.run_module(one.module)
        if one.kind == "path":
            path = self.tree.real(posixpath.join(self.cwd, one.module))
            if path is None or not self.tree.is_file(path):
                return _Found(notes=(f"{node.file}: {one.module}, which it runs, is not in the repository",))
            return _Found((_Node(path, main=True),))
        name = one.module
        if one.level:
            package = node.package.split(".") if node.package else []
            if one.level > len(package):
                return _Found()  # an error in Python as well
            name = ".".join([*package[: len(package) - one.level + 1], *([name] if name else [])])
        found = self.find(name)
        nodes, notes = list(found.nodes), list(found.notes)
        for attribute in self.attributes(one, found):
            inner = self.find(f"{name}.{attribute}")
            nodes += inner.nodes
            notes += inner.notes
        return _Found(tuple(nodes), notes=tuple(notes))

    def attributes(self, one: _Import, found: _Found) -> Iterator[str]:
        """Yield the names in ``from package import names`` that may be modules; `*` stands for ``__all__``."""
        for name in one.names if found.path else ():
            if name != "*":
                yield name
            elif found.nodes and posixpath.dirname(found.nodes[-1].file) in found.path:
                yield from self.sources.source(found.nodes[-1].file).exports


_DEEPEST = 100  # packages within packages


class _Sources:
    """Every file of the repository, parsed once."""

    def __init__(self, tree: _Tree) -> None:
        self.tree = tree
        self.parsed: dict[str, _Source] = {}

    def source(self, file: str) -> _Source:
        if file not in self.parsed:
            self.parsed[file] = self._load(file)
        return self.parsed[file]

    def _load(self, file: str) -> _Source:
        if _EXTENSION.fullmatch(posixpath.basename(file)) or file.endswith(".pyc"):
            return _Source(notes=(f"{file}: compiled, what it imports is not read",))
        try:
            with Path(self.tree.absolute(file)).open("rb") as opened:
                text = opened.read(_LARGEST + 1)
        except OSError as error:
            return _Source(notes=(f"{file}: cannot be read: {error.strerror or error}",))
        if len(text) > _LARGEST:
            return _Source(notes=(f"{file}: larger than {_LARGEST // 1_000_000} MB, what it imports is not read",))
        return _source_from_text(text, file)


class ImportScanner:
    """Finds what commands read, and keeps what it has read: many stages share modules."""

    def __init__(self, root: Path) -> None:
        """``root`` is the repository's. Files are read when they are first met, and not again."""
        self._tree = _Tree(root)
        self._sources = _Sources(self._tree)
        self._finders: dict[tuple[tuple[_Place, ...], str], _Finder] = {}
        self._projects: dict[str, _Project] = {}
        self._reached: dict[Program, _Reach] = {}

    def scan(self, cmd: str | tuple[str, ...], wdir: str = ".") -> Scan:
        """Return what a stage's ``cmd`` reads when it runs in ``wdir``, relative to the repository. Never raises."""
        reach = self._reach_all(programs(cmd, wdir))
        return Scan(tuple(sorted(reach.files)), tuple(sorted(reach.notes)))

    def _reach_all(self, started: Iterable[Program]) -> _Reach:
        reach = _Reach()
        for program in started:
            if program not in self._reached:
                self._reached[program] = _Reach()  # for a file whose first line starts itself
                notes = (note for project in self._projects_of(program.folder) for note in project.notes)
                self._reached[program] = self._reach(program) | _Reach(notes=frozenset(notes))
            reach |= self._reached[program]
        return reach

    def _reach(self, program: Program) -> _Reach:
        match program.kind:
            case "unread":
                return _note(program.name)
            case "code":
                finder = self._finder(program)
                nodes, notes = finder.imported(_source_from_text(program.name, "python -c"), _Node("", main=True))
                return finder.reach([*nodes, *self._customized(program, finder)]) | _Reach(notes=frozenset(notes))
            case "module" | "import":
                return self._reach_module(program)
            case "command":
                return self._reach_command(program)
            case _:
                return self._reach_path(program)

    def _reach_module(self, program: Program) -> _Reach:
        finder = self._finder(program)
        found = finder.run_module(program.name) if program.kind == "module" else finder.find(program.name)
        if found.complete and found.nodes:
            reach = finder.reach([*found.nodes, *self._customized(program, finder)])
        elif program.otherwise is not None and not found.nodes:
            reach = self._reach_all(program.otherwise)
        else:
            reach = finder.reach(found.nodes) | _note(
                f"the module {program.name} is not in the repository: what it imports is not known"
            )
        return reach | _Reach(notes=frozenset(found.notes))

    def _reach_command(self, program: Program) -> _Reach:
        for project in self._projects_of(program.folder):
            target = project.scripts.get(program.name)
            if target is None:
                continue
            if ":" not in target and "/" in target:
                return self._reach_path(replace(program, kind="started", name=target))
            module = target.partition(":")[0].partition("[")[0].strip()
            return self._reach_all([replace(program, kind="import", name=module, own_folder=False, otherwise=None)])
        if program.otherwise is None:
            return _note(
                f"`{program.name}`: no script of this repository; which of its modules it imports is not known"
            )
        return self._reach_all(program.otherwise)

    def _reach_path(self, program: Program) -> _Reach:
        path = self._tree.real(program.name)
        inside = path is not None and not self._tree.is_foreign(posixpath.dirname(path) or ".")
        if path is not None and inside and program.kind == "script" and not self._tree.is_file(path):
            path = self._tree.folder(path).modules.get("__main__", path)  # `python folder`
        if path is None or not inside or not self._tree.is_file(path):
            return self._missing(program, path, inside=inside)
        if program.kind == "script":
            own = (_Place(posixpath.dirname(path) or "."),) if program.own_folder else ()
            finder = self._finder(program, own)
            return finder.reach([_Node(path, main=True), *self._customized(program, finder)])
        reach = _Reach(files=frozenset((path,)))
        if program.kind == "started" and (line := self._first_line(path)):
            started = programs(f"{line} {shlex.quote(path)}", ".")
            return reach | self._reach_all(
                replace(one, folder=program.folder, search=program.search) if one.kind == "script" else one
                for one in started
            )
        return reach | _note(f"{path}: what it does is not looked at")

    def _missing(self, program: Program, path: str | None, *, inside: bool) -> _Reach:
        """Return what a path starts that is not a file of the repository."""
        if program.otherwise is not None:
            return self._reach_all(program.otherwise)
        if path is None and os.path.islink(self._tree.absolute(program.name)):  # noqa: PTH114
            return _note(f"{program.name} is a link that leaves the repository, it is not followed")
        if path is not None and not inside:
            return _note(f"{program.name} is in a folder of installed packages or tools, it is not read")
        return _note(f"{program.name} is not in the repository")

    def _first_line(self, path: str) -> str:
        """Return the interpreter that a file names after ``#!``, empty if none."""
        try:
            with Path(self._tree.absolute(path)).open("rb") as opened:
                line = opened.readline(256)
        except OSError:
            return ""
        return line[2:].decode(errors="replace").strip() if line.startswith(b"#!") else ""

    def _customized(self, program: Program, finder: _Finder) -> list[_Node]:
        """Return the modules that Python's start-up imports from PYTHONPATH (docs.python.org/3/library/site.html)."""
        own = 1 if program.kind != "script" and program.own_folder else 0
        places = [_Place(folder) for folder in program.search[own:]]
        names = ("sitecustomize", "usercustomize") if places else ()
        return [node for name in names for node in finder.find_in(name, places, "", _Found()).nodes]

    def _finder(self, program: Program, first: tuple[_Place, ...] = ()) -> _Finder:
        real = (self._tree.real(folder) for folder in program.search)
        places = [*first, *(_Place(folder) for folder in real if folder is not None)]
        places += [place for project in self._projects_of(program.folder) for place in project.places]
        key = (tuple(dict.fromkeys(places)), program.folder)
        if key not in self._finders:
            self._finders[key] = _Finder(self._sources, *key)
        return self._finders[key]

    def _projects_of(self, folder: str) -> list[_Project]:
        """Return the projects around a folder, the nearest first."""
        real = self._tree.real(folder)
        parts = () if real in {None, "."} else str(real).split("/")
        projects = []
        for end in range(len(parts), -1, -1):
            at = "/".join(parts[:end]) or "."
            if at not in self._projects:
                self._projects[at] = _load_project(self._tree, at)
            projects.append(self._projects[at])
        return projects


def _note(sentence: str) -> _Reach:
    return _Reach(notes=frozenset((sentence,)))

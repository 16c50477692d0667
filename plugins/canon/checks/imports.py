"""The Python files of the repository that a stage's command imports, found by reading, without running anything.

Files are parsed by `ast`, modules are found by the interpreter's own `importlib.machinery.PathFinder`, which, given a
path, looks at the file system alone. Libraries that do both were tried, on a package, scripts beside their modules, a
`src` layout, a namespace package, a syntax error, an `import_module("literal")`, and `from config import x` with
`from .config import x` where that fails:

- grimp 3.20: a script, a module beside packages and a namespace are "not a top-level module", no `import_module`, and
  the packages must be importable by Canon itself;
- modulefinder: a namespace and dots beyond the top package are exceptions, and the second `config` is never looked for;
- modulegraph 0.19: finds most, with 3,400 lines untyped; imports for type checkers count, no `import_module`, and the
  hooks for both are private; modulegraph2 2.3 runs the `__init__.py` of the packages that it looks at;
- `ruff analyze graph` 0.17: experimental, leaves out packages' `__init__.py` and `import_module`;
- findimports 3.0, importlab 0.8: no packages' `__init__.py`, or a syntax error ends everything.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.machinery import BuiltinImporter, FrozenImporter, PathFinder
from importlib.util import resolve_name
from pathlib import Path

from canon.checks.commands import Program, programs
from canon.checks.layout import Project, load_project
from canon.checks.sources import Import, Source, source_from_text

# Modules that can be run and import nothing of the repository; those taken out import what their arguments name.
_QUIET = (sys.stdlib_module_names | {"pip"}) - {"unittest", "doctest", "timeit", "runpy", "code"}


@dataclass(frozen=True, slots=True)
class Scan:
    """What a command reads as code.

    ``files`` are paths relative to the repository: every module of it that is imported, the entry itself, the
    ``__init__.py`` of each package on the way, and files that other interpreters are given. Links are resolved: a file
    stands under its own name. ``unread`` are sentences: what is not looked at, and where.
    """

    files: frozenset[str] = frozenset()
    unread: frozenset[str] = frozenset()

    def __or__(self, other: Scan) -> Scan:
        return Scan(self.files | other.files, self.unread | other.unread)


def _unread(*sentences: str) -> Scan:
    return Scan(unread=frozenset(sentences))


@dataclass(frozen=True, slots=True)
class _Node:
    """A file (absolute) as it is imported: ``package`` is what its leading dots count from; ``main``: as `__main__`."""

    file: str
    package: str = ""
    main: bool = False


@dataclass(frozen=True, slots=True)
class _Found:
    """What importing a module loads, its packages first, and the folders of its submodules, none if no package."""

    nodes: tuple[_Node, ...] = ()
    folders: tuple[str, ...] = ()
    complete: bool = True


class _Finder:
    """Python's search for one ``sys.path``: folders before the standard library, and those of installed projects."""

    def __init__(self, first: tuple[str, ...], installed: tuple[str, ...]) -> None:
        self.first = first
        self.installed = installed
        self.found: dict[str, _Found] = {}
        self.edges: dict[_Node, frozenset[_Node]] = {}

    def find(self, name: str) -> _Found:
        """Find a module by its absolute name; where it is not found, the packages on the way."""
        if name not in self.found:
            self.found[name] = self._find(name)
        return self.found[name]

    def _find(self, name: str) -> _Found:
        nodes: list[_Node] = []
        at, folders = "", (*self.first, *self.installed)
        for part in name.split("."):
            standard = not at and part in sys.stdlib_module_names
            if standard and (BuiltinImporter.find_spec(part) or FrozenImporter.find_spec(part)):
                return _Found(complete=False)
            spec = PathFinder.find_spec(part, list(self.first if standard else folders))
            if spec is None or (standard and not spec.has_location):  # a folder there is no namespace
                return _Found(tuple(nodes), complete=False)
            package, at = at, f"{at}.{part}" if at else part
            is_package = spec.submodule_search_locations is not None
            folders = tuple(spec.submodule_search_locations or ())
            if spec.has_location and spec.origin:
                nodes.append(_Node(spec.origin, at if is_package else package))
        return _Found(tuple(nodes), folders)

    def main(self, name: str) -> _Found:
        """Find what ``python -m name`` runs: the module, or the package's ``__main__``."""
        found = self.find(name)
        if found.folders:
            found = self.find(f"{name}.__main__")
        if not found.complete:
            return found
        return replace(found, nodes=(*found.nodes[:-1], replace(found.nodes[-1], main=True)))


class ImportScanner:
    """Finds what commands read, and keeps what it has read: many stages share modules."""

    def __init__(self, root: Path) -> None:
        """``root`` is the repository's. Files are read when they are first met, and not again."""
        PathFinder.invalidate_caches()  # of folders whose files changed within the clock's step
        self._root = os.path.realpath(root)
        self._relatives: dict[str, str | None] = {}
        self._sources: dict[tuple[str, bool], Source] = {}
        self._finders: dict[tuple[tuple[str, ...], tuple[str, ...]], _Finder] = {}
        self._projects: dict[str, Project] = {}
        self._scans: dict[Program, Scan] = {}

    def scan(self, cmd: str | tuple[str, ...], wdir: str = ".") -> Scan:
        """Return what a stage's ``cmd`` reads when it runs in ``wdir``, relative to the repository. Never raises."""
        scan = Scan()
        for program in programs(cmd, wdir):
            if program not in self._scans:
                self._scans[program] = self._scan(program)
            scan |= self._scans[program]
        return scan

    def _scan(self, program: Program) -> Scan:
        name = program.name
        if program.kind == "unread":
            return _unread(name)
        projects = self._projects_of(program.folder)
        said = _unread(*(project.unread for project in projects if project.unread))
        if program.kind in {"script", "file"}:
            return said | self._path(program, projects)
        finder = self._finder(program.search, projects)
        if program.kind == "code":
            code = source_from_text(name, "python -c", main=True)
            return said | _unread(*code.unread) | self._follow(finder, self._imported(finder, code, _Node("")))
        if program.kind == "command":
            name = next((project.scripts[name] for project in projects if name in project.scripts), "")
            if not name:
                return said | _unread(f"`{program.name}`: what it starts and imports is not looked at")
        found = finder.main(name) if program.kind == "module" else finder.find(name)
        if not found.complete and (found.nodes or name.partition(".")[0] not in _QUIET):
            said |= _unread(f"the module {name} is not in the repository: what it imports is not looked at")
        return said | self._follow(finder, found.nodes)

    def _path(self, program: Program, projects: Iterable[Project]) -> Scan:
        """Return what starting a file, or a folder with a `__main__.py`, reads."""
        path = self._absolute(program.name)
        if os.path.isdir(path) and program.kind == "script":  # noqa: PTH112  text throughout: thousands of paths
            path = os.path.join(path, "__main__.py")  # noqa: PTH118
        file = self._relative(path)
        if file is None or not os.path.isfile(path):  # noqa: PTH113
            return _unread(f"{program.name} is not in the repository: what it does is not looked at")
        if program.kind == "file":
            return Scan(frozenset((file,)), frozenset((f"{file}: what it does is not looked at",)))
        finder = self._finder((os.path.dirname(path), *program.search), projects)  # noqa: PTH120
        return self._follow(finder, [_Node(path, main=True)])

    def _follow(self, finder: _Finder, entries: Iterable[_Node]) -> Scan:
        """Return the files that running or importing these files loads, themselves included."""
        files: set[str] = set()
        unread: set[str] = set()
        stack = list(entries)
        seen = set(stack)
        while stack:
            node = stack.pop()
            file = self._relative(node.file)
            if file is None:
                unread.add(f"{node.file} is not in the repository: what it imports is not looked at")
                continue
            source = self._source(node)
            files.add(file)
            unread.update(source.unread)
            if node not in finder.edges:
                finder.edges[node] = frozenset(self._imported(finder, source, node))
            found = finder.edges[node] - seen
            seen |= found
            stack += found
        return Scan(frozenset(files), frozenset(unread))

    def _imported(self, finder: _Finder, source: Source, node: _Node) -> list[_Node]:
        """Return the files that a source imports directly."""
        nodes: list[_Node] = []
        for one in source.imports:
            try:
                name = resolve_name("." * one.level + one.module, one.package or node.package)
            except ImportError:  # dots beyond the top package: an error in Python as well
                continue
            found = finder.find(name)
            nodes += found.nodes
            for attribute in self._attributes(one, found):
                nodes += finder.find(f"{name}.{attribute}").nodes
        return nodes

    def _attributes(self, one: Import, found: _Found) -> Iterable[str]:
        """Return the names in ``from package import names`` that may be modules; `*` stands for ``__all__``."""
        names = [name for name in one.names if found.folders and name != "*"]
        if found.folders and found.nodes and "*" in one.names:
            names += self._source(found.nodes[-1]).exports
        return names

    def _source(self, node: _Node) -> Source:
        key = (node.file, node.main)
        if key not in self._sources:
            self._sources[key] = self._load(node, self._relative(node.file) or node.file)
        return self._sources[key]

    def _load(self, node: _Node, file: str) -> Source:
        if file.endswith((".so", ".pyd", ".pyc")):
            return Source(unread=[f"{file}: compiled, what it imports is not looked at"])
        try:
            return source_from_text(Path(node.file).read_bytes(), file, main=node.main)
        except OSError as error:
            return Source(
                unread=[f"{file}: cannot be read, what it imports is not looked at: {error.strerror or error}"]
            )

    def _absolute(self, path: str) -> str:
        return os.path.realpath(os.path.join(self._root, path.replace("\0", "")))  # noqa: PTH118

    def _relative(self, path: str) -> str | None:
        """Return a path by its own name, relative to the repository; ``None`` if it is outside."""
        if path not in self._relatives:
            real = self._absolute(path)
            inside = real.startswith(f"{self._root}/")
            self._relatives[path] = real.removeprefix(f"{self._root}/") if inside else None
        return self._relatives[path]

    def _finder(self, search: Iterable[str], projects: Iterable[Project]) -> _Finder:
        first = tuple(self._absolute(folder) for folder in search)
        key = (first, tuple(folder for project in projects for folder in project.folders))
        if key not in self._finders:
            self._finders[key] = _Finder(*key)
        return self._finders[key]

    def _projects_of(self, folder: str) -> list[Project]:
        """Return the projects around a folder, the nearest first."""
        at = self._absolute(folder)
        around = [path for path in map(str, (at, *Path(at).parents)) if f"{path}/".startswith(f"{self._root}/")]
        for path in around:
            if path not in self._projects:
                self._projects[path] = load_project(Path(path), os.path.relpath(path, self._root))
        return [self._projects[path] for path in around]

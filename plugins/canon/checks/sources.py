"""What one Python file imports, read from its syntax tree; nothing is run."""

from __future__ import annotations

import ast
import sys
import warnings
from dataclasses import dataclass, field

# Calls that import what their first argument names, if it is literal.
_IMPORTING = frozenset(("importlib.import_module", "builtins.__import__", "importlib.resources.files"))
# What loads code, or decides where it is found, in a way that only running it can tell.
_OPAQUE = _IMPORTING | {
    "builtins.exec",
    "importlib.machinery.SourceFileLoader",
    "importlib.util.spec_from_file_location",
    "runpy.run_module",
    "runpy.run_path",
    "site.addsitedir",
    "sys.path",
}
_BUILTINS = {"__import__": "builtins.__import__", "exec": "builtins.exec", "__path__": "sys.path"}


@dataclass(frozen=True, slots=True)
class Import:
    """``import module``, or ``from module import names``; ``level`` dots count from ``package``, or the file's own."""

    module: str
    names: tuple[str, ...] = ()
    level: int = 0
    package: str = ""


@dataclass(slots=True)
class Source:
    """A file that was read. ``exports`` are the names in ``__all__``, ``unread`` sentences say what cannot be told."""

    imports: list[Import] = field(default_factory=list)
    exports: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def source_from_text(text: bytes | str, place: str, *, main: bool) -> Source:
    """Read a module's text; sentences begin with ``place``. ``main``: it runs as ``__main__``. Never raises."""
    reader = _Reader(place, main=main)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid escapes: for the interpreter that runs it to say
            reader.visit(ast.parse(text))
    except (SyntaxError, ValueError) as error:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        reader.source.unread.append(f"{place}: what it imports is not looked at: not Python {version} ({error})")
    except (RecursionError, MemoryError):
        reader.source.unread.append(f"{place}: what it imports is not looked at: nested too deep")
    return reader.source


class _Reader(ast.NodeVisitor):
    """Collects imports wherever they stand, but for those that only a type checker, or another `__main__`, sees."""

    def __init__(self, place: str, *, main: bool) -> None:
        self.place = place
        self.main = main
        self.source = Source()
        self.bound = dict(_BUILTINS)

    def qualified(self, node: ast.expr) -> str:
        """Return the dotted name that an expression stands for by this file's imports, empty if none."""
        if isinstance(node, ast.Attribute):
            owner = self.qualified(node.value)
            return owner and f"{owner}.{node.attr}"
        return self.bound.get(node.id, "") if isinstance(node, ast.Name) else ""

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.source.imports.append(Import(alias.name))
            top = alias.name.partition(".")[0]
            self.bound[alias.asname or top] = alias.name if alias.asname else top

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        names = tuple(alias.name for alias in node.names)
        self.source.imports.append(Import(node.module or "", names, node.level))
        if not node.level:
            self.bound |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}

    def visit_If(self, node: ast.If) -> None:
        test = self.qualified(node.test) or ast.unparse(node.test)
        checking = test.rpartition(".")[2] == "TYPE_CHECKING"
        other_main = not self.main and test in {"__name__ == '__main__'", "'__main__' == __name__"}
        for child in node.orelse if checking or other_main else ast.iter_child_nodes(node):
            self.visit(child)

    def visit_Call(self, node: ast.Call) -> None:
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        texts = [one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        literal = self.qualified(node.func) in _IMPORTING and 1 <= len(texts) == len(given) <= 2  # noqa: PLR2004  name, package
        if literal and (not texts[0].startswith(".") or len(texts) > 1):
            module = texts[0].lstrip(".")
            self.source.imports.append(Import(module, (), len(texts[0]) - len(module), texts[-1]))
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self.opaque(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.opaque(node)
        self.generic_visit(node)

    def opaque(self, node: ast.Name | ast.Attribute) -> None:
        if self.qualified(node) in _OPAQUE:
            sentence = f"{self.place}:{node.lineno}: which modules are found by `{ast.unparse(node)}` is not looked at"
            self.source.unread.append(sentence)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.exported(node.targets, node.value)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.exported([node.target], node.value)
        self.generic_visit(node)

    def exported(self, targets: list[ast.expr], value: ast.expr) -> None:
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            texts = (node.value for node in ast.walk(value) if isinstance(node, ast.Constant))
            self.source.exports += [text for text in texts if isinstance(text, str)]

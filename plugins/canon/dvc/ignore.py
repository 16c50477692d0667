"""`.dvcignore`, as DVC reads it (dvc/ignore.py, dvc/pathspec_math.py): gitignore patterns, the nearest file has the last word."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from canon.model.errors import CanonError
from canon.output.files import load_text

FILE = ".dvcignore"
ALWAYS = (".hg/", ".git/", ".git", ".dvc/")


@dataclass(frozen=True, slots=True)
class _Rule:
    """One pattern, relative to the root: ``include`` is False for ``!pattern``, ``folders`` True for ``pattern/``."""

    regex: re.Pattern[str]
    include: bool
    folders: bool


class IgnoreRules:
    """Which paths of a repository DVC leaves out. pathspec, which DVC matches with too, reads the patterns."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._rules: dict[str, tuple[_Rule, ...]] = {}

    def is_ignored(self, path: str, *, is_folder: bool = False) -> bool:
        """Tell whether DVC leaves out a path (relative to the root, with ``/``), or a folder that it lies in.

        Raises CanonError for a pattern that DVC cannot read either.
        """
        return _is_left_out(path, self._rules_in(posixpath.dirname(path)), is_folder=is_folder)

    def kept(self, folder: str, folders: Iterable[str], files: Iterable[str]) -> tuple[list[str], list[str]]:
        """Return those names of folders and files directly in a folder that are not left out. Raises CanonError as above."""
        rules = self._rules_in(folder)
        if folder and _is_left_out(folder, rules, is_folder=True):
            return [], []

        def kept(names: Iterable[str], *, is_folder: bool) -> list[str]:
            return [name for name in names if not _matches(posixpath.join(folder, name), rules, is_folder=is_folder)]

        return kept(folders, is_folder=True), kept(files, is_folder=False)

    def _rules_in(self, folder: str) -> tuple[_Rule, ...]:
        """The rules for what lies directly in a folder, the last one first."""
        known = self._rules.get(folder)
        if known is None:
            if folder:
                self._rules_in(posixpath.dirname(folder))
                known = self._rules[posixpath.dirname(folder)]
            else:
                known = _read_rules("", ALWAYS, "DVC's own patterns")
            self._rules[folder] = known  # for the question whether the file itself is ignored
            file = posixpath.join(folder, FILE)
            if not self.is_ignored(file):
                text = load_text(self.root / file)
                known = _read_rules(folder, _lines(text or ""), file) + known
            known = _read_rules(folder, (f"/{name}/" for name in self._subprojects(folder)), file) + known
            self._rules[folder] = known
        return known

    def _subprojects(self, folder: str) -> list[str]:
        """Folders in a folder that are DVC projects of their own: DVC looks into none of them.

        (DVC overlooks one when something deeper in the folder around it was hashed before, by this or another stage.)
        """
        try:
            with os.scandir(self.root / folder) as entries:
                return sorted(entry.name for entry in entries if entry.is_dir() and Path(entry.path, ".dvc").exists())
        except OSError:
            return []


def _is_left_out(path: str, rules: tuple[_Rule, ...], *, is_folder: bool) -> bool:
    """Look at every folder of a path, the path itself last. As in DVC the rules are always those of the last folder."""
    parts = path.split("/")
    return any(
        _matches("/".join(parts[:depth]), rules, is_folder=is_folder or depth < len(parts))
        for depth in range(1, len(parts) + 1)
    )


def _matches(path: str, rules: tuple[_Rule, ...], *, is_folder: bool) -> bool:
    names = (path, f"{path}/") if is_folder else (path,)
    for rule in rules:
        if (is_folder or not rule.folders) and any(rule.regex.match(name) for name in names):
            return rule.include
    return False


def _lines(text: str) -> list[str]:
    """The patterns of a file; its lines end as Python's text files do, not at every separator that Unicode knows."""
    lines = (line.strip() for line in re.split(r"\r\n|\r|\n", text))
    return [line for line in lines if line and not line.startswith("#")]


def _read_rules(folder: str, lines: Iterable[str], file: str) -> tuple[_Rule, ...]:
    rules: list[_Rule] = []
    for line in lines:
        regex, include = _regex_of(line, line, file)
        pattern = line
        if regex is not None and folder:
            pattern = _from_root(line, folder)
            regex, include = _regex_of(pattern, line, file)
        if regex is not None and include is not None:
            rules.append(_Rule(re.compile(regex), include, pattern.endswith("/")))
    return tuple(reversed(rules))


def _regex_of(pattern: str, line: str, file: str) -> tuple[str | None, bool | None]:
    try:
        from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern
    except ImportError:  # pathspec before 1.0
        from pathspec.patterns.gitwildmatch import GitWildMatchPattern as GitIgnoreSpecPattern

    try:
        regex, include = GitIgnoreSpecPattern.pattern_to_regex(pattern)
    except ValueError as error:
        raise CanonError(f"{file}: {line!r} is no pattern that DVC can read ({error}); correct it") from None
    return (regex if isinstance(regex, str) else None), include


def _from_root(line: str, folder: str) -> str:
    """A folder's pattern, written so that it means the same at the root (``change_rule`` in dvc/pathspec_math.py)."""
    negated, rule = line.startswith("!"), line.removeprefix("!")
    anchored = "/" in rule[:-1] and not rule.startswith("**/")
    rule = rule.removeprefix("/" if anchored else "**/").removeprefix("\\")
    return f"{'!' if negated else ''}/{folder}/{'' if anchored else '**/'}{rule}"

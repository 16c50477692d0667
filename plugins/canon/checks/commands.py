"""What a stage's command line starts: Python modules and scripts, console scripts, files of other languages.

`shlex` splits the line. What only a shell can know (`$X`, `$(…)`, here-documents, `eval`) and every program that is not
known here becomes an ``unread`` program, a sentence for the user: nothing is guessed, nothing is passed. Nothing is run.
bashlex, which would read the shell's whole language, is under the GPL.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

Kind = Literal["module", "import", "script", "code", "file", "command", "unread"]


@dataclass(frozen=True, slots=True)
class Program:
    """One thing that a command line starts.

    ``kind`` says what ``name`` is:

    - ``module``: of ``python -m``; ``import``: one that a server imports;
    - ``script``: a path given to Python; ``code``: the text of ``python -c``;
    - ``file``: the path of a file of another language;
    - ``command``: a name that PATH, so perhaps this repository's ``[project.scripts]``, resolves;
    - ``unread``: a sentence that says what is not looked at, and why.

    A path is relative to the repository, or absolute, with ``/``. ``folder`` is where it starts, ``search`` are the
    folders in which Python looks for modules, in this order, without the script's own, which comes first.
    """

    kind: Kind
    name: str
    folder: str = "."
    search: tuple[str, ...] = ()


def programs(cmd: str | tuple[str, ...], wdir: str) -> tuple[Program, ...]:
    """Return what a stage's ``cmd`` starts in ``wdir`` (relative to the repository), in order. Never raises.

    Each member of a tuple is a command line of its own, as in DVC: a ``cd`` in one does not reach the next.
    """
    found: list[Program] = []
    for line in (cmd,) if isinstance(cmd, str) else cmd:
        reader = _Reader(_Where(posixpath.normpath(wdir or ".")))
        try:
            reader.read(line)
        except (ValueError, RecursionError):  # a quote without an end; a thousand shells within shells
            reader.unread(f"`{_short(line)}`: its quotes cannot be read: it is not looked at")
        found += reader.found
    return tuple(dict.fromkeys(found))


# A comment, a quoted text, an escaped character.
_QUOTED = re.compile(r"""(?<![^\s;&|()])\#[^\n]*|'[^']*'|"(?:\\.|[^"\\])*"|\\\r?.""", re.DOTALL)
# Signs without a meaning, for they are quoted, are hidden: what `shlex` leaves of the others has its meaning.
_SIGNS = ";&|()<>\n*?[{~#"
_HIDDEN = {ord(sign): 0xE000 + ord(sign) for sign in _SIGNS + "$`"}
_SUBSTITUTION = re.compile(rf"\$[({chr(_HIDDEN[ord('(')])}]|`")
_SHOWN = {hidden: sign for sign, hidden in _HIDDEN.items()}
_OPERATOR = re.compile(r"<<<|<<|&>>?|[<>]&|>>|>\||<>|[<>]|&&|\|\||[;&|()\n]")
_UNKNOWN = re.compile(r"[$`*?\[{]|^~")  # which word this is, only the shell knows
_PWD = re.compile(r"\$(?:PWD|\{PWD\})(?=[/:]|$)")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.ASCII | re.DOTALL)
_PYTHON = re.compile(r"python(?:\d+(?:\.\d+)*)?")
_PYTHON_FLAGS = re.compile(r"-([bBdiOqRsStuvx]*)(?:([cmWX])(.*)|([hV?]).*)?", re.DOTALL)  # -E -I -P change the search
_APP = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_][\w.]*(?:\(.*\))?")

_KEYWORDS = frozenset(("if", "then", "else", "elif", "while", "until", "do", "!", "{", "fi", "done", "}"))
# What the shell does itself, and programs that neither run Python files nor start what their arguments name.
_HARMLESS = frozenset(
    """: [ [[ echo exit false for printf pwd read return set test true unset wait awk aws basename bzip2 cat chmod cmp comm
    cp curl cut date diff dirname du expr gcloud git grep gsutil gunzip gzip head join jq ln ls md5sum mkdir mktemp mv
    paste pip pip3 realpath rm rmdir rsync scp sed seq sha256sum shuf sleep sort split stat tac tail tar tee touch tr
    uname uniq unzip wc wget which xz yq zcat zip zstd""".split()  # noqa: SIM905  a word a line would fill two pages
)
# Programs that start the rest of their line: the subcommand that does, and which of their options have a value.
_PREFIXES: dict[str, tuple[str, str]] = {
    **dict.fromkeys(("exec", "nohup", "command"), ("", "")),
    "env": ("", "-u --unset"),
    "nice": ("", "-n"),
    "time": ("", "-f -o"),
    "timeout": ("", "-k -s"),
    "uv": ("run", "--with --with-requirements --extra --group --only-group -p --python --package --index --env-file"),
    **dict.fromkeys(("poetry", "pdm", "pipenv"), ("run", "")),
    **dict.fromkeys(("conda", "mamba"), ("run", "-n --name -p --prefix")),
}
_MOVING = ("-C", "-S", "--chdir", "--cwd", "--directory", "--project")  # options that change the folder, or the words
_NUMBER = re.compile(r"\d+(?:\.\d+)?[smhd]?")
# Programs and modules that run the first interpreter, script or `-m` module among their arguments.
_LAUNCHERS = frozenset(
    """accelerate coverage cProfile deepspeed ipython mpirun pdb profile srun streamlit torchrun
    torch.distributed.launch torch.distributed.run trace""".split()  # noqa: SIM905
)
_SERVERS = frozenset(("uvicorn", "gunicorn", "hypercorn"))
_FOREIGN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("sh", "bash", "dash", "zsh", ".", "source"), (".sh", ".bash", ".env")),
    **dict.fromkeys(("jupyter", "papermill"), (".ipynb",)),
    **dict.fromkeys(("R", "Rscript"), (".R", ".r")),
    "julia": (".jl",),
    "node": (".js",),
    "perl": (".pl",),
    "ruby": (".rb",),
}


def _hidden(match: re.Match[str]) -> str:
    text = match[0]
    if text[0] == "#" or text in {"\\\n", "\\\r\n"}:
        return ""
    if text[0] == '"':  # in which `$` keeps its meaning
        text = re.sub(r"\\[$`]", lambda escaped: escaped[0][1].translate(_HIDDEN), text.replace("\\\n", ""))
        return text.translate({ord(sign): _HIDDEN[ord(sign)] for sign in _SIGNS})
    return text.translate(_HIDDEN)


def _tokens(line: str) -> Iterator[tuple[str, bool]]:
    """Yield words and operators (True); raise ValueError if a quote has no end."""
    lexer = shlex.shlex(_QUOTED.sub(_hidden, line), posix=True, punctuation_chars="();<>|&\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    for token in lexer:
        if token and set(token) <= set(lexer.punctuation_chars):
            yield from ((operator, True) for operator in _OPERATOR.findall(token))
        else:
            yield _PWD.sub(".", token), False
    yield "\n", True


def _short(text: str) -> str:
    line = text.translate(_SHOWN).strip().partition("\n")[0]
    return line if len(line) <= 60 else f"{line[:57]}…"  # noqa: PLR2004  the width of a sentence


@dataclass(frozen=True, slots=True)
class _Where:
    """The shell's folder (``None``: not known) and the folders of PYTHONPATH, relative to the repository."""

    folder: str | None
    python_path: tuple[str, ...] = ()

    def join(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self.folder or ".", path.translate(_SHOWN)))


class _Reader:
    """Reads one command line; ``found`` is what it starts."""

    def __init__(self, where: _Where) -> None:
        self.found: list[Program] = []
        self.where = where

    def read(self, line: str) -> None:
        """Read a list of commands."""
        words: list[str] = []
        outer: list[_Where] = []
        before, target, depth = "", False, 0
        for item, operator in _tokens(line):
            substitution = item == "(" and operator and (before.endswith("$") or before in {"<", ">"})
            before = item
            if substitution or (not operator and _SUBSTITUTION.search(item)):
                self.unread("`$(…)`: what is started in it is not looked at")
            if depth or substitution:
                depth += {"(": 1, ")": -1}.get(item, 0) if operator else 0
                target = False
            elif item == "<<" and operator:
                self.unread("`<<`: a here-document, and what follows it, is not looked at")
                return
            elif operator and ("<" in item or ">" in item):
                target = True
                words = words[:-1] if words and words[-1].isdigit() else words  # 2>file
            elif not operator:
                words += [] if target else [item]
                target = False
            else:
                self.simple(words, self.where)
                words, target = [], False
                if item == "(":
                    outer.append(self.where)
                elif item == ")" and outer:
                    self.where = outer.pop()

    def unread(self, sentence: str) -> None:
        """Note what is not looked at."""
        self.found.append(Program("unread", sentence))

    def add(self, kind: Kind, name: str, where: _Where, *, cwd: bool = False) -> None:
        """Note a program. Where the folder is not known nothing is said: the `cd` into it has been noted."""
        if kind in {"module", "import", "script", "file"} and _UNKNOWN.search(name):
            self.unread(f"`{_short(name)}`: which {kind} this is, is known only when it runs: it is not looked at")
        elif where.folder is not None:
            name = where.join(name) if kind in {"script", "file"} else name.translate(_SHOWN)
            search = (*((where.folder,) if cwd else ()), *where.python_path)
            self.found.append(Program(kind, name, where.folder, search))

    def simple(self, words: list[str], where: _Where) -> None:
        """Read a command: assignments and prefixes, then a program and its arguments."""
        while words:
            head, rest = words[0], words[1:]
            name = posixpath.basename(head) if head[:1] == "/" or "env/bin/" in head else head
            if match := _ASSIGNMENT.fullmatch(head):
                where = self.assigned(match[1], match[2], where)
                self.where = self.where if rest else where
            elif name in _PREFIXES or name in _LAUNCHERS:
                rest = self.behind(name, rest)
            elif name == "export":
                rest = [word for word in rest if _ASSIGNMENT.fullmatch(word)]
            elif name not in _KEYWORDS:
                self.start(name, rest, where)
                return
            words = rest

    def assigned(self, name: str, value: str, where: _Where) -> _Where:
        """Return the state after ``NAME=value``."""
        if name != "PYTHONPATH":
            return where
        folders: list[str] = []
        for entry in value.split(":") if value else ():
            if entry in {"$PYTHONPATH", "${PYTHONPATH}"}:
                folders += where.python_path
            elif _UNKNOWN.search(entry):
                self.unread(f"`{name}={_short(value)}`: what Python finds through it is not looked at")
            else:
                folders.append(where.join(entry))
        return replace(where, python_path=tuple(folders))

    def behind(self, name: str, rest: list[str]) -> list[str]:
        """Return the command that a prefix or a launcher starts, empty if which it is, is not clear."""
        subcommand, valued = _PREFIXES.get(name, ("", ""))
        launcher = name in _LAUNCHERS
        while rest:
            word, rest = rest[0], rest[1:]
            plain = not word.startswith("-")
            if word.partition("=")[0] in _MOVING or (subcommand and plain and word != subcommand):
                break
            if subcommand:
                subcommand = "" if word == subcommand else subcommand
            elif (launcher or name == "uv") and (word in {"-m", "--module"} or (plain and word.endswith(".py"))):
                return ["python", word.replace("--module", "-m"), *rest]
            elif plain and (_PYTHON.fullmatch(posixpath.basename(word)) if launcher else not _NUMBER.fullmatch(word)):
                return [word, *rest]
            rest = rest[1:] if word in valued.split() else rest
        self.unread(f"`{name}`: what it starts is not looked at")
        return []

    def start(self, name: str, rest: list[str], where: _Where) -> None:
        """Read a program and its arguments."""
        if name == "cd":
            self.change_folder(rest)
        elif _PYTHON.fullmatch(name):
            self.python(rest, where)
        elif name in _SERVERS:
            self.served(name, rest, where)
        elif name in _FOREIGN:
            self.foreign(name, rest, where)
        elif name not in _HARMLESS and _UNKNOWN.search(name):
            self.unread(f"`{_short(name)}`: which program this is, is known only when it runs: it is not looked at")
        elif name.endswith(".py") or "/" in name:
            self.add("script" if name.endswith(".py") else "file", name, where)
        elif name not in _HARMLESS:
            self.add("command", name, replace(where, folder=where.folder or "."))

    def change_folder(self, rest: list[str]) -> None:
        """Read `cd`."""
        if len(rest) != 1 or _UNKNOWN.search(rest[0]) or rest[0].startswith("-"):
            self.unread(f"`{_short(' '.join(['cd', *rest]))}`: what is started in this folder is not looked at")
            self.where = replace(self.where, folder=None)
        elif self.where.folder is not None:
            self.where = replace(self.where, folder=self.where.join(rest[0]))

    def python(self, words: list[str], where: _Where) -> None:
        """Read the arguments of an interpreter; short options may share one word."""
        while words and words[0].startswith("-") and words[0] != "-":
            word, words = words[0], words[1:]
            flags = _PYTHON_FLAGS.fullmatch(word)
            if word in {"--version", "--help"} or (flags and flags[4]):
                return
            if flags is None or (flags[2] and not flags[3] and not words):
                self.unread(f"`python {_short(word)}`: what it starts is not looked at")
                return
            if flags[2]:
                value, words = (flags[3], words) if flags[3] else (words[0], words[1:])
            if flags[2] == "c" and ("$" in value or "`" in value):
                self.unread(f"`python -c {_short(value)}`: this text is known only when it runs: it is not looked at")
                return
            if flags[2] == "m" and (value in _LAUNCHERS or value in _SERVERS):
                self.simple([value, *words], where)
                return
            if flags[2] in {"c", "m"}:
                self.add("code" if flags[2] == "c" else "module", value, where, cwd=True)
                return
        if not words or words[0] == "-":
            self.unread("`python` without a script: the code on its standard input is not looked at")
        else:
            self.add("script", words[0], where)

    def served(self, name: str, rest: list[str], where: _Where) -> None:
        """Read the applications (``module:attribute``) that a server imports."""
        apps = [match[1] for match in (_APP.fullmatch(word.translate(_SHOWN)) for word in rest) if match]
        if not apps or any(
            word.startswith(("--app-dir", "--chdir", "--pythonpath", "-c", "--config")) for word in rest
        ):
            self.unread(f"`{name}`: which modules it imports is not clear from its arguments, they are not looked at")
        for app in apps:
            self.add("import", app, where, cwd=True)

    def foreign(self, name: str, rest: list[str], where: _Where) -> None:
        """Read the file that an interpreter of another language, or a shell, is given; or a shell's `-c`."""
        if name.endswith("sh") and rest[:1] == ["-c"] and len(rest) > 1 and not re.search(r"[$`]", rest[1]):
            inner = _Reader(where)
            inner.read(rest[1].translate(_SHOWN))
            self.found += inner.found
            return
        for before, word in zip(["", *rest], rest, strict=False):
            if word.endswith(_FOREIGN[name]) and word[0] != "-" and not before.startswith("--out"):
                self.add("file", word, where)
                return
        if not rest or posixpath.basename(rest[0]) != "activate":  # of a virtual environment
            self.unread(f"`{name}`: what it starts is not looked at")

"""What a stage's command line starts: Python modules and scripts, console scripts, files of other languages.

The upper half reads the shell's language as far as it decides what is started (POSIX.1-2017, XCU 2: quoting, token
recognition, expansions, redirections), the lower half knows programs that start other programs. Nothing is run. Text
whose meaning is known only at run time (``$X``, ``eval``, here-documents) becomes an ``unread`` program, never nothing.
"""

from __future__ import annotations

import posixpath
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

Kind = Literal["module", "import", "script", "code", "started", "file", "command", "unread"]


@dataclass(frozen=True, slots=True)
class Program:
    """One thing that a command line starts.

    ``kind`` says what ``name`` is:

    - ``module``: of ``python -m``; ``import``: one that a server imports;
    - ``script``: a path given to Python; ``code``: the text of ``python -c``;
    - ``started``: a path started by itself, whose first line decides; ``file``: a path given to another interpreter;
    - ``command``: a name that PATH, so perhaps this repository's ``[project.scripts]``, resolves;
    - ``unread``: a sentence that says what could not be read, and why.

    A path is relative to the repository, or absolute, with ``/``. ``folder`` is where it starts, ``search`` are the
    folders in which Python looks for modules, in this order, without the script's own, which comes first if
    ``own_folder``. ``otherwise`` is what is started if ``name`` is not of this repository: ``None`` where unknown.
    """

    kind: Kind
    name: str
    folder: str = "."
    search: tuple[str, ...] = ()
    own_folder: bool = True
    otherwise: tuple[Program, ...] | None = None


def programs(cmd: str | tuple[str, ...], wdir: str) -> tuple[Program, ...]:
    """Return what a stage's ``cmd`` starts in ``wdir`` (relative to the repository), in order. Never raises.

    Each member of a tuple is a command line of its own, as in DVC: a ``cd`` in one does not reach the next.
    """
    found: list[Program] = []
    for line in (cmd,) if isinstance(cmd, str) else cmd:
        reader = _Reader(_Where(posixpath.normpath(wdir or ".")))
        try:
            reader.read(line)
        except RecursionError:  # a line of a thousand prefixes
            reader.unread(f"`{_short(line)}`: nested too deep to be read")
        found += reader.found
    return tuple(dict.fromkeys(found))


# ---- the shell's language ----

_DEPTH = 8  # commands within commands
_BLANK = re.compile(r"(?:[ \t\r]|\\\r?\n)+")
_COMMENT = re.compile(r"#[^\n]*")
_REDIRECT = re.compile(r"\d*(<<<|<<-?|<>|<&|<|>>|>&|>\||>)|(&>>?)")
_CONTROL = re.compile(r"&&|\|\||;;&?|;&|\|&|[;|&\n()]")
_RUN = re.compile(r"""[^ \t\r\n\\'"$`&|;()<>]+""")
_NESTING = re.compile(r"""\\.|\$\(|\$\{|[()'"`}]""", re.DOTALL)
_BACKTICKS = re.compile(r"`((?:[^`\\]|\\.)*)`", re.DOTALL)
_SINGLE = re.compile(r"'[^']*'")
_OPENING = {'"': '"', "${": "}", "$(": ")"}
_ANSI = re.compile(r"\$'(?:[^'\\]|\\.)*'", re.DOTALL)
_VARIABLE = re.compile(r"\$(?:([A-Za-z_]\w*)|[0-9@*#?$!-])", re.ASCII)
_NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=", re.ASCII)
_PATTERN = re.compile(r"[*?]|\[.|\{[^{}]*[,.]|\{\{")
_SKIPPED = {"case": "esac", "[[": "]]"}
_HEADS = frozenset(("if", "then", "else", "elif", "do", "while", "until", "!", "{", "}", "fi", "done", *_SKIPPED))
_QUOTED_SPECIAL = re.compile(r"[\\$`]")
_NESTED = re.compile(r"\$\{|\$\(\(")


class _UnclosedError(Exception):
    """A quote, a bracket or a backtick has no end."""


@dataclass(frozen=True, slots=True)
class _Expansion:
    """What the shell replaces: ``name`` of ``$name`` and ``${name…}``, or the ``commands`` that it runs."""

    source: str
    name: str = ""
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Word:
    """A word: its source, its pieces without quotes, the unquoted text that it begins with, whether it is a pattern."""

    source: str
    pieces: tuple[str | _Expansion, ...]
    bare: str = ""
    pattern: bool = False

    @property
    def commands(self) -> tuple[str, ...]:
        return tuple(line for piece in self.pieces if isinstance(piece, _Expansion) for line in piece.commands)


@dataclass(frozen=True, slots=True)
class _Redirect:
    operator: str


def _tokens(text: str) -> Iterator[_Word | _Redirect | str]:
    """Yield words, redirections (the word after one is its target) and control operators."""
    at, heredocs, expect = 0, list[str](), False
    while at < len(text):
        if match := _BLANK.match(text, at) or _COMMENT.match(text, at):
            at = match.end()
        elif match := _REDIRECT.match(text, at):
            operator = match[1] or match[2]
            expect = operator in {"<<", "<<-"}
            at = match.end()
            yield _Redirect(operator)
        elif match := _CONTROL.match(text, at):
            at = match.end()
            if match[0] == "\n":
                for end in heredocs:
                    at = _after_heredoc(text, at, end)
                heredocs.clear()
            yield match[0]
        else:
            word, at = _word(text, at)
            if expect:
                heredocs.append("".join(piece if isinstance(piece, str) else piece.source for piece in word.pieces))
                expect = False
            yield word


def _after_heredoc(text: str, at: int, end: str) -> int:
    while at < len(text):
        line_end = text.find("\n", at)
        line_end = len(text) if line_end < 0 else line_end
        line, at = text[at:line_end], line_end + 1
        if line.strip("\t\r") == end:
            break
    return at


def _words(text: str) -> list[_Word]:
    """Return the words alone; none if a quote is not closed."""
    try:
        return [token for token in _tokens(text) if isinstance(token, _Word)]
    except _UnclosedError:
        return []


def _word(text: str, start: int) -> tuple[_Word, int]:
    pieces: list[str | _Expansion] = []
    at, bare, pattern = start, "", False
    while at < len(text):
        char = text[at]
        if match := _RUN.match(text, at):
            bare = match[0] if at == start else bare
            pattern = pattern or _PATTERN.search(match[0]) is not None
            pieces.append(match[0])
            at = match.end()
        elif char in " \t\r\n&|;()<>":
            break
        elif char == "\\":
            pieces.append(text[at + 1 : at + 2].strip("\n"))
            at += 2
        elif char == "'":
            match = _SINGLE.match(text, at)
            if match is None:
                raise _UnclosedError
            pieces.append(match[0][1:-1])
            at = match.end()
        elif char == '"':
            end = _closing(text, at + 1, '"')
            pieces += _quoted(text[at + 1 : end])
            at = end + 1
        elif match := _ANSI.match(text, at):
            pieces.append(_Expansion(match[0]))
            at = match.end()
        else:
            piece, at = _expansion(text, at)
            pieces.append(piece)
    return _Word(text[start:at], tuple(pieces), bare, pattern), at


def _closing(text: str, at: int, closer: str) -> int:
    """Return where the quote or bracket that ends with ``closer`` ends; ``at`` is the first place within it."""
    stack = [closer]
    while match := _NESTING.search(text, at):
        sign, at, top = match[0], match.end(), stack[-1]
        if sign == top:
            stack.pop()
            if not stack:
                return match.start()
        elif sign == "`" or (sign == "'" and top != '"'):
            quoted = (_BACKTICKS if sign == "`" else _SINGLE).match(text, match.start())
            if quoted is None:
                break
            at = quoted.end()
        elif sign in _OPENING or (sign == "(" and top == ")"):
            stack.append(_OPENING.get(sign, ")"))
    raise _UnclosedError


def _quoted(text: str) -> list[str | _Expansion]:
    """Return the pieces of the text between double quotes."""
    pieces: list[str | _Expansion] = []
    at = 0
    while match := _QUOTED_SPECIAL.search(text, at):
        pieces.append(text[at : match.start()])
        at = match.start()
        if match[0] != "\\":
            piece, at = _expansion(text, at)
            pieces.append(piece)
            continue
        escaped = text[at + 1 : at + 2]
        pieces.append("" if escaped == "\n" else escaped if escaped in '$`"\\' else f"\\{escaped}")
        at += 2
    pieces.append(text[at:])
    return pieces


def _expansion(text: str, at: int) -> tuple[str | _Expansion, int]:
    """Return what stands at a ``$`` or a backtick, and the place after it."""
    if text[at] == "`":
        match = _BACKTICKS.match(text, at)
        if match is None:
            raise _UnclosedError
        return _Expansion(match[0], commands=(re.sub(r"\\([`\\$])", r"\1", match[1]),)), match.end()
    if text.startswith("$(", at):
        end = _closing(text, at + 2, ")")
        inner = text[at + 2 : end]
        arithmetic = inner.startswith("(") and inner.endswith(")")
        return _Expansion(text[at : end + 1], commands=_commands_within(inner) if arithmetic else (inner,)), end + 1
    if text.startswith("${", at):
        end = _closing(text, at + 2, "}")
        inner = text[at + 2 : end]
        name = _NAME.match(inner)
        return _Expansion(text[at : end + 1], name[0] if name else "", _commands_within(inner)), end + 1
    if match := _VARIABLE.match(text, at):
        return _Expansion(match[0], match[1] or ""), match.end()
    return "" if text.startswith('$"', at) else "$", at + 1


def _commands_within(text: str) -> tuple[str, ...]:
    """Return the commands that an expansion's own text holds; one that nests too deep is refused as `eval` is."""
    if "$(" not in text and "`" not in text:
        return ()
    if len(_NESTED.findall(text)) > _DEPTH:
        return ("eval",)
    return tuple(line for piece in _quoted(text) if isinstance(piece, _Expansion) for line in piece.commands)


@dataclass(slots=True)
class _Command:
    """A simple command as it is being read, to the control operator that ends it."""

    words: list[_Word] = field(default_factory=list)
    targets: list[_Word] = field(default_factory=list)
    stdin: _Word | None = None
    notes: list[str] = field(default_factory=list)
    end: str = ""
    substitution: bool = False


def _commands(tokens: Iterable[_Word | _Redirect | str]) -> Iterator[_Command]:
    """Yield the simple commands, without the words of `if`, `while`, … and without what is not read (`case`)."""
    command, redirect, skip_to = _Command(), "", ""
    for item in tokens:
        if skip_to:
            skip_to = "" if isinstance(item, _Word) and item.source == skip_to else skip_to
        elif isinstance(item, _Redirect):
            redirect = item.operator
            if redirect.startswith("<<"):
                command.notes.append("a here-document is not read")
        elif isinstance(item, str):
            command.end, command.substitution = item, bool(redirect)
            yield command
            command, redirect = _Command(), ""
        elif redirect:
            command.targets.append(item)
            command.stdin = item if redirect == "<" else command.stdin
            redirect = ""
        elif command.words or item.source not in _HEADS:
            command.words.append(item)
        elif skip_to := _SKIPPED.get(item.source, ""):
            command.notes += ["a `case` is not read"] if item.source == "case" else []
    if skip_to:
        yield _Command(notes=[f"what follows is not read: there is no `{skip_to}`"])


# ---- what is started ----

_ASSIGNING = frozenset(("export", "declare", "typeset", "readonly", "local", "unset"))
_REFUSED = frozenset(("eval", "trap", "alias", "pushd", "popd", "function", "coproc"))
_PYTHON = re.compile(r"(?:python|pypy)(?:\d+(?:\.\d+)*)?[wt]?(?:\.exe)?")
_PYTHON_FLAGS = re.compile(r"-([bBdEiIOPqRsStuvx]*)(?:([cmWX])(.*)|([hV?]).*)?", re.DOTALL)
_APP = re.compile(r"([A-Za-z_][\w.]*):[A-Za-z_][\w.]*(?:\(.*\))?")
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")

# What the shell does itself, and programs that neither run Python files nor start what their arguments name.
_BUILTIN = frozenset(
    """: [ break continue echo esac exit false for getopts hash in kill let printf pwd read return select set shift
    test true type ulimit umask wait""".split()  # noqa: SIM905  a word a line would fill two pages
)
_HARMLESS = frozenset(
    """apt-get aws awk b2sum base64 basename bunzip2 bzip2 cat chmod chown clear cmp column comm cp curl cut date dd
    df diff dirname dos2unix du egrep expand factor fgrep file fmt fold free gawk gcloud git grep gsutil gunzip gzip
    head hostname iconv id install join jq ln ls lz4 lzma md5sum mkdir mkfifo mktemp mv nl nproc od paste patch pip
    pip3 pr ps readlink realpath rev rm rmdir rsync s3cmd s5cmd scp sed seq sha1sum sha256sum sha512sum shuf sleep
    sort split stat sum sync tac tail tar tee touch tput tr truncate tsort tty uname unexpand uniq unix2dos unlink
    unrar unxz unzip unzstd uptime venv wc wget which who whoami xz yes yq zcat zip zstd""".split()  # noqa: SIM905
)

# Programs that start the rest of their line: flags, options with a value, how many words stand before that rest.
_PREFIXES: dict[str, tuple[str, str, int]] = {
    "time": ("-p -v -q -a --verbose --portability --quiet --append", "-f -o --format --output", 0),
    "nice": ("", "-n --adjustment", 0),
    "nohup": ("", "", 0),
    "setsid": ("-c -f -w --ctty --fork --wait", "", 0),
    "stdbuf": ("", "-i -o -e --input --output --error", 0),
    "ionice": ("-t --ignore", "-c -n --class --classdata", 0),
    "timeout": ("-v --foreground --preserve-status --verbose", "-k -s --kill-after --signal", 1),
    "taskset": ("-a -c --all-tasks --cpu-list", "", 1),
    "sudo": ("-E -H -n -S --preserve-env", "-u -g --user --group", 0),
    "exec": ("-c -l", "-a", 0),
    "command": ("-p", "", 0),
    "builtin": ("", "", 0),
    "chronic": ("", "", 0),
    "unbuffer": ("", "", 0),
    "xargs": ("-0 -r -t -x -p --null --no-run-if-empty --verbose", "-n -P -I -L -d -a -s -E --max-args --max-procs", 0),
}
_ENV = (
    "-i -0 -v --ignore-environment --null --debug",
    "-u -C -S --unset --chdir --split-string",
)
# Likewise, where a subcommand `run` stands first; options may stand on both sides of it.
_CONDA = ("-v --verbose --no-capture-output --live-stream", "-n --name -p --prefix --cwd")
_RUNNERS: dict[str, tuple[str, str]] = {
    "uv": (
        """--frozen --locked --no-sync --isolated --all-extras --no-dev --dev --only-dev --offline -q -v --quiet
        --verbose --active --no-active --no-project --exact --all-groups --no-env-file -n --no-cache --refresh -U
        --upgrade --no-default-groups --native-tls --no-config --managed-python --no-managed-python
        --no-editable --inexact
        -s --script""",
        """--with --with-editable --with-requirements --extra --no-extra --group --no-group --only-group -p --python
        --package --env-file --index --default-index --index-url --extra-index-url --project --directory --cache-dir
        --config-file --color -m --module""",
    ),
    "poetry": ("-q -v -n --quiet --verbose --no-interaction --no-plugins", "-C --directory -P --project"),
    "pipenv": ("-q -v --quiet --verbose", ""),
    "pdm": ("-q -v -s --site-packages", "-p --project"),
    "rye": ("-q -v", ""),
    "hatch": ("-q -v", "-e --env -p --project"),
    "pixi": ("-q -v --frozen --locked", "-e --environment --manifest-path"),
    "conda": _CONDA,
    "mamba": _CONDA,
    "micromamba": _CONDA,
}

# Programs that run the first script or `-m` module among their arguments, behind this subcommand.
_LAUNCHERS = {
    **dict.fromkeys(("coverage", "memray", "mprof", "streamlit"), "run"),
    **dict.fromkeys(("accelerate",), "launch"),
    **dict.fromkeys(("accelerate.commands.launch", "torch.distributed.run", "torch.distributed.launch"), ""),
    **dict.fromkeys(("torchrun", "deepspeed", "kernprof", "scalene", "viztracer", "pyinstrument", "debugpy"), ""),
    **dict.fromkeys(("ipython", "ipython3", "IPython", "pdb", "cProfile", "profile", "trace"), ""),
}
_NO_PYTHON = frozenset(("--no-python", "--no_python"))
# Programs around another whose options are not known here: what is read begins at the first `python`.
_AROUND = frozenset(("mpirun", "mpiexec", "srun", "horovodrun", "xvfb-run", "strace", "perf", "numactl", "dotenv"))
_SERVERS = frozenset(("uvicorn", "gunicorn", "hypercorn", "daphne"))
_SHELLS = frozenset(("sh", "bash", "dash", "zsh", "ksh", "ash"))
_FOREIGN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("R", "Rscript"), (".R", ".r")),
    **dict.fromkeys(("jupyter", "jupyter-nbconvert", "nbconvert", "papermill"), (".ipynb",)),
    "julia": (".jl",),
    "node": (".js", ".mjs", ".cjs", ".ts"),
    "perl": (".pl",),
    "ruby": (".rb",),
    "quarto": (".qmd", ".Rmd", ".ipynb"),
}
# Modules of the standard library that import what their arguments name; the others stay with themselves.
_OPAQUE = frozenset(("unittest", "doctest", "timeit", "runpy", "code"))


@dataclass(frozen=True, slots=True)
class _Where:
    """What of a shell's state decides what is found: its folder (``None``: not known) and Python's variables."""

    folder: str | None
    python_path: str = ""
    safe: bool = False

    def join(self, path: str) -> str:
        return posixpath.normpath(posixpath.join(self.folder or ".", path))

    def search(self) -> tuple[str, ...]:
        return tuple(self.join(entry) for entry in self.python_path.split(":")) if self.python_path else ()


class _Reader:
    """Reads one command line; ``found`` is what it starts."""

    def __init__(self, where: _Where, depth: int = 0) -> None:
        self.found: list[Program] = []
        self.where = where
        self.depth = depth
        self.functions: set[str] = set()

    # -- lists of commands

    def read(self, text: str) -> None:
        """Read a list of commands, as a shell's script is."""
        if self.depth > _DEPTH:
            self.unread(f"`{_short(text)}`: commands within commands, nested too deep to be read")
            return
        try:
            tokens = [*_tokens(text.replace("\r\n", "\n")), "\n"]  # all of them: an open quote spoils the whole line
        except _UnclosedError:
            self.unread(f"`{_short(text)}`: a quote or a bracket is not closed")
            return
        outer: list[_Where] = []
        for command in _commands(tokens):
            words = command.words
            for sentence in command.notes:
                self.unread(sentence)
            for target in command.targets:
                self.substituted(target)
            if command.end == "(" and words and not command.substitution:
                self.bracket(words)
            if words:
                self.simple(words, command.stdin)
            if command.end == "(":
                outer.append(self.where)
            elif command.end == ")" and outer:
                self.where = outer.pop()

    def bracket(self, words: list[_Word]) -> None:
        """Read what stands before a bracket: the name of a function, which is then known."""
        if len(words) == 1 and not _ASSIGNMENT.match(words[0].bare):
            self.functions.add(words.pop().source)
        else:
            self.unread(f"`{_short(words[0].source)} … (`: the shell expects no bracket here")

    def simple(self, words: Sequence[_Word], stdin: _Word | None) -> None:
        """Read a simple command: assignments, then a program and its arguments."""
        for word in words:
            self.substituted(word)
        where, at = self.where, 0
        while at < len(words) and _ASSIGNMENT.match(words[at].bare):
            where = self.assigned(words[at], where)
            at += 1
        if at == len(words):
            self.where = where
        else:
            self.start(words[at:], where, stdin)

    def substituted(self, word: _Word) -> None:
        """Read the commands whose output the shell puts into a word."""
        for line in word.commands:
            self.nested(line, self.where)

    def nested(self, text: str, where: _Where) -> None:
        """Read what another shell runs."""
        inner = _Reader(where, self.depth + 1)
        inner.functions |= self.functions
        inner.read(text)
        self.found += inner.found

    # -- words

    def text(self, word: _Word, where: _Where) -> str:
        """Return the word as the program gets it, with a NUL for each part that only the shell knows."""
        text = ""
        for piece in word.pieces:
            at_start = not text or text[-1] in ":="
            if isinstance(piece, str):
                text += piece
            elif piece.source.startswith("${PYTHONPATH:+"):
                text += where.python_path and f":{where.python_path}"
            elif at_start and piece.name == "PYTHONPATH":
                text += where.python_path
            elif at_start and (piece.name == "PWD" or piece.commands == ("pwd",)):
                text += "."
            elif at_start and piece.name == "DVC_ROOT" and where.folder and not where.folder.startswith("/"):
                text += posixpath.join(".", *("..",) * (0 if where.folder == "." else where.folder.count("/") + 1))
            else:
                text += "\0"
        return f"{text}\0" if word.pattern else text

    def literal(self, word: _Word, where: _Where) -> str | None:
        """Return the word as the program gets it, ``None`` if only the shell can tell."""
        text = self.text(word, where)
        return None if "\0" in text or "{{" in text else text

    def options(
        self, words: Sequence[_Word], where: _Where, flags: str, valued: str
    ) -> tuple[list[tuple[str, str | None]], Sequence[_Word]] | None:
        """Return the options that stand first, with their values, and the words after them.

        ``None`` if an option is not known: whether it takes a value decides what is started.
        """
        single, double = set(flags.split()), set(valued.split())
        got: list[tuple[str, str | None]] = []
        at = 0
        while at < len(words):
            text = self.literal(words[at], where)
            if text is None or not text.startswith("-") or text == "-":
                break
            at += 1
            name, equals, value = text.partition("=")
            if text == "--":
                break
            if text in double:
                got.append((text, self.literal(words[at], where) if at < len(words) else None))
                at += 1
                if text in {"-m", "--module"}:
                    break
            elif equals and name.startswith("--"):
                got.append((name, value))
            elif text[:2] in double and not text.startswith("--"):
                got.append((text[:2], text[2:]))
            elif text in single or text[1:].isdigit() or all(f"-{flag}" in single for flag in text[1:]):
                got.append((text, None))
            else:
                return None
        return got, words[at:]

    # -- findings

    def unread(self, sentence: str) -> None:
        """Note what cannot be read."""
        self.found.append(Program("unread", sentence))

    def add(
        self,
        kind: Kind,
        name: str,
        where: _Where,
        *,
        cwd: bool = False,
        otherwise: tuple[Program, ...] | None = None,
    ) -> None:
        """Note a program. What depends on an unknown folder is left out: the `cd` into it has been noted as unread."""
        if where.folder is None and kind != "command":
            return
        folder = where.folder or "."
        search = (*((folder,) if cwd and not where.safe else ()), *where.search())
        self.found.append(Program(kind, name, folder, search, not where.safe, otherwise))

    def path(self, kind: Kind, word: _Word, where: _Where, program: str) -> None:
        """Note a file that ``program`` is given."""
        text = self.literal(word, where)
        if text is None:
            self.unread(f"`{program} {word.source}`: only the shell knows which file this is")
        else:
            self.add(kind, where.join(text), where)

    # -- the shell's own commands

    def assigned(self, word: _Word, where: _Where) -> _Where:
        """Return the state after ``NAME=value``."""
        name, _, value = self.text(word, where).partition("=")
        if name.rstrip("+") == "PYTHONSAFEPATH":
            return replace(where, safe=bool(value))
        if name.rstrip("+") != "PYTHONPATH":
            return where
        entries = value.split(":")
        if "\0" in value:
            self.unread(f"`{word.source}`: only the shell knows this value; what Python finds through it is not read")
            entries = [entry for entry in entries if "\0" not in entry]
        return replace(where, python_path=(where.python_path if name.endswith("+") else "") + ":".join(entries))

    def declared(self, words: Sequence[_Word], _where: _Where, name: str) -> None:
        """Read `export` and its like, and `unset`."""
        for word in words:
            if name == "unset" and word.source == "PYTHONPATH":
                self.where = replace(self.where, python_path="")
            elif name != "unset" and _ASSIGNMENT.match(word.bare):
                self.where = self.assigned(word, self.where)

    def refused(self, _words: Sequence[_Word], _where: _Where, name: str) -> None:
        """Note a command of the shell that decides at run time what is started."""
        self.unread(f"`{name}` is not read")

    def sourced(self, words: Sequence[_Word], where: _Where, name: str) -> None:
        """Read `. file`."""
        if words:
            self.path("file", words[0], where, name)

    def change_folder(self, words: Sequence[_Word], _where: _Where, _name: str) -> None:
        """Read `cd`, which is taken to succeed."""
        targets = [word for word in words if word.source not in {"-L", "-P", "-e", "--"}]
        text = self.literal(targets[0], self.where) if targets else None
        if text is None or text == "-" or targets[0].bare.startswith("~"):
            line = " ".join(["cd", *(word.source for word in words)])
            self.unread(f"`{line}`: only the shell knows this folder; what is started there is not read")
            self.where = replace(self.where, folder=None)
        elif self.where.folder is not None or text.startswith("/"):
            self.where = replace(self.where, folder=self.where.join(text))

    # -- programs

    def start(self, words: Sequence[_Word], where: _Where, stdin: _Word | None = None) -> None:
        """Read a program and its arguments."""
        if not words:
            return
        text, rest = self.literal(words[0], where), words[1:]
        if text is None:
            self.unread(f"`{_short(words[0].source)}`: only the shell knows which program this is")
            return
        name = posixpath.basename(text)
        if _PYTHON.fullmatch(name):
            self.python(rest, where, stdin)
        elif text in _BUILTIN or text in self.functions:
            return
        elif _is_installed(text) and name in _HANDLERS:
            _HANDLERS[name](self, rest, where, name)
        elif "/" in text or text.endswith(".py"):
            command = Program("command", name, where.folder or ".", where.search())
            self.add("started", where.join(text), where, otherwise=(command,) if _is_installed(text) else None)
        else:
            self.add("command", text, where, otherwise=() if text in _HARMLESS else None)

    def python(self, words: Sequence[_Word], where: _Where, stdin: _Word | None = None) -> None:
        """Read the arguments of an interpreter (`python --help`; short options may share one word)."""
        at = 0
        while at < len(words):
            text = self.literal(words[at], where)
            if text is None or text == "-" or not text.startswith("-"):
                break
            at += 1
            if text.startswith("--"):
                if text.startswith(("--help", "--version")):
                    return
                at += text == "--check-hash-based-pycs"
                continue
            flags = _PYTHON_FLAGS.fullmatch(text)
            if flags is None:
                self.unread(f"`python {text}`: this option is not known, what it starts is not read")
                return
            if flags[4]:
                return
            where = _isolated(where, flags[1])
            if flags[2] and not flags[3]:
                at += 1
            if flags[2] in {"c", "m"}:
                self.code_or_module(flags[2], flags[3] or words[at - 1 : at], words[at:], where)
                return
        self.python_file(words[at:], where, stdin)

    def python_file(self, words: Sequence[_Word], where: _Where, stdin: _Word | None) -> None:
        """Read the script, or standard input."""
        if words and self.literal(words[0], where) != "-":
            self.path("script", words[0], where, "python")
        elif stdin is not None:
            self.path("file", stdin, where, "python <")
        else:
            self.unread("`python` reads its code from standard input")

    def code_or_module(self, flag: str, what: str | Sequence[_Word], rest: Sequence[_Word], where: _Where) -> None:
        """Read what follows ``-c`` or ``-m``: text, or the word (if any) that holds it."""
        text = what if isinstance(what, str) else "".join(self.text(word, where) for word in what)
        if "\0" in text or (flag == "m" and "{{" in text):
            source = "".join(word.source for word in what if isinstance(word, _Word))
            self.unread(f"`python -{flag} {_short(source)}`: only the shell knows what this runs")
        elif flag == "c":
            self.add("code", text, where, cwd=True)
        else:
            self.module(text, rest, where)

    def module(self, name: str, words: Sequence[_Word], where: _Where) -> None:
        """Note a module that Python runs; if it is not of this repository, what such a module starts."""
        known: tuple[Program, ...] | None = None
        if name in _HANDLERS:
            inner = _Reader(where, self.depth + 1)
            _HANDLERS[name](inner, words, where, name)
            known = tuple(inner.found)
        elif name in _HARMLESS or (name.partition(".")[0] in sys.stdlib_module_names and name not in _OPAQUE):
            known = ()
        self.add("module", name, where, cwd=True, otherwise=known)

    def prefixed(self, words: Sequence[_Word], where: _Where, name: str) -> None:
        """Read the program that a prefix starts."""
        if name == "command" and words and words[0].source in {"-v", "-V"}:
            return
        flags, valued, skipped = _PREFIXES[name]
        read = self.options(words, where, flags, valued)
        if read is None:
            self.unread(f"`{name} {_short(words[0].source)}`: these options are not known, what they start is not read")
        else:
            self.start(read[1][skipped:], where)

    def env(self, words: Sequence[_Word], where: _Where, name: str) -> None:
        """Read `env`, which also splits one text into words (`-S`)."""
        read = self.options(words, where, *_ENV)
        if read is None:
            self.unread(f"`{name} {_short(words[0].source)}`: these options are not known, what they start is not read")
            return
        got, rest = read
        for option, value in got:
            if option in {"-i", "--ignore-environment"} or (option in {"-u", "--unset"} and value == "PYTHONPATH"):
                where = replace(where, python_path="")
            elif option in {"-C", "--chdir"}:
                where = self.moved(where, value, f"{name} {option}")
            elif option in {"-S", "--split-string"}:
                if value is None:
                    self.unread(f"`{name} {option}`: only the shell knows what this runs")
                    return
                rest = [*_words(value), *rest]
        at = 0
        while at < len(rest) and _ASSIGNMENT.match(self.text(rest[at], where)):
            where = self.assigned(rest[at], where)
            at += 1
        self.start(rest[at:], where)

    def moved(self, where: _Where, folder: str | None, option: str) -> _Where:
        """Return the state with another folder."""
        if folder is None:
            self.unread(f"`{option}`: only the shell knows this folder; what is started there is not read")
            return replace(where, folder=None)
        return replace(where, folder=where.join(folder))

    def runner(self, words: Sequence[_Word], where: _Where, name: str) -> None:
        """Read what `uv run` and its like start; their other subcommands start nothing of the repository."""
        before = self.options(words, where, *_RUNNERS[name])
        if before is not None and (not before[1] or self.literal(before[1][0], where) != "run"):
            return
        after = self.options(before[1][1:], where, *_RUNNERS[name]) if before else None
        if before is None or after is None:
            self.unread(f"`{name} {_short(words[0].source)}`: these options are not known, what they start is not read")
            return
        rest = after[1]
        for option, value in (*before[0], *after[0]):
            if option in {"--directory", "--cwd", "-C"}:
                where = self.moved(where, value, f"{name} {option}")
            elif option == "--env-file":
                self.unread(f"`{name} --env-file`: the variables of that file are not read")
            elif option in {"-m", "--module"}:
                self.code_or_module("m", "\0" if value is None else value, rest, where)
                return
        if name == "uv" and rest and (self.literal(rest[0], where) or "").endswith(".py"):
            self.path("script", rest[0], where, "python")
        else:
            self.start(rest, where)

    def launcher(self, words: Sequence[_Word], where: _Where, name: str) -> None:
        """Read the script, or the module after `-m`, that stands behind a launcher's options."""
        subcommand = _LAUNCHERS[name]
        if subcommand and (not words or self.literal(words[0], where) != subcommand):
            return
        before = ""
        for at, word in enumerate(words):
            text = self.literal(word, where)
            if text in _NO_PYTHON or (text is None and not before.startswith("-")):
                break
            if before in {"-m", "--module"} and text is not None and _MODULE.fullmatch(text):
                self.module(text, words[at + 1 :], where)
                return
            if text is not None and text.endswith(".py") and not text.startswith("-"):
                self.path("script", word, where, name)
                return
            before = text or ""
        self.unread(f"`{name}`: which script it starts is not clear from its arguments")

    def pairs(self, words: Sequence[_Word], where: _Where) -> Iterator[tuple[str, str | None, _Word]]:
        """Yield each word with the option that it may be the value of."""
        before = ""
        for word in words:
            text = self.literal(word, where)
            option, equals, value = (text or "").partition("=")
            yield (option, value, word) if equals and option.startswith("--") else (before, text, word)
            before = text or ""

    def server(self, words: Sequence[_Word], where: _Where, name: str) -> None:
        """Read the applications (``module:attribute``) that a server imports, and a configuration in Python."""
        apps: list[str] = []
        for option, text, word in self.pairs(words, where):
            if option in {"--app-dir", "--chdir"}:
                where = self.moved(where, text, f"{name} {option}")
            elif option == "--pythonpath" or (option in {"-c", "--config"} and text is None):
                self.unread(f"`{name} {option} {word.source}` is not read")
            elif option in {"-c", "--config"} and text and text.endswith(".py"):
                self.add("script", where.join(text), where, cwd=True)
            elif option not in {"-b", "--bind", "--host", "--fd", "--uds"} and text and (app := _APP.fullmatch(text)):
                apps.append(app[1])
        for app_module in apps:
            self.add("import", app_module, where, cwd=True)
        if not apps:
            self.unread(f"`{name}`: which application it imports is not clear from its arguments")

    def pytest(self, words: Sequence[_Word], where: _Where, name: str) -> None:
        """Read the test files that are named; `pytest` imports more than those."""
        for word in words:
            text = (self.literal(word, where) or "").partition("::")[0]
            if text.endswith(".py"):
                self.add("script", where.join(text), where, cwd=True)
        self.unread(f"`{name}`: which other files it imports (conftest.py, plugins, collected tests) is not read")

    def opaque(self, _words: Sequence[_Word], _where: _Where, name: str) -> None:
        """Note a program that imports what it likes."""
        self.unread(f"`{name}`: which modules it imports is not read")

    def find(self, words: Sequence[_Word], _where: _Where, name: str) -> None:
        """Note what `find` starts."""
        if any(word.source.startswith(("-exec", "-ok")) for word in words):
            self.unread(f"`{name} -exec` is not read")

    def around(self, words: Sequence[_Word], where: _Where, name: str) -> None:
        """Read from the first interpreter on, where a program's own options are not known."""
        for at, word in enumerate(words):
            if _PYTHON.fullmatch(posixpath.basename(self.literal(word, where) or "")):
                self.python(words[at + 1 :], where)
                return
        self.unread(f"`{name}`: what it starts is not read")

    def shell(self, words: Sequence[_Word], where: _Where, name: str) -> None:
        """Read a shell's script, or the commands after `-c`."""
        at, commands = 0, False
        while at < len(words):
            text = self.literal(words[at], where)
            if text is None or len(text) < len("-c") or text[0] not in "-+":
                break
            at += 1
            if text == "--":
                break
            if not text.startswith("--"):
                commands = commands or "c" in text
                at += "o" in text.lower()
            elif text in {"--rcfile", "--init-file"}:
                at += 1
        if at >= len(words):
            self.unread(f"`{name}` reads its commands from standard input")
        elif not commands:
            self.path("file", words[at], where, name)
        elif (line := self.literal(words[at], where)) is None:
            self.unread(f"`{name} -c {_short(words[at].source)}`: only the shell knows what this runs")
        else:
            self.nested(line, where)

    def foreign(self, words: Sequence[_Word], where: _Where, name: str) -> None:
        """Note the file that an interpreter of another language is given."""
        for before, word in zip((None, *words), words, strict=False):
            text = self.literal(word, where)
            if text is not None and text.startswith("--file="):
                text = text.removeprefix("--file=")
            given = text is not None and text.endswith(_FOREIGN[name]) and not text.startswith("-")
            if text and given and not (before and before.source.startswith("--out")):
                self.add("file", where.join(text), where)
                return
        self.unread(f"`{name}`: what it starts is not read")


def _is_installed(text: str) -> bool:
    """Return whether this names a program that PATH or a folder of programs holds, not one of the repository."""
    return "/" not in text or text.startswith("/") or posixpath.basename(posixpath.dirname(text)) == "bin"


def _isolated(where: _Where, flags: str) -> _Where:
    """Return the state that Python's `-I`, `-E` and `-P` leave."""
    python_path = "" if "I" in flags or "E" in flags else where.python_path
    return replace(where, python_path=python_path, safe=where.safe or "I" in flags or "P" in flags)


def _short(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 60 else f"{line[:57]}…"  # noqa: PLR2004  the width of a sentence


_HANDLERS: dict[str, Callable[[_Reader, Sequence[_Word], _Where, str], None]] = {
    **dict.fromkeys(_PREFIXES, _Reader.prefixed),
    **dict.fromkeys(_RUNNERS, _Reader.runner),
    **dict.fromkeys(_LAUNCHERS, _Reader.launcher),
    **dict.fromkeys(_SERVERS, _Reader.server),
    **dict.fromkeys(_AROUND, _Reader.around),
    **dict.fromkeys(_SHELLS, _Reader.shell),
    **dict.fromkeys(_FOREIGN, _Reader.foreign),
    **dict.fromkeys(_OPAQUE, _Reader.opaque),
    **dict.fromkeys(("pytest", "py.test"), _Reader.pytest),
    **dict.fromkeys(_ASSIGNING, _Reader.declared),
    **dict.fromkeys(_REFUSED, _Reader.refused),
    **dict.fromkeys((".", "source"), _Reader.sourced),
    "cd": _Reader.change_folder,
    "env": _Reader.env,
    "find": _Reader.find,
}

from __future__ import annotations

import posixpath
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canon.checks.commands import Program, programs

SHELL_SIGNS = [
    *"ab .;&|()<>\n\\\"'$`{}[]*#=!-~/\t\r\0é",
    "$(", "${", "<<", "python ", "python -m ", "python -c ", "-c", "cd ", "env -S ", "case ", "time ", "uv run ", "bash -c ",
    "torchrun ", "uvicorn ", "sh ", ". ", "a.py", "PYTHONPATH=", "$PWD", "x.sh", "\ud800", "\ue03b",
]  # fmt: skip


def flat(cmd: str | tuple[str, ...], wdir: str = ".") -> list[tuple[str, str]]:
    return [(program.kind, program.name) for program in programs(cmd, wdir)]


@pytest.mark.parametrize(
    ("cmd", "expected"),
    [
        ("python -m pkg.mod --lr 1", [("module", "pkg.mod")]),
        ("python3.11 path.py", [("script", "path.py")]),
        ("python -u -W ignore -Xdev -OO path.py -m no", [("script", "path.py")]),
        ("python -Wignore -um pkg.mod", [("module", "pkg.mod")]),
        (".venv/bin/python -m a", [("module", "a")]),
        (".venv/bin/train", [("command", "train")]),
        ("/usr/bin/python3 a.py", [("script", "a.py")]),
        ("python --version", []),
        ("python -V", []),
        ("python -c 'import a.b' x", [("code", "import a.b")]),
        ("python -c 'print(\"$x; y\") # z'", [("code", 'print("$x; y") # z')]),
        ('python -c "print(\\"{x}\\", \\"\\$\\")"', [("code", 'print("{x}", "$")')]),
        ("./script.py", [("script", "script.py")]),
        ("./run.sh", [("file", "run.sh")]),
        ("env -u HOME A=b python x.py", [("script", "x.py")]),
        ("A=b B='c d' python x.py", [("script", "x.py")]),
        ("/usr/bin/time -o log nice -n 5 nohup python x.py", [("script", "x.py")]),
        ("nice -10 timeout -k 5 10m python x.py", [("script", "x.py")]),
        ("exec python x.py", [("script", "x.py")]),
        ("uv --quiet run --with pandas --frozen python x.py", [("script", "x.py")]),
        ("uv run train.py --lr 1", [("script", "train.py")]),
        ("uv run -m pkg.train --lr 1", [("module", "pkg.train")]),
        ("uv run train", [("command", "train")]),
        ("poetry run python -m a", [("module", "a")]),
        ("pipenv run train", [("command", "train")]),
        ("conda run -n env --no-capture-output python x.py", [("script", "x.py")]),
        ("accelerate launch --num_processes 2 train.py --config c.py", [("script", "train.py")]),
        ("torchrun --nproc_per_node $N train.py", [("script", "train.py")]),
        ("torchrun --standalone -m pkg.train x.py", [("module", "pkg.train")]),
        ("python -m torch.distributed.run --nproc_per_node 2 x.py", [("script", "x.py")]),
        ("mpirun -np 4 python -u x.py", [("script", "x.py")]),
        ("uvicorn --host 0.0.0.0 pkg.app:app --port 80", [("import", "pkg.app")]),
        ("python -m gunicorn -w 4 'app:create()'", [("import", "app")]),
        ("bash -euo pipefail run.sh", [("file", "run.sh")]),
        ("sh -c 'cd sub && python x.py'", [("script", "sub/x.py")]),
        (". ./setup.sh; python x.py", [("file", "setup.sh"), ("script", "x.py")]),
        (". .venv/bin/activate && python x.py", [("script", "x.py")]),
        ("Rscript --vanilla fit.R 3", [("file", "fit.R")]),
        ("jupyter nbconvert --execute --output out.ipynb nb.ipynb", [("file", "nb.ipynb")]),
        ("papermill -p a 1 in.ipynb out.ipynb", [("file", "in.ipynb")]),
        ("echo done # python no.py", []),
        ("echo 'python no.py' \"; python no.py\"", []),
        ("cut -d '|' -f 2 a.csv | tr ';' \"#\" > b.csv", []),
        ("test -f a && [ -d b ] || exit 1", []),
        ("if true; then python a.py; else python b.py; fi", [("script", "a.py"), ("script", "b.py")]),
        ("for i in 1 2; do python a.py $i; done", [("script", "a.py")]),
        ("python a.py --lr ${lr} 'b c'", [("script", "a.py")]),
        ("python a.py 2>&1 | tee $LOG", [("script", "a.py")]),
        ("python \\\n  a.py \\\n  --x 1", [("script", "a.py")]),
        ("python a.py\r\npython b.py\r\n", [("script", "a.py"), ("script", "b.py")]),
        ("export A B=c -p; awk '{print $1}' a > b", []),
        ("train --x", [("command", "train")]),
        ("find . -exec python {} ;", [("command", "find")]),
        ("", []),
    ],
)
def test_what_a_command_line_starts(cmd: str, expected: list[tuple[str, str]]) -> None:
    assert flat(cmd) == expected


@pytest.mark.parametrize(
    "cmd",
    [
        "python $SCRIPT",
        "python -m $MODULE",
        'python -c "import $X"',
        "$PROGRAM x.py",
        "python scripts/*.py",
        "python {a,b}.py",
        "python {{ script }}",
        "python ~/x.py",
        "python $(cat name)",
        "python a.py --date $(python n.py) --x 1",
        'python a.py "$(python n.py)"',
        "python a.py `python n.py`",
        "diff <(python a.py) b",
        "python <<EOF\nimport x\nEOF",
        "cat x.py | python -",
        "python",
        "python -m",
        "python -Z x.py",
        "python -I x.py",
        "cd $FOLDER && ls",
        "cd && python x.py",
        "cd - ; python x.py",
        "PYTHONPATH=$LIBRARIES python x.py",
        "python 'x.py",
        "bash",
        "bash run",
        'bash -c "python $X"',
        "uv sync",
        "uv run --directory lib python x.py",
        "env -S 'python x.py'",
        "torchrun --no-python ./run",
        "coverage report",
        "uvicorn $APP",
        "uvicorn --app-dir lib app:app",
        "Rscript -e 'source(x)'",
        "jupyter lab",
    ],
)
def test_what_only_a_shell_can_tell_is_listed(cmd: str) -> None:
    assert "unread" in [kind for kind, _ in flat(cmd)]


@pytest.mark.parametrize(
    "cmd", ["eval 'python x.py'", "case x in a) ls;; esac", "ls | xargs python", "pytest -q", "make"]
)
def test_a_program_that_is_not_known_is_a_command(cmd: str) -> None:
    assert "command" in [kind for kind, _ in flat(cmd)]


def test_a_cd_reaches_as_far_as_in_a_shell() -> None:
    assert [(p.name, p.folder) for p in programs("(cd a && python x.py); cd b/..//c; python x.py", "w")] == [
        ("w/a/x.py", "w/a"),
        ("w/c/x.py", "w/c"),
    ]
    assert flat(("cd a", "python x.py"), "w") == [("script", "w/x.py")]  # a shell each, as DVC does
    assert flat("cd $PWD/lib && python x.py", "a/b") == [("script", "a/b/lib/x.py")]
    assert flat("cd /elsewhere; python x.py", "w") == [("script", "/elsewhere/x.py")]
    assert flat("cd ../..; python x.py", "w") == [("script", "../x.py")]


def test_what_follows_an_unknown_folder_is_not_guessed() -> None:
    assert [kind for kind, _ in flat("cd $X; python x.py; python -m a; train")] == ["unread", "command"]


@pytest.mark.parametrize(
    ("cmd", "search"),
    [
        ("python -m a", ("w",)),
        ("python a.py", ()),
        ("PYTHONPATH=src python -m a", ("w", "w/src")),
        ("PYTHONPATH=src:$PYTHONPATH:/lib: python a.py", ("w/src", "/lib", "w")),
        ("export PYTHONPATH=$PWD/src; PYTHONPATH=lib:$PYTHONPATH python a.py", ("w/lib", "w/src")),
        ("export PYTHONPATH=src\ncd sub\npython a.py", ("w/src",)),
        ("PYTHONPATH=src ls; python a.py", ()),
        ("env 'PYTHONPATH=src' python a.py", ("w/src",)),
        ("PYTHONPATH=src:$X python a.py", ("w/src",)),
    ],
)
def test_where_python_looks(cmd: str, search: tuple[str, ...]) -> None:
    assert programs(cmd, "w")[-1].search == search


QUOTED = [
    "python 'a b.py' \"c d\"",
    'python "a\\"b.py" \'$x\' "\\$x" \\$y',
    "python a\\ b.py",
    "python 'a'\"b\"c.py",
    "python a.py;python b.py&&python c.py||python d.py\npython e.py",
    "python a.py | python b.py",
    "(cd sub; python x.py) ; python y.py",
    "cd sub && python x.py && cd .. && python y.py",
    "if true; then python a.py; fi; while false; do :; done",
    "for i in 1; do python a.py; done",
    "! python a.py",
    "{ python a.py; python b.py; }",
    "python a.py >out 2>&1 </dev/null",
    "2>err python a.py 3 | cat",
    "python a.py # don't python no.py\npython b.py",
    "python a#b.py '# c' && python d.py",
    "python \\\na.py",
    "X=1 Y='a b' python a.py",
    "python $PWD/a.py",
    "env X=1 nice -n 1 timeout 5 python -m a.b",
    "sh -c 'cd sub && python x.py'",
    "echo 'it'\\''s' \";\" '&&' \\; && python a.py",
    "python a.py &\nwait",
]
# What may run, and does not where the recorder always succeeds.
NOT_RUN = {"python a.py;python b.py&&python c.py||python d.py\npython e.py": ("d.py",)}


@pytest.fixture(scope="module")
def recorder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `python` that writes down where and with what it was started."""
    folder = tmp_path_factory.mktemp("bin")
    python = folder / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\037%s\\037%s\\036" "$PWD" "$1" "$2" >> "$CALLS"\n')
    python.chmod(0o755)
    return folder


def started_by_sh(cmd: str, folder: Path, recorder: Path) -> set[tuple[str, str]]:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "sub").mkdir(parents=True)
    calls = folder.parent / "calls"
    calls.write_bytes(b"")
    environment = {"PATH": f"{recorder}:/usr/bin:/bin", "CALLS": str(calls)}
    subprocess.run(["/bin/sh", "-c", cmd], cwd=folder, env=environment, check=False, capture_output=True, timeout=20)
    found = set()
    for call in calls.read_text().split("\036")[:-1]:
        cwd, first, second = call.split("\037")
        relative = posixpath.relpath(cwd, folder)
        found.add(
            ("module", second) if first == "-m" else ("script", posixpath.normpath(posixpath.join(relative, first)))
        )
    return {(kind, posixpath.relpath(name, folder) if name.startswith("/") else name) for kind, name in found}


@pytest.mark.parametrize("cmd", QUOTED)
def test_a_real_shell_starts_the_same(cmd: str, tmp_path: Path, recorder: Path) -> None:
    really = started_by_sh(cmd, tmp_path / "work", recorder)
    assert really
    assert set(flat(cmd)) == really | {("script", name) for name in NOT_RUN.get(cmd, ())}


WORDS = st.lists(
    st.one_of(
        st.text("ab. -=#~!é", min_size=1).map(lambda text: "'" + text + "'"),
        st.text("ab .'#;&|()<>*", min_size=1).map(lambda text: '"' + text + '"'),
        st.sampled_from(
            ["a", "b", "\\ ", "\\$", '\\"', "\\'", "\\\\", "x", "é", '"\\$"', '"\\`"', '"\\a"', "''", '"\\\\"', "\\\n"]
        ),
    ),
    min_size=1,
    max_size=5,
).map("".join)


@settings(max_examples=60, deadline=None)
@given(words=WORDS)
def test_quotes_are_read_as_a_shell_reads_them(
    words: str, tmp_path_factory: pytest.TempPathFactory, recorder: Path
) -> None:
    cmd = f"python q/{words}; python -m end"
    really = started_by_sh(cmd, tmp_path_factory.getbasetemp() / "quotes" / "work", recorder)
    assert set(flat(cmd)) == really


@settings(max_examples=200, deadline=None)
@given(
    cmd=st.lists(st.sampled_from(SHELL_SIGNS), max_size=25).map("".join),
    wdir=st.sampled_from([".", "a/b", "..", "/x", ""]),
)
def test_no_text_raises(cmd: str, wdir: str) -> None:
    assert all(isinstance(program, Program) for program in programs((cmd, f"{cmd} "), wdir))


@settings(max_examples=200, deadline=None)
@given(before=st.lists(st.sampled_from(SHELL_SIGNS), max_size=8).map("".join))
def test_a_script_is_found_or_something_is_listed(before: str) -> None:
    found = flat(f"{before}\npython x.py")
    hidden = before.count("'") % 2 or before.count('"') % 2 or before.endswith(("\\", "\\\r"))
    assert (
        ("script", "x.py") in found or {"unread", "command"} & {kind for kind, _ in found} or "cd " in before or hidden
    )


@pytest.mark.parametrize(
    "unit", ["$(", "`", '"$(', "${x:-", "(", "time ", "env ", "bash -c '", "{", "\\", "if ", "<<a\n"]
)
def test_depth_does_not_raise(unit: str) -> None:
    for count in (20, 3000):
        programs(unit * count + "python x.py", ".")

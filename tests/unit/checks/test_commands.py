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
    "$(", "${", "$((", "<<", "<<-E", "$'", '$"', "python ", "python -m ", "python -c ", "-c", "cd ", "env -S ", "case ", "esac",
    "[[ ", "time ", "uv run ", "bash -c ", "torchrun ", "uvicorn ", "a.py", "PYTHONPATH=", "$PWD", "x.py", "\ud800",
]  # fmt: skip


def flat(cmd: str | tuple[str, ...], wdir: str = ".") -> list[tuple[str, str]]:
    return [(program.kind, program.name) for program in programs(cmd, wdir)]


def unread(cmd: str) -> list[str]:
    return [program.name for program in programs(cmd, ".") if program.kind == "unread"]


@pytest.mark.parametrize(
    ("cmd", "expected"),
    [
        ("python -m pkg.mod --lr 1", [("module", "pkg.mod")]),
        ("python3.11 path.py", [("script", "path.py")]),
        ("python -u -W ignore -Xdev -OO path.py -m no", [("script", "path.py")]),
        ("python -Wignore -um pkg.mod", [("module", "pkg.mod")]),
        ("python -mpkg.mod", [("module", "pkg.mod")]),
        (".venv/bin/python -m a", [("module", "a")]),
        ("python --version", []),
        ("python -V", []),
        ("python --check-hash-based-pycs always x.py", [("script", "x.py")]),
        ("python -c 'import a.b' x", [("code", "import a.b")]),
        ('python -c "print(\\"{{x}}\\")"', [("code", 'print("{{x}}")')]),
        ("./script.py", [("started", "script.py")]),
        ("script.py", [("started", "script.py")]),
        ("env A=b python x.py", [("script", "x.py")]),
        ("/usr/bin/env -i -u HOME A=b python x.py", [("script", "x.py")]),
        ("env -S 'python -u' x.py", [("script", "x.py")]),
        ("A=b B='c d' python x.py", [("script", "x.py")]),
        ("/usr/bin/time -v -o log nice -n 5 nohup python x.py", [("script", "x.py")]),
        ("nice -10 timeout -k 5 10m stdbuf -oL python x.py", [("script", "x.py")]),
        ("exec python x.py", [("script", "x.py")]),
        ("command -v python", []),
        ("uv --quiet run --with pandas --frozen python x.py", [("script", "x.py")]),
        ("uv run train.py --lr 1", [("script", "train.py")]),
        ("uv run -m pkg.train --lr 1", [("module", "pkg.train")]),
        ("uv sync", []),
        ("poetry run python -m a", [("module", "a")]),
        ("pipenv run train", [("command", "train")]),
        ("conda run -n env --no-capture-output python x.py", [("script", "x.py")]),
        ("accelerate launch --num_processes 2 train.py --config c.py", [("script", "train.py")]),
        ("torchrun --nproc_per_node $N train.py", [("script", "train.py")]),
        ("torchrun --standalone -m pkg.train x.py", [("module", "pkg.train")]),
        ("coverage run --source=. x.py", [("script", "x.py")]),
        ("coverage report", []),
        ("uvicorn --host 0.0.0.0 pkg.app:app --port 80", [("import", "pkg.app")]),
        ("gunicorn -b unix:sock -c conf.py -w 4 'app:create()'", [("script", "conf.py"), ("import", "app")]),
        ("bash -euo pipefail run.sh", [("file", "run.sh")]),
        ("sh -c 'cd sub && python x.py'", [("script", "sub/x.py")]),
        (". ./env.sh; python x.py", [("file", "env.sh"), ("script", "x.py")]),
        ("Rscript --vanilla fit.R 3", [("file", "fit.R")]),
        ("jupyter nbconvert --execute --output out.ipynb nb.ipynb", [("file", "nb.ipynb")]),
        ("papermill -p a 1 in.ipynb out.ipynb", [("file", "in.ipynb")]),
        ("mpirun -np 4 python x.py", [("script", "x.py")]),
        ("python < x.py", [("file", "x.py")]),
        ("echo done # python no.py", []),
        ("echo 'python no.py' \"; python no.py\"", []),
        ("test -f a && [ -d b ] || exit 1", []),
        ("[[ -f a && -f b ]] && python x.py", [("script", "x.py")]),
        ("if true; then python a.py; else python b.py; fi", [("script", "a.py"), ("script", "b.py")]),
        ("for i in 1 2; do python a.py $i; done", [("script", "a.py")]),
        ("f() { python a.py; }; f", [("script", "a.py")]),
        ("python a.py --date $(date) --n `python n.py`", [("command", "date"), ("script", "n.py"), ("script", "a.py")]),
        ('python a.py "${X:-$(python n.py)}"', [("script", "n.py"), ("script", "a.py")]),
        ("python a.py $((1 + 2))", [("script", "a.py")]),
        ("python a.py --lr ${lr}", [("script", "a.py")]),
        ("python a.py 2>&1 | tee $LOG", [("script", "a.py"), ("command", "tee")]),
        ("python \\\n  a.py \\\n  --x 1", [("script", "a.py")]),
        ("python a.py\r\npython b.py\r\n", [("script", "a.py"), ("script", "b.py")]),
        ("train --x", [("command", "train")]),
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
        'python "{{ script }}.py"',
        "python -m '{{module}}'",
        "python $(cat name)",
        "eval 'python x.py'",
        "trap 'python x.py' EXIT",
        "alias p='python x.py'",
        "python <<EOF\nimport x\nEOF",
        "cat x.py | python -",
        "python",
        "python -Z x.py",
        "cd $FOLDER && ls",
        "cd && python x.py",
        "cd - ; python x.py",
        "PYTHONPATH=$LIBRARIES python x.py",
        "case x in a) python x.py;; esac",
        "[[ -f a && python x.py",
        "python 'x.py",
        "python `cat",
        "bash",
        'bash -c "python $X"',
        "bash -c 'python $1' x.py",
        "nice --unknown 5 python x.py",
        "uv run --unknown x python x.py",
        "uv run --env-file .env python x.py",
        "torchrun --no-python ./run x.py",
        "torchrun $ARGUMENTS x.py",
        "accelerate launch run",
        "uvicorn $APP",
        "pytest -q tests/test_a.py",
        "find . -name '*.py' -exec python {} ;",
        "Rscript -e 'source(x)'",
        "ls | xargs python",
        "python -m unittest a",
        "python a.py (",
        "a=(python x.py)",
    ],
)
def test_what_only_the_shell_knows_is_listed(cmd: str) -> None:
    found = programs(cmd, ".")
    nested = [inner for program in found for inner in program.otherwise or ()]
    assert any(program.kind == "unread" for program in (*found, *nested))


def test_a_cd_reaches_as_far_as_in_a_shell() -> None:
    assert [(p.name, p.folder) for p in programs("(cd a && python x.py); cd b/..//c; python x.py", "w")] == [
        ("w/a/x.py", "w/a"),
        ("w/c/x.py", "w/c"),
    ]
    assert flat(("cd a", "python x.py"), "w") == [("script", "w/x.py")]  # a shell each, as DVC does
    assert flat("cd $DVC_ROOT/lib && python x.py", "a/b") == [("script", "lib/x.py")]
    assert flat("cd /elsewhere; python x.py", "w") == [("script", "/elsewhere/x.py")]
    assert flat("cd ../..; python x.py", "w") == [("script", "../x.py")]


def test_what_follows_an_unknown_folder_is_not_guessed() -> None:
    assert [kind for kind, _ in flat("cd $X; python x.py; python -m a; train")] == ["unread", "command"]


def test_where_python_looks() -> None:
    def search(cmd: str) -> tuple[str, ...]:
        return programs(cmd, "w")[-1].search

    assert search("python -m a") == ("w",)
    assert search("python a.py") == ()
    assert search("PYTHONPATH=src python -m a") == ("w", "w/src")
    assert search("PYTHONPATH=src:$PYTHONPATH:/lib python a.py") == ("w/src", "w", "/lib")
    assert search("PYTHONPATH=src${PYTHONPATH:+:$PYTHONPATH} python a.py") == ("w/src",)
    assert search("export PYTHONPATH=$PWD/src; PYTHONPATH=lib:$PYTHONPATH python a.py") == ("w/lib", "w/src")
    assert search("export PYTHONPATH=src\ncd sub\npython a.py") == ("w/sub/src",)
    assert search("PYTHONPATH=src; PYTHONPATH+=:lib python a.py") == ("w/src", "w/lib")
    assert search("PYTHONPATH=src; unset PYTHONPATH; python a.py") == ()
    assert search("PYTHONPATH=src env -u PYTHONPATH python a.py") == ()
    assert search("env 'PYTHONPATH=src' python a.py") == ("w/src",)
    assert search("PYTHONPATH=src python -E a.py") == ()
    assert search("PYTHONPATH=src:$X python a.py") == ("w/src",)
    assert search("python -P -m a") == ()
    assert search("PYTHONPATH=src python -I -m a") == ()
    assert search("PYTHONSAFEPATH=1 python -m a") == ()
    assert not programs("python -I a.py", "w")[0].own_folder
    assert search("uvicorn --app-dir web a:app") == ("w/web",)


def test_a_module_of_elsewhere_says_what_it_starts() -> None:
    launched = programs("python -m torch.distributed.run --nproc_per_node 2 x.py", ".")[0]
    assert launched.kind == "module"
    assert [(p.kind, p.name) for p in launched.otherwise or ()] == [("script", "x.py")]
    assert programs("python -m json.tool x.json", ".")[0].otherwise == ()
    assert programs("python -m unknown.module", ".")[0].otherwise is None
    assert programs("cp a b", ".")[0].otherwise == ()
    assert programs("kedro run", ".")[0].otherwise is None
    assert programs(".venv/bin/train", ".")[0].otherwise == (Program("command", "train"),)


def test_a_here_document_does_not_hide_what_follows() -> None:
    cmd = "cat > a <<'EOF' && python a.py\npython no.py '\nEOF\npython b.py\ncat <<-X\n\tpython no.py\n\tX\npython c.py"
    assert [name for kind, name in flat(cmd) if kind == "script"] == ["a.py", "b.py", "c.py"]
    assert unread(cmd)


QUOTED = [
    "python a.py",
    "python 'a b.py' \"c d\"",
    'python "a\\"b.py" \'$x\' "\\$x" \\$y',
    "python a\\ b.py",
    "python 'a'\"b\"c.py",
    "python a.py;python b.py&&python c.py||python d.py\npython e.py",
    "false || python b.py; true && python c.py",
    "python a.py | python b.py",
    "(cd sub; python x.py) ; python y.py",
    "cd sub && python x.py && cd .. && python y.py",
    "if true; then python a.py; fi; while false; do :; done",
    "for i in 1; do python a.py; done",
    "f() { python a.py; }\nf",
    "f() { python a.py; }\ng",
    "! python a.py",
    "{ python a.py; python b.py; }",
    "python a.py >out 2>&1 </dev/null",
    ">out python a.py",
    "2>err python a.py 3",
    "python a.py # python no.py",
    "python a#b.py",
    "python \\\na.py",
    "python a.py `python b.py` $(python c.py)",
    'echo "$(python c.py "$(python d.py)")"',
    'echo "x $(python "a)b.py") y"',
    "echo ${X:-$(python e.py)}",
    "echo $((1 + 2)) && python a.py",
    "X=1 Y='a b' python a.py",
    "python $PWD/a.py",
    "python -m a.b",
    "env X=1 nice -n 1 python a.py",
    "timeout 5 python a.py",
    "sh -c 'cd sub && python x.py'",
    "sh -c \"python 'a b.py'\"",
    "cat <<EOF\npython no.py\nEOF\npython a.py",
    "cat <<'A' <<B\npython no.py\nA\npython no.py\nB\npython a.py",
    "printf x | xargs -n1 python a.py",
    "env -S 'python -m' a",
    "test -n '' && python a.py || python b.py",
    "echo 'it'\\''s' && python a.py",
    "python a.py &\nwait",
]
# What may run, and does not where the recorder always succeeds.
NOT_RUN = {
    "python a.py;python b.py&&python c.py||python d.py\npython e.py": ("d.py",),
    "test -n '' && python a.py || python b.py": ("a.py",),
    "f() { python a.py; }\ng": ("a.py",),
}


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
def test_a_real_shell_starts_nothing_else(cmd: str, tmp_path: Path, recorder: Path) -> None:
    really = started_by_sh(cmd, tmp_path / "work", recorder)
    read = {(kind, name) for kind, name in flat(cmd) if kind in {"script", "module"}}
    assert read == really | {("script", name) for name in NOT_RUN.get(cmd, ())}


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
    assert {(kind, name) for kind, name in flat(cmd) if kind != "unread"} == really


@settings(max_examples=300, deadline=None)
@given(
    cmd=st.lists(st.sampled_from(SHELL_SIGNS), max_size=25).map("".join),
    wdir=st.sampled_from([".", "a/b", "..", "/x", ""]),
)
def test_no_text_raises(cmd: str, wdir: str) -> None:
    assert all(isinstance(program, Program) for program in programs((cmd, f"{cmd} "), wdir))


@pytest.mark.parametrize("unit", ["$(", "`", '"$(', "${x:-", "$((", "(", "time ", "env ", "[[ ", "bash -c '", "{", "\\", "if ", "<<a\n", "python -m uvicorn "])  # fmt: skip
def test_depth_does_not_raise(unit: str) -> None:
    for count in (20, 3000):
        programs(unit * count + "python x.py", ".")
        programs(unit * count + "python x.py" + {"$(": ")", "${x:-": "}", "$((": "))"}.get(unit, "") * count, ".")


def test_too_deep_is_said() -> None:
    assert unread("$(" * 20 + "python x.py" + ")" * 20)
    assert unread("time " * 3000 + "python x.py")
    assert unread("echo " + "${x:-" * 20 + "$(python x.py)" + "}" * 20)

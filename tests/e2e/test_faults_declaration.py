"""Declarations that are wrong: one message with place and remedy, exit code 1, and nothing written."""

from __future__ import annotations

import json
from pathlib import Path

from tests.e2e.faults import assert_said, canon, declare, unchanged, write

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{above}'] * 10)}]\n" for above, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE: dict[str, tuple[str | bytes, str]] = {
    "anchors": (
        LAUGHS,
        ":1: its aliases expand to more than 1,000,000 values, or hold themselves\n    remedy: write out",
    ),
    "big": ("name: big\ndescription: '" + "x" * 10_000_000 + "'\n", ": has 10,000,026 characters; at most"),
    "binary": ("name: binary\n\0\n", ":2: is not YAML: unacceptable character #x0000"),
    "chain": (
        "a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(500)),
        ":1: nests more than 100 lists and mappings in one another",
    ),
    "deep": ("name: deep\nmeta: " + "[" * 10_000 + "]" * 10_000 + "\n", ":2: nests more than 100 lists"),
    "deeper": ("{a: " * 1_000_000, ":1: nests more than 100 lists"),
    "double": (
        "name: double\nstages:\n  a: {cmd: x}\n  a: {cmd: y}\n",
        ":4: a: key 'a' stands twice in one mapping, first in line 3\n    remedy: remove one of the two",
    ),
    "empty": ("\n", ":1: is no mapping\n    remedy: begin with `name:` and `stages:`"),
    "latin": (b"name: latin\n# caf\xe9\n", ":2: is not UTF-8 text (byte 17)\n    remedy: save it as UTF-8"),
    "list": ("- a\n- b\n", ":1: is no mapping"),
    "myself": ("name: myself\nstages: &s {a: *s}\n", ":1: its aliases expand"),
    "number": (f"name: number\nmeta: {'9' * 5000}\n", ":2: is not YAML: found a value that cannot be read"),
    "spelled": ("name: spelled\nmeta: {1: a, 0x1: b}\n", ":2: 0x1: key '0x1' stands twice"),
    "tabs": ("name: tabs\nstages:\n\ta: {cmd: x}\n", ":3: is not YAML: while scanning"),
    "tag": ("name: tag\nmeta: !!set {a}\n", ":2: is not YAML: could not determine a constructor for the tag"),
    "python": (
        "name: !!python/object/apply:os.system [touch hacked]\n",
        ":1: is not YAML: could not determine a constructor for the tag",
    ),
}


def test_hostile_files_are_refused_all_at_once_each_by_its_line(toy: Path) -> None:
    for name, (text, _) in HOSTILE.items():
        write(toy, f"pipelines/{name}.yaml", text)
    with unchanged(toy):
        done = canon(toy, "check", code=1)
    assert_said(
        done.stderr,
        *(f"error: pipelines/{name}.yaml{message}" for name, (_, message) in HOSTILE.items()),
        "indent by spaces: YAML takes no tabs there",
    )
    with unchanged(toy):
        assert_said(canon(toy, "render", code=1).stderr, "pipelines/deeper.yaml:1: nests", "pipelines/tabs.yaml:3")


def test_wrong_keys_and_types_of_all_files_are_said_at_once(toy: Path) -> None:
    write(
        toy,
        "pipelines/toy.yaml",
        "name: toy\nstges: {}\nstages:\n  train:\n    cmd: 3\n    dep: [a]\n    outs: {a: 1}\n    frozen: 1\n"
        "    pod: {cpus: 1, memory: 2XB}\n  each: {foreach: 3, do: {cmd: x}}\n  empty:\ntrack: 1\n",
    )
    write(toy, "pipelines/other.yaml", "name: another\nstages: []\nnme: x\n")
    expected = (
        "pipelines/toy.yaml:2: stges: unknown key `stges`\n    remedy: did you mean `stages`?",
        "pipelines/toy.yaml:5: stages.train.cmd: should be a text, not 3\n    remedy: write a text",
        "pipelines/toy.yaml:6: stages.train.dep: unknown key `dep`\n    remedy: did you mean `deps`?",
        "pipelines/toy.yaml:7: stages.train.outs: should be a list\n    remedy: write a list",
        "pipelines/toy.yaml:8: stages.train.frozen: should be a valid boolean, not 1\n    remedy: write true or false",
        "pipelines/toy.yaml:9: stages.train.pod.cpus: unknown key `cpus`\n    remedy: did you mean `cpu`?",
        "pipelines/toy.yaml:9: stages.train.pod.memory: should have another form, not '2XB'\n    remedy: write a Kubernetes quantity",
        "pipelines/toy.yaml:10: stages.each.foreach: should be a list, not 3\n    remedy: write a list",
        "pipelines/toy.yaml:11: stages.empty: should be a mapping\n    remedy: write a mapping",
        "pipelines/toy.yaml:12: track: should be a valid boolean, not 1",
        "pipelines/other.yaml:2: stages: should be a mapping\n    remedy: write a mapping",
        "pipelines/other.yaml:3: nme: unknown key `nme`\n    remedy: did you mean `name`?",
    )
    for command in ("render", "check"):
        with unchanged(toy):
            assert_said(canon(toy, command, code=1).stderr, *expected)
    problems = json.loads(canon(toy, "check", "--json", code=1).stdout)["problems"]
    assert all(problem["remedy"] and problem["line"] for problem in problems)


def test_a_graph_that_dvc_would_refuse_is_not_rendered(toy: Path) -> None:
    declare(
        toy,
        "a: {cmd: x, deps: [c], outs: [a]}\nb: {cmd: x, deps: [a], outs: [b]}\nc: {cmd: x, deps: [b], outs: [c]}\n"
        "d: {cmd: x, outs: [o]}\ne: {cmd: x, outs: [./o]}\nf: {cmd: x, outs: [shared]}\ng: {cmd: x, outs: [d]}\nh: {cmd: x, outs: [d/e]}\n"
        "i: {foreach: [1, 2], do: {cmd: x, outs: [p]}}\nj: {cmd: x, deps: [q/r], outs: [q]}\nk: {cmd: x, params: [{s.yaml: [k]}], outs: [s.yaml]}\n"
        "l: {cmd: x, outs: [results/toy.json]}",
        head="data: {raw: {path: o, from: {local: data/source.csv}}}\n",
    )
    declare(toy, "m: {cmd: x, outs: [shared]}", head="dvc_file: other/dvc.yaml\n", name="other")
    with unchanged(toy):
        done = canon(toy, "render", code=1)
    assert_said(
        done.stderr,
        "pipelines/toy.yaml:4: stages.a: the stages form a cycle: a -> b -> c -> a\n    remedy: one of them must not read",
        "pipelines/toy.yaml:7: stages.d.outs: `o` is an out of `data-raw`, too\n    remedy: one stage writes a file",
        "pipelines/toy.yaml:8: stages.e.outs: `o` is an out of `data-raw`, too",
        "pipelines/toy.yaml:9: stages.f.outs: `shared` is an out of `other/dvc.yaml:m`, too",
        "pipelines/toy.yaml:11: stages.h.outs: `d/e` lies in `d`, an out of `g`\n    remedy: let the stages write to folders",
        "pipelines/toy.yaml:12: stages.i.outs: `p` is an out of `i@1`, too",
        "pipelines/toy.yaml:13: stages.j.deps: `q/r` lies in `q`: a dep and an out of this stage overlap",
        "pipelines/toy.yaml:14: stages.k.deps: `s.yaml` is both a dep and an out of this stage",
        "stages.track.outs: `results/toy.json` is an out of `l`, too",
    )


def test_a_check_names_every_fault_of_the_graph(toy: Path) -> None:
    declare(
        toy,
        "a: {cmd: x, deps: [c], outs: [a, dup]}\nb: {cmd: x, deps: [a], outs: [b, dup]}\nc: {cmd: x, deps: [b], outs: [c, shared]}",
    )
    declare(toy, "m: {cmd: x, outs: [shared]}", head="dvc_file: other/dvc.yaml\n", name="other")
    declare(toy, "m: {cmd: x}", head="dvc_file: other/dvc.yaml\n", name="third")
    with unchanged(toy):
        third = canon(toy, "check", code=1).stderr
    assert_said(
        third,
        "pipelines/third.yaml:2: dvc_file: pipelines/other.yaml generates other/dvc.yaml, too\n    remedy: give one",
    )
    (toy / "pipelines/third.yaml").unlink()
    with unchanged(toy):
        done = canon(toy, "check", code=1)
    assert_said(
        done.stderr,
        "pipelines/toy.yaml:3: stages.a: the stages form a cycle: a -> b -> c -> a",
        "pipelines/toy.yaml:4: stages.b.outs: `dup` is an out of `a`, too",
        "pipelines/toy.yaml:5: stages.c.outs: `shared` is an out of `other/dvc.yaml:m`, too",
    )


def test_paths_that_leave_the_repository_or_cannot_be_written(toy: Path) -> None:
    head = (
        "dvc_file: ../dvc.yaml\ndata: {raw: {path: ../raw.csv, from: {local: data/source.csv}}}\n"
        "environment: {requirements: /etc/x}\nmetrics: [/m.json]\nvars: [../v.yaml]\nartifacts: {x: {path: ../m}}\n"
    )
    declare(
        toy,
        "a: {cmd: x, deps: [../x], outs: [../y], metrics: [a/../../m]}\nb: {cmd: x, deps: [/etc/passwd], outs: [/srv/z], params: [{../p.yaml: [a]}]}\n"
        'c: {cmd: x, wdir: .., outs: [q]}\nd: {cmd: x, outs: [".git/hooks/x", dvc.lock, ".", "a\\0b"]}\n'
        f"e: {{cmd: x, deps: [{'n' * 300}]}}\nf: {{cmd: x, wdir: sub, outs: [../fine]}}",
        head=head,
    )
    sentences = [
        *(f":{line}: {path}: `{text}` leaves the repository\n    remedy: use a path below the repository" for line, path, text in (
            (2, "dvc_file", "../dvc.yaml"), (3, "data.raw.path", "../raw.csv"), (4, "environment.requirements", "/etc/x"),
            (5, "metrics[0]", "/m.json"), (6, "vars[0]", "../v.yaml"), (7, "artifacts.x.path", "../m"),
            (9, "stages.a.deps[0]", "../x"), (9, "stages.a.outs[0]", "../y"), (9, "stages.a.metrics[0]", "a/../../m"),
            (10, "stages.b.deps[0]", "/etc/passwd"), (10, "stages.b.outs[0]", "/srv/z"), (10, "stages.b.params[0].../p.yaml", "../p.yaml"),
            (11, "stages.c.wdir", ".."),
        )),
        ":12: stages.d.outs[0]: `.git/hooks/x` belongs to Git or DVC and cannot be an out",
        ":12: stages.d.outs[1]: `dvc.lock` belongs to Git or DVC",
        ":12: stages.d.outs[2]: `.` is a folder that holds a dvc.yaml",
        ":12: stages.d.outs[3]: 'a\\x00b' holds a control character",
        ":13: stages.e.deps[0]: `nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn…` has a name of more than 255 bytes",
    ]  # fmt: skip
    for command in ("check", "render"):
        with unchanged(toy):
            done = canon(toy, command, code=1)
        assert_said(done.stderr, *(f"pipelines/toy.yaml{sentence}" for sentence in sentences))
        assert "stages.f" not in done.stderr


def test_a_template_that_leaves_the_repository_is_found_once_it_is_filled_in(toy: Path) -> None:
    declare(toy, 'a: {cmd: x, deps: ["${up}/etc/passwd"], outs: ["${up}/z"]}', head='vars: [{up: "../.."}]\n')
    with unchanged(toy):
        assert_said(
            canon(toy, "check", code=1).stderr,
            "pipelines/toy.yaml:4: stages.a.deps: `../../etc/passwd` leaves the repository",
            "pipelines/toy.yaml:4: stages.a.outs: `../../z` leaves the repository",
        )


def test_links_that_leave_the_repository_are_not_followed(toy: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (toy / "ext").symlink_to(outside)
    (toy / "round").symlink_to("round")
    declare(toy, "a: {cmd: x, deps: [ext/in, round/x], outs: [ext/out]}")
    with unchanged(toy), unchanged(outside):
        assert_said(
            canon(toy, "check", code=1).stderr,
            "pipelines/toy.yaml:3: stages.a.deps: `ext/in` leaves the repository through a link",
            "pipelines/toy.yaml:3: stages.a.deps: `round/x` leaves the repository through a link, or links go in a circle",
            "pipelines/toy.yaml:3: stages.a.outs: `ext/out` leaves the repository through a link",
            "remedy: replace the link by what it points to",
        )
    declare(toy, "a: {cmd: x, outs: [o]}", head="dvc_file: ext/dvc.yaml\n")
    with unchanged(toy), unchanged(outside):
        assert_said(
            canon(toy, "render", code=1).stderr,
            "the file 'ext/dvc.yaml' that was rendered lies outside of the repository",
            "replace the link",
        )


def test_names_that_are_one_in_the_cluster(toy: Path) -> None:
    # Both are cut at 49 characters and have one sha256 in its first ten digits.
    first, second = (f"stage-{'a' * 60}{number}" for number in (1347853, 2425521))
    declare(
        toy, f"{first}: {{cmd: x}}\n{second}: {{cmd: x}}\nfit--40gb: {{cmd: x}}\nfit: {{foreach: [gb], do: {{cmd: x}}}}"
    )
    with unchanged(toy):
        done = canon(toy, "check", code=1)
    assert_said(
        done.stderr,
        f"pipelines/toy.yaml:4: stages.{second}: and `{first}` have one name in the cluster, stage-aaa",
        "remedy: rename one",
    )
    assert done.stderr.count("one name in the cluster") == 1


def test_texts_that_argo_would_expand(toy: Path) -> None:
    write(toy, "pipelines/toy.yaml", """\
name: toy
description: 'a {{x}}'
stages:
  'a{{b}}': {cmd: 'echo {{x}}', outs: [a], desc: '{{fine}}', pod: {env: {A: '{{x}}'}, node_selector: {'{{k}}': v}}}
  f: {foreach: [1], do: {cmd: x, pod: {env: {A: '{{x}}'}}}}
serving: {artifact: x, cmd: '{{y}}'}
artifacts: {x: {path: a}}
""")  # fmt: skip
    places = ("2: description", "4: stages.a{{b}}", "4: stages.a{{b}}.pod.env.A", "4: stages.a{{b}}.pod.node_selector.{{k}}",
              "5: stages.f.do.pod.env.A", "6: serving.cmd")  # fmt: skip
    with unchanged(toy):
        done = canon(toy, "render", code=1)
    assert_said(done.stderr, *(f"pipelines/toy.yaml:{place}: `{{{{` would be expanded by Argo's" for place in places))
    assert done.stderr.count("would be expanded") == len(places)


def test_templates_that_dvc_cannot_fill_in_are_said_of_all_stages_at_once(toy: Path) -> None:
    declare(
        toy,
        'a: {matrix: {}, cmd: x}\nb: {cmd: x, plots: [{p: [{x: a}]}]}\nc: {foreach: ["x@y"], do: {cmd: x}}\nd: {foreach: hello, do: {cmd: x}}\n'
        'e: {foreach: {"${lr}": 1}, do: {cmd: x}}\nf: {foreach: "${nothing}", do: {cmd: x}}',
    )
    with unchanged(toy):
        done = canon(toy, "check", code=1)
    assert_said(
        done.stderr,
        "pipelines/toy.yaml:6: stages.d.foreach: 'hello' is no list",
        "pipelines/toy.yaml:7: stages.e.foreach: `${…}`",
    )
    declare(toy, 'a: {cmd: "echo ${nope}"}\nb: {cmd: "echo ${}"}\nc: {foreach: ["x@y"], do: {cmd: x}}\nf: {foreach: "${nothing}", do: {cmd: x}}\ng: {foreach: [1], do: {cmd: "${item}"}}\nh: {cmd: x, vars: [{n: 1}], deps: ["${n}"]}')  # fmt: skip
    declare(toy, "a: {cmd: x}", head="dvc_file: other/dvc.yaml\nvars: [missing.yaml]\n", name="other")
    with unchanged(toy):
        done = canon(toy, "render", code=1)
    assert_said(
        done.stderr,
        "pipelines/toy.yaml:3: stages.a: DVC cannot resolve it: `stages.a.cmd`: Could not find 'nope'\n    remedy: mend the template",
        "pipelines/toy.yaml:4: stages.b: DVC cannot resolve it",
        "pipelines/toy.yaml:5: stages.c: DVC cannot resolve it: an item of a stage's name holds no `@`",
        "pipelines/toy.yaml:6: stages.f: DVC cannot resolve it",
        "pipelines/toy.yaml:7: stages.g: DVC cannot resolve it: `cmd` of `g@1` becomes 1, which is no text",
        "pipelines/toy.yaml:8: stages.h: DVC cannot resolve it: `deps` of `h` becomes 1, which is no text",
        "pipelines/other.yaml:3: vars: DVC cannot resolve it: `vars`: ",
    )


def test_a_file_of_variables_that_explodes_is_not_handed_to_dvc(toy: Path) -> None:
    write(toy, "params/vars.yaml", LAUGHS)
    declare(toy, 'a: {cmd: "echo ${a[0]}"}', head="vars: [params/vars.yaml]\n")
    with unchanged(toy):
        assert_said(
            canon(toy, "render", code=1).stderr, "params/vars.yaml:1: its aliases expand to more than 1,000,000 values"
        )

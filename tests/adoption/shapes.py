"""Shapes of dvc.yaml: those of DVC's documented examples, and others that use every key of its schema between them.

Each runs in a folder of its own, beside `FILES`; commands are as short as can be.
"""

from __future__ import annotations

FILES = {
    "params.yaml": "lr: 1e-3\nname: x y\nmodel: {depth: 3, kind: tree}\nsizes: [1, 2]\nflags: {fast: true, n: 3}\nwhere: deep\ngrid: {a: {x: 1}, b: {x: 2}}\n",
    "conf/more.yaml": "extra: 5\nnested: {b: [1, 2]}\n",
    "conf/p.json": '{"a": 1, "b": {"c": 2}}\n',
    "conf/p.toml": "a = 1\n[t]\nb = 2\n",
    "conf/p.py": "A = 1\nclass Train:\n    b = 2\n",
    "data.txt": "data\n",
    "src/a.py": "print(1)\n",
    "deep/in.txt": "in\n",
    "été/ein gang.txt": "in\n",
}

DOCUMENTED = {
    "get-started": """\
stages:
  prepare:
    cmd: cat data.txt > prepared
    deps:
      - data.txt
      - src/a.py
    params:
      - lr
      - model.depth
    outs:
      - prepared
  train:
    cmd: cat prepared > model.pkl
    deps:
      - prepared
      - src/a.py
    params:
      - model
    outs:
      - model.pkl
  evaluate:
    cmd: mkdir -p eval && echo '{"a":1}' > eval/metrics.json && echo x > eval/roc.csv
    deps:
      - model.pkl
    outs:
      - eval/roc.csv
    metrics:
      - eval/metrics.json:
          cache: false
params:
  - params.yaml
metrics:
  - eval/metrics.json
plots:
  - ROC:
      template: simple
      x: fpr
      y:
        eval/roc.csv: tpr
  - eval/roc.csv:
      x: a
      y: [b, c]
      title: two
  - eval/roc.csv
""",
    "several-commands": "stages:\n  a:\n    cmd:\n      - echo 1 > a\n      - echo 2 >> a\n    outs: [a]\n",
    "multiline-command": "stages:\n  a:\n    cmd: >\n      echo a\n      b > one\n    outs: [one]\n  b:\n    cmd: |\n      echo a > two\n      echo b >> two\n    outs: [two]\n  c:\n    cmd: >-\n      echo a\n      > three\n    outs: [three]\n",
    "templating": "vars:\n  - conf/more.yaml\n  - local: 7\n    list: [a, b]\nstages:\n  a:\n    cmd: echo ${lr} ${model.depth} ${local} ${list[0]} ${extra} '${name}' > out-${local}\n    outs: ['out-${local}']\n",
    "vars-of-keys": "vars:\n  - conf/more.yaml:extra,nested\nstages:\n  a:\n    cmd: echo ${extra} ${nested.b[1]} > a\n    outs: [a]\n",
    "vars-of-a-stage": "stages:\n  a:\n    vars: [{only: 1}, conf/more.yaml]\n    cmd: echo ${only} ${extra} > a\n    outs: [a]\n",
    "unpacked-dictionary": "stages:\n  a:\n    cmd: echo ${flags} > a\n    outs: [a]\n",
    "foreach-list": "stages:\n  a:\n    foreach: [us, gb]\n    do:\n      cmd: echo ${item} > a-${item}\n      outs: ['a-${item}']\n",
    "foreach-mappings": "stages:\n  a:\n    foreach:\n      - {e: 1, b: x}\n      - {e: 2, b: y}\n    do:\n      cmd: echo ${item.e} > ${item.b}\n      outs: ['${item.b}']\n",
    "foreach-keys": "stages:\n  a:\n    foreach:\n      uk: {e: 1}\n      us: {e: 2}\n    do:\n      cmd: echo ${key} ${item.e} > ${key}\n      outs: ['${key}']\n",
    "foreach-of-params": "stages:\n  a:\n    foreach: ${grid}\n    do:\n      cmd: echo ${item.x} > ${key}\n      params: ['grid.${key}']\n      outs: ['${key}']\n",
    "matrix": "stages:\n  a:\n    matrix:\n      m: [cnn, xgb]\n      f: [1, 2.5, true]\n    cmd: echo ${item.m} ${item.f} > ${item.m}-${item.f}\n    outs: ['${item.m}-${item.f}']\n",
    "matrix-of-mappings": "stages:\n  a:\n    matrix:\n      m: [{n: 1, d: {k: v}}, {n: 2, d: {k: w}}]\n      s: ${sizes}\n    cmd: echo ${key} ${item.m.d.k} > ${item.m.n}-${item.s}\n    outs: ['${item.m.n}-${item.s}']\n",
    "params-of-other-files": "stages:\n  a:\n    cmd: echo 1 > a\n    params:\n      - lr\n      - conf/p.json:\n          - b.c\n      - conf/p.toml:\n          - a\n          - t.b\n      - conf/p.py:\n          - A\n          - Train.b\n      - conf/more.yaml:\n    outs: [a]\n",
    "artifacts": "stages:\n  a:\n    cmd: echo 1 > m\n    outs: [m]\nartifacts:\n  cv-classification:\n    path: m\n    type: model\n    desc: Detects\n    labels: [a, b]\n    meta: {framework: x, tag: [1]}\n",
    "wdir": "stages:\n  a:\n    cmd: cat in.txt > out.txt\n    wdir: deep\n    deps: [in.txt]\n    outs: [out.txt]\n    params: [../params.yaml: [lr]]\n",
}  # fmt: skip

OURS = {
    "flags-of-outs": "stages:\n  a:\n    cmd: touch a b c d e\n    deps: [data.txt]\n    outs:\n      - a:\n          cache: false\n      - b:\n          persist: true\n      - c:\n          push: false\n          desc: text\n          type: data\n          labels: [x]\n          meta: {k: [1, {z: ~}]}\n      - d: {remote: store}\n      - e: {checkpoint: false}\n",
    "flags-of-plots": "stages:\n  a:\n    cmd: touch p.csv q.csv m.json\n    plots:\n      - p.csv:\n          template: confusion\n          x: a\n          y: b\n          x_label: A\n          y_label: B\n          title: t\n          header: false\n          cache: false\n      - q.csv: {desc: d, persist: true}\n    metrics:\n      - m.json: {persist: true, type: json}\n",
    "frozen-and-always": "stages:\n  a:\n    cmd: touch a\n    frozen: true\n    outs: [a]\n    desc: 'on'\n    meta: {a: 2020-01-01, b: [1.5, no, 0o17, 1e3]}\n  b:\n    cmd: touch b\n    always_changed: true\n    outs: [b]\n",
    "templated-wdir": "stages:\n  a:\n    wdir: ${where}\n    cmd: cat in.txt > ${lr}.txt\n    deps: [in.txt]\n    outs: ['${lr}.txt']\n  b:\n    foreach: [deep]\n    do:\n      wdir: ./${item}/../${item}\n      cmd: touch ${item}.b\n      outs: ['${item}.b']\n",
    "anchors": "stages:\n  a: &base\n    cmd: touch a b\n    deps: &deps [data.txt, src/a.py]\n    outs: [a]\n  b:\n    <<: *base\n    outs: [b]\n  c:\n    cmd: touch c\n    deps: *deps\n    outs: [&name c]\n    desc: *name\n",
    "merged-wdir": "stages:\n  a: &base\n    wdir: deep\n    cmd: touch a\n    outs: [a]\n  b:\n    <<: *base\n    cmd: touch b\n    outs: [b]\n",
    "one-stage-twice": "stages:\n  a: &a\n    cmd: 'true'\n    deps: [data.txt]\n  b: *a\n",
    "comments": "# of the file\n\n# above the stages\nstages: # beside\n  # above a\n  a: # beside a\n    # above cmd\n    cmd: touch a # beside cmd\n    deps: # beside deps\n      # above the dep\n      - data.txt # beside the dep\n\n    outs: [a] # beside outs\n  # last of the stages\n# above metrics\nmetrics: [m.json] # beside metrics\n# last\n",
    "quotes": "stages:\n  'a':\n    \"cmd\": \"touch 'a b'  c\\u00e9\"\n    outs:\n    - 'a b'\n    - \"c\\u00e9\"\n    desc: \"two\\nlines\"\n",
    "flow": "{stages: {a: {cmd: touch a, wdir: deep, outs: [a]}, b: {cmd: touch b, outs: [b]}}, metrics: [deep/m.json, x.json], params: [params.yaml]}\n",
    "json": '{"stages": {"a": {"cmd": "touch a", "outs": [{"a": {"cache": true}}]}}, "plots": [{"p": {"y": {"a.csv": ["b"]}}}]}\n',
    "document-start": "%YAML 1.2\n---\n# first\nstages:\n  a:\n    cmd: touch a\n    outs: [a]\n...\n",
    "indented": "  stages:\n    a:\n      cmd: touch a\n      outs: [a]\n",
    "values-of-1.2": "vars:\n  - {w: yes, x: 010, y: 0o17, z: 1_000, n: ~, e: 1e3, t: '12:30', d: .5}\nstages:\n  a:\n    cmd: echo ${w} ${x} ${y} ${z} ${e} ${t} ${d} > a\n    outs: [a]\n",
    "odd-names": "stages:\n  a b:\n    cmd: touch one\n    outs: [one]\n  ünï/c:d;e:\n    cmd: touch two\n    outs: [two]\n  '1':\n    cmd: touch three\n    outs: [three]\n  data-x:\n    cmd: touch four\n    outs: [four]\n  track:\n    cmd: touch five\n    outs: [five]\n",
    "odd-paths": "stages:\n  a:\n    cmd: cat 'été/ein gang.txt' > 'été/aus gang.txt'\n    deps: [./été/ein gang.txt]\n    outs: ['été/aus gang.txt']\n  b:\n    cmd: mkdir -p folder && touch folder/x\n    outs: [./folder/]\n",
    "nothing-in-lists": "stages:\n  a:\n    cmd: touch a\n    deps: []\n    params: []\n    outs: [a]\n    plots: []\n    metrics: []\n    vars: []\nvars: []\nmetrics: []\nplots: []\nparams: []\nartifacts: {}\n",
    "literal-templates": "stages:\n  a:\n    cmd: echo \\${HOME} $USER > a\n    outs: [a]\n",
    "top-level-in-folders": "vars: [./conf/more.yaml]\nstages:\n  a:\n    cmd: touch a.csv m.json\n    outs: [a.csv, m.json]\nmetrics:\n  - ./m.json\n  - deep/../m2.json\n  - m-${extra}.json\nparams: [conf/p.json, ./params.yaml]\nplots:\n  - a.csv\n  - ./b.csv: {x: a}\n  - deep/:\n  - both:\n      x: {a.csv: i}\n      y: {a.csv: j, deep/b.csv: [k, l]}\n  - x.csv: {x: {a.csv: i}}\n",
    "datasets": "datasets:\n  - {name: d, type: dvc, url: 'https://example.com/x.git', path: p, rev: main}\nstages:\n  a:\n    cmd: touch a\n    outs: [a]\n",
    "windows": "# a comment\r\nstages:\r\n  a:\r\n    cmd: |\r\n      touch a\r\n      touch b\r\n    outs: # two\r\n      - a\r\n      - b\r\nparams: [params.yaml]\r\n",
    "shared-path": "stages:\n  a:\n    cmd: touch m.json # kept in Git\n    outs: [&path m.json]\nmetrics: [*path]\n",
    "templated-artifact": "stages:\n  a:\n    cmd: touch m-3\n    outs: [m-3]\nartifacts:\n  m: {path: 'm-${model.depth}', type: model}\n  above: {path: ../m}\n",
    "matrix-in-foreach": "stages:\n  a:\n    foreach: [1, 2]\n    do:\n      matrix: {a: [1, 2]}\n      cmd: touch a${item}\n      outs: ['a${item}']\n",
    "mark": "\ufeffstages:\n  a:\n    cmd: touch a\n    outs: [a]\n",
}  # fmt: skip

SHAPES = {**DOCUMENTED, **OURS}
REWRITTEN = {"shared-path"}
"""Shapes whose declaration cannot be the text itself in a folder: one anchor stands for a path of the stage and for one of the root."""

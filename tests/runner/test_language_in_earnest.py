"""The recipe language from file to results: everything it offers, run for real in one recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from hepflow import api

FILES = {
    "fit.yaml": """\
hepflow: v1
name: fit
inputs: {data: File, scale: 1.0}
steps:
  square:
    inputs: {d: inputs.data}
    command: "awk '{print $1*$1*{{ inputs.scale }}}' {{ inputs.d }} > {{ outputs.o }}"
    outputs: {o: o.txt}
outputs: {o: square.o}
""",
    "fn.py": """\
def improve(x, step):
    print("improving", x)
    return {"x": x + step, "done": x + step > 3}


def total(files):
    return sum(float(open(f).read()) for f in files)
""",
    "main.yaml": """\
hepflow: v1
name: everything
inputs:
  n: 3
  mode: {type: string, symbols: [fast, slow], default: fast}
steps:
  gen:
    scatter: {i: "{{ range(inputs.n) }}"}
    command: "echo {{ i + 1 }} > {{ outputs.x }}"
    outputs: {x: "num{{ i }}.txt"}
  fit:
    scatter: {d: gen.x}
    uses: fit.yaml
    inputs: {data: "{{ d }}", scale: 2.0}
  add:
    python: fn:total
    inputs: {files: fit.o}
    outputs: {t: {returns: true, type: float}}
  refine:
    inputs: {x: 0, step: 1}
    python: fn:improve
    outputs: [x, done]
    loop: {while: "{{ inputs.x < 4 }}", next: {x: "{{ outputs.x }}"}, collect: all}
  many:
    when: "{{ inputs.mode == 'fast' }}"
    command: "mkdir -p d/sub; for i in a b c; do echo $i > part-$i.dat; echo $i > d/sub/$i; done"
    outputs: {parts: "part-*.dat", dir: d/}
  skipped:
    when: "{{ add.t > 1000 }}"
    command: "touch {{ outputs.never }}"
    outputs: {never: never.txt}
  inline:
    inputs: {values: refine.x}
    workflow:
      steps:
        show: {command: "echo {{ inputs.values }} > {{ outputs.s }}", outputs: {s: s.txt}}
      outputs: {s: show.s}
  pairs:
    scatter: {a: [1, 2], b: [x, y, z]}
    method: nested
    command: "echo {{ a }}{{ b }} > {{ outputs.p }}"
    outputs: {p: {path: p.txt, read: text}}
  script:
    inputs: {parts: many.parts, note: "it's a \\"test\\" $HOME"}
    script:
      interpreter: python
      text: |
        import json
        parts = {{ inputs.parts }}
        json.dump({"n": len(parts), "note": {{ inputs.note }}}, open({{ outputs.j }}, "w"))
    outputs: {j: {path: r.json, read: json}}
outputs:
  t: add.t
  rounds: refine.x
  parts: many.parts
  dir: many.dir
  s: inline.s
  never: skipped.never
  pairs: pairs.p
  j: script.j
  last: "{{ refine.done[-1] }}"
""",
}


@pytest.fixture
def everything(project: Path) -> Path:
    for name, text in FILES.items():
        (project / name).write_text(text)
    return project


def run(folder: Path, **values: str) -> api.RunResult:
    workflow = api.load(folder / "main.yaml")
    inputs = api.read_inputs(workflow, values=values)
    return api.run(workflow, inputs, project=api.Project(folder))


def test_everything_the_language_offers_runs(everything: Path) -> None:
    result = run(everything)
    assert result.succeeded
    values = {
        name: value for name, value in result.outputs.items() if name not in ("dir", "s", "parts")
    }
    assert values == {
        "t": 28.0,
        "rounds": [1, 2, 3, 4],
        "never": None,
        "pairs": [["1x", "1y", "1z"], ["2x", "2y", "2z"]],
        "j": {"n": 3, "note": 'it\'s a "test" $HOME'},
        "last": True,
    }
    results = everything / "results/everything"
    assert (results / "s.txt").read_text() == "1 2 3 4\n"
    assert (results / "d/sub/b").read_text() == "b\n"
    assert [path.name for path in sorted((results / "parts").iterdir())] == [
        "part-a.dat", "part-b.dat", "part-c.dat",
    ]  # fmt: skip


def test_one_more_element_runs_just_what_it_must(everything: Path) -> None:
    run(everything)
    more = run(everything, n="4")
    assert more.outputs["t"] == 60.0
    ran = {step.path: step.succeeded for step in more.status.steps if step.succeeded}
    assert ran == {"gen": 1, "fit/square": 1, "add": 1}


def test_a_changed_function_is_noticed(everything: Path) -> None:
    run(everything)
    source = everything / "fn.py"
    source.write_text(source.read_text().replace("sum(", "100 + sum("))
    plan = api.plan(api.load(everything / "main.yaml"), {}, project=api.Project(everything))
    planned = {step.path: (step.to_run, step.reasons) for step in plan.steps if step.to_run}
    assert planned.keys() >= {"add", "refine"}
    assert "code changed" in planned["add"][1][0][0]
    assert run(everything).outputs["t"] == 128.0


def test_the_plan_knows_where_scattered_files_come_from(everything: Path) -> None:
    plan = api.plan(api.load(everything / "main.yaml"), {}, project=api.Project(everything))
    edges = {step.path: set(step.depends_on) for step in plan.steps}
    assert edges["fit/square"] == {"gen"}
    assert edges["add"] == {"fit/square"}
    assert edges["inline/show"] == {"refine"}
    assert edges["script"] == {"many"}

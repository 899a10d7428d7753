"""An exported recipe validates, and cwltool runs it with the outputs that hepflow gives."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hepflow import api

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("cwltool", reason="the judge; comes with hepflow[cwl]")
pytestmark = [pytest.mark.slow, pytest.mark.needs("node", "bash")]


# --- running both ---------------------------------------------------------------------------------


def cwltool(*arguments: str, folder: Path) -> str:
    """What cwltool prints; it must succeed, with this interpreter as its `python3`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "cwltool", "--disable-color", "--enable-ext", *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    return done.stdout


def exported(
    recipe: Path, folder: Path, inputs: Mapping[str, str], options: api.LoadOptions
) -> Path:
    """A recipe exported into a folder, which is then carried elsewhere."""
    made = folder / "package"
    workflow = api.load(recipe, options)
    api.export(workflow, "cwl", load_options=options, values=inputs, folder=made)
    return made.rename(folder / "elsewhere")


def by_cwltool(
    recipe: Path, folder: Path, inputs: Mapping[str, str], options: api.LoadOptions
) -> object:
    """The outputs of an exported recipe."""
    package = exported(recipe, folder, inputs, options)
    validated = cwltool("--validate", "workflow.cwl", folder=package)
    assert "is valid CWL" in validated
    # Without the flag cwltool takes no file whose name has a blank.
    options = ("--quiet", "--relax-path-checks", "--outdir", str(folder / "out"))
    printed = cwltool(*options, "workflow.cwl", "job.yml", folder=package)
    return content(json.loads(printed))


def by_hepflow(
    recipe: Path, folder: Path, inputs: Mapping[str, str], options: api.LoadOptions
) -> object:
    """The outputs of a recipe."""
    workflow = api.load(recipe, options)
    result = api.run(
        workflow, api.read_inputs(workflow, values=inputs), project=api.Project(folder / "project")
    )
    assert result.succeeded, result.run.message
    return content(result.outputs)


def content(value: Any) -> object:
    """A value with files as what stands in them, whoever described it."""
    if isinstance(value, api.File):
        value = {"class": "File", "path": value.location}
    if isinstance(value, api.Directory):
        value = {"class": "Directory", "path": value.location}
    if isinstance(value, Mapping):
        if value.get("class") == "File":
            return digest(Path(value["path"]))
        if value.get("class") == "Directory":
            base = Path(value["path"])
            files = sorted(path for path in base.rglob("*") if path.is_file())
            return {path.relative_to(base).as_posix(): digest(path) for path in files}
        # What a program says of its own time is another each time.
        return {key: content(item) for key, item in value.items() if not key.endswith("_s")}
    if isinstance(value, list | tuple | range):
        return [content(item) for item in value]
    return value


def digest(path: Path) -> str:
    """A short file's text, a long one's digest."""
    data = path.read_bytes()
    short = len(data) < 200 and data.isascii()
    return data.decode() if short else hashlib.sha256(data).hexdigest()


def runs_alike(recipe: Path, folder: Path, settings: Mapping[str, str] = {}, **inputs: str) -> None:
    """Holds the outputs of both against each other."""
    (folder / "project").mkdir()
    options = api.LoadOptions(settings=settings)
    expected = by_hepflow(recipe, folder, inputs, options)
    assert by_cwltool(recipe, folder, inputs, options) == expected


def written(folder: Path, text: str, **files: str) -> Path:
    """A recipe and files beside it."""
    home = folder / "home"
    home.mkdir()
    for name, body in files.items():
        path = home / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body, encoding="utf-8")
    recipe = home / "recipe.yaml"
    recipe.write_text(text, encoding="utf-8")
    return recipe


# --- recipes that come with hepflow ---------------------------------------------------------------


def test_the_starter(tmp_path: Path) -> None:
    recipe = tmp_path / "starter.yaml"
    api.starter(recipe)
    runs_alike(recipe, tmp_path, throws="2000", players="3")


HASTY = {
    "steps.train.command": "python -m hepflow_lfi train two_moons {{ inputs.samples }}"
    " --out {{ outputs.posterior }} --epochs 2",
    "steps.judge.command": "python -m hepflow_lfi judge {{ inputs.posterior }}"
    " {{ inputs.observation }} --metrics {{ outputs.metrics }} --plot {{ outputs.figure }}"
    " --samples 200",
}
"""Commands that do not take their time over it."""


@pytest.mark.long
def test_the_main_job(tmp_path: Path) -> None:
    recipe = ROOT / "recipes/lfi/two_moons.yaml"
    runs_alike(recipe, tmp_path, HASTY, simulations="400", shards="2")


# --- every part of the language -------------------------------------------------------------------

CASES: dict[str, str] = {}

CASES["a command fills in values of every kind, quoted for where they stand"] = """
hepflow: v1
inputs:
  n: 3
  x: 2.0
  tiny: 1e-7
  big: 1e22
  yes: true
  name: it's "$HOME" `id` \\\\ ü
  list: [a b, c'd, ""]
  floats: {type: "float[]", default: [1, 2.5]}
  mode: {enum: [fast, slow], default: slow}
  absent: {type: string, optional: true}
  data: {type: File, default: in put.txt}
steps:
  show:
    command: |
      {
      printf '%s|' bare {{ inputs.n }} {{ inputs.x }} {{ inputs.tiny }} {{ inputs.big }} {{ inputs.yes }}
      printf '%s|' {{ inputs.name }} "in: {{ inputs.name }}" 'in: {{ inputs.name }}' $'in: {{ inputs.name }}'
      printf '%s|' {{ inputs.list }} {{ inputs.floats }} {{ inputs.mode }} {{ inputs.absent }} "{{ inputs.absent }}"
      printf '%s|' {{ inputs.list | json }} {{ inputs.floats | json }} {{ {'a': inputs.x, 'b': [1, none]} | json }}
      printf '%s|' {{ inputs.name | upper }} {{ '%05.1f' % inputs.x }} {{ inputs.n ~ '-' ~ inputs.x }}
      cat {{ inputs.data }}; echo {{ inputs.data | basename }} {{ inputs.data.stem }} {{ inputs.data | suffix }}
      {% for item in inputs.list %}
      echo {{ loop.index }} {{ item }}{% if not loop.last %} more{% endif +%}
      {% endfor %}
      wc -l < {{ inputs.list | listing }}
      {% set twice = inputs.n * 2 %}
      echo {{ twice }} $(echo "$((1 + {{ twice }}))") ${HOME:+set} {{ 'a b' | raw }}
      } > {{ outputs.all }}
    outputs: {all: all.txt}
outputs: {all: show.all}
"""

CASES["a program gets its arguments as they are"] = """
hepflow: v1
inputs: {list: [a b, "", c], n: 2, x: 1.5, data: {type: File, default: in put.txt}}
steps:
  show:
    command:
      - bash
      - -c
      - printf "%s|" "$@" > args.txt; cat "$file" >> args.txt
      - $(x)
      - --n={{ inputs.n }}
      - "{{ inputs.list }}"
      - "{{ [] }}"
      - a{{ inputs.list }}b
      - "{{ inputs.x }}"
      - ${y}
    env: {file: "{{ inputs.data }}"}
    outputs: {args: args.txt}
  idle: {command: ["true"]}
outputs: {args: show.args}
"""

CASES["a script is written for its interpreter"] = """
hepflow: v1
inputs: {weights: [0.5, 2.0], title: "it's\\tü", flag: false, n: 4, absent: {type: int, optional: true}}
steps:
  bash:
    script: |
      for weight in {{ inputs.weights }}; do echo "$weight $(echo {{ inputs.n }})" >> {{ outputs.list }}; done
    outputs: {list: list.txt}
  python:
    script: |
      #!/usr/bin/env python3
      import json
      with open({{ outputs.sum }}, "w") as stream:
          json.dump([sum({{ inputs.weights }}), {{ inputs.title }}, {{ inputs.flag }}, {{ inputs.absent }}], stream)
    outputs: {sum: sum.json}
  other:
    script:
      interpreter: python3 -S
      file: my.txt
      text: |
        import json; open("o.txt", "w").write(json.dumps({{ {'w': inputs.weights} }}, indent={{ inputs.n }}))
    outputs: {o: o.txt}
outputs: {list: bash.list, sum: python.sum, o: other.o}
"""

CASES["outputs are files, globs, directories and what stands in them"] = """
hepflow: v1
steps:
  make:
    scatter: {i: [1, 2]}
    command: |
      echo '{"n": {{ i }}, "x": [1.5, null]}' > {{ outputs.file }}
      mkdir plots-{{ i }} empty; touch plots-{{ i }}/b.png; echo 1 > plots-{{ i }}/a.png
      for l in b a C _; do echo $l > part-$l.log; done; mkdir part-dir.log
      printf 'done\\n\\n' > note.txt; echo 2.0 > x.txt; echo 3 > 'odd[*].txt'
    outputs:
      file: "result-{{ i }}.json"
      plots: {directory: "plots-{{ i }}"}
      logs: "*.log"
      nil: {path: "*.nothing", optional: true}
      data: {path: "result-{{ i }}.json", read: json}
      x: {path: x.txt, read: json, type: float}
      note: {path: note.txt, read: text}
      extra: {path: extra.txt, optional: true}
      extra_text: {path: extra.txt, optional: true, read: text}
      odd: "{{ 'odd[*]' }}.txt"
  use:
    inputs: {x: make.x, note: make.note, logs: make.logs}
    command: "cat {{ inputs.logs }} > o.txt; echo {{ inputs.x }} {{ inputs.note }} >> o.txt"
    outputs: {o: o.txt}
outputs:
  file: make.file
  plots: make.plots
  logs: make.logs
  nil: make.nil
  data: make.data
  x: make.x
  note: make.note
  extra: make.extra
  extra_text: make.extra_text
  odd: make.odd
  used: use.o
"""

CASES["python functions take and return values and files"] = """
hepflow: v1
inputs: {numbers: [1, 2, 3], x: 2.0, name: ü, data: {type: File, default: in put.txt}, any: {default: null}}
steps:
  mean: {python: "statistics:fmean", inputs: {data: inputs.numbers}, outputs: {value: {type: float}}}
  spread: {python: "statistics:stdev", inputs: {data: inputs.numbers}}
  kinds:
    scatter: {seed: "{{ range(2) }}"}
    python: "local.tools:kinds"
    inputs: {a: inputs.x, b: "{{ inputs.x * 3 }}", c: "{{ inputs.numbers }}", d: inputs.data, e: mean.value, f: inputs.any}
    outputs: {text: {path: "kinds-{{ seed }}.txt"}, logs: "*.log", size: {path: size.json, read: json, type: int},
              r: {returns: true}, order: {returns: true}}
  pass:
    scatter: [r, o]
    inputs: {r: kinds.r, o: kinds.order}
    python: "single:again"
    outputs: [one, two]
outputs: {mean: mean.value, spread: spread.result, text: kinds.text, logs: kinds.logs, size: kinds.size,
          r: kinds.r, one: pass.one, two: pass.two}
"""

TOOLS = """
import json
import os
from pathlib import Path
from local.deeper import twice

def kinds(a, b, c, d, e, f, text, seed, size=None, nothing=None):
    Path(text).write_text(repr([a, b, c, os.path.basename(d), Path(d).read_text(), e, f, seed, nothing]))
    Path("x.log").write_text("x")
    Path("w.log").write_text("w")
    Path("size.json").write_text(json.dumps(twice(seed)))
    return {"r": {"z": 1.0, "a": [1, 2.0, None, "t"]}, "order": (True, Path("p"))}
"""
SINGLE = """
def again(r, o):
    return {"one": repr(r), "two": {"o": o, "r": r}}
"""

CASES["steps are scattered, skipped and gathered"] = """
hepflow: v1
inputs: {n: 3, masses: [120, 125], widths: [1.0, 2.5, 3.0], x: File?}
steps:
  draw:
    scatter: {seed: "{{ range(inputs.n) }}"}
    command: "echo {{ seed }} > {{ outputs.x }}"
    outputs: {x: x.txt, v: {path: x.txt, read: json, type: int}}
  odd:
    scatter: [v]
    inputs: {v: draw.v, w: "{{ inputs.n + 1 }}"}
    when: "{{ inputs.v % 2 == 1 and inputs.w > 3 }}"
    command: "echo {{ inputs.v }} {{ inputs.w }} > o.txt"
    outputs: {o: o.txt}
  flat:
    scatter: {mass: inputs.masses, width: inputs.widths}
    method: flat
    inputs: {both: "{{ mass * width }}", name: "m{{ mass }}-{{ width }}"}
    command: "echo {{ mass }} {{ width }} {{ inputs.both }} {{ inputs.name }} > {{ outputs.f }}"
    outputs: {f: "f-{{ mass }}.txt"}
  nested:
    scatter: {mass: inputs.masses, file: draw.x}
    method: nested
    command: "cat {{ file }} > f.txt; echo {{ mass }} >> f.txt"
    outputs: {f: f.txt}
  nowhere:
    scatter: {i: "{{ [] }}", j: []}
    method: nested
    command: "touch y"
    outputs: {y: y}
  dot:
    scatter: {mass: inputs.masses, file: "{{ draw.x[1:] }}"}
    command: "cat {{ file }} > f.txt; echo {{ mass }} {{ file.basename }} >> f.txt"
    outputs: {f: f.txt}
  never:
    when: "{{ inputs.n > 100 }}"
    command: "echo > z.txt"
    outputs: {z: z.txt, v: {path: z.txt, read: json, type: int}}
  single: {command: "echo {{ nested.f[1][2].basename }} > s.txt", outputs: {s: s.txt}}
  gather:
    inputs:
      all: [draw.x, dot.f]
      one: {from: [never.z, single.s], pick: the_only_non_null}
      flat: {from: [draw.v, inputs.masses], merge: flattened}
      first: {from: [never.v, inputs.n], pick: first_non_null}
      some: {from: [never.v, inputs.n], pick: all_non_null}
      safe: {from: never.v, default: 7}
      alone: [inputs.n]
    command: |
      cat {{ inputs.all[0] }} {{ inputs.all[1] }} {{ inputs.one }} > g.txt
      echo {{ inputs.flat }} {{ inputs.first }} {{ inputs.some | json }} {{ inputs.safe }} {{ inputs.alone | json }} >> g.txt
    outputs: {g: g.txt}
outputs:
  draw: draw.v
  odd: odd.o
  flat: flat.f
  nested: nested.f
  nowhere: nowhere.y
  dot: dot.f
  never: never.z
  g: gather.g
  both: [never.v, gather.g]
  scaled: "{{ draw.v[2] * inputs.n + len(flat.f) }}"
  picked: {from: [never.v, inputs.n], pick: first_non_null}
  safe: {from: never.v, default: 8}
  input: inputs.masses
"""

CASES["recipes use recipes, and workflows stand in place"] = """
hepflow: v1
inputs: {events: 5, masses: [120, 125]}
steps:
  fits:
    scatter: {mass: inputs.masses}
    uses: fit.yaml
    inputs: {events: 1000}
  one: {uses: fit.yaml, inputs: {mass: 1.5}}
  each:
    scatter: {seed: [1, 2, 3]}
    inputs: {events: inputs.events, sum: "{{ seed + inputs.events }}"}
    when: "{{ seed != 2 }}"
    workflow:
      steps:
        draw:
          command: "seq {{ inputs.seed }} {{ inputs.events }} > {{ outputs.sample }}"
          outputs: {sample: sample.txt}
        count:
          scatter: {k: "{{ range(inputs.seed) }}"}
          command: "echo $(wc -l < {{ draw.sample }}) {{ k }} {{ inputs.sum }} > {{ outputs.n }}"
          outputs: {n: n.txt}
      outputs: {n: count.n, total: "{{ inputs.sum * 2 }}"}
outputs: {fits: fits.fit, one: one.fit, n: each.n, total: each.total}
"""

FIT = """
hepflow: v1
inputs: {mass: float, events: 100, note: {type: string, optional: true}}
steps:
  run: {command: "echo {{ inputs.mass }} {{ inputs.events }} {{ inputs.note }} > {{ outputs.fit }}", outputs: {fit: fit.txt}}
outputs: {fit: run.fit}
"""

CASES["loops go round until they are done"] = """
hepflow: v1
inputs: {start: 1.0, least: [0.3, 0.1, 5.0]}
steps:
  refine:
    inputs: {x: inputs.start, count: 0}
    command: "echo {{ inputs.x }} {{ inputs.count }} > t.txt; awk 'BEGIN { print {{ inputs.x }} / 2 }' > {{ outputs.y }}"
    outputs: {y: {path: y.txt, read: json, type: float}, t: t.txt}
    loop:
      while: "{{ inputs.x > 0.2 }}"
      next: {x: "{{ outputs.y }}", count: "{{ inputs.count + 1 }}"}
  all:
    scatter: {least: inputs.least}
    inputs: {x: "{{ inputs.start * 2 }}"}
    when: "{{ least > 0.2 }}"
    command: "awk 'BEGIN { print {{ inputs.x }} / 2 }' > {{ outputs.y }}"
    outputs: {y: {path: y.txt, read: json, type: float}}
    loop: {while: "{{ inputs.x > least }}", next: {x: "{{ outputs.y }}"}, collect: all, limit: 9}
  never:
    inputs: {x: inputs.start}
    command: "echo 1 > y"
    outputs: {y: y}
    loop: {while: "{{ inputs.x > 3 }}", next: {x: "{{ inputs.x }}"}}
outputs: {y: refine.y, t: refine.t, all: all.y, never: never.y}
"""

CASES["what surrounds a command: resources, environment, policies"] = """
hepflow: v1
inputs: {events: 100, level: 3.0}
defaults: {retries: 1, env: {NAME: "it's {{ inputs.level }}", FLAG: true}}
steps:
  run:
    command: |
      echo {{ resources.cpus }} {{ resources.memory_mib }} {{ resources.walltime_s }} {{ resources.disk_mib }} > r.txt
      echo "$NAME $FLAG $PLAIN $HEPFLOW_CPUS" >> r.txt
    resources: {cpus: 1, memory: "{{ 50 + inputs.events }} MB", walltime: 10 min, disk: 1 GiB}
    env: {PLAIN: $(x)}
    outputs: {r: r.txt}
    retries: {times: 3, delay: 1 s, memory_factor: 2}
    cache: false
    limit: 2
  half: {command: "echo {{ resources.cpus }} $HEPFLOW_CPUS $OMP_NUM_THREADS > c", resources: {cpus: 0.5, walltime: "{{ inputs.events }}"}, outputs: {c: c}}
  many: {command: "echo {{ resources.cpus }} $HEPFLOW_CPUS $OMP_NUM_THREADS > c", resources: {cpus: "{{ inputs.events // 50 }}"}, outputs: {c: c}}
outputs: {r: run.r, c: half.c, many: many.c}
"""

CASES["one name may stand for an input, a step and an output"] = """
hepflow: v1
inputs: {x: 3, y: [1, 2]}
steps:
  x:
    inputs: {v: inputs.x}
    command: "echo {{ inputs.v }} > {{ outputs.v }}"
    outputs: {v: v.txt}
  inputs_x:
    scatter: {v: inputs.y}
    workflow:
      steps: {v: {command: "echo {{ inputs.v }} > {{ outputs.v }}", outputs: {v: v.txt}}}
      outputs: {v: v.v}
outputs: {y: x.v, z: inputs_x.v}
"""

FILES = {
    "in put_txt": "some data\n", "local____init___py": "", "local__tools_py": TOOLS,
    "local__deeper_py": "def twice(x):\n    return 2 * x\n", "single_py": SINGLE, "fit_yaml": FIT,
}  # fmt: skip


@pytest.mark.parametrize("title", CASES)
def test_a_recipe(title: str, tmp_path: Path) -> None:
    runs_alike(written(tmp_path, CASES[title], **FILES), tmp_path)

"""The page of a run, and the record it is made from: complete, whole by itself, and without secrets."""

from __future__ import annotations

import re
import textwrap
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hepflow import api
from hepflow.model.record import figures_of, metrics_of
from hepflow.model.secrets import masked
from hepflow.model.values import File, Value

RECIPE = """\
hepflow: v1
name: fit
inputs: {events: 100, label: it's <b>bold</b>, server: "https://user:hunter22@db.example/x", broken: false}
steps:
  draw:
    command: "printf '\\\\211PNG fake' > {{ outputs.plot }}"
    outputs: {plot: plot.png}
  fit:
    scatter: {i: [1, 2]}
    command: |
      echo '{"chi2": {{ i }}.5, "ndf": 3, "name": "x"}' > {{ outputs.metrics }}
      echo token=abcdef123 >&2
      if {{ inputs.broken }}; then exit 3; fi
    outputs: {metrics: {path: m.json, read: json}}
  add:
    inputs: {found: fit.metrics}
    command: "echo 4.0 > {{ outputs.total }}"
    outputs: {total: {path: t, read: json}}
outputs:
  total: add.total
  metrics: "{{ fit.metrics[0] }}"
  plot: draw.plot
"""


class Lab:
    """A project with one recipe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = api.Project(folder)
        (folder / "fit.yaml").write_text(textwrap.dedent(RECIPE))

    def run(self, **values: object) -> api.RunResult:
        workflow = api.load(self.folder / "fit.yaml")
        given = {name: str(value) for name, value in values.items()}
        return api.run(workflow, api.read_inputs(workflow, values=given), project=self.project)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


class Seen(HTMLParser):
    """What a browser would fetch, and the text it would show."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attributes if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_has_all_of_a_run_and_needs_nothing_else(lab: Lab) -> None:
    lab.run()
    seen = Seen(api.report(lab.project))
    assert seen.addresses
    assert all(address.startswith("data:image/png;base64,") for address in seen.addresses)
    assert "script" not in seen.tags
    assert "b" not in seen.tags, "what a value holds is text, not markup"
    for words in ("fit, run 1", "succeeded", "it's <b>bold</b>", "chi2", "1.5", "total", "scatter: {i: [1, 2]}"):  # fmt: skip
        assert words in seen.text
    assert "svg" in seen.tags


def test_a_page_holds_no_secrets(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_TOKEN", "abcdef123")
    lab.run(broken="true")
    page = api.report(lab.project)
    assert "hunter22" not in page
    assert "abcdef123" not in page
    assert "https://***@db.example/x" in page


def test_a_page_tells_failures_with_what_they_printed(lab: Lab) -> None:
    lab.run(broken="true")
    text = Seen(api.report(lab.project)).text
    assert "fit[0]#1" in text
    assert "exit code 3" in text or "code 3" in text
    assert "token=***" in text


def test_a_page_does_without_a_recipe_that_is_gone(lab: Lab) -> None:
    lab.run()
    (lab.folder / "fit.yaml").unlink()
    seen = Seen(api.report(lab.project))
    assert "scatter:" not in seen.text
    assert "chi2" in seen.text


# --- the record ----------------------------------------------------------------------------------


def test_the_metrics_of_a_run_are_the_numbers_among_its_outputs(lab: Lab) -> None:
    lab.run()
    record = api.record(lab.project)
    assert record.metrics == {"total": 4.0, "chi2": 1.5, "ndf": 3}
    assert record.step_metrics == {
        "fit[0].chi2": 1.5, "fit[0].ndf": 3, "fit[1].chi2": 2.5, "fit[1].ndf": 3
    }  # fmt: skip
    assert record.inputs["events"] == 100


def test_metrics_of_what_was_reused_are_there_as_well(lab: Lab) -> None:
    lab.run()
    first = api.record(lab.project)
    lab.run()
    second = api.record(lab.project)
    assert (second.id, second.metrics, second.step_metrics) == (2, first.metrics, first.step_metrics)  # fmt: skip
    assert first.key != second.key


@pytest.mark.parametrize(
    ("outputs", "metrics"),
    [
        ({"a": 1, "b": 2.5, "c": "x", "d": True, "e": None}, {"a": 1, "b": 2.5}),
        ({"fit": {"mass": 91.2, "of": {"width": 2.5}}}, {"fit.mass": 91.2, "fit.of.width": 2.5}),
        ({"metrics": {"loss": 0.1}}, {"loss": 0.1}),
        ({"metrics": 0.1}, {"metrics": 0.1}),
        ({"losses": [0.1, 0.2]}, {"losses.0": 0.1, "losses.1": 0.2}),
        ({"data": [0.0] * 65}, {}),
    ],
)
def test_metrics_are_named_by_where_they_stand(
    outputs: dict[str, Value], metrics: dict[str, float]
) -> None:
    assert metrics_of(outputs) == metrics


def test_figures_are_the_pictures_among_outputs() -> None:
    one, two, table = File("/r/a.png"), File("/r/b.SVG"), File("/r/c.csv")
    assert figures_of({"plot": one, "many": [one, two], "table": table}) == {
        "plot": one, "many.0": one, "many.1": two
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:pw@host/db", "postgresql://***@host/db"),
        ("https://host/db", "https://host/db"),
        ("password: hunter2", "password: ***"),
        ('{"api_key": "k-1", "n": 3}', '{"api_key": "***", "n": 3}'),
        ("curl -H token=abc&x=1", "curl -H token=***&x=1"),
        ("mail me@host", "mail me@host"),
        ("max_tokens: 512, signature: dilepton", "max_tokens: 512, signature: dilepton"),
    ],
)
def test_what_is_called_a_secret_is_masked(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_the_picture_of_a_run_says_what_is_done_and_what_failed(lab: Lab) -> None:
    lab.run(broken="true")
    page = api.report(lab.project)
    assert re.search(r"✗ failed", page)
    assert "not known yet" in page, "a step that never began"

"""JavaScript in this process gives what Node.js gives, within limits, and says what went wrong."""

from __future__ import annotations

import json
import logging
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cwltool", reason="needs hepflow[cwl]")
pytest.importorskip("quickjs", reason="needs hepflow[cwl]")

from cwl_utils.errors import JavascriptException
from cwl_utils.expression import jshead

from hepflow_cwl import javascript
from hepflow_cwl.javascript import engine, split_head


def call(code: str, library: str = "", timeout_s: float = 20.0, **variables: Any) -> Any:
    """The value of an expression over ``inputs`` and ``self``."""
    text = json.dumps({"inputs": {}, "self": None, "runtime": {}, **variables})
    return engine().call(code, library, text, timeout_s)


def reason(code: str, **more: Any) -> str:
    with pytest.raises(JavascriptException) as raised:
        call(code, **more)
    return str(raised.value)


# --- values ---------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(-(2**53) + 1, 2**53 - 1)  # beyond, JavaScript has not all whole numbers
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_what_goes_in_comes_out(value: Any) -> None:
    assert call("(inputs)", inputs=value) == value


def test_numbers_are_those_of_json() -> None:
    assert repr(call("(4 / 2)")) == "2"
    assert repr(call("(0.1 + 0.2)")) == "0.30000000000000004"
    assert repr(call("(1e-5)")) == "1e-05"
    assert call("(0 / 0)") is None
    assert call("(9007199254740993)") == 9007199254740992


EXPRESSIONS = [
    "(1 + 1)",
    "{return inputs.a.map(function (x) { return x * 2; });}",
    "('é' + '😀'.length + '\\u0000'.length)",
    "(inputs.a.concat(self).join())",
    "({a: undefined, b: null, c: [undefined, function () {}]})",
    "(JSON.stringify(inputs))",
    "([1, 10, 2].sort())",
    "(Object.keys({b: 1, a: 2, 1: 3}))",
    "(new Date(0).toISOString())",
    "('a-b-c'.replace(/-/g, '+').split('+'))",
    "(/(\\d+)/.exec('ab12')[1])",
    "(parseInt('12px') + Math.max.apply(null, inputs.a))",
    "(typeof this + typeof require + typeof process)",
    "(0.1 * 3)",
    "(1e21 + 1)",
    "(-0)",
    "([1, 2, 3].indexOf(2) >= 0 ? 'yes' : 'no')",
    "(encodeURIComponent('a b&ü'))",
    "(isNaN('x'))",
    "{var x = 1; { let x = 2; } return x;}",
    "([3, 1, 2].slice().sort(function (a, b) { return b - a; }))",
    "('%' + (255).toString(16) + (0.000001234).toString() + (123.456).toFixed(1))",
]


@pytest.mark.needs("node")
def test_expressions_give_what_node_gives() -> None:
    variables = {"inputs": {"a": [3, 1, 2]}, "self": "s"}
    script = f"""
      const vm = require("vm");
      const head = "var inputs = {json.dumps(variables["inputs"]).replace('"', chr(92) + '"')};"
        + "var self = \\"s\\";";
      console.log(JSON.stringify({json.dumps(EXPRESSIONS)}.map(function (code) {{
        const body = code[0] == "{{" ? code : "{{return (" + code + ");}}";
        const text = '"use strict";' + head + "(function()" + body + ")()";
        return JSON.stringify(vm.runInNewContext(text, {{}}));
      }})));
    """
    done = subprocess.run(["node", "-e", script], capture_output=True, text=True, check=True)
    expected = [json.loads(text) for text in json.loads(done.stdout)]
    found = [call(code, **variables) for code in EXPRESSIONS]
    assert dict(zip(EXPRESSIONS, found, strict=True)) == dict(
        zip(EXPRESSIONS, expected, strict=True)
    )


# --- the library ----------------------------------------------------------------------------------


def test_a_library_begins_anew_with_every_call() -> None:
    library = "var calls = 0; function count() { calls += 1; return calls; }"
    assert [call("(count())", library) for _ in range(3)] == [1, 1, 1]


def test_a_library_may_end_in_a_comment_and_set_globals_by_this() -> None:
    library = "(function () { this.answer = 42; }).call(this); // done"
    assert call("(answer)", library) == 42


def test_strict_mode_holds() -> None:
    assert "ReferenceError" in reason("{forgotten = 1; return forgotten;}")


@pytest.mark.parametrize("library", [[], ["var a = 1;"], ["var inputs = 3;", "function f() {}"]])
def test_the_libraries_head_is_told_from_the_variables(library: list[str]) -> None:
    variables = {
        "inputs": {"text": "\nvar self = 1;\nvar inputs = 2;"},
        "self": None,
        "runtime": {"cores": 2},
    }
    found, text = split_head(jshead(library, variables))  # type: ignore[arg-type]
    assert found == "\n".join(library)
    assert json.loads(text) == variables


# --- limits and faults ----------------------------------------------------------------------------


def test_what_does_not_end_is_ended() -> None:
    assert reason("{while (true) {}}", timeout_s=0.2) == "it did not end within 0.2 seconds"
    assert call("(1)") == 1, "the next expression runs as if nothing had been"


def test_memory_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(javascript, "MEMORY_BYTES", 8 * 1024 * 1024)
    found: list[str] = []
    eat = "{var a = []; while (true) { a.push(new Array(1000).join('x') + a.length); }}"
    thread = threading.Thread(target=lambda: found.append(reason(eat)))  # a context of its own
    thread.start()
    thread.join()
    assert found == ["it took more than 8 MiB of memory"]


def test_endless_recursion_is_an_error_and_no_crash() -> None:
    assert "call stack" in reason("{function f() { return f() + 1; } return f();}")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("(nothing)", "ReferenceError: nothing is not defined"),
        ("{throw new Error('no luck');}", "Error: no luck"),
        ("{throw 'no luck';}", "no luck"),
        ("{}", "is a 'return' missing?"),
        ("(inputs.a.b)", "TypeError"),
        ("(1 +)", "SyntaxError"),
    ],
)
def test_a_fault_is_told_in_one_line(code: str, words: str) -> None:
    assert words in reason(code)
    assert "\n" not in reason(code)


def test_console_log_is_told_when_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "hepflow_cwl.javascript")
    text = json.dumps({"inputs": {"a": [1]}, "self": None, "runtime": {}})
    code = "{console.log('seen', inputs); console.error(2); return 1;}"
    assert engine().call(code, "", text, 20, tell=True) == 1
    assert caplog.messages == ['console: seen {"a":[1]}', "console: 2"]


def test_there_is_no_way_out(tmp_path: Path) -> None:
    names = ["require", "process", "std", "os", "Deno", "load", "fetch", "XMLHttpRequest"]
    assert call(f"({json.dumps(names)}.filter(function (n) {{ return n in globalThis; }}))") == []

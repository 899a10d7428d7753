"""CWL's JavaScript in this process: the QuickJS engine behind ``cwl_utils``' door for engines.

A call costs microseconds, where a Node.js process beside us costs a good half millisecond and its
start a tenth of a second. Owns contexts, limits and the wording of what goes wrong; what is an
expression, and what a parameter reference, is ``cwl_utils``'.
"""

from __future__ import annotations

import json
import logging
import resource
import threading
from collections import OrderedDict
from typing import Any, Final

import quickjs
from cwl_utils.errors import JavascriptException
from cwl_utils.sandboxjs import NodeJSEngine, get_js_engine, set_js_engine

MEMORY_BYTES: Final = 512 * 1024 * 1024
"""What one context may allocate; Node.js's own default is of this order."""

STACK_BYTES: Final = 4 * 1024 * 1024
"""What recursion may use of the thread's stack, and at most half of that."""

MOST_FUNCTIONS: Final = 256
"""Compiled expressions kept in one context; with a large library each is a large function."""

_log: Final = logging.getLogger(__name__)

_PRELUDE: Final = """
var console = {};
(function () {
  var printed = [];
  function print() {
    printed.push(Array.prototype.map.call(arguments, function (item) {
      return typeof item === "string" ? item : JSON.stringify(item);
    }).join(" "));
  }
  ["log", "info", "warn", "error", "debug"].forEach(function (name) { console[name] = print; });
  globalThis["@run"] = function (code, text) {
    var variables = JSON.parse(text);
    printed = [];
    return code.call(globalThis, variables.inputs, variables.self, variables.runtime);
  };
  globalThis["@printed"] = function () { return JSON.stringify(printed); };
})();
"""
"""``console`` collects; ``@run`` calls a compiled expression on variables given as JSON text."""


class _Context:
    """One QuickJS context and the expressions compiled in it. Stays in the thread it was made in."""

    def __init__(self) -> None:
        self._context = quickjs.Context()
        self._context.set_memory_limit(MEMORY_BYTES)
        soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
        stack = STACK_BYTES if soft == resource.RLIM_INFINITY else min(STACK_BYTES, soft // 2)
        self._context.set_max_stack_size(stack)
        self._context.eval(_PRELUDE)
        self._run, self._printed = self._context.get("@run"), self._context.get("@printed")
        self._functions: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def run(self, code: str, library: str, variables: str, timeout_s: float) -> str | None:
        """The JSON text an expression gives; ``None`` when it gives nothing JSON can say.

        The library runs anew in each call, inside the function: what an expression does to it is
        gone with the call. It is compiled once for each expression.
        """
        self._context.set_time_limit(timeout_s)
        key = (code, library)
        function = self._functions.get(key)
        if function is None:
            function = self._functions[key] = self._context.eval(
                f'(function (inputs, self, runtime) {{"use strict";\n{library}\n'
                f"return JSON.stringify((function () {_body(code)})());\n}})"
            )
            if len(self._functions) > MOST_FUNCTIONS:
                self._functions.popitem(last=False)
        result: str | None = self._run(function, variables)
        return result

    def printed(self) -> list[str]:
        """What the last call wrote with ``console``, a line a call of it."""
        lines: list[str] = json.loads(self._printed())
        return lines


def _body(code: str) -> str:
    """The function body an expression stands for: ``${...}`` is one, ``$(...)`` is a value."""
    return code if code.startswith("{") else f"{{return ({code}\n);}}"


class QuickJSEngine(NodeJSEngine):
    """Evaluates JavaScript in this process. Parameter references are the library's, inherited."""

    def __init__(self) -> None:
        super().__init__()
        self._local = threading.local()

    def eval(
        self,
        scan: str,
        jslib: str = "",
        timeout: float = 20.0,
        force_docker_pull: bool = False,
        debug: bool = False,
        js_console: bool = False,
        container_engine: str = "",
        **kwargs: Any,
    ) -> Any:
        """The value of an expression, as JSON carries it.

        Args:
            scan: what stands between ``$`` and the end: ``(...)`` or ``{...}``.
            jslib: the library's text, then ``var inputs = ...;`` and so on, as
                ``cwl_utils.expression.jshead`` writes them.
            timeout: seconds of computing time.
            js_console: log what it printed.

        The others are about Node.js in a container, and mean nothing here.

        Raises:
            JavascriptException: with a sentence that says what went wrong.
        """
        library, variables = split_head(jslib)
        return self.call(scan, library, variables, timeout, js_console)

    def call(
        self, code: str, library: str, variables: str, timeout_s: float, tell: bool = False
    ) -> Any:
        """The value of an expression over variables given as one JSON text.

        Args:
            variables: ``{"inputs": ..., "self": ..., "runtime": ...}``.
            tell: log what it printed.

        Raises:
            JavascriptException: with a sentence that says what went wrong.
        """
        context = getattr(self._local, "context", None)
        if context is None:
            context = self._local.context = _Context()
        try:
            text = context.run(code, library, variables, timeout_s)
        except quickjs.JSException as error:
            raise JavascriptException(self._reason(error, timeout_s)) from None
        if tell:
            for line in context.printed():
                _log.info("console: %s", line)
        if text is None:
            raise JavascriptException("it gives undefined, or a function; is a 'return' missing?")
        return json.loads(text)

    def _reason(self, error: quickjs.JSException, timeout_s: float) -> str:
        message = str(error).split("\n", 1)[0]
        if not message.startswith("InternalError"):
            return message
        self._local.context = None  # what was interrupted may be half done
        if "interrupted" in message:
            return f"it did not end within {timeout_s:g} seconds"
        if "out of memory" in message:
            return f"it took more than {MEMORY_BYTES // 2**20} MiB of memory"
        return message


def split_head(jslib: str) -> tuple[str, str]:
    """The library in front of the variables' declarations, and the variables as one JSON text.

    JSON text has no line that begins with ``var``, so the last such lines are the declarations.
    """
    rest, found = jslib, []
    for name in ("runtime", "self", "inputs"):
        mark = f"var {name} = "
        library, line, text = rest.rpartition("\n" + mark)
        if not line:
            library, text = "", rest.removeprefix(mark)
        found.append(f'"{name}": {text.removesuffix(";")}')
        rest = library
    return rest, "{" + ", ".join(found) + "}"


_ENGINE: Final = QuickJSEngine()


def engine() -> QuickJSEngine:
    """The engine of this process, which the libraries use from now on as well."""
    if get_js_engine() is not _ENGINE:
        set_js_engine(_ENGINE)
    return _ENGINE

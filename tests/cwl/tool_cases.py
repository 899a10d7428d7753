"""Small tools about binding, staging and collecting: each says in its name which rule it is about.

They are JSON documents (which is YAML), run with programs that every machine has.
"""

from __future__ import annotations

from typing import Any, NamedTuple

JS = {"class": "InlineJavascriptRequirement"}
SHELL = {"class": "ShellCommandRequirement"}
DATA = "data"
"""The folder beside the documents in which the input files stand (`FILES`)."""

FILES = {
    "a.txt": "alpha\n",
    "b.txt": "beta\n",
    "a.txt.idx": "index of a\n",
    "a.dat": "data of a\n",
    "tree/one.txt": "1\n",
    "tree/two.txt": "22\n",
    "tree/deep/three.txt": "333\n",
    "large.txt": "x" * (64 * 1024 + 1),
    "out.json": '{"n": 3, "files": [{"class": "File", "path": "left.txt"}]}',
    "with space.txt": "s\n",
}


class Case(NamedTuple):
    """A tool and its inputs; ``name`` says what it is about."""

    name: str
    tool: dict[str, Any]
    inputs: dict[str, Any]


def file(name: str, **more: Any) -> dict[str, Any]:
    return {"class": "File", "location": f"{DATA}/{name}", **more}


def directory(name: str) -> dict[str, Any]:
    return {"class": "Directory", "location": f"{DATA}/{name}"}


def tool(
    name: str, outputs: Any, inputs: Any = None, /, job: Any = None, req: Any = (), **fields: Any
) -> Case:
    """A CommandLineTool, v1.2 unless it says something else."""
    document = {
        "cwlVersion": "v1.2",
        "class": "CommandLineTool",
        "requirements": list(req),
        "inputs": inputs or {},
        "outputs": outputs,
        **fields,
    }
    return Case(name, document, job or {})


def said(name: str, inputs: Any, /, job: Any = None, req: Any = (), **fields: Any) -> Case:
    """A tool that prints its words, one a line."""
    fields = {"baseCommand": ["printf", "%s\\n"], "stdout": "words.txt", **fields}
    return tool(name, {"words": "stdout"}, inputs, job, req, **fields)


def script(name: str, text: str, outputs: Any, inputs: Any = None, /, **more: Any) -> Case:
    """A tool that runs a shell text."""
    return tool(name, outputs, inputs, baseCommand=["sh", "-c", text], **more)


def bound(kind: Any, **binding: Any) -> dict[str, Any]:
    return {"type": kind, "inputBinding": binding}


def found(kind: Any, glob: Any, /, **more: Any) -> dict[str, Any]:
    binding = {"glob": glob, **more.pop("binding", {})}
    return {"type": kind, "outputBinding": binding, **more}


def array(items: Any, **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


def record(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "record", "fields": list(fields), **more}


def workdir(*listing: Any) -> dict[str, Any]:
    return {"class": "InitialWorkDirRequirement", "listing": list(listing)}


BINDING = [
    said("words in the order of their positions",
         {"a": bound("string", position=2), "b": bound("int", position=-1), "c": bound("string")},
         {"a": "x", "b": 7, "c": "y"}, arguments=["first", {"position": 1, "valueFrom": "mid"}]),
    said("prefixes, joined or apart, and items joined",
         {"a": bound("string", prefix="-a"), "b": bound("string", prefix="--b=", separate=False),
          "c": bound(array("int"), prefix="-c", itemSeparator=",")},
         {"a": "1", "b": "2", "c": [3, 4]}),
    said("flags for true, nothing for false and null",
         {"t": bound("boolean", prefix="-t"), "f": bound("boolean", prefix="-f"),
          "n": bound("string?", prefix="-n"), "z": bound(array("string"), prefix="-z")},
         {"t": True, "f": False, "n": None, "z": []}),
    said("a prefix for each item of an array",
         {"a": bound(array("string", inputBinding={"prefix": "-i"}), prefix="-all")},
         {"a": ["x", "y"]}),
    said("arrays of arrays", {"a": bound(array(array("int", inputBinding={"prefix": "-in"}),
         inputBinding={"prefix": "-mid"}), prefix="-out")}, {"a": [[1, 2], [], [3]]}),
    said("records by their fields",
         {"r": bound(record({"name": "b", **bound("int", prefix="-b", position=2)},
                            {"name": "a", **bound("string", position=1)},
                            {"name": "c", "type": "string?"}), prefix="--r")},
         {"r": {"a": "x", "b": 5}}),
    said("unions by the type that fits",
         {"u": bound(["int", "string", array("string", inputBinding={"prefix": "-s"})]),
          "v": bound(["null", "boolean", "int"], prefix="-v")},
         {"u": ["p", "q"], "v": 4}),
    said("an enum", {"e": bound({"type": "enum", "symbols": ["on", "off"]}, prefix="-e")},
         {"e": "off"}),
    said("values of any type", {"a": bound("Any"), "b": bound("Any"), "c": bound("Any")},
         {"a": "x", "b": 3, "c": ["y", "z"]}),
    said("numbers as decimals", {"a": bound("float"), "b": bound("double"), "c": bound("long"),
         "d": bound("float")},
         {"a": 1e-05, "b": 123456789.5, "c": 9007199254740993, "d": 2.5}),
    said("a position that is computed",
         {"a": bound("string", position="$(inputs.n)"), "b": bound("string", position=1), "n": "int"},
         {"a": "late", "b": "early", "n": 5}, req=[JS]),
    said("values that are computed",
         {"a": bound("int", valueFrom="$(self + 1)"), "b": bound("string", valueFrom="fixed"),
          "c": bound("string", valueFrom="${return null;}"),
          "d": bound("int", valueFrom="${return [self, self];}", prefix="-d")},
         {"a": 1, "b": "x", "c": "y", "d": 2}, req=[JS]),
    said("arguments with expressions", {"n": "int"}, {"n": 3}, req=[JS],
         arguments=["$(inputs.n)", "n=$(inputs.n)", "${return inputs.n * 2;}",
                    {"prefix": "-p", "valueFrom": "$(runtime.cores)"}]),
    said("defaults, also for null", {"a": {"default": 4, **bound("int")},
         "b": {"default": "d", **bound("string")}}, {"b": None}),
    said("a library of expressions", {"n": "int"}, {"n": 2}, arguments=["$(twice(inputs.n))"],
         req=[{**JS, "expressionLib": ["function twice(n) { return 2 * n; }"]}]),
    said("types from elsewhere", {"p": bound("#pair")}, {"p": {"x": 1, "y": 2}},
         req=[{"class": "SchemaDefRequirement", "types": [
             {"name": "pair", **record({"name": "x", **bound("int", prefix="-x")},
                                       {"name": "y", **bound("int", prefix="-y")})}]}]),
    said("backslashes as v1.0 has them", {"s": "string"}, {"s": "v"}, cwlVersion="v1.0",
         arguments=[r"a\$(inputs.s) b\\$(inputs.s) $(inputs.s)"]),
    said("backslashes as v1.2 has them", {"s": "string"}, {"s": "v"},
         arguments=[r"a\$(inputs.s) b\\$(inputs.s) $(inputs.s)"]),
    said("a shell text, quoted where it says so", {"s": bound("string")}, {"s": "a b; c"},
         req=[SHELL], baseCommand="echo",
         arguments=[{"shellQuote": False, "valueFrom": "x && echo"}, "$HOME"]),
]  # fmt: skip

FILE = {"f": {"type": "File", "inputBinding": {}}}

LISTED = """${
  function names(l) {
    return l ? l.map(function (e) { return e.basename + names(e.listing); }).sort().join(' ') : '-';
  }
  return names(inputs.d.listing);
}"""

STAGING = [
    said("names of files, not their paths", {"f": "File"}, {"f": file("a.txt")},
         arguments=["$(inputs.f.basename)", "$(inputs.f.nameroot)", "$(inputs.f.nameext)",
                    "$(inputs.f.size)"]),
    script("a file to read", 'cat "$0"', {"o": "stdout"}, FILE, job={"f": file("a.txt")}),
    script("files in an array", 'cat "$@"', {"o": "stdout"}, {"f": bound("File[]")},
           job={"f": [file("a.txt"), file("b.txt"), file("a.txt")]}, arguments=["sh"]),
    script("secondary files beside their file", 'cat "$0" "$0.idx" "${0%.txt}.dat"',
           {"o": "stdout"}, {"f": {**bound("File"), "secondaryFiles": [".idx", "^.dat", "x?"]}},
           job={"f": file("a.txt")}),
    script("a required secondary file that is not there", 'cat "$0"', {"o": "stdout"},
           {"f": {**bound("File"), "secondaryFiles": [".none"]}}, job={"f": file("a.txt")}),
    script("a directory", 'cd "$0" && find . | sort', {"o": "stdout"}, {"d": bound("Directory")},
           job={"d": directory("tree")}),
    script("a file that is a literal", 'cat "$0"; basename "$0"', {"o": "stdout"}, FILE,
           job={"f": {"class": "File", "basename": "lit.txt", "contents": "so\n"}}),
    script("a directory that is a literal", 'ls "$0"; cat "$0"/*', {"o": "stdout"},
           {"d": bound("Directory")},
           job={"d": {"class": "Directory", "basename": "made", "listing": [
               file("b.txt"), {"class": "File", "basename": "l", "contents": "l"}]}}),
    tool("standard input", {"o": "stdout"}, {"f": "File"}, job={"f": file("b.txt")},
         baseCommand="cat", stdin="$(inputs.f.path)"),
    tool("standard input by its short form", {"o": "stdout"}, {"f": "stdin"},
         job={"f": file("b.txt")}, baseCommand="cat"),
    tool("standard input from somewhere else", {"o": "stdout"}, {}, baseCommand="cat",
         stdin="/etc/passwd"),
    script("both streams into files with names", "echo out; echo err >&2",
           {"o": "stdout", "e": "stderr"}, stdout="$(runtime.cores).out", stderr="sub/err.txt"),
    script("both streams into files without names", "echo out; echo err >&2",
           {"o": found("string", "*", binding={"outputEval": "$(self.length)"})}, req=[JS]),
    script("a stream that would leave the folder", "echo out", {"o": "stdout"}, stdout="../x"),
    script("variables", 'echo "$A $B"; test "$HOME" = "$PWD" && test -d "$TMPDIR"',
           {"o": "stdout"}, {"n": "int"}, job={"n": 4}, stdout="o",
           req=[{"class": "EnvVarRequirement", "envDef": {"A": "x", "B": "<$(inputs.n)>"}}]),
    script("texts in the folder", "cat a b", {"o": "stdout"}, {"n": "int"}, job={"n": 4}, stdout="o",
           req=[workdir({"entryname": "a", "entry": "n is $(inputs.n)\n"},
                        {"entryname": "$(\"b\")", "entry": "plain"}), JS]),
    script("values become JSON texts", "cat a b", {"o": "stdout"}, {"r": record(
           {"name": "x", "type": "int"}), "l": "int[]"}, job={"r": {"x": 1}, "l": [1, 2]}, stdout="o",
           req=[workdir({"entryname": "a", "entry": "$(inputs.r)"},
                        {"entryname": "b", "entry": "$(inputs.l)"})]),
    script("inputs in the folder, under other names", "cat new.txt sub/b.txt; ls | grep -v '^o$'",
           {"o": "stdout"}, {"f": "File", "g": "File"}, stdout="o",
           job={"f": file("a.txt"), "g": file("b.txt")},
           req=[workdir({"entryname": "new.txt", "entry": "$(inputs.f)"},
                        {"entryname": "sub/b.txt", "entry": "$(inputs.g)"})]),
    script("a copy that may be changed", "echo more >> a.txt; cat a.txt",
           {"o": "stdout", "f": found("File", "a.txt")}, {"f": "File"}, stdout="o",
           job={"f": file("a.txt")},
           req=[workdir({"entry": "$(inputs.f)", "writable": True})]),
    script("a directory that may be changed", "echo new > d/new.txt; cat d/deep/three.txt",
           {"d": found("Directory", "d")}, {"d": "Directory"}, job={"d": directory("tree")},
           req=[workdir({"entryname": "d", "entry": "$(inputs.d)", "writable": True})]),
    script("a listing that is computed", "cat *.txt", {"o": "stdout"}, {"f": "File[]"}, stdout="o",
           job={"f": [file("a.txt"), file("b.txt")]},
           req=[JS, {"class": "InitialWorkDirRequirement",
                     "listing": "${return inputs.f.concat([{class: 'Directory', basename: 'd',"
                                " listing: []}]);}"}]),
    script("an array of files in the folder", "cat a.txt b.txt", {"o": "stdout"}, {"f": "File[]"},
           job={"f": [file("a.txt"), file("b.txt")]}, stdout="o", req=[workdir("$(inputs.f)")]),
    script("an entry that would leave the folder", "true", {},
           req=[workdir({"entryname": "../x", "entry": "text"})]),
    script("two entries of one name", "true", {}, {"f": "File", "g": "File"},
           job={"f": file("a.txt"), "g": file("b.txt")},
           req=[workdir({"entryname": "x", "entry": "$(inputs.f)"},
                        {"entryname": "x", "entry": "$(inputs.g)"})]),
    script("a staged input handed on", "true", {"o": found("File", "x.txt")}, {"f": "File"},
           job={"f": file("a.txt")}, req=[workdir({"entryname": "x.txt", "entry": "$(inputs.f)"})]),
    script("contents of an input", 'echo "$0"', {"o": "stdout"},
           {"f": {"type": "File", "loadContents": True}}, job={"f": file("a.txt")},
           arguments=["$(inputs.f.contents)"]),
    script("contents that are too long", "true", {},
           {"f": {"type": "File", "loadContents": True}}, job={"f": file("large.txt")}),
    *[said(f"the listing of a directory: {how}", {"d": {"type": "Directory", "loadListing": how}},
           {"d": directory("tree")}, req=[JS], arguments=[LISTED])
      for how in ("no_listing", "shallow_listing", "deep_listing")],
    said("listings by requirement", {"d": "Directory"}, {"d": directory("tree")},
         req=[JS, {"class": "LoadListingRequirement", "loadListing": "shallow_listing"}],
         arguments=["$(inputs.d.listing.length)"]),
    said("what runtime tells", {"n": "int"}, {"n": 3}, req=[
         {"class": "ResourceRequirement", "coresMin": 0.5, "ramMin": "$(inputs.n * 100)",
          "tmpdirMin": 10.5, "outdirMax": 7}, JS],
         arguments=["$(runtime.cores)", "$(runtime.ram)", "$(runtime.tmpdirSize)",
                    "$(runtime.outdirSize)"]),
    said("what runtime tells by itself", {}, arguments=["$(runtime.cores)", "$(runtime.ram)"]),
    said("what runtime told in v1.0", {}, cwlVersion="v1.0", arguments=["$(runtime.ram)"]),
    script("a limit that is none", "echo done", {"o": "stdout"}, {"n": "int"}, job={"n": 0},
           req=[JS, {"class": "ToolTimeLimit", "timelimit": "$(inputs.n)"}]),
    script("a limit that is no number", "echo done", {}, req=[
           JS, {"class": "ToolTimeLimit", "timelimit": "$('x')"}]),
    said("a name with a space", {"f": bound("File", valueFrom="x")}, {"f": file("with space.txt")}),
    said("a file of the wrong format", {"f": {"type": "File", "format": "http://x.org/b"}},
         {"f": file("a.txt", format="http://x.org/a")}),
    said("a value of the wrong type", {"n": bound("int")}, {"n": "three"}),
    said("no words at all", {}, baseCommand=[]),
]  # fmt: skip

LEAVE = "mkdir -p d/e; echo 1 > a.txt; echo 2 > b.txt; echo 3 > d/c.txt; echo i > a.txt.idx"

COLLECTING = [
    script("one file", LEAVE, {"o": found("File", "a.txt")}),
    script("one file by a pattern", LEAVE, {"o": found("File", "a*t")}),
    script("files by a pattern", LEAVE, {"o": found("File[]", "*.txt")}),
    script("files by several patterns", LEAVE, {"o": found("File[]", ["b.*", "a.txt", "none"])}),
    script("files below", LEAVE, {"o": found("File[]", "d/*.txt"), "p": found("File", "d/c.txt")}),
    script("a pattern that is computed", LEAVE, {"o": found("File[]", "$(inputs.n + '.txt')")},
           {"n": "string"}, job={"n": "b"}, req=[JS]),
    script("patterns that are computed", LEAVE, {"o": found("File[]", "${return ['b.txt', 'a.txt'];}")},
           req=[JS]),
    script("a directory left", LEAVE, {"o": found("Directory", "d")}),
    script("files or directories", LEAVE, {"o": found(array(["File", "Directory"]), "[ad]*")}),
    script("nothing, where that is allowed", LEAVE,
           {"o": found("File?", "x"), "p": found("File[]", "x*"), "q": found(["null", array("File")], "x")}),
    script("nothing, where something must be", LEAVE, {"o": found("File", "x.txt")}),
    script("several for one", LEAVE, {"o": found("File", "*.txt")}),
    script("a directory for a file", LEAVE, {"o": found("File", "d")}),
    script("a pattern from the root", LEAVE, {"o": found("File", "/etc/passwd")}),
    script("secondary files left", LEAVE, {"o": found("File", "a.txt", secondaryFiles=[".idx", ".x?"])}),
    script("secondary files that are computed", LEAVE, {"o": found("File", "a.txt", secondaryFiles=[
           "$(self.basename).idx"])}),
    script("a secondary file that must be there", LEAVE, {"o": found("File", "b.txt", secondaryFiles=[
           {"pattern": ".idx", "required": True}])}),
    script("the contents of a file", LEAVE, {"o": found("string", "a.txt", binding={
           "loadContents": True, "outputEval": "$(self[0].contents)"})}),
    script("contents that are too long to be loaded", "head -c 70000 /dev/zero > z", {
           "o": found("string", "z", binding={"loadContents": True, "outputEval": "$(self[0].contents)"})}),
    script("a value that is computed", LEAVE, {"o": {"type": "int", "outputBinding": {
           "outputEval": "$(inputs.n * 2)"}}}, {"n": "int"}, job={"n": 21}, req=[JS]),
    script("a value of another type than declared", LEAVE, {"o": {"type": "int", "outputBinding": {
           "outputEval": "$('x')"}}}, req=[JS]),
    script("zero is a value, no null", LEAVE, {"o": {"type": "int?", "outputBinding": {
           "outputEval": "$(0)"}}}, req=[JS]),
    script("files renamed", LEAVE, {"o": found("File", "a.txt", binding={
           "outputEval": "${self[0].basename = 'z.txt'; return self;}"})}, req=[JS]),
    script("a record of outputs", LEAVE, {"o": {"type": record(
           {"name": "f", **found("File", "a.txt")}, {"name": "n", "type": "int", "outputBinding": {
               "outputEval": "$(7)"}})}}, req=[JS]),
    script("the exit code", "exit 3", {"o": {"type": "int", "outputBinding": {
           "outputEval": "$(runtime.exitCode)"}}}, req=[JS], successCodes=[3]),
    script("a success that is called failure", "exit 0", {}, permanentFailCodes=[0]),
    script("a failure", "exit 1", {}),
    script("formats left", LEAVE, {"o": found("File", "a.txt", format="http://x.org/f"),
           "p": found("File[]", "*.txt", format="$('http://x.org/' + self.nameroot)")}, req=[JS]),
    script("an input handed on", LEAVE, {"o": {"type": "File", "outputBinding": {
           "outputEval": "$(inputs.f)"}}}, {"f": "File"}, job={"f": file("a.txt")}),
    script("outputs the tool says itself", 'echo x > left.txt; cp "$0" cwl.output.json',
           {"n": "int", "files": "File[]"}, FILE, job={"f": file("out.json")}),
    script("outputs the tool says itself: an input",
           'echo "{\\"o\\": {\\"class\\": \\"File\\", \\"path\\": \\"$0\\"}}" > cwl.output.json',
           {"o": "File"}, FILE, job={"f": file("a.txt")}),
    script("outputs the tool says itself, of another type", "echo '{\"n\": 3}' > cwl.output.json",
           {"n": "string"}),
    script("a pattern that is the folder", LEAVE, {"o": found("Directory", "$(runtime.outdir)",
           binding={"outputEval": "${self[0].basename = 'all'; return self;}"})}, req=[JS]),
    script("the listing of what was left", LEAVE, {"o": found("int", "d", binding={
           "loadListing": "shallow_listing", "outputEval": "$(self[0].listing.length)"})}, req=[JS]),
]  # fmt: skip


def expression(name: str, text: str, outputs: Any, inputs: Any = None, job: Any = None) -> Case:
    document = {
        "cwlVersion": "v1.2",
        "class": "ExpressionTool",
        "requirements": [JS],
        "inputs": inputs or {},
        "outputs": outputs,
        "expression": text,
    }
    return Case(name, document, job or {})


EXPRESSIONS = [
    expression("a value of an expression", "${return {o: inputs.n + 1};}", {"o": "int"},
               {"n": "int"}, {"n": 1}),
    expression("null for anything", "${return {o: null};}", {"o": "Any"}),
    expression("a file made by an expression",
               "${return {o: {class: 'File', basename: 'x', contents: 'made'}};}", {"o": "File"}),
    expression("a directory made by an expression",
               "${return {o: {class: 'Directory', basename: 'd', listing: [inputs.f]}};}",
               {"o": "Directory"}, {"f": "File"}, {"f": file("a.txt")}),
    expression("a file handed on by an expression", "${return {o: [inputs.f]};}", {"o": "File[]"},
               {"f": "File"}, {"f": file("a.txt")}),
    expression("contents in an expression", "${return {o: inputs.f.contents};}", {"o": "string"},
               {"f": {"type": "File", "loadContents": True}}, {"f": file("a.txt")}),
    expression("an expression that fails", "${return {o: inputs.x.y.z};}", {"o": "int"}),
]  # fmt: skip

CASES = [*BINDING, *STAGING, *COLLECTING, *EXPRESSIONS]

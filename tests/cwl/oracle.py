"""Runs cwltool on many documents in one process of its own, and prints what it made of each.

Called with a folder of ``NAME.cwl`` and ``NAME.json``; prints one JSON object: name -> the output
object, or null where cwltool failed.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

from cwltool.main import main


def run(document: Path) -> object:
    """What cwltool gives for a document; ``None`` when it fails."""
    out = io.StringIO()
    arguments = ["--quiet", "--enable-dev", "--no-container", str(document)]
    status = main(
        [*arguments, str(document.with_suffix(".json"))],
        stdout=out,
        stderr=io.StringIO(),
        custom_schema_callback=lambda: None,  # or each call works out all schemas anew
    )
    return json.loads(out.getvalue()) if status == 0 else None


if __name__ == "__main__":
    found = {path.stem: run(path) for path in sorted(Path(sys.argv[1]).glob("*.cwl"))}
    print(json.dumps(found))

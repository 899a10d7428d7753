"""`hepflow export --to reana`: a native recipe as an analysis that ``reana-client run`` takes.

Of REANA's four types of workflow, CWL says the most of what a recipe says; so the recipe is written as CWL, and
``reana.yaml`` goes around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import yaml

ANALYSIS: Final = "reana.yaml"


class ReanaExporter:
    """Writes the file around a CWL workflow."""

    inner = "cwl"

    def around(
        self, documents: Sequence[str], files: Sequence[str], directories: Sequence[str]
    ) -> tuple[str, str]:
        """``reana.yaml`` (reana-client, "reana.yaml" specification, type ``cwl``)."""
        workflow, job, *_ = documents
        inputs: dict[str, object] = {"files": [*documents, *files]}
        if directories:
            inputs["directories"] = list(directories)
        # By this name REANA's CWL type knows the file with the inputs.
        inputs["parameters"] = {"input": job}
        analysis = {"inputs": inputs, "workflow": {"type": "cwl", "file": workflow}}
        return ANALYSIS, yaml.safe_dump(analysis, sort_keys=False)

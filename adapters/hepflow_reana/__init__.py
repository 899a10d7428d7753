"""REANA's `reana.yaml` for hepflow: all four types of workflow, as REANA runs them.

Owns what REANA adds around a workflow: the inputs and outputs it declares, the one workspace that
serial steps share, hints for its compute backends. A workflow of type cwl, yadage or snakemake is read
by the language of that name.
"""

from hepflow_reana.language import ReanaLanguage

__all__ = ["ReanaLanguage"]

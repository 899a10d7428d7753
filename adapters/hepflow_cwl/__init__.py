"""The Common Workflow Language (CWL v1.0, v1.1, v1.2) for hepflow: documents in, the model out.

Owns the translation between CWL and ``hepflow.model``. The ``cwltool`` library does what is CWL's
own: reading documents, binding command lines, expressions, staging rules, collecting outputs. The
graph, scatter, conditions, loops, running and the cache are hepflow's.
"""

from hepflow_cwl.language import CwlLanguage

__all__ = ["CwlLanguage"]

"""yadage workflows for hepflow: specifications in, the model out.

Owns the translation between yadage (workflow and packtivity schemas 0.11) and ``hepflow.model``. What
yadage decides while it runs (how many nodes a stage has, which case holds) is decided when the stage is
planned: planning answers with a workflow. The yadage packages themselves are not used.
"""

from hepflow_yadage.language import YadageLanguage

__all__ = ["YadageLanguage"]

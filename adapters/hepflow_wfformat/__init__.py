"""WfFormat (WfCommons, version 1.5): records of runs, to be replayed as load tests, and to be written.

Owns the translation between an instance and the model: reading one as a workflow whose tasks take as
long, need and leave as much as was recorded; and writing a run of hepflow's down as one.
"""

from hepflow_wfformat.language import WfFormatLanguage

__all__ = ["WfFormatLanguage"]

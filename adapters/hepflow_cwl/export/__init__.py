"""Native recipes as CWL: what ``hepflow export --to cwl`` writes."""

from hepflow_cwl.export.exporter import CwlExporter

__all__ = ["CwlExporter"]

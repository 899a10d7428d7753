"""Snakefiles as hepflow runs them: Snakemake plans, its jobs are tasks of a run within the run."""

from hepflow_snakemake.language import SnakemakeLanguage

__all__ = ["SnakemakeLanguage"]

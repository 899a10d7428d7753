"""Executors that come with hepflow: the local one, made of processes and warm Python workers.

Owns how attempts run on this machine. Must never know a workflow, a step, the engine or the store:
an executor sees frozen tasks and answers with events. Loads nothing, because worker processes
import single modules from here and must stay small.
"""

"""`hepflow test`: the checks an analysis for REANA brings, held against a run of it.

A verb, so on the top floor: it asks the API for what is known of the run.
"""

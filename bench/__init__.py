"""Measures what hepflow costs beside the work: ``python -m bench``.

Owns the shapes, the stop-watch and the table. Knows hepflow only as a command line, like any user.
"""

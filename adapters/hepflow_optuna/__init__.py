"""Studies by Optuna: the Python functions that ask, tell and prune, as ordinary tasks of a run.

A study stands nowhere but in the run store. Each function is handed what it needs of it (its
definition, what the trials before gave) and builds an Optuna study in memory; so what it answers
is a function of its arguments, and may be reused like any other result.
"""

"""The command line: a thin face on :mod:`hepflow.api`, one file a verb, each imported when used.

Standard output has what was asked for (outputs, tables, JSON); standard error says how it went
(progress, failures, errors). Nothing here decides anything that the API does not offer.

Exit status: 0 done, 1 a task failed, 2 wrong usage, 3 invalid recipe or input, 4 a site, executor
or library is not available, 130 interrupted; 70 a bug of ours, 141 nobody read our output.
With ``--json`` an error is on standard output too, as ``{"problems": [...], "exit_code": N}``.
"""

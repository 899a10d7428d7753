"""``hepflow cwl-runner``: hepflow as a CWL runner like any other, with the reference runner's flags.

A verb that this adapter brings (entry points ``hepflow.verbs``). Verbs stand on hepflow's top floor:
they may use its API and its command line, which the language itself must not know; so no module
outside this package may import one of it.
"""

"""Files at the edges of a run: digests of what comes in, checks of what was kept, results going out.

Must never know a step, an executor or the engine.
"""

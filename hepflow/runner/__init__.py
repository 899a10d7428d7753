"""The runner: performs the engine's actions, feeds it what happened, and writes the store.

The only loop, the only place where the engine, the store and an executor meet.
"""

"""Tasks and outcomes on the way between the head and where they run: the head's end of it.

Must never know a process, a queue or the store.
"""

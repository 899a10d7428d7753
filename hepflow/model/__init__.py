"""The vocabulary every other part speaks: values, types, workflows, tasks, events, errors, doors.

Owns the words and nothing else. Imports nothing of ours from outside this package, does no
input or output, and must never know a language, an executor, the store or a file system.
"""

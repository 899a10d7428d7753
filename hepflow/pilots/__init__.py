"""What executors have in common that bring their own workers (Dask, Parsl): attempts go to them in bundles.

The engine below is only asked to carry bundles of bytes to a worker and an answer back. There a *foreman*,
a process of ours beside the worker, runs them with the local executor, so a task means the same there as
here. Must never know which engine it is.
"""

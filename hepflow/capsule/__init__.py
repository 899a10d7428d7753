"""What runs one task where it is: its folder, its process, its outputs and the line that says how it ended.

The launcher of this machine is made of these modules; on a worker node they are one file, `capsule.pyz`,
which needs nothing but a Python (3.6 or later). Must never know a run, a step or a batch system.
"""

"""Drawings of a workflow: the graph of its steps as text and as SVG.

Owns the layout and the drawing. Knows nothing of runs, stores or languages: it is handed nodes.
"""

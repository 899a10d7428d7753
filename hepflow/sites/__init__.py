"""Site configs: finding them, laying one over another, checking them, making the model's ``Site``.

Owns the files' keys (``schema.json``), where they lie, and their error messages. Must never know what
an executor does with a site.
"""

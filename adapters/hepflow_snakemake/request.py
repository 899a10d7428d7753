"""What the tool and the program that its task starts tell each other: names of files in the task's folder."""

from __future__ import annotations

from typing import Final

REQUEST: Final = "request.json"
"""What to do; written by the tool."""
ANSWER: Final = "targets.json"
"""The targets that were made, by relative path; written by the program."""
MADE: Final = "made"
"""The folder with all that was made."""

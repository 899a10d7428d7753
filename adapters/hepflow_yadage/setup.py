"""What a user may say about a workflow besides its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Final, NamedTuple

from hepflow.model.errors import UsageError

SETTINGS: Final = {
    "toplevel": "the folder or URL that the workflow's own $refs are relative to",
    "initdir": "the folder that relative names among the inputs are looked for in",
}


class Setup(NamedTuple):
    """A user's choices.

    Args:
        toplevel: the folder or URL that the ``$ref`` of the workflow itself are relative to
            (``yadage-run -t``); empty for the folder of its file, and those above.
        initdir: an absolute folder: strings among the inputs that name files in it, also by patterns,
            become those files (``yadage-run -d initdir=``); empty for none.
    """

    toplevel: str = ""
    initdir: str = ""

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> Setup:
        """From texts, as of ``LoadOptions.settings``.

        Raises:
            UsageError: there is no such setting.
        """
        for name in settings:
            if name not in SETTINGS:
                near = get_close_matches(name, SETTINGS, n=1)
                known = "; ".join(f"{key}: {what}" for key, what in SETTINGS.items())
                raise UsageError.of(
                    "HF394", f"a yadage workflow has no setting '{name}'", why=known,
                    fix=f"did you mean '{near[0]}'?" if near else "",
                )  # fmt: skip
        initdir = settings.get("initdir", "")
        return cls(
            settings.get("toplevel", ""),
            str(Path(initdir).expanduser().absolute()) if initdir else "",
        )

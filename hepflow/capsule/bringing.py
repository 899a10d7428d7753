"""How a task's inputs come to the node: as they are, copied, from the web, or by a command of the site.

Plain standard library for Python 3.6. Must never know a process or how a task ends.
"""

import os

from hepflow.capsule.digests import digest_directory, digest_file
from hepflow.capsule.placing import CHUNK, COPY, Setting

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no worker process need load
    from hepflow.capsule.spawning import Spawner

PATIENCE_S = 60.0
"""Seconds of silence after which a web server is given up."""


class Unfetched(Exception):
    """An input could not be brought here; the text says which and why."""


class Carrier:
    """Brings inputs into a folder of this node.

    Args:
        folder: where to; it must not be anybody else's.
        copies: whether files of the head's file system are copied rather than linked to.
        commands: scheme of a URL -> words that fetch it, with ``{url}`` and ``{path}``.
        spawner: starts those.
    """

    def __init__(
        self, folder: str, copies: bool, commands: "dict[str, list[str]]", spawner: "Spawner"
    ) -> None:
        self._folder = folder
        self._copies = copies
        self._commands = commands
        self._spawner = spawner
        self._brought: "dict[str, str]" = {}
        self._asked = 0

    def bring(self, setting: Setting, digests: "dict[str, str]") -> Setting:
        """A setting whose inputs are all paths of this node.

        Raises:
            Unfetched: one cannot be brought, or is not what it should be.
        """
        stage = []
        for location, path, *how in setting.stage:
            if "://" in location:
                stage.append([self._fetched(location, digests.get(location, "")), path, COPY])
            elif location and self._copies and location in digests:
                _verify(location, location, digests[location])
                stage.append([location, path, COPY])
            else:
                stage.append([location, path, *how])
        return setting.but(stage=stage)

    def _fetched(self, url: str, digest: str) -> str:
        if url not in self._brought:
            name = url.rstrip("/").rpartition("/")[2].partition("?")[0] or "input"
            place = f"{self._folder}/{self._asked}"
            self._asked += 1
            os.makedirs(place)
            path = f"{place}/{name}"
            scheme = url.partition("://")[0]
            if scheme in self._commands:
                self._run([w.format(url=url, path=path) for w in self._commands[scheme]], url)
            elif scheme in ("http", "https"):
                _download(url, path)
            else:
                known = ", ".join(["http", "https", *self._commands])
                raise Unfetched(
                    f"{url}: nothing here fetches '{scheme}' (known: {known}); name a command for it"
                    " in the site's settings, under 'fetch'"
                )
            self._brought[url] = path
        _verify(url, self._brought[url], digest)
        return self._brought[url]

    def _run(self, words: "list[str]", url: str) -> None:
        try:
            pid = self._spawner.spawn(0, words, self._spawner.base, [], "")
        except OSError as error:
            raise Unfetched(f"{url}: {words[0]} could not be started: {error}") from None
        status = os.waitpid(pid, 0)[1]
        if status:
            raise Unfetched(f"{url}: {' '.join(words)} failed (status {status >> 8 or status})")


def _download(url: str, path: str) -> None:
    import urllib.request

    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer, open(path, "wb") as file:
            block = answer.read(CHUNK)
            while block:
                file.write(block)
                block = answer.read(CHUNK)
    except OSError as error:
        raise Unfetched(f"{url}: {error}") from None


def _verify(location: str, path: str, digest: str) -> None:
    if not digest:
        return
    try:
        found = digest_directory(path).digest if os.path.isdir(path) else digest_file(path)
    except OSError as error:
        raise Unfetched(f"{location}: {error}") from None
    if found != digest:
        raise Unfetched(
            f"{location} is not what it was when the task was planned (SHA-256 {found}, expected {digest})"
        )

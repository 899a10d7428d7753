"""What a task finds when it starts: its folder, and the texts, links and copies placed for it.

Plain standard library for Python 3.6; knows tasks only in the spelling of `hepflow.wire`. Must never
know a process or the head.

A task that is kept apart has two more folders while it runs: one for the inputs it is given and one
for what it forgets. Making and removing folders costs a file system more than starting a program
costs a machine, so these are not made for each task: they belong to a *slot*, which is cleared and
used again. While a task is planned nobody knows where any of the three will be, so it is written
with words that stand for them (`hepflow.model.task` has them as well).
"""

import errno
import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:  # what only a checker reads, no worker process need load
    from collections.abc import Sequence
    from typing import IO, Any

MARK = "/~hepflow/"
OUT, TMP, IN = MARK + "out", MARK + "tmp", MARK + "in"

LINK, COPY = 0, 1
"""How something is staged, ``[location, path, how]``; without a location it is an empty directory."""

CHUNK = 1 << 20


OPEN, CONFINED, PLACED = 0, 1, 2
"""How far a task is kept apart: not at all; with a slot, and no variables but its own; with a slot, and
the variables of any command (in a container those of its client)."""


class Setting:
    """What a task asks for beyond a folder to run in, in the order of the wire.

    Args:
        apart: one of the constants above.
        texts: ``[path, content]`` of small files to write.
        stage: ``[location, path, how]`` of what to place.
        stdin: path of a file to read.
        stdout, stderr: paths in its folder; empty for the log.
        success: exit codes that mean success; empty for 0 alone.
        mounts: ``[path inside, path here]`` where it runs in a container.
        undo: the command that ends the container, whatever became of the one that started it.
    """

    # A named tuple would bring the whole of collections along, and a short task must not wait for that.
    __slots__ = (  # noqa: RUF023 - the wire's order
        "apart", "texts", "stage", "stdin", "stdout", "stderr", "success", "mounts", "undo",
    )  # fmt: skip

    def __init__(
        self,
        apart: int = OPEN,
        texts: "Sequence[Sequence[str]]" = (),
        stage: "Sequence[Sequence[Any]]" = (),
        stdin: str = "",
        stdout: str = "",
        stderr: str = "",
        success: "Sequence[int]" = (),
        mounts: "Sequence[Sequence[str]]" = (),
        undo: "Sequence[str]" = (),
    ) -> None:
        self.apart = apart
        self.texts = texts
        self.stage = stage
        self.stdin = stdin
        self.stdout = stdout
        self.stderr = stderr
        self.success = success
        self.mounts = mounts
        self.undo = undo

    def parts(self) -> "list[Any]":
        """As the wire has them."""
        return [getattr(self, name) for name in self.__slots__]

    def but(self, **changed: "Any") -> "Setting":
        """The same but for some of it."""
        kept = {name: getattr(self, name) for name in self.__slots__}
        return Setting(**{**kept, **changed})


PLAIN = Setting()


def filled(text: str, out: str, tmp: str, inputs: str) -> str:
    """A text with the words for a task's three folders replaced by their paths."""
    if MARK not in text:
        return text
    return text.replace(OUT, out).replace(TMP, tmp).replace(IN, inputs)


class Slot:
    """A folder for scratch and one for inputs, for one task at a time.

    Args:
        path: what the names of both begin with.

    Raises:
        OSError: they cannot be made.
    """

    def __init__(self, path: str) -> None:
        self.tmp, self.inputs = path + ".tmp", path + ".in"
        self._kept: set[str] = set()
        os.mkdir(self.tmp)
        os.mkdir(self.inputs)

    def clear(self, setting: "Setting") -> None:
        """Take away what a task was given, and what it left here whatever it was.

        Raises:
            OSError: something cannot be removed.
        """
        _empty(self.tmp)
        paths = [path for path, *_ in setting.texts] + [item[1] for item in setting.stage]
        made = [path[len(IN) + 1 :] for path in paths if path.startswith(IN)]
        if not made and not self._kept:
            return
        # Most tasks are given links in numbered folders: the folders are kept for the next one.
        kept = {name.partition("/")[0] for name in made if name.count("/") == 1}
        try:
            for name in made:
                os.unlink(f"{self.inputs}/{name}")
        except OSError:  # what is left is taken away below
            pass
        self._kept |= kept
        for name in _names(self.inputs):
            inner = f"{self.inputs}/{name}"
            if name not in self._kept:
                remove(inner)
            elif name in kept:
                _empty(inner)


class Slots:
    """The slots of one launcher: as many as tasks that are kept apart ever ran in it at once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._free: list[Slot] = []
        self._made = 0

    def take(self) -> "Slot":
        """A clean slot.

        Raises:
            OSError: it cannot be made.
        """
        if self._free:
            return self._free.pop()
        self._made += 1
        return Slot(f"{self._path}-{self._made}")

    def give_back(self, slot: "Slot | None", setting: "Setting") -> None:
        """Clear a slot for the next task; one that cannot be cleared is not used again."""
        if slot is not None:
            try:
                slot.clear(setting)
            except OSError:
                return
            self._free.append(slot)


def _names(folder: str) -> "list[str]":
    """What a folder holds, unless it is a link by now."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return os.listdir(descriptor)
    finally:
        os.close(descriptor)


def _empty(folder: str) -> None:
    """Make sure that there is a folder of this name with nothing in it."""
    try:
        names = _names(folder)
    except OSError:  # the task has taken it away, put something in its place, or locked it
        if os.path.lexists(folder):
            remove(folder)
        os.mkdir(folder)
    else:
        for name in names:
            remove(f"{folder}/{name}")


def remove(path: str) -> None:
    """Remove a file, or a directory with all below it, without ever following a link.

    Raises:
        OSError: something cannot be removed.
    """
    if not stat.S_ISDIR(os.lstat(path).st_mode):
        os.unlink(path)
        return
    os.chmod(path, stat.S_IRWXU)  # a task may have taken the permission from itself
    for name in _names(path):
        remove(f"{path}/{name}")
    os.rmdir(path)


# --- before the start -----------------------------------------------------------------------------


def prepare(folder: str, setting: "Setting" = PLAIN, slot: "Slot | None" = None) -> None:
    """Make the folder with all a task starts with.

    Args:
        folder: the task's own.
        setting: what it asks for.
        slot: where its inputs go; only tasks that are kept apart have one.

    Raises:
        OSError: something cannot be made, or another attempt's leavings are in the way.
    """
    _make(folder)
    if setting is PLAIN:
        return
    for location, path, *how in setting.stage:
        target = _place(folder, path, slot)
        if not location:
            os.makedirs(target, exist_ok=True)
        elif how and how[0] == COPY:
            copy(location, target)
        else:
            _link(location, target)
    for path, content in setting.texts:
        if slot is not None:
            content = filled(content, folder, slot.tmp, slot.inputs)
        with _opened(_place(folder, path, slot)) as file:
            file.write(content)


def _make(folder: str) -> None:
    try:
        os.mkdir(folder)
    except FileNotFoundError:
        os.makedirs(folder)
    except FileExistsError:
        # Left by a launcher that ended between making the folder and starting the program.
        if os.path.islink(folder) or not os.path.isdir(folder) or os.listdir(folder):
            raise OSError(
                errno.ENOTEMPTY, "the folder of a new attempt is not empty", folder
            ) from None


def _opened(path: str) -> "IO[str]":
    try:
        return open(path, "x", encoding="utf-8", errors="surrogateescape", newline="")
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path))
        return _opened(path)


def _link(location: str, target: str) -> None:
    try:
        os.symlink(location, target)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(target))
        os.symlink(location, target)


def _place(folder: str, path: str, slot: "Slot | None") -> str:
    """Where something is placed for a task."""
    inner, start = path, folder
    if slot is not None and path.startswith(IN + "/"):
        inner, start = path[len(IN) + 1 :], slot.inputs
    target = f"{start}/{inner}"
    # A folder on the way may be a link that was staged before.
    if leaves(inner) or (inner.count("/") > (start is not folder) and _is_elsewhere(target, start)):
        raise OSError(errno.EPERM, "what is placed for a task must stay inside its folders", path)
    return target


def _is_elsewhere(target: str, start: str) -> bool:
    real = os.path.realpath(os.path.dirname(target))
    return not f"{real}/".startswith(os.path.realpath(start) + "/")


def leaves(path: str) -> bool:
    """Whether a relative path, by its spelling, points out of the folder it starts in."""
    return path.startswith("/") or ".." in path.split("/")


def copy(source: str, target: str) -> None:
    """Copy a file, or a directory with all below it, so that its owner may write in it.

    Links in a directory are copied as the links they are.

    Raises:
        OSError: something cannot be read or written.
    """
    os.makedirs(os.path.dirname(target), exist_ok=True)
    facts = os.stat(source)
    if not stat.S_ISDIR(facts.st_mode):
        _copy_file(source, target, facts)
        return
    os.makedirs(target, exist_ok=True)
    with os.scandir(source) as entries:
        for entry in entries:
            inner = f"{target}/{entry.name}"
            if entry.is_symlink():
                os.symlink(os.readlink(entry.path), inner)
            elif entry.is_dir() or entry.is_file():
                copy(entry.path, inner)
    os.chmod(target, stat.S_IMODE(facts.st_mode) | stat.S_IRWXU)


def _copy_file(source: str, target: str, facts: "os.stat_result") -> None:
    with open(source, "rb") as read, open(target, "xb") as written:
        if not _cloned(read.fileno(), written.fileno(), facts.st_size):
            block = read.read(CHUNK)
            while block:
                written.write(block)
                block = read.read(CHUNK)
        os.fchmod(written.fileno(), stat.S_IMODE(facts.st_mode) | stat.S_IRUSR | stat.S_IWUSR)


def _cloned(source: int, target: int, size: int) -> bool:
    """Have the system copy a file: where the file system can, both then share what is on disk.

    Returns whether it did; if not, nothing was copied.
    """
    copy_range = getattr(os, "copy_file_range", None)  # Linux, Python 3.8
    copied = 0
    while copy_range is not None and copied < size:
        try:
            count = copy_range(source, target, size - copied)
        except OSError:  # not between these file systems
            count = 0
        if not count:
            os.lseek(source, 0, os.SEEK_SET)
            os.lseek(target, 0, os.SEEK_SET)
            return False
        copied += count
    return copied == size > 0


# --- while it runs --------------------------------------------------------------------------------

OPENED, DUPLICATED = 0, 2
"""What becomes of a descriptor, ``(OPENED, number, path, flags, mode)`` or ``(DUPLICATED, from,
number)``: as ``posix_spawn`` has it, where Python has that."""


def streams(folder: str, setting: "Setting", files: "list[Any]") -> "list[Any]":
    """What becomes of the descriptors 0, 1 and 2 of a task that has them redirected.

    Args:
        folder: the task's own.
        setting: what it asks for, words for its folders filled in.
        files: what becomes of them else.

    Raises:
        OSError: a folder for one of them cannot be made.
    """
    actions = list(files)
    if setting.stdin:
        actions[0] = (OPENED, 0, setting.stdin, os.O_RDONLY, 0)
    for number, path in ((1, setting.stdout), (2, setting.stderr)):
        if not path:
            continue
        if number == 2 and path == setting.stdout:
            actions[2] = (DUPLICATED, 1, 2)
            continue
        target = _place(folder, path, None)
        if "/" in path:
            os.makedirs(os.path.dirname(target), exist_ok=True)
        # Through a link the task would overwrite what it was given.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        actions[number] = (OPENED, number, target, flags, 0o666)
    return actions


def stream_fault(folder: str, setting: "Setting") -> str:
    """Why a standard stream of a task could not be opened, as a sentence; empty if they all could."""
    if setting.stdin:
        path = os.path.join(folder, setting.stdin)
        if not os.access(path, os.R_OK):
            what = "cannot be read" if os.path.exists(path) else "is not there"
            return f"the file for its standard input {what}: {path}"
    for name, path in (("output", setting.stdout), ("error", setting.stderr)):
        target = f"{folder}/{path}"
        if path and (os.path.islink(target) or os.path.isdir(target)):
            kind = "a link" if os.path.islink(target) else "a directory"
            return f"its standard {name} cannot go to '{path}': that is {kind}"
    return ""

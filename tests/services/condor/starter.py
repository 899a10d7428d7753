"""One start of one job: a folder of its own, files in, the process, files out."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import classad2

from .submit import SIGNALS, split_arguments, split_environment

INPUT_FAILED = 13
OUTPUT_FAILED = 12
CANNOT_RUN = 6
"""Codes of hold reasons, as the manual has them."""

STREAMS = {"Out": "_condor_stdout", "Err": "_condor_stderr"}


class Hold(Exception):
    """The job must be held."""

    def __init__(self, reason: str, code: int, subcode: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.code, self.subcode = reason, code, subcode


@dataclass(frozen=True, slots=True)
class Ended:
    """How the process ended; a negative exit code is a signal."""

    exit_code: int
    user_s: float
    system_s: float


@dataclass(slots=True)
class Start:
    """A job's folder and process on the pool's one machine."""

    ad: classad2.ClassAd
    folder: Path
    spool: Path
    """What an evicted start saved for the next."""
    slot: str
    gpus: list[str]
    process: subprocess.Popen[bytes] | None = None
    received: int = 0
    sent: int = 0
    _given: dict[str, int] = field(default_factory=dict)
    """Files there before the process: name -> time of change."""

    @property
    def transfers(self) -> bool:
        return self.ad["ShouldTransferFiles"] != "NO"

    @property
    def iwd(self) -> Path:
        return Path(self.ad["Iwd"])

    def stage_in(self) -> None:
        """Make the folder and bring the inputs; raises ``Hold`` for one that is not there."""
        self.folder.mkdir(parents=True)
        if self.transfers:
            if self.ad["TransferExecutable"]:
                self._bring(Path(self.ad["Cmd"]), self.folder / "condor_exec.exe")
                (self.folder / "condor_exec.exe").chmod(0o755)
            for name in _names(self.ad.get("TransferInput", "")):
                self._stage_in(name)
            if self.spool.is_dir():
                shutil.copytree(self.spool, self.folder, dirs_exist_ok=True)
        (self.folder / ".job.ad").write_text(self.ad.printOld())
        self._given = {path.name: path.stat().st_mtime_ns for path in self.folder.iterdir()}

    def _stage_in(self, name: str) -> None:
        scheme, path = urlsplit(name).scheme, urlsplit(name).path
        if scheme not in ("", "file"):
            raise Hold(f"Transfer input files failure: no plug-in for '{scheme}' here", 12)
        source = self.iwd / (path if scheme else name)
        contents = name.endswith("/")
        self._bring(source, self.folder if contents else self.folder / source.name)

    def _bring(self, source: Path, target: Path) -> None:
        try:
            self.received += _copy(source, target)
        except OSError as error:
            raise Hold(
                f"Transfer input files failure at access point while sending files: reading from "
                f"file {source}: (errno {error.errno}) {error.strerror}",
                INPUT_FAILED,
                error.errno or 0,
            ) from None

    def spawn(self) -> int:
        """Start the process; raises ``Hold`` where it cannot be executed."""
        program = "./condor_exec.exe" if self._has_executable() else self.ad["Cmd"]
        cwd = self.folder if self.transfers else self.iwd
        with ExitStack() as files:
            stdin = self.iwd / self.ad["In"] if "In" in self.ad else os.devnull
            out, err = (files.enter_context(open(self._stream(name), "wb")) for name in STREAMS)
            try:
                self.process = subprocess.Popen(
                    [program, *split_arguments(self.ad["Arguments"])],
                    cwd=cwd,
                    env=self._environment(),
                    stdin=files.enter_context(open(stdin, "rb")),
                    stdout=out,
                    stderr=err,
                    start_new_session=True,
                )
            except OSError as error:
                raise Hold(
                    f"Error from {self.slot}: Failed to execute '{self.ad['Cmd']}': "
                    f"(errno={error.errno}: '{error.strerror}')",
                    CANNOT_RUN,
                    error.errno or 0,
                ) from None
        return self.process.pid

    def _has_executable(self) -> bool:
        return self.transfers and bool(self.ad["TransferExecutable"])

    def _stream(self, attribute: str) -> Path:
        """Where the output goes while the job runs."""
        if attribute not in self.ad:
            return Path(os.devnull)
        if not self.transfers:
            return self.iwd / str(self.ad[attribute])
        return self.folder / STREAMS[attribute]

    def _environment(self) -> dict[str, str]:
        wanted = str(self.ad["GetEnv"]).lower()
        if wanted == "true":
            inherited = dict(os.environ)
        else:
            names = [] if wanted == "false" else wanted.replace(",", " ").split()
            inherited = {key: value for key, value in os.environ.items() if key.lower() in names}
        cpus = str(self.ad.eval("RequestCpus"))
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            **inherited,
            "BATCH_SYSTEM": "HTCondor",
            "OMP_NUM_THREADS": cpus,
            "TMPDIR": str(self.folder),
            "_CONDOR_JOB_AD": str(self.folder / ".job.ad"),
            "_CONDOR_JOB_IWD": str(self.folder),
            "_CONDOR_SCRATCH_DIR": str(self.folder),
            "_CONDOR_SLOT": self.slot,
            **({"CUDA_VISIBLE_DEVICES": ",".join(self.gpus)} if self.gpus else {}),
            **split_environment(self.ad["Environment"]),
        }

    def wait(self) -> Ended:
        """Wait for the process to end, and end what it left behind."""
        assert self.process
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.kill(signal.SIGKILL)
        return Ended(self.process.returncode, used.ru_utime, used.ru_stime)

    def kill(self, number: int) -> None:
        """Send a signal to the process and its children."""
        if self.process:
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                pass

    def terminate(self) -> None:
        """Ask it to end, with the signal it wants."""
        self.kill(SIGNALS[self.ad.get("KillSig", "SIGTERM")])

    def stage_out(self) -> None:
        """Bring the outputs home; raises ``Hold`` for one that is not there."""
        if not self.transfers:
            return
        remaps = dict(
            (part.strip() for part in pair.split("=", 1))
            for pair in self.ad.get("TransferOutputRemaps", "").split(";")
            if "=" in pair
        )
        for attribute, name in STREAMS.items():
            if attribute in self.ad:
                self._send(self.folder / name, self.iwd / str(self.ad[attribute]))
        for name in self.outputs():
            kept = name if self.ad.get("PreserveRelativePaths") else Path(name.rstrip("/")).name
            target = self.iwd if name.endswith("/") else self.iwd / remaps.get(name, kept)
            self._send(self.folder / name, target)

    def outputs(self) -> list[str]:
        """What goes home: what was asked for, or else each new or changed file of the folder."""
        if "TransferOutput" in self.ad:
            return _names(self.ad["TransferOutput"])
        hidden = {*STREAMS.values(), "condor_exec.exe", ".job.ad"}
        return sorted(
            path.name
            for path in self.folder.iterdir()
            if path.is_file()
            and path.name not in hidden
            and self._given.get(path.name) != path.stat().st_mtime_ns
        )

    def _send(self, source: Path, target: Path) -> None:
        try:
            self.sent += _copy(source, target)
        except OSError as error:
            raise Hold(
                f"Transfer output files failure at execution point {self.slot} while sending "
                f"files to access point: reading from file {source}: "
                f"(errno {error.errno}) {error.strerror}",
                OUTPUT_FAILED,
                error.errno or 0,
            ) from None

    def save(self, names: list[str]) -> None:
        """Keep files for the next start."""
        for name in names:
            source = self.folder / name
            if source.exists():
                _copy(source, self.spool / name.rstrip("/"))

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _copy(source: Path, target: Path) -> int:
    """Copy a file or a folder; returns how many bytes."""
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
        return sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
    return target.stat().st_size

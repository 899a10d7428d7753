"""MariaDB in a folder of its own: Slurm's accounting keeps its records in it."""

from __future__ import annotations

from pathlib import Path

from .daemons import HOST, USER, free_ports, launch, run, succeeds, wait_until

PROGRAMS = ("mariadb-install-db", "mariadbd", "mariadb", "mariadb-admin")
PACKAGES = ("mariadb-server",)


def start(at: Path) -> int:
    """Start an empty one; returns its port."""
    (port,) = free_ports(1)
    run(
        "mariadb-install-db",
        "--no-defaults",
        f"--user={USER}",
        f"--datadir={at}/mariadb",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        limit_s=120,
    )
    launch(
        "mariadbd",
        "--no-defaults",
        f"--user={USER}",
        f"--datadir={at}/mariadb",
        f"--socket={at}/mariadb.socket",
        f"--bind-address={HOST}",
        f"--port={port}",
        "--innodb-buffer-pool-size=64M",
        "--innodb-flush-log-at-trx-commit=0",
        pid_file=at / "mariadb.pid",
        log=at / "mariadb.log",
    )
    wait_until(
        lambda: succeeds("mariadb-admin", "--no-defaults", f"--socket={at}/mariadb.socket", "ping"),
        "MariaDB",
        limit_s=60,
    )
    return port


def execute(at: Path, statements: str) -> None:
    """Have its administrator say something in SQL."""
    run("mariadb", "--no-defaults", f"--socket={at}/mariadb.socket", stdin=statements)

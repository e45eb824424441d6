"""A real PostgreSQL (Debian's) on a folder of its own, reached over a socket: for what Dagster keeps there."""

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

_INSTALLED = Path("/usr/lib/postgresql")
_ADVICE = "no PostgreSQL; install it with: apt-get install -y postgresql"


class Postgres:
    """A server that runs."""

    def __init__(self, programs: Path, folder: Path):
        self._programs, self.folder = programs, folder

    def run(self, program: str, *arguments: str, text: str | None = None) -> str:
        """One of PostgreSQL's programs, as a user who is not root; its output."""
        command = [str(self._programs / program), *arguments]
        user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        done = subprocess.run(
            command,
            input=text,
            capture_output=True,
            text=True,
            cwd=self.folder,
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            env={"PATH": os.environ["PATH"], "PGHOST": str(self.folder), "PGUSER": "llm", "LC_ALL": "C.UTF-8"},
        )
        assert done.returncode == 0, f"{program}: {done.stderr}"
        return done.stdout

    def database(self, name: str, scheme: str = "postgresql+psycopg2") -> str:
        """A new, empty database; its address."""
        self.run("createdb", name)
        return f"{scheme}://llm@/{name}?host={self.folder}"


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server for one test; skips where Debian's package is not installed."""
    versions = sorted(_INSTALLED.glob("*/bin")) if _INSTALLED.is_dir() else []
    if not versions:
        pytest.skip(_ADVICE)
    with TemporaryDirectory(prefix="pg") as name:  # a socket's path is short
        folder = Path(name)
        folder.chmod(0o777)
        server = Postgres(versions[-1], folder)
        server.run("initdb", "-D", f"{folder}/data", "-U", "llm", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off -c max_connections=60"
        server.run("pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield server
        finally:
            server.run("pg_ctl", "-D", f"{folder}/data", "-m", "immediate", "stop")

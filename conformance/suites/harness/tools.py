"""What the suites need beside requirements.txt: Debian packages, and packages of npm and PyPI under target/."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
NODE = ROOT / "target" / "conformance" / "node"
PYTHON = ROOT / "target" / "conformance" / "python"
STRICT = os.environ.get("CI") == "true"


def missing(what):
    """A skip that is named at the end; with CI=true a failure."""
    if STRICT:
        pytest.fail(what)
    pytest.skip(what)


@contextlib.contextmanager
def alone():
    """One installation at a time, whichever process of the suites asks for it."""
    NODE.parent.mkdir(parents=True, exist_ok=True)
    with (NODE.parent / "install.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def debian(program, *packages):
    """The path of a program, installed from Debian's packages where nobody has to be asked."""
    with alone():
        return _debian(program, *packages)


class WrongClock:
    """A wall clock for one program, which may be off, and be set while the program runs; time goes on as it does (libfaketime)."""

    def __init__(self, folder):
        self.file = folder / "clock"
        self.set("+0")
        library = self.library() or self.installed()
        self.environment = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}

    def set(self, offset):
        """By how much it is off from now on, as `+25h`. The file is never half written."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(offset + "\n")
        fresh.rename(self.file)

    @staticmethod
    def library():
        return next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

    def installed(self):
        with alone():
            _install("libfaketime", "libfaketime")
        return self.library() or missing("libfaketime is not where Debian puts it")


def npm(*packages):
    """A folder with these npm packages (name@version), for NODE_FOLDER."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        debian("npm", "nodejs", "npm")
    with alone():
        return _npm(*packages)


def pypi(*packages):
    """A folder with these PyPI packages (name==version), for the import path: what only the long form needs."""
    with alone():
        return _pypi(*packages)


def _debian(program, *packages):
    found = shutil.which(program)
    if found:
        return found
    _install(program, *packages)
    return shutil.which(program) or missing(f"{program} is not in {packages}")


def _install(program, *packages):
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        missing(f"{program} is not installed, and can't be without asking (Debian: {' '.join(packages)})")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update", "--quiet"], ["apt-get", "-o", "DPkg::Lock::Timeout=600", "install", "--yes", "--quiet", "--no-install-recommends", *packages]):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
        if done.returncode != 0:
            missing(f"{program} can't be installed: {done.stderr[-300:]}")


def _npm(*packages):
    stamp = NODE / "installed.txt"
    have = stamp.read_text().split() if stamp.exists() else []
    if not set(packages) <= set(have):
        NODE.mkdir(parents=True, exist_ok=True)
        (NODE / "package.json").write_text('{"private": true}\n')
        wanted = sorted({*have, *packages})
        done = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--no-save", "--ignore-scripts", "--legacy-peer-deps", *wanted],
            cwd=NODE, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            missing(f"npm: {done.stderr[-300:]}")
        stamp.write_text("\n".join(wanted) + "\n")
    return NODE


def _pypi(*packages):
    stamp = PYTHON / "installed.txt"
    have = stamp.read_text().split() if stamp.exists() else []
    if not set(packages) <= set(have):
        wanted = sorted({*have, *packages})
        done = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target", PYTHON, *wanted],
            capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            missing(f"PyPI: {done.stderr[-300:]}")
        stamp.write_text("\n".join(wanted) + "\n")
    return PYTHON

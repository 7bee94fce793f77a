"""libdav (a crate; pimsync stands on it): the session in ../libdav. It is built apart from the product, so with --full alone."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from harness.tools import ROOT, alone, missing

SESSION = Path(__file__).resolve().parents[1] / "libdav"
BUILT = ROOT / "target" / "conformance" / "libdav"

pytestmark = pytest.mark.skipif(os.environ.get("LINEARTIME_FULL") != "1", reason="a crate of its own to build: with --full")


def build():
    """The path of the session's binary."""
    if shutil.which("cargo") is None:
        missing("cargo is not there")
    with alone():
        done = subprocess.run(["cargo", "build", "--quiet", "--locked"], cwd=SESSION, capture_output=True, text=True, timeout=1200,
                              env=os.environ | {"CARGO_TARGET_DIR": str(BUILT)})
    if done.returncode != 0 and "failed to download" in done.stderr:
        missing(f"crates.io can't be reached: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr[-3000:]
    return BUILT / "debug" / "libdav-session"


def test_session(gateway):
    done = subprocess.run([build(), gateway.url, "ana", gateway.password], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.strip() == "ok", done.stdout[-2000:] + done.stderr[-3000:]

"""Two libraries from npm: tsdav, and the one of Nextcloud's calendar. The flows are in node/*.mjs."""

import os
import subprocess
from pathlib import Path

import pytest
from harness.tools import npm

FLOWS = {
    "tsdav": ["tsdav@2.3.4"],
    "cdav": ["@nextcloud/cdav-library@2.2.0", "jsdom@26.1.0", "xpath@0.0.34"],
}


@pytest.mark.parametrize("flow", sorted(FLOWS))
def test_flow(gateway, flow):
    folder = npm(*FLOWS[flow])
    script = Path(__file__).parent / "node" / f"{flow}.mjs"
    done = subprocess.run(
        ["node", script, gateway.url, "ana", gateway.password],
        capture_output=True, text=True, timeout=120, env=os.environ | {"NODE_FOLDER": str(folder)})
    assert done.returncode == 0 and done.stdout.strip() == "ok", done.stdout[-2000:] + done.stderr[-3000:]

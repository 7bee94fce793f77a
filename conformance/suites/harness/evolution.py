"""evolution-data-server in a D-Bus session of its own, told what to do line by line (../evolution/driver.py)."""

import json
import os
import subprocess
import tempfile
import threading
from pathlib import Path

from .process import Program
from .tools import debian

DRIVER = Path(__file__).resolve().parents[1] / "evolution" / "driver.py"
PACKAGES = [
    "evolution-data-server", "gir1.2-ecal-2.0", "gir1.2-edataserver-1.2", "gir1.2-ical-3.0", "python3-gi", "dbus", "dbus-daemon",
]
# No keyring: it would ask a person for the password of a new one. The bus listens elsewhere than in the test's folder,
# since the path of a socket has at most 107 octets.
SERVICES = ["AddressBook10", "Calendar8", "Sources5", "UserPrompter0"]
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:tmpdir={short}</listen>
  <servicedir>{folder}/services</servicedir>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


class Evolution(Program):
    """One home folder and its data server."""

    def __init__(self, folder: Path):
        super().__init__(folder / "evolution.log")
        self.home = folder / "evolution"

    def start(self):
        debian("/usr/libexec/evolution-source-registry", *PACKAGES)
        services = self.home / "services"
        services.mkdir(parents=True)
        for name in SERVICES:
            file = Path(f"/usr/share/dbus-1/services/org.gnome.evolution.dataserver.{name}.service")
            if file.exists():
                (services / file.name).write_text(file.read_text())
        (self.home / "bus.conf").write_text(BUS.format(folder=self.home, short=tempfile.gettempdir()))
        self.child = subprocess.Popen(
            ["dbus-run-session", f"--config-file={self.home / 'bus.conf'}", "--", "/usr/bin/python3", DRIVER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log.open("ab"), text=True, start_new_session=True,
            env={"HOME": str(self.home), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "Europe/Berlin",
                 "XDG_RUNTIME_DIR": str(self.home), "GSETTINGS_BACKEND": "memory", "GIO_USE_VFS": "local"})
        return self

    def run(self, step, *arguments, seconds=90):
        """What a step of the driver returns. A step that hangs is ended with the data server, and fails."""
        watch = threading.Timer(seconds, self.kill_group)
        watch.start()
        try:
            self.child.stdin.write(json.dumps({"do": step, "with": arguments}) + "\n")
            self.child.stdin.flush()
            line = self.child.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            watch.cancel()
        assert line, f"evolution-data-server ended in {step}:\n{self.output()[-3000:]}"
        answer = json.loads(line)
        assert "error" not in answer, f"{step}: {answer['error']}\n{self.output()[-3000:]}"
        return answer["value"]

    def kill_group(self):
        try:
            os.killpg(self.child.pid, 9)
        except ProcessLookupError:
            pass

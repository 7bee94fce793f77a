"""The gateway under test: the release binary, with a folder and a port of its own."""

import json
import os
import subprocess
from pathlib import Path

from .client import Dav
from .process import Program, answers, free_port, wait_until

ROOT = Path(__file__).resolve().parents[3]
BINARY = Path(os.environ.get("LINEARTIME_BINARY", ROOT / "target" / "release" / "lineartime"))


class Gateway(Program):
    """One server, and the command line that manages it."""

    password = "correct horse battery staple"

    def __init__(self, folder: Path, **settings):
        super().__init__(folder / "gateway.log")
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "PATH": os.environ["PATH"],
            "LINEARTIME_SERVER__LISTEN": f"127.0.0.1:{self.port}",
            "LINEARTIME_SERVER__PUBLIC_URL": self.url,
            "LINEARTIME_STORAGE__PATH": str(self.data),
            "LINEARTIME_PROVIDERS__ALLOW_PRIVATE_ADDRESSES": "true",
        }
        for name, value in settings.items():
            self.environment["LINEARTIME_" + name.upper()] = str(value)

    def start(self):
        self.spawn([str(BINARY), "serve"], env=self.environment)
        def up():
            assert self.running(), f"the gateway ended at start:\n{self.output()}"
            return answers(self.url + "/readyz")
        wait_until(up, seconds=30, what="the gateway")
        return self

    def run(self, *arguments, text=None):
        """The finished command, whatever it says."""
        return subprocess.run(
            [str(BINARY), *arguments], input=text, capture_output=True, text=True, env=self.environment, timeout=300,
        )

    def cli(self, *arguments, text=None):
        """Standard output of a command that must succeed."""
        done = self.run(*arguments, text=text)
        assert done.returncode == 0, f"{arguments}: exit {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.output()[-3000:]}"
        return done.stdout

    def json(self, *arguments, text=None):
        """The JSON document that a command prints."""
        return json.loads(self.cli(*arguments, "--json", text=text))

    def add_user(self, name="ana"):
        self.cli("user", "add", name, "--password-stdin", text=self.password + "\n")

    def connect(self, upstream, user="ana"):
        """Connects `user` to an upstream server, and returns the account's id."""
        added = self.json(
            "account", "add", user, "--provider", "caldav", "--url", upstream.url, "--username", upstream.user,
            "--password-stdin", "--label", upstream.name, text=upstream.password + "\n",
        )
        return added["id"]

    def sync(self, user="ana"):
        """Syncs everything of `user` now, and returns when nothing is left to do."""
        self.cli("sync", user, "--wait")

    def dav(self, user="ana"):
        return Dav(self.url, user, self.password)

    def unified(self, user="ana"):
        return f"/dav/calendars/{user}/unified/"

    def memory(self):
        """Resident memory of the server in MiB."""
        for line in Path(f"/proc/{self.child.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no VmRSS")

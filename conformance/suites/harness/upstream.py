"""Real CalDAV servers, each with a throw-away folder on a free loopback port."""

import sys
from pathlib import Path

from .client import Dav
from .process import Program, answers, free_port, wait_until


class Radicale(Program):
    """Radicale with one user and one calendar."""

    name = "radicale"
    user, password = "ana", "radicale-secret"

    def __init__(self, folder: Path):
        super().__init__(folder / "radicale.log")
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.calendar = f"/{self.user}/work/"
        (folder / "users").write_text(f"{self.user}:{self.password}\n")

    def start(self):
        self.spawn([
            sys.executable, "-m", "radicale", "--config", "", "--server-hosts", f"127.0.0.1:{self.port}",
            "--storage-filesystem-folder", str(self.folder / "radicale"), "--auth-type", "htpasswd",
            "--auth-htpasswd-filename", str(self.folder / "users"), "--auth-htpasswd-encryption", "plain",
            "--auth-delay", "0", "--server-max-connections", "200",
        ])
        wait_until(lambda: answers(self.url), seconds=60, what="Radicale")
        dav = self.dav()
        if dav.propfind(self.calendar).status == 404:
            dav.mkcalendar(self.calendar, "Work")
        return self

    def dav(self):
        return Dav(self.url, self.user, self.password)


class Xandikos(Program):
    """Xandikos without authentication, with the calendar it makes by default."""

    name = "xandikos"
    user, password = "ana", "not-asked-for"

    def __init__(self, folder: Path):
        super().__init__(folder / "xandikos.log")
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.calendar = "/ana/calendars/calendar/"

    def start(self):
        program = Path(sys.executable).parent / "xandikos"
        self.spawn([
            str(program), "serve", "--directory", str(self.folder / "xandikos"), "--listen-address", "127.0.0.1",
            "--port", str(self.port), "--current-user-principal", "/ana/", "--defaults", "--no-detect-systemd",
            "--state-dir", str(self.folder / "xandikos-state"),
        ])
        wait_until(lambda: answers(self.url), seconds=60, what="Xandikos")
        return self

    def dav(self):
        return Dav(self.url, None, None)

"""Upstream servers from Debian: Cyrus IMAP with its calendars, and the Digest authentication of Apache and of lighttpd before Radicale.

Both want a user of their own, so their folders lie where that user may look: made for the test, and gone with it.
"""

import hashlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from .client import Dav
from .process import Program, answers, free_port, wait_until
from .tools import debian, missing


class Own(Program):
    """A program with a folder in the system's temporary one, open to other users."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="lineartime-"))
        self.folder.chmod(0o755)
        super().__init__(self.folder / "log")

    def kill(self):
        super().kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Cyrus(Own):
    """Cyrus IMAP with one user and one calendar."""

    name = "cyrus"
    user, password = "ana", "cyrus-secret"
    # What its processes have beside this one's environment.
    environment = {}

    def __init__(self):
        if os.geteuid() != 0:
            missing("Cyrus IMAP can only be started by root, who becomes its user")
        self.master = self.program("master")
        super().__init__()
        self.port, self.imap = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.calendar = "/dav/calendars/user/ana/Work/"

    @staticmethod
    def program(name):
        path = Path("/usr/lib/cyrus/bin") / name
        if not path.exists() or not Path("/usr/lib/cyrus/bin/httpd").exists() or shutil.which("saslpasswd2") is None:
            debian("saslpasswd2", "sasl2-bin")
            debian("cyradm", "cyrus-imapd", "cyrus-caldav", "cyrus-admin", "libsasl2-modules")
        return path if path.exists() else missing("Cyrus IMAP is not where Debian puts it")

    def configure(self):
        at, config = self.folder, self.folder / "imapd.conf"
        config.write_text(
            f"configdirectory: {at}/config\npartition-default: {at}/mail\ndefaultpartition: default\nadmins: cyrus\n"
            f"sasl_pwcheck_method: auxprop\nsasl_auxprop_plugin: sasldb\nsasl_sasldb_path: {at}/sasldb2\n"
            "sasl_mech_list: PLAIN\nallowplaintext: yes\nhttpmodules: caldav\ncaldav_allowscheduling: on\n"
            f"servername: localhost\nvirtdomains: off\nunixhierarchysep: on\naltnamespace: yes\nsievedir: {at}/sieve\n")
        services = (f'START {{ recover cmd="ctl_cyrusdb -C {config} -r" }}\nSERVICES {{\n'
                    f'http cmd="httpd -C {config} -U 100" listen="127.0.0.1:{self.port}" prefork=0\n'
                    f'imap cmd="imapd -C {config}" listen="127.0.0.1:{self.imap}" prefork=0\n}}\nEVENTS {{ }}\n')
        (at / "cyrus.conf").write_text(services)
        for folder in ("config/db", "config/log", "config/proc", "config/socket", "config/lock", "config/user", "mail", "sieve"):
            (at / folder).mkdir(parents=True, exist_ok=True)
        for user, password in ((self.user, self.password), ("cyrus", "admin-secret")):
            subprocess.run(["saslpasswd2", "-p", "-c", "-f", at / "sasldb2", "-u", "localhost", user], input=password, text=True, check=True)
        subprocess.run(["chown", "-R", "cyrus:mail", at], check=True)

    def start(self):
        is_first = not (self.folder / "imapd.conf").exists()
        if is_first:
            self.configure()
        self.spawn([str(self.master), "-C", f"{self.folder}/imapd.conf", "-M", f"{self.folder}/cyrus.conf", "-p", f"{self.folder}/pid", "-D"],
                   env=os.environ | self.environment)
        wait_until(lambda: answers(self.url), seconds=60, what="Cyrus")
        if is_first:
            self.make_mailbox()
            self.dav().mkcalendar(self.calendar, "Work")
        return self

    def make_mailbox(self):
        with socket.create_connection(("127.0.0.1", self.imap), timeout=10) as connection:
            lines = connection.makefile("rwb", buffering=0)
            lines.readline()
            for tag, command in (("a", "LOGIN cyrus admin-secret"), ("b", f"CREATE user/{self.user}")):
                lines.write(f"{tag} {command}\r\n".encode())
                while not (answer := lines.readline()).startswith(tag.encode()):
                    pass
                assert b" OK " in answer, answer

    def dav(self):
        return Dav(self.url, self.user, self.password)


class Digest(Own):
    """A web server with Digest authentication, and Radicale behind it, which believes it."""

    user, password, realm = "ana", "digest-secret", "calendars"
    calendar = "/ana/work/"
    hash = staticmethod(hashlib.md5)

    def __init__(self):
        self.program = self.find()
        super().__init__()
        self.port, self.behind = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.radicale = Program(self.folder / "radicale.log")

    def start(self):
        secret = self.hash(f"{self.user}:{self.realm}:{self.password}".encode()).hexdigest()
        (self.folder / "users").write_text(f"{self.user}:{self.realm}:{secret}\n")
        self.radicale.spawn([
            sys.executable, "-m", "radicale", "--config", "", "--server-hosts", f"127.0.0.1:{self.behind}",
            "--storage-filesystem-folder", str(self.folder / "radicale"), "--auth-type", "http_x_remote_user"])
        self.spawn(self.command())
        wait_until(lambda: answers(f"http://127.0.0.1:{self.behind}") and answers(self.url), seconds=60, what=f"{self.name} and Radicale")
        made = self.dav().request("MKCALENDAR", self.calendar, headers={"X-Remote-User": self.user})
        assert made.status in (201, 405, 409), made.text
        return self

    def kill(self):
        self.radicale.kill()
        super().kill()

    def stop(self, seconds=15):
        self.radicale.stop(seconds)
        return super().stop(seconds)

    def dav(self):
        """Behind the web server's back: what the gateway has done is looked at where it is stored."""
        return Trusted(f"http://127.0.0.1:{self.behind}", self.user)


class ApacheDigest(Digest):
    """Apache: MD5, by its own mod_auth_digest."""

    name = "apache"
    MODULES = ("mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_digest", "headers", "proxy", "proxy_http")

    @staticmethod
    def find():
        return debian("apache2", "apache2-bin")

    def command(self):
        modules = "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in self.MODULES)
        (self.folder / "apache.conf").write_text(
            f"ServerRoot {self.folder}\nServerName localhost\nListen 127.0.0.1:{self.port}\nPidFile {self.folder}/pid\n"
            f"ErrorLog {self.folder}/error.log\nDefaultRuntimeDir {self.folder}\n{modules}User www-data\nGroup www-data\n"
            f"<Location />\nAuthType Digest\nAuthName {self.realm}\nAuthDigestProvider file\nAuthUserFile {self.folder}/users\n"
            "Require valid-user\nRequestHeader unset Authorization\nRequestHeader set X-Remote-User expr=%{REMOTE_USER}\n"
            f"ProxyPass http://127.0.0.1:{self.behind}/\nProxyPassReverse http://127.0.0.1:{self.behind}/\n</Location>\n")
        return [self.program, "-f", str(self.folder / "apache.conf"), "-DFOREGROUND"]


class LighttpdDigest(Digest):
    """lighttpd: SHA-256 (RFC 7616), by its own mod_auth."""

    name = "lighttpd"
    hash = staticmethod(hashlib.sha256)

    @staticmethod
    def find():
        # The service that the package would start is not wanted, and its programs lie where only root looks.
        return debian("/usr/sbin/lighttpd", "lighttpd")

    def command(self):
        (self.folder / "lighttpd.conf").write_text(
            f'server.document-root = "{self.folder}"\nserver.bind = "127.0.0.1"\nserver.port = {self.port}\n'
            f'server.modules = ("mod_auth", "mod_authn_file", "mod_setenv", "mod_proxy")\nserver.errorlog = "{self.folder}/error.log"\n'
            f'auth.backend = "htdigest"\nauth.backend.htdigest.userfile = "{self.folder}/users"\n'
            f'auth.require = ("/" => ("method" => "digest", "algorithm" => "SHA-256", "realm" => "{self.realm}", "require" => "valid-user"))\n'
            f'setenv.set-request-header = ("X-Remote-User" => "{self.user}")\n'
            f'proxy.server = ("" => (("host" => "127.0.0.1", "port" => {self.behind})))\n')
        return [self.program, "-D", "-f", str(self.folder / "lighttpd.conf")]


class Trusted(Dav):
    """A client that is believed to be who it says."""

    def __init__(self, url, user):
        super().__init__(url, None, None)
        self.name = user

    def request(self, method, path, body=None, headers=None):
        return super().request(method, path, body, {"X-Remote-User": self.name, **(headers or {})})

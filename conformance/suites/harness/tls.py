"""Servers with TLS as a company has them: certificates of an authority of its own, for the server and for who comes."""

import subprocess
import sys
from pathlib import Path

from .process import Program, free_port, wait_until
from .tools import debian
from .upstream import Radicale


class Authority:
    """A certificate authority that no machine knows of itself."""

    def __init__(self, folder: Path, name):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.openssl = folder, debian("openssl", "openssl")
        self.certificate, self.key = folder / "ca.pem", folder / "ca-key.pem"
        self.command("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN={name}",
                     "-keyout", self.key, "-out", self.certificate, "-addext", "basicConstraints=critical,CA:true", "-addext", "keyUsage=keyCertSign")

    def command(self, *arguments):
        subprocess.run([self.openssl, *map(str, arguments)], check=True, capture_output=True)

    def issue(self, name, usage="serverAuth", alternatives="DNS:localhost,IP:127.0.0.1"):
        """Certificate and key (PEM files) of somebody."""
        key, request, certificate = (self.folder / f"{name}{kind}" for kind in ("-key.pem", ".csr", ".pem"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"basicConstraints=CA:false\nextendedKeyUsage={usage}\nsubjectAltName={alternatives}\n")
        self.command("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        self.command("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days", "30",
                     "-extfile", extensions, "-out", certificate)
        return certificate, key


class SecureRadicale(Radicale):
    """Radicale, and a second one with the same storage that speaks TLS; it may want certificates of `clients`."""

    def __init__(self, folder: Path, authority: Authority, clients: Authority | None = None):
        super().__init__(folder)
        self.certificate, self.key = authority.issue("server")
        self.clients = clients
        self.secure, self.secure_port = Program(folder / "radicale-tls.log"), free_port()
        self.secure_url = f"https://localhost:{self.secure_port}"

    def start(self):
        super().start()
        asked = ["--server-certificate-authority", str(self.clients.certificate)] if self.clients else []
        self.secure.spawn([
            sys.executable, "-m", "radicale", "--config", "", "--server-hosts", f"localhost:{self.secure_port}", "--server-ssl",
            "--server-certificate", str(self.certificate), "--server-key", str(self.key), *asked,
            "--storage-filesystem-folder", str(self.folder / "radicale"), "--auth-type", "htpasswd",
            "--auth-htpasswd-filename", str(self.folder / "users"), "--auth-htpasswd-encryption", "plain", "--auth-delay", "0",
        ])
        wait_until(lambda: "Radicale server ready" in self.secure.output(), seconds=60, what="Radicale with TLS")
        return self

    def kill(self):
        self.secure.kill()
        super().kill()

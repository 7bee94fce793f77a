"""litmus (Debian) against a plain WebDAV folder: everything but locks, which are not offered (class 1 and 3)."""

import re
import subprocess
from pathlib import Path

import pytest
from harness.gateway import Gateway
from harness.tools import debian

# A warning is allowed only with its reason.
ALLOWED = {
    "options": "class 2 (locks) is not offered: no calendar client locks, and a lock left behind by a client that went away "
               "keeps the others out (RFC 4918 18.2 makes the class optional)",
    "delete_fragment": "a fragment is no part of a request target (RFC 9112 3.2); what the HTTP library drops is not seen",
}


@pytest.mark.parametrize("program", ["basic", "copymove", "props", "http"])
def test_litmus(started, tmp_path, program):
    debian("litmus", "litmus")
    gateway = started(Gateway(tmp_path, dav__plain_collections="true"))
    gateway.add_user()
    done = subprocess.run(
        [f"/usr/libexec/litmus/{program}", "--htdocs", "/usr/share/litmus/htdocs", gateway.url + "/dav/files/ana/", "ana", gateway.password],
        capture_output=True, text=True, timeout=300, cwd=tmp_path)
    told = done.stdout.replace("\r", "\n")
    failed = re.findall(r"^ *\d+\. (\w+)\.+ FAIL.*$", told, re.M)
    assert done.returncode == 0 and not failed, told
    assert re.search(r"100\.0%", told), told
    warned = set(re.findall(r"^ *\d+\. (\w+)\.+ WARNING", told, re.M))
    assert warned <= set(ALLOWED), told


def test_without_the_setting_there_is_no_plain_folder(gateway):
    dav = gateway.dav()
    for method in ("PROPFIND", "PUT", "MKCOL", "DELETE", "GET"):
        assert dav.request(method, "/dav/files/ana/x", headers={"Depth": "0"}).status == 404, method
    assert Path(gateway.log).exists()

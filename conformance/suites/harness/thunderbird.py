"""Thunderbird without a screen, driven by Marionette in its chrome context: what its windows call is called directly."""

import socket
import sys
from pathlib import Path

from .process import Program, free_port, wait_until
from .tools import pypi

MARIONETTE = "marionette_driver==3.7.1"
BINARY = Path("/usr/lib/thunderbird/thunderbird")

SETTINGS = {
    "app.donation.eoy.version.viewed": 999,
    "app.update.enabled": False,
    "calendar.timezone.local": "Europe/Berlin",
    "calendar.timezone.useSystemTimezone": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.spotlight.firstRunDone": True,
    "mailnews.start_page.enabled": False,
    "network.proxy.type": 0,
    "toolkit.telemetry.reportingpolicy.firstRun": False,
}

PRELUDE = """
const [args, done] = [Array.from(arguments).slice(0, -1), arguments[arguments.length - 1]];
const { cal } = ChromeUtils.importESModule("resource:///modules/calendar/calUtils.sys.mjs");
const { CalEvent } = ChromeUtils.importESModule("resource:///modules/CalEvent.sys.mjs");
const calendarAt = url => cal.manager.getCalendars().find(one => one.uri.spec == url);
const moment = (text, zone) => {
  const time = cal.createDateTime(text);
  if (zone) { time.timezone = cal.timezoneService.getTimezone(zone); }
  return time;
};
(async () => { %s })().then(value => done({ value }), error => done({ error: String(error) + "\\n" + (error?.stack ?? "") }));
"""


class Thunderbird(Program):
    """One profile and one process."""

    def __init__(self, folder: Path):
        super().__init__(folder / "thunderbird.log")
        self.home = folder / "thunderbird"
        self.session = None

    def start(self):
        sys.path.append(str(pypi(MARIONETTE)))
        from marionette_driver.marionette import Marionette

        profile, port = self.home / "profile", free_port()
        profile.mkdir(parents=True)
        settings = SETTINGS | {"marionette.port": port}
        written = {True: "true", False: "false"}
        lines = [f'user_pref("{name}", {written[value] if isinstance(value, bool) else repr(value).replace(chr(39), chr(34))});'
                 for name, value in settings.items()]
        (profile / "user.js").write_text("\n".join(lines) + "\n")
        self.spawn([BINARY, "--headless", "--marionette", "--remote-allow-system-access", "--no-remote", "--profile", profile],
                   env={"HOME": str(self.home), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MOZ_CRASHREPORTER_DISABLE": "1"})

        def up():
            assert self.running(), f"Thunderbird ended at start:\n{self.output()}"
            return listens(port)
        wait_until(up, seconds=90, what="Marionette")
        self.session = Marionette(host="127.0.0.1", port=port)
        self.session.start_session()
        self.session.set_context("chrome")
        self.session.timeout.script = 60
        # Marionette forbids it for browsers; a calendar without a saved password asks a person.
        self.run("Services.prefs.setBoolPref('signon.rememberSignons', true);")
        return self

    def run(self, body, *arguments):
        """What the body of this async function returns."""
        answer = self.session.execute_async_script(PRELUDE % body, script_args=arguments, sandbox="system")
        assert "error" not in answer, answer["error"]
        return answer.get("value")

    def version(self):
        return self.session.session_capabilities["browserVersion"]



def listens(port):
    """Whether somebody takes connections at a loopback port."""
    with socket.socket() as asking:
        return asking.connect_ex(("127.0.0.1", port)) == 0

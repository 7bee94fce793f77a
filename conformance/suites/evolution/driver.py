"""Does in evolution-data-server what it is told: one JSON object a line comes in, one goes out. Runs with the system's Python
inside a D-Bus session of its own, since its bindings are Debian packages."""

import json
import sys
import threading
import traceback
from urllib.parse import urlsplit

import gi

for name, number in (("ECal", "2.0"), ("EDataServer", "1.2"), ("ICalGLib", "3.0")):
    gi.require_version(name, number)
from gi.repository import ECal, EDataServer, GLib, ICalGLib  # noqa: E402

EXTENSIONS = (EDataServer.SOURCE_EXTENSION_AUTHENTICATION, EDataServer.SOURCE_EXTENSION_WEBDAV_BACKEND)
WHOLE = ECal.OperationFlags.NONE


class Session:
    """One user's calendars, of which one is open."""

    def __init__(self):
        self.registry = EDataServer.SourceRegistry.new_sync(None)
        self.credentials = self.client = None

    def _source(self, url, user, password):
        parts = urlsplit(url)
        source = EDataServer.Source.new(None, None)
        source.set_display_name("LinearTime")
        source.get_extension(EDataServer.SOURCE_EXTENSION_CALENDAR).set_backend_name("caldav")
        login, place = (source.get_extension(name) for name in EXTENSIONS)
        login.set_host(parts.hostname)
        login.set_port(parts.port)
        login.set_user(user)
        login.set_method("plain/password")
        place.set_resource_path(parts.path)
        source.get_extension(EDataServer.SOURCE_EXTENSION_SECURITY).set_secure(False)
        self.credentials = EDataServer.NamedParameters.new()
        self.credentials.set(EDataServer.SOURCE_CREDENTIAL_USERNAME, user)
        self.credentials.set(EDataServer.SOURCE_CREDENTIAL_PASSWORD, password)
        return source

    def discover(self, url, user, password):
        """Href and name of each calendar for events that is found from the address."""
        source = self._source(url, user, password)
        found = EDataServer.webdav_discover_sources_sync(
            source, None, EDataServer.WebDAVDiscoverSupports.EVENTS, self.credentials, None)
        return [[one.href, one.display_name] for one in found.out_discovered_sources], list(found.out_calendar_user_addresses or [])

    def open(self, url, user, password):
        source = self._source(url, user, password)
        source.set_parent("caldav-stub")
        self.registry.commit_source_sync(source, None)
        source = self.registry.ref_source(source.get_uid())
        # The part of the window that asks a person for the password.
        source.connect("credentials-required", lambda asking, *_: asking.invoke_authenticate(self.credentials, None, None))
        self.client = ECal.Client.connect_sync(source, ECal.ClientSourceType.EVENTS, 30, None)
        return not self.client.is_readonly()

    def create(self, text):
        done, uid = self.client.create_object_sync(ICalGLib.Component.new_from_string(text), WHOLE, None)
        return uid

    def titles(self):
        done, found = self.client.get_object_list_sync("#t", None)
        return sorted(one.get_summary() for one in found)

    def get(self, uid):
        done, found = self.client.get_object_sync(uid, None, None)
        return found.as_ical_string()

    def rename(self, uid, title):
        done, found = self.client.get_object_sync(uid, None, None)
        found.set_summary(title)
        self.client.modify_object_sync(found, ECal.ObjModType.ALL, WHOLE, None)

    def override(self, text):
        """One instance of a series, as the component says by its RECURRENCE-ID."""
        self.client.modify_object_sync(ICalGLib.Component.new_from_string(text), ECal.ObjModType.THIS, WHOLE, None)

    def leave_out(self, uid, instance):
        self.client.remove_object_sync(uid, instance, ECal.ObjModType.THIS, WHOLE, None)

    def remove(self, uid):
        self.client.remove_object_sync(uid, None, ECal.ObjModType.ALL, WHOLE, None)

    def refresh(self):
        self.client.refresh_sync(None)

    def instances(self, start, end):
        """Start and title of every instance between two moments (seconds since 1970)."""
        found = []

        def take(component, begin, finish, *_):
            found.append([begin.as_ical_string(), component.get_summary()])
            return True
        self.client.generate_instances_sync(start, end, None, take)
        return sorted(found)


def main():
    session = Session()
    threading.Thread(target=GLib.MainLoop().run, daemon=True).start()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"value": getattr(session, asked["do"])(*asked["with"])}
        except (GLib.Error, TypeError, AttributeError) as error:
            answer = {"error": f"{error}\n{traceback.format_exc()}"}
        print(json.dumps(answer), flush=True)


main()

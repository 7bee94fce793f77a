"""What the Google simulator holds everybody to: the discovery document, its error answers, its times."""

import datetime
import json
import re
import zoneinfo
from pathlib import Path

from dateutil import parser as dates

DISCOVERY = json.loads((Path(__file__).resolve().parents[2] / "contracts" / "google-calendar-v3.discovery.json").read_text())
UTC = datetime.timezone.utc


def methods(resource, found):
    for method in resource.get("methods", {}).values():
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", method["path"])
        found.append((method["httpMethod"], re.compile("^" + pattern + "$"), method))
    for inner in resource.get("resources", {}).values():
        methods(inner, found)
    return found


METHODS = methods(DISCOVERY, [])
# `events/import` and `events/watch` before `events/{eventId}`.
METHODS.sort(key=lambda one: one[2]["path"].count("{"))


class Refused(Exception):
    """An error answer of the API."""

    def __init__(self, status, reason, domain="global"):
        super().__init__(f"{status} {reason}")
        self.status, self.reason, self.domain = status, reason, domain


def check_query(description, query):
    """Raises for a parameter that the method does not have, for a value that it can't have, and for one that is missing."""
    for name, value in query.items():
        known = description.get("parameters", {}).get(name) or DISCOVERY["parameters"].get(name)
        if known is None or ("enum" in known and value not in known["enum"]):
            raise ValueError(f"parameter {name}={value}")
        pattern = {"integer": r"-?\d+", "boolean": "true|false"}.get(known.get("type"), "(?s).*")
        if not re.fullmatch(pattern, value):
            raise ValueError(f"parameter {name}={value} is no {known['type']}")
    for name, known in description.get("parameters", {}).items():
        if known.get("required") and known["location"] == "query" and name not in query:
            raise ValueError(f"parameter {name} is required")


def check_body(schema, value, where):
    """Raises for a member that the schema does not have, or one of another type."""
    if value is None:
        return
    if "$ref" in schema:
        schema = DISCOVERY["schemas"][schema["$ref"]]
    kind = schema.get("type")
    if kind == "object":
        if not isinstance(value, dict):
            raise ValueError(f"{where} is no object")
        for name, inner in value.items():
            known = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            if known is None:
                raise ValueError(f"{where}.{name} is no member")
            check_body(known, inner, f"{where}.{name}")
    elif kind == "array":
        if not isinstance(value, list):
            raise ValueError(f"{where} is no array")
        for inner in value:
            check_body(schema["items"], inner, where + "[]")
    else:
        types = {"string": str, "boolean": bool, "integer": int, "number": (int, float)}
        if kind in types and (not isinstance(value, types[kind]) or (kind == "integer" and isinstance(value, bool))):
            raise ValueError(f"{where} is no {kind}")


def merge(old, new):
    """PATCH: objects merge, null takes away, arrays are replaced."""
    for name, value in new.items():
        if value is None:
            old.pop(name, None)
        elif isinstance(value, dict) and isinstance(old.get(name), dict):
            merge(old[name], value)
        elif isinstance(value, dict):
            old[name] = {}
            merge(old[name], value)
        else:
            old[name] = value


def moment(point):
    """A start as a datetime in UTC; days begin at midnight."""
    if "date" in point:
        return dates.parse(point["date"]).replace(tzinfo=UTC)
    at = dates.parse(point["dateTime"])
    if at.tzinfo is None:
        at = at.replace(tzinfo=zoneinfo.ZoneInfo(point["timeZone"]))
    return at.astimezone(UTC)


def key(point):
    at = moment(point)
    return at.strftime("%Y%m%d" if "date" in point else "%Y%m%dT%H%M%SZ")

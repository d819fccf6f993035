"""Settings of design section 6.4 that this build knows of and does not enforce: refused, never silently ignored."""

from __future__ import annotations

from collections.abc import Iterator

from dpu_app.model.problem import Finding, Location

ANY = "*"
# A path of the desired state, `*` for any list index, and what the setting would do.
SETTINGS: dict[tuple[str, ...], str] = {
    ("canary",): "canary analysis",
    ("slo",): "service level objectives",
    ("listeners", ANY, "tickets"): "session ticket keys",
    ("listeners", ANY, "certificates", ANY, "ocsp_file"): "OCSP stapling",
    ("models", ANY, "clamps"): "clamps per model",
    ("models", ANY, "arms", ANY, "clamps"): "clamps per arm",
    ("models", ANY, "arms", ANY, "digests"): "allowed model digests",
    ("workers", ANY, "certificate_file"): "worker certificates",
    ("telemetry", "otlp"): "traces over OTLP",
    ("telemetry", "traces"): "traces",
    ("telemetry", "journal", "sample"): "sampling of the journal",
}
KEY_FILE = ("listeners", ANY, "certificates", ANY, "private_key_file")


def findings(data: object) -> list[Finding]:
    """One finding for each such setting in `data`, which is the file as plain values."""
    return [finding for loc, value in walk(data, ()) if (finding := judge(loc, value)) is not None]


def without(data: object, refused: set[Location], loc: Location = ()) -> object:
    """`data` without the fields at `refused`, so that the rest can be judged too."""
    if isinstance(data, dict):
        kept = {key: value for key, value in data.items() if (*loc, key) not in refused}
        return {key: without(value, refused, (*loc, key)) for key, value in kept.items()}
    if isinstance(data, list):
        return [without(value, refused, (*loc, index)) for index, value in enumerate(data)]
    return data


def judge(loc: Location, value: object) -> Finding | None:
    """The finding of one place, if it has one."""
    pattern = tuple(ANY if isinstance(step, int) else step for step in loc)
    if pattern in SETTINGS:
        return Finding(loc, f"{SETTINGS[pattern]}: not enforced by this build yet", f"remove '{loc[-1]}'")
    if pattern == KEY_FILE and isinstance(value, str) and value.startswith("pkcs11:"):
        return Finding(loc, "keys in an HSM: not enforced by this build yet", "name a PEM file instead")
    return None


def walk(data: object, loc: Location) -> Iterator[tuple[Location, object]]:
    """Every place below `data`, outermost first. `data` is a tree of bounded depth (the loader sees to that)."""
    items: Iterator[tuple[str | int, object]]
    if isinstance(data, dict):
        items = ((str(key), value) for key, value in data.items())
    elif isinstance(data, list):
        items = ((index, value) for index, value in enumerate(data))
    else:
        return
    for key, value in items:
        yield (*loc, key), value
        yield from walk(value, (*loc, key))

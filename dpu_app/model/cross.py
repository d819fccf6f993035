"""Whether the parts of a desired state fit together: names that exist, shares that add up, nothing twice. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Sequence

from dpu_app.model import cross_credentials, cross_packet
from dpu_app.model.desired import Desired
from dpu_app.model.problem import Finding, Location, Named, path_text, twice

KEY_KINDS = 3  # ECDSA, RSA, Ed25519


def findings(desired: Desired) -> list[Finding]:
    """Everything that does not fit, all at once, in the order of the file's parts."""
    checks: tuple[Callable[[Desired], Iterator[Finding]], ...] = (
        names, addresses, server_names, keys, tenant_models, weights, token_maxima, selectors, breaker_times,
        cross_credentials.findings, packet,
    )  # fmt: skip
    return [finding for check in checks for finding in check(desired)]


def packet(desired: Desired) -> Iterator[Finding]:
    """The packet stage fits together in itself."""
    return cross_packet.findings(desired.packet)


def names(desired: Desired) -> Iterator[Finding]:
    """Names are unique in their list; names and aliases of models share one space."""
    fix = "give each its own name"
    listeners = [(("listeners", i, "name"), item.name) for i, item in enumerate(desired.listeners)]
    tenants = [(("tenants", i, "name"), item.name) for i, item in enumerate(desired.tenants)]
    workers = [(("workers", i, "name"), item.name) for i, item in enumerate(desired.workers)]
    for entries in (listeners, tenants, workers):
        yield from twice("the name", fix, entries)
    yield from twice("the model name or alias", fix, model_names(desired))
    for m, model in enumerate(desired.models):
        arms = ((("models", m, "arms", a, "name"), arm.name) for a, arm in enumerate(model.arms))
        yield from twice("the arm", fix, arms)


def model_names(desired: Desired) -> Iterator[Named]:
    """Every name and alias with its place."""
    for m, model in enumerate(desired.models):
        yield ("models", m, "name"), model.name
        for a, alias in enumerate(model.aliases):
            yield ("models", m, "aliases", a), alias


def addresses(desired: Desired) -> Iterator[Finding]:
    """No address is used twice, and a worker has one that can be connected to."""
    listeners = [(("listeners", i, "address"), item.address) for i, item in enumerate(desired.listeners)]
    workers = [(("workers", i, "address"), item.address) for i, item in enumerate(desired.workers)]
    fix = "give each its own address or port"
    yield from twice("the address", fix, listeners)
    yield from twice("the address", fix, workers)
    yield from covered(listeners)
    for loc, text in workers:
        if ipaddress.ip_address(host_of(text)).is_unspecified:
            yield Finding(loc, f"nobody can connect to '{text}'", "name the address that the worker is reached at")


def covered(listeners: Sequence[Named]) -> Iterator[Finding]:
    """A listener on all addresses takes its port from every other one of its family."""
    everywhere = {text: loc for loc, text in listeners if ipaddress.ip_address(host_of(text)).is_unspecified}
    for loc, text in listeners:
        port = text.rpartition(":")[2]
        wide = f"[::]:{port}" if text.startswith("[") else f"0.0.0.0:{port}"
        if wide in everywhere and text != wide:
            what = f"'{text}' is covered by '{wide}' at {path_text(everywhere[wide])}"
            yield Finding(loc, what, "give it another port, or remove one of them")


def host_of(address: str) -> str:
    """The IP of a checked IP:PORT."""
    return address.rpartition(":")[0].strip("[]")


def server_names(desired: Desired) -> Iterator[Finding]:
    """A name stands once under a certificate, and under one certificate per kind of key (the fast path knows kinds)."""
    for i, listener in enumerate(desired.listeners):
        seen: dict[str, Location] = {}
        counts: dict[str, int] = {}
        for c, certificate in enumerate(listener.certificates):
            entries = [
                (("listeners", i, "certificates", c, "server_names", n), name)
                for n, name in enumerate(certificate.server_names)
            ]
            yield from twice("the server name", "name it once", entries)
            for loc, name in entries:
                counts[name] = counts.get(name, 0) + 1
                if counts[name] > KEY_KINDS:
                    what = f"'{name}' stands under more than {KEY_KINDS} certificates, first at {path_text(seen[name])}"
                    yield Finding(loc, what, "one certificate for each kind of key (ECDSA, RSA) is enough")
                seen.setdefault(name, loc)


def keys(desired: Desired) -> Iterator[Finding]:
    """A key belongs to one tenant."""
    entries = (
        (("tenants", t, "keys", k), key)
        for t, tenant in enumerate(desired.tenants)
        for k, key in enumerate(tenant.keys)
    )
    yield from twice("the key", "give each tenant its own key", entries)


def tenant_models(desired: Desired) -> Iterator[Finding]:
    """Tenants name models that exist, by their name, once."""
    known = [model.name for model in desired.models]
    owners = {alias: model.name for model in desired.models for alias in model.aliases}
    for t, tenant in enumerate(desired.tenants):
        entries = [(("tenants", t, "models", m), name) for m, name in enumerate(tenant.models)]
        yield from twice("the model", "name it once", entries)
        for loc, name in entries:
            if name in known:
                continue
            if name in owners:
                yield Finding(loc, f"'{name}' is an alias", f"name the model itself: {owners[name]}")
            else:
                yield Finding(loc, f"there is no model '{name}'", f"use one of: {', '.join(known[:8])}")


def weights(desired: Desired) -> Iterator[Finding]:
    """The arms of a model share exactly 100 %."""
    for m, model in enumerate(desired.models):
        total = sum(arm.weight_percent for arm in model.arms)
        if total != 100:
            shares = " + ".join(f"{arm.name} {arm.weight_percent.normalize():f}" for arm in model.arms[:8])
            what = f"the weights of '{model.name}' add up to {total:f} %: {shares}"
            yield Finding(("models", m, "arms"), what, "make them add up to 100")


def token_maxima(desired: Desired) -> Iterator[Finding]:
    """A default is not above its maximum."""
    for m, model in enumerate(desired.models):
        for a, arm in enumerate(model.arms):
            if arm.max_tokens_default > arm.max_tokens_max:
                what = f"max_tokens_default {arm.max_tokens_default} is above max_tokens_max {arm.max_tokens_max}"
                loc = ("models", m, "arms", a, "max_tokens_default")
                yield Finding(loc, what, f"lower it to {arm.max_tokens_max} or raise max_tokens_max")


def selectors(desired: Desired) -> Iterator[Finding]:
    """Every arm has a worker that it may use."""
    for m, model in enumerate(desired.models):
        for a, arm in enumerate(model.arms):
            wanted = arm.worker_labels.items()
            if not any(wanted <= worker.labels.items() for worker in desired.workers):
                text = ", ".join(f"{key}: {value}" for key, value in sorted(wanted))
                loc = ("models", m, "arms", a, "worker_labels")
                yield Finding(loc, f"no worker has the labels {{{text}}}", "correct the labels, or label a worker")


def breaker_times(desired: Desired) -> Iterator[Finding]:
    """A breaker's shortest time is not above its longest."""
    breaker = desired.steering.breaker
    if breaker.open_min > breaker.open_max:
        loc = ("steering", "breaker", "open_min")
        yield Finding(loc, "open_min is above open_max", "lower open_min or raise open_max")

"""The longest prefix that holds a source, then the specific port."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from dpu_app.model.plan_packet import PlanAcl


class Acl:
    """The entries of one plan. A prefix holds addresses of its own family only."""

    def __init__(self, entries: Iterable[PlanAcl]) -> None:
        # (service, bytes of an address) -> prefix length -> (network, port) -> entry
        self._by_length: dict[tuple[int, int], dict[int, dict[tuple[int, int], PlanAcl]]] = {}
        for entry in entries:
            prefix = ipaddress.ip_network(entry.source)
            lengths = self._by_length.setdefault((entry.service, prefix.max_prefixlen // 8), {})
            lengths.setdefault(prefix.prefixlen, {})[int(prefix.network_address), entry.port] = entry
        for key, lengths in self._by_length.items():
            self._by_length[key] = dict(sorted(lengths.items(), reverse=True))

    def entry(self, service: int, source: bytes, port: int) -> PlanAcl | None:
        """The entry that decides, if there is one."""
        address, bits = int.from_bytes(source, "big"), len(source) * 8
        for length, entries in self._by_length.get((service, len(source)), {}).items():
            network = address >> (bits - length) << (bits - length)
            found = entries.get((network, port)) or entries.get((network, 0))
            if found:
                return found
        return None

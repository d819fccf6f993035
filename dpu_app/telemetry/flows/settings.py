"""What flow telemetry is told: the desired state's `telemetry.flows`, with paths and times ready for use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dpu_app.model.part import duration_ms
from dpu_app.model.telemetry import FlowExport


@dataclass(frozen=True)
class IpfixSettings:
    """Where IPFIX goes, and how."""

    collector: tuple[str, int]
    template_refresh_s: float
    observation_domain: int
    enterprise_number: int


@dataclass(frozen=True)
class FlowSettings:
    """Frozen: a change is another object. `json_file` is absolute."""

    ipfix: IpfixSettings | None = None
    json_file: Path | None = None
    active_timeout_s: float = 60.0
    entries_max: int = 65_536
    series_max: int = 1_024

    @classmethod
    def of(cls, desired: FlowExport, folder: str) -> FlowSettings:
        """The settings of a desired state whose file lies in `folder`."""
        return cls(
            ipfix=ipfix_of(desired),
            json_file=Path(folder, desired.json_file) if desired.json_file else None,
            active_timeout_s=duration_ms(desired.active_timeout) / 1000,
            entries_max=desired.entries_max,
            series_max=desired.series_max,
        )


def ipfix_of(desired: FlowExport) -> IpfixSettings | None:
    """The part about IPFIX, if there is one."""
    wanted = desired.ipfix
    if wanted is None:
        return None
    host, _, port = wanted.collector.rpartition(":")
    return IpfixSettings(
        collector=(host.strip("[]"), int(port)),
        template_refresh_s=duration_ms(wanted.template_refresh) / 1000,
        observation_domain=wanted.observation_domain,
        enterprise_number=wanted.enterprise_number,
    )

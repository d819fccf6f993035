"""What every test gets: property tests that find the same thing on every machine, and say how to find it again."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# CI repeats the same examples; a developer's run looks for new ones.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("dev", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI") else "dev")

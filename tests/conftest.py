"""Settings shared by every test: hypothesis profiles, and one thread pool size for torch."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "people", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
# The same examples on every machine: a red run can be repeated.
settings.register_profile("ci", settings.get_profile("people"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "people")

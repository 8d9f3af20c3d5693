"""Settings shared by every test: hypothesis profiles, bytecode, how the threads of torch wait."""

import os
import sys

from hypothesis import HealthCheck, settings

# Before torch is imported: threads that spin while they wait make a busy machine crawl.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

settings.register_profile(
    "people", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
# The same examples on every machine: a red run can be repeated.
settings.register_profile("ci", settings.get_profile("people"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "people")

# Without the bytecode of torch each of many children would compile it anew, in seconds. Children
# only read it where PYTHONDONTWRITEBYTECODE is set: one that may write little leaves half a file.
sys.dont_write_bytecode = False

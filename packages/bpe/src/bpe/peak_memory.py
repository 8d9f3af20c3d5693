"""Ask the system how much memory a process has held."""

import re
import sys
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_memory() -> int | None:
    """Return the largest memory that this process, or one that it started, has held, in bytes.

    None where the system does not tell (Windows).
    """
    try:
        import resource
    except ImportError:
        return None

    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if _STATUS.exists():
        # Linux begins `ru_maxrss` at what the program held that started this one.
        high_water = re.search(r"VmHWM:\s*(\d+)", _STATUS.read_text())
        own = int(high_water[1]) if high_water else own
    largest = max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
    # In bytes on macOS, in kibibytes elsewhere.
    return largest if sys.platform == "darwin" else largest * 1024

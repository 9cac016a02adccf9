"""Which processor a measurement was made on."""

import platform
from pathlib import Path


def processor() -> str:
    """The processor's name, as the system tells it."""
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()

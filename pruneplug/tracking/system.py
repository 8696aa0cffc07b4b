"""What a run takes of the machine."""

import resource
import sys
import time

_MEGABYTE = 2**20


class SystemMeter:
    """Measures this process; MLflow's pages show `system/...` in a place of their own."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def measure(self) -> dict[str, float]:
        """Return CPU use since the last call in percent of one core, and peak memory in MB."""
        wall, cpu = time.monotonic(), time.process_time()
        passed = max(wall - self._wall, 1e-9)
        percent = 100 * (cpu - self._cpu) / passed
        self._wall, self._cpu = wall, cpu
        # Linux counts in kilobytes, macOS in bytes.
        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / _MEGABYTE
        return {"system/process_cpu_percentage": percent, "system/process_peak_memory_mb": peak}

"""What NVML says of the GPUs of a host; nothing at all where there is no driver."""

import collections
import ctypes
import threading

from .families import counter, gauge

WAIT_MILLISECONDS = 5000
# Where a GPU does not have a reading (ECC on consumer cards), NVML raises and the row is left out.
READINGS = (
    ("fastchat_gpu_memory_used_bytes", "Memory in use.", lambda nv, gpu: nv.nvmlDeviceGetMemoryInfo(gpu).used),
    ("fastchat_gpu_memory_size_bytes", "Memory of a GPU.", lambda nv, gpu: nv.nvmlDeviceGetMemoryInfo(gpu).total),
    ("fastchat_gpu_temperature_celsius", "Temperature.", lambda nv, gpu: nv.nvmlDeviceGetTemperature(gpu, 0)),
    ("fastchat_gpu_utilization_ratio", "Time in use.", lambda nv, gpu: nv.nvmlDeviceGetUtilizationRates(gpu).gpu / 100),
    ("fastchat_gpu_power_watts", "Power draw.", lambda nv, gpu: nv.nvmlDeviceGetPowerUsage(gpu) / 1000),
)
ECC = (("corrected", 0), ("uncorrected", 1))
AGGREGATE = 1  # since the card was made, which a reboot does not reset
MOST_XIDS = 64  # different numbers that one GPU gets a series for; NVIDIA has given out fewer than 200


def address(handle):
    """Return what names a GPU in events: a GPU that is lost can not be asked for its UUID any more."""
    return ctypes.addressof(handle.contents)


class Gpus:
    """Collects what NVML (the module pynvml) says. Its GPUs are numbered as nvidia-smi does."""

    def __init__(self, nvml):
        """Initialise NVML if there is a driver; else nothing will be collected, and a later scrape tries again."""
        self.nvml, self.xids, self.started = nvml, collections.Counter(), False
        self.ready()

    def ready(self):
        """Return whether NVML can be asked. The driver may be loaded after this process started."""
        if not self.started:
            try:
                self.nvml.nvmlInit()
            except self.nvml.NVMLError:
                return False
            self.started = True
            threading.Thread(target=self.listen, daemon=True).start()
        return True

    def handles(self):
        """Yield (number, handle, None), or (number, None, error) for a GPU that can not be opened any more."""
        for number in range(self.nvml.nvmlDeviceGetCount()):
            try:
                yield number, self.nvml.nvmlDeviceGetHandleByIndex(number), None
            except self.nvml.NVMLError as error:
                yield number, None, error

    def listen(self):
        """Count XID errors: NVML reports those that happen from now on, as events."""
        events, numbers = self.nvml.nvmlEventSetCreate(), {}
        for number, handle, _error in self.handles():
            if handle is None:
                continue
            numbers[address(handle)] = number
            try:
                self.nvml.nvmlDeviceRegisterEvents(handle, self.nvml.nvmlEventTypeXidCriticalError, events)
            except self.nvml.NVMLError as error:
                print(f"GPU {number} reports no XID errors: {error}", flush=True)
        while numbers:
            try:
                event = self.nvml.nvmlEventSetWait_v2(events, WAIT_MILLISECONDS)
                self.note(numbers.get(address(event.device), -1), int(event.eventData))
            except self.nvml.NVMLError_Timeout:
                continue
            except self.nvml.NVMLError as error:
                print(f"NVML reports no events any more: {error}", flush=True)
                return

    def note(self, gpu, xid):
        """Count one XID error of a GPU."""
        known = sum(number == gpu for number, _xid in self.xids)
        if (gpu, xid) in self.xids or known < MOST_XIDS:
            self.xids[gpu, xid] += 1

    def read(self, reading, handle):
        """Return what a reading gives, None where the GPU has none or is lost."""
        try:
            return reading(self.nvml, handle)
        except self.nvml.NVMLError:
            return None

    def collect(self):
        """Yield the families."""
        if not self.ready():
            return
        try:
            cards = list(self.handles())
            driver = self.nvml.nvmlSystemGetDriverVersion()
        except self.nvml.NVMLError as error:
            print(f"NVML does not answer: {error}", flush=True)
            return
        # A GPU that fell off the bus still has a handle, and each reading of it fails.
        memory = {number: handle and self.read(READINGS[0][2], handle) for number, handle, _error in cards}
        up = [({"gpu": number}, int(memory[number] is not None)) for number, _handle, _error in cards]
        yield gauge("fastchat_gpu_up", "1 while a GPU answers.", up)
        alive = [(number, handle) for number, handle, _error in cards if memory[number] is not None]
        nv = self.nvml
        named = [
            {
                "gpu": number,
                "uuid": nv.nvmlDeviceGetUUID(handle),
                "name": nv.nvmlDeviceGetName(handle),
                "driver": driver,
            }
            for number, handle in alive
        ]
        yield gauge("fastchat_gpu_info", "What a GPU is, and its driver.", [(labels, 1) for labels in named])
        for name, text, reading in READINGS:
            rows = [({"gpu": number}, self.read(reading, handle)) for number, handle in alive]
            yield gauge(name, text, [row for row in rows if row[1] is not None])
        yield counter("fastchat_gpu_ecc_errors_total", "Memory errors since the card was made.", self.ecc(alive))
        xids = [({"gpu": gpu, "xid": xid}, number) for (gpu, xid), number in sorted(self.xids.items())]
        yield counter("fastchat_gpu_xid_errors_total", "XID errors since the exporter started.", xids)

    def ecc(self, alive):
        """Return the rows of memory errors of the cards that count them."""
        rows = []
        for number, handle in alive:
            for kind, code in ECC:
                count = self.read(
                    lambda nv, gpu, code=code: nv.nvmlDeviceGetTotalEccErrors(gpu, code, AGGREGATE), handle
                )
                rows += [({"gpu": number, "kind": kind}, count)] if count is not None else []
        return rows

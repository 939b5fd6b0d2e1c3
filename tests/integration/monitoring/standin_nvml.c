/* Stands in for NVIDIA's libnvidia-ml.so.1 (NVML): two V100s that a test can lose. A file FOLDER/gpuN.lost makes GPU N
   answer as one that fell off the bus; FOLDER/gpuN.xid has the number of an XID error, which is reported once. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "/run/standin-nvml"
enum { OK = 0, NOT_SUPPORTED = 3, TIMED_OUT = 10, LOST = 15 };
struct gpu { int number; };
static struct gpu gpus[2] = {{0}, {1}};
static int reported[2];

static int there(struct gpu *gpu, const char *what) {
    char path[64];
    struct stat found;
    snprintf(path, sizeof path, FOLDER "/gpu%d.%s", gpu->number, what);
    return stat(path, &found) == 0;
}
static int alive(struct gpu *gpu) { return there(gpu, "lost") ? LOST : OK; }

int nvmlInitWithFlags(unsigned flags) { (void)flags; return OK; }
const char *nvmlErrorString(int code) { return code == LOST ? "GPU is lost" : code == TIMED_OUT ? "Timeout" : "Not Supported"; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = 2; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct gpu **device) { *device = &gpus[index]; return OK; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { snprintf(text, size, "550.127.05"); return OK; }
int nvmlDeviceGetName(struct gpu *gpu, char *text, unsigned size) { snprintf(text, size, "Tesla V100-SXM2-32GB"); return alive(gpu); }
int nvmlDeviceGetUUID(struct gpu *gpu, char *text, unsigned size) { snprintf(text, size, "GPU-%d", gpu->number); return alive(gpu); }
int nvmlDeviceGetMemoryInfo(struct gpu *gpu, unsigned long long *memory) {
    memory[0] = 34359738368ULL; memory[2] = 8589934592ULL; memory[1] = memory[0] - memory[2];
    return alive(gpu);
}
int nvmlDeviceGetTemperature(struct gpu *gpu, int sensor, unsigned *value) { (void)sensor; *value = 41; return alive(gpu); }
int nvmlDeviceGetUtilizationRates(struct gpu *gpu, unsigned *rates) { rates[0] = 73; rates[1] = 20; return alive(gpu); }
int nvmlDeviceGetPowerUsage(struct gpu *gpu, unsigned *value) { (void)gpu; (void)value; return NOT_SUPPORTED; }
int nvmlDeviceGetTotalEccErrors(struct gpu *gpu, int type, int counter, unsigned long long *value) {
    (void)counter; *value = type == 0 ? 5 : 0; return alive(gpu);
}
int nvmlEventSetCreate(void **set) { *set = gpus; return OK; }
int nvmlDeviceRegisterEvents(struct gpu *gpu, unsigned long long types, void *set) { (void)types; (void)set; return alive(gpu); }
struct event { struct gpu *device; unsigned long long type, data; unsigned instances[2]; };
int nvmlEventSetWait_v2(void *set, struct event *event, unsigned milliseconds) {
    (void)set; (void)milliseconds;
    for (int number = 0; number < 2; number++) {
        char path[64];
        snprintf(path, sizeof path, FOLDER "/gpu%d.xid", number);
        FILE *file = reported[number] ? NULL : fopen(path, "r");
        if (file) {
            memset(event, 0, sizeof *event);
            reported[number] = fscanf(file, "%llu", &event->data);
            fclose(file);
            event->device = &gpus[number];
            return OK;
        }
    }
    usleep(200000);
    return TIMED_OUT;
}

/* A stand-in for NVIDIA's management library: the functions of NVML that inferneo calls, with their names,
 * arguments and return codes, and nothing behind them but a text file.
 *
 * The file is called as the library itself with ".scene" after it, and is read again at every call, so that a
 * test can change the scene while a program runs. A line is "KEY VALUE"; what has no line is not supported.
 * A value "!15" makes a call fail with that return code of NVML.
 *
 *   driver 580.95.05       version of the driver; "!1" etc.        cuda 13000    version of CUDA
 *   hang 1                 no call returns while this stands here; ".hung" after the library's name is there since
 *   init 9                 initialising fails with this code       epoch 2       the driver was loaded anew: what
 *                                                                                 was initialised before is not any more
 *   0.uuid GPU-a  0.name NVIDIA L4  0.lost 15 (every call for it fails so)
 *   0.memory USED RESERVED TOTAL    0.utilization GPU MEMORY       0.process PID BYTES
 *   0.power MW  0.limit MW  0.temperature C  0.clock.sm MHZ  0.clock.memory MHZ  0.reasons BITS
 *   0.ecc CORRECTED UNCORRECTED  0.retired SINGLE DOUBLE  0.mig 0|1  0.0.uuid MIG-…  0.0.memory …
 *   count N, 0.instances N, 0.processes N: so many are counted, whatever there is
 *
 * GPUs are numbered from 0, without gaps; so are a GPU's MIG instances. Compiled with -DOLD, some functions
 * are missing, as in the library of an old driver. The structures are those of nvml.h. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7 };

typedef int Return;
/* A GPU's number, and above it one more than its instance's; never null. */
typedef void *Device;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } Memory;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } Process;
typedef struct { unsigned field, scope; long long time, latency; int type; Return code; unsigned long long value; } Field;

static long long initialised_in; /* the epoch, plus one; 0: never */

/* Opens the file that is called as the library with something after it. */
static FILE *beside(const char *suffix, const char *mode) {
    static int anchor;
    Dl_info own;
    char path[4096];
    if (!dladdr(&anchor, &own)) return 0;
    snprintf(path, sizeof path, "%s%s", own.dli_fname, suffix);
    return fopen(path, mode);
}

/* Copies the value of a key; answers whether there is one. */
static int look_up(const char *key, char *value, size_t size) {
    char line[1024];
    FILE *scene = beside(".scene", "r");
    if (!scene) return 0;
    int found = 0;
    size_t length = strlen(key);
    while (!found && fgets(line, sizeof line, scene)) {
        line[strcspn(line, "\n")] = 0;
        if (!strncmp(line, key, length) && line[length] == ' ') {
            snprintf(value, size, "%s", line + length + 1);
            found = 1;
        }
    }
    fclose(scene);
    return found;
}

static long long number(const char *key, long long otherwise) {
    char value[64];
    return look_up(key, value, sizeof value) ? atoll(value) : otherwise;
}

static Return ready(void) {
    while (number("hang", 0)) {
        FILE *hung = beside(".hung", "w");
        if (hung) fclose(hung);
        usleep(10000);
    }
    return initialised_in == number("epoch", 1) + 1 ? SUCCESS : UNINITIALIZED;
}

/* The value of a key of the whole library, or the code it fails with. */
static Return of_library(const char *key, char *value, size_t size) {
    Return code = ready();
    if (code) return code;
    if (!look_up(key, value, size)) return NOT_SUPPORTED;
    return value[0] == '!' ? atoi(value + 1) : SUCCESS;
}

static void name_key(Device device, const char *key, char *full, size_t size) {
    unsigned long bits = (unsigned long)device;
    unsigned gpu = (bits & 0xff) - 1, instance = bits >> 8;
    if (instance) snprintf(full, size, "%u.%u.%s", gpu, instance - 1, key);
    else snprintf(full, size, "%u.%s", gpu, key);
}

static Return of(Device device, const char *key, char *value, size_t size) {
    char full[128];
    Device gpu = (Device)((unsigned long)device & 0xff);
    name_key(gpu, "lost", full, sizeof full);
    Return code = number(full, SUCCESS);
    if (code && !ready()) return code;
    name_key(device, key, full, sizeof full);
    return of_library(full, value, size);
}

static Return count_of(Device device, const char *key, unsigned *out) {
    char value[64];
    Return code = of(device, key, value, sizeof value);
    if (!code) *out = strtoul(value, 0, 0);
    return code;
}

static Return two_of(Device device, const char *key, unsigned long long out[2]) {
    char value[64];
    Return code = of(device, key, value, sizeof value);
    if (!code && sscanf(value, "%llu %llu", &out[0], &out[1]) != 2) return NOT_SUPPORTED;
    return code;
}

/* Whether a GPU or instance is in the scene, and then it. */
static Return handle(unsigned long bits, Device *device) {
    char value[128];
    Return code = of((Device)bits, "uuid", value, sizeof value);
    if (!code) *device = (Device)bits;
    return code == NOT_SUPPORTED ? NOT_FOUND : code;
}

Return nvmlInit_v2(void) {
    Return code = number("init", SUCCESS);
    if (!code) initialised_in = number("epoch", 1) + 1;
    return code;
}

Return nvmlShutdown(void) {
    initialised_in = 0;
    return SUCCESS;
}

Return nvmlSystemGetDriverVersion(char *version, unsigned size) { return of_library("driver", version, size); }

Return nvmlSystemGetCudaDriverVersion_v2(int *version) {
    char value[64];
    Return code = of_library("cuda", value, sizeof value);
    if (!code) *version = atoi(value);
    return code;
}

Return nvmlDeviceGetCount_v2(unsigned *count) {
    char key[32], value[128];
    Return code = ready();
    for (*count = 0; snprintf(key, sizeof key, "%u.uuid", *count), look_up(key, value, sizeof value); ++*count) {}
    *count = number("count", *count);
    return code;
}

Return nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) { return handle(index + 1, device); }
Return nvmlDeviceGetUUID(Device device, char *uuid, unsigned size) { return of(device, "uuid", uuid, size); }
Return nvmlDeviceGetName(Device device, char *name, unsigned size) { return of(device, "name", name, size); }

Return nvmlDeviceGetMemoryInfo_v2(Device device, Memory *memory) {
    char value[128];
    Return code = of(device, "memory", value, sizeof value);
    if (code) return code;
    if (memory->version != (sizeof *memory | 2u << 24)) return INVALID_ARGUMENT;
    if (sscanf(value, "%llu %llu %llu", &memory->used, &memory->reserved, &memory->total) != 3) return NOT_SUPPORTED;
    memory->free = memory->total - memory->reserved - memory->used;
    return SUCCESS;
}

Return nvmlDeviceGetUtilizationRates(Device device, Utilization *utilization) {
    unsigned long long both[2];
    Return code = two_of(device, "utilization", both);
    if (!code) *utilization = (Utilization){both[0], both[1]};
    return code;
}

Return nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *count, Process *processes) {
    unsigned long long both[2];
    unsigned counted = 1;
    Return code = two_of(device, "process", both);
    if (code) return code;
    count_of(device, "processes", &counted);
    if (!processes || *count < counted) {
        *count = counted;
        return INSUFFICIENT_SIZE;
    }
    *count = 1;
    processes[0] = (Process){both[0], both[1], ~0u, ~0u};
    return SUCCESS;
}

Return nvmlDeviceGetPowerUsage(Device device, unsigned *power) { return count_of(device, "power", power); }
Return nvmlDeviceGetTemperature(Device device, int sensor, unsigned *degrees) {
    return sensor ? INVALID_ARGUMENT : count_of(device, "temperature", degrees);
}

#ifndef OLD
Return nvmlDeviceGetEnforcedPowerLimit(Device device, unsigned *limit) { return count_of(device, "limit", limit); }

Return nvmlDeviceGetClockInfo(Device device, int type, unsigned *clock) {
    return type == 1 || type == 2 ? count_of(device, type == 1 ? "clock.sm" : "clock.memory", clock) : INVALID_ARGUMENT;
}

Return nvmlDeviceGetCurrentClocksThrottleReasons(Device device, unsigned long long *reasons) {
    unsigned bits = 0;
    Return code = count_of(device, "reasons", &bits);
    *reasons = bits;
    return code;
}

Return nvmlDeviceGetMigMode(Device device, unsigned *current, unsigned *pending) {
    Return code = count_of(device, "mig", current);
    *pending = *current;
    return code;
}

Return nvmlDeviceGetMaxMigDeviceCount(Device device, unsigned *count) {
    if ((unsigned long)device >> 8) return INVALID_ARGUMENT;
    if (count_of(device, "instances", count)) *count = 7;
    return ready();
}

Return nvmlDeviceGetMigDeviceHandleByIndex(Device device, unsigned index, Device *instance) {
    return handle((unsigned long)device | (unsigned long)(index + 1) << 8, instance);
}
#endif

/* Corrected, then uncorrected; only those since the driver was loaded are known. */
Return nvmlDeviceGetTotalEccErrors(Device device, int uncorrected, int aggregate, unsigned long long *errors) {
    unsigned long long both[2];
    Return code = aggregate ? NOT_SUPPORTED : two_of(device, "ecc", both);
    if (!code) *errors = both[uncorrected];
    return code;
}

/* Of the fields, only the numbers of retired pages. */
Return nvmlDeviceGetFieldValues(Device device, int count, Field *fields) {
    enum { RETIRED_SINGLE = 29, RETIRED_DOUBLE = 30, UNSIGNED_INT = 1 };
    for (Field *field = fields; field < fields + count; ++field) {
        unsigned long long both[2] = {0, 0};
        int known = field->field == RETIRED_SINGLE || field->field == RETIRED_DOUBLE;
        field->code = known ? two_of(device, "retired", both) : NOT_SUPPORTED;
        field->type = UNSIGNED_INT;
        field->value = both[field->field == RETIRED_DOUBLE];
    }
    return ready();
}

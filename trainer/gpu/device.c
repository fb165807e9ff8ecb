/* See device.h. */
#include "trainer/device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/gpu/peak.h"
#include "trainer/gpu/runtime.h"

const char device_build_architectures[] = CUDA_ARCHITECTURES, device_build_toolkit[] = CUDA_TOOLKIT;

/* What computes here is one of two engines, and the fast arithmetic of one of them is not the CPU's. */
#define ENGINE_CPU "--engine cpu (with --arithmetic exact-1 if the arithmetic is fast)"
#define ON_THE_CPU ENGINE_CPU " needs no GPU and gives the same bits as the engine cuda"

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/* After these nothing that this process asks of the device succeeds. */
static bool loses_device(cudaError_t code)
{
    switch (code) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorContextIsDestroyed:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorUnknown:
        return true;
    default:
        return false;
    }
}

static const char *advice(cudaError_t code)
{
    if (loses_device(code))
        return "; this process has lost the device and the work since the last checkpoint; --resume continues the "
               "run from there, on any device; if its arithmetic is exact, with the same bits, and on the CPU as well "
               "(--engine cpu)";
    switch (code) {
    case cudaErrorMemoryAllocation:
        return "; the device has too little free memory: end other programs that use it (nvidia-smi lists them), or "
               "use another device or " ENGINE_CPU;
    case cudaErrorDevicesUnavailable:
        return "; another process uses the device, or its compute mode forbids computing: nvidia-smi shows both";
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
        return "; this build has no code for this device (it was compiled for " CUDA_ARCHITECTURES
               "): configure with --with-cuda-arch and build again";
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorJitCompilerNotFound:
        return "; this build has no code of its own for this device, and the driver cannot translate its code for "
               "older devices (" CUDA_ARCHITECTURES
               "): update the driver, or configure with --with-cuda-arch and build again";
    default:
        return "";
    }
}

enum status cuda_error(struct error *error, int code, const char *call)
{
    const cudaError_t failed = (cudaError_t)code;
    return error_set(error, STATUS_ENVIRONMENT, "%s: %s (%s)%s", call, cudaGetErrorName(failed),
                     cudaGetErrorString(failed), advice(failed));
}

/* ---- what is here ------------------------------------------------------------------------------------------------ */

/* The driver's own version: the first word of digits and dots in the kernel module's line. */
static void read_driver(char driver[32])
{
    char line[256] = "";
    FILE *file = fopen("/proc/driver/nvidia/version", "r");
    driver[0] = '\0';
    if (file == NULL)
        return;
    if (fgets(line, sizeof line, file) == NULL)
        line[0] = '\0';
    fclose(file);
    for (const char *word = line; *word != '\0'; word += strspn(word, " \t\n")) {
        const size_t length = strcspn(word, " \t\n");
        if (strspn(word, "0123456789.") == length && memchr(word, '.', length) != NULL && length < 32) {
            memcpy(driver, word, length);
            driver[length] = '\0';
            return;
        }
        word += length;
    }
}

/* Why no device can be counted. */
static enum status no_devices(const struct device *device, cudaError_t code, struct error *error)
{
    const int needed = device->runtime_version;
    switch (code) {
    case cudaErrorInsufficientDriver:
        if (device->driver_version == 0)
            return error_set(error, STATUS_ENVIRONMENT,
                             "no NVIDIA driver here (no libcuda.so.1 was found): install it; " ON_THE_CPU);
        return error_set(
            error, STATUS_ENVIRONMENT,
            "the NVIDIA driver%s%s is too old: it knows CUDA %d.%d, and this program needs %d.%d; update it to "
            "%s or newer, or build with an older CUDA toolkit; " ON_THE_CPU,
            device->driver[0] != '\0' ? " " : "", device->driver, device->driver_version / 1000,
            device->driver_version % 1000 / 10, needed / 1000, needed % 1000 / 10, needed >= 13000 ? "580" : "525");
    case cudaErrorStubLibrary:
        return error_set(
            error, STATUS_ENVIRONMENT,
            "the libcuda.so.1 that was found is the toolkit's stub, which is only for linking: remove its folder "
            "(lib64/stubs) from LD_LIBRARY_PATH");
    case cudaErrorSystemDriverMismatch:
        return error_set(
            error, STATUS_ENVIRONMENT,
            "the NVIDIA driver's library and kernel module%s%s are of different versions: after an update of the "
            "driver, restart the machine",
            device->driver[0] != '\0' ? " " : "", device->driver);
    case cudaErrorNoDevice:
        return error_set(error, STATUS_ENVIRONMENT,
                         "no NVIDIA GPU that CUDA can use here%s; nvidia-smi lists what the driver sees; " ON_THE_CPU,
                         getenv("CUDA_VISIBLE_DEVICES") != NULL ? " (CUDA_VISIBLE_DEVICES is set and may hide it)"
                                                                : "");
    default:
        return cuda_error(error, (int)code, "cudaGetDeviceCount");
    }
}

static enum status choose(int count, int *index, struct error *error)
{
    const char *text = getenv("SELFSAME_CUDA_DEVICE");
    char *end;
    *index = 0;
    if (text == NULL || text[0] == '\0')
        return STATUS_OK;
    errno = 0;
    const unsigned long number = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0)
        return error_set(error, STATUS_INPUT, "SELFSAME_CUDA_DEVICE is '%s', which is not the number of a device",
                         text);
    if (number >= (unsigned long)count)
        return error_set(error, STATUS_ENVIRONMENT,
                         "SELFSAME_CUDA_DEVICE is %lu, but there %s %d device%s here, from 0", number,
                         count == 1 ? "is" : "are", count, count == 1 ? "" : "s");
    *index = (int)number;
    return STATUS_OK;
}

static int attribute(const struct device *device, enum cudaDeviceAttr which)
{
    int value = 0;
    return cudaDeviceGetAttribute(&value, which, device->index) == cudaSuccess ? value : 0;
}

static enum status describe(struct device *device, struct error *error)
{
    struct cudaDeviceProp properties;
    const cudaError_t code = cudaGetDeviceProperties(&properties, device->index);
    if (code != cudaSuccess)
        return cuda_error(error, (int)code, "cudaGetDeviceProperties");
    snprintf(device->name, sizeof device->name, "%s", properties.name);
    device->major = properties.major;
    device->minor = properties.minor;
    device->multiprocessors = (uint32_t)properties.multiProcessorCount;
    device->memory_bytes = properties.totalGlobalMem;
    device->ecc = properties.ECCEnabled != 0;
    snprintf(device->pci_address, sizeof device->pci_address, "%04x:%02x:%02x.0", (unsigned)properties.pciDomainID,
             (unsigned)properties.pciBusID, (unsigned)properties.pciDeviceID);
    device->shared_bytes = (size_t)attribute(device, cudaDevAttrMaxSharedMemoryPerBlockOptin);
    device->l2_bytes = (size_t)attribute(device, cudaDevAttrL2CacheSize);
    return STATUS_OK;
}

/* Architectures later than the lowest compiled one have code or PTX. The first launch shows whether it can be used. */
static enum status check_architecture(const struct device *device, struct error *error)
{
    int major = 0, minor = 0;
    if (sscanf(CUDA_ARCHITECTURES, "%d.%d", &major, &minor) == 2 &&
        device->major * 10 + device->minor < major * 10 + minor)
        return error_set(
            error, STATUS_ENVIRONMENT,
            "%s has compute capability %d.%d, but this build is for " CUDA_ARCHITECTURES
            ": configure with --with-cuda-arch=%d.%d, if the toolkit still knows it, and build again; " ON_THE_CPU,
            device->name, device->major, device->minor, device->major, device->minor);
    return STATUS_OK;
}

/* If a device cannot be used, opening it fails in the first call that needs it. The compute mode says why. */
static enum status not_to_be_had(const struct device *device, cudaError_t code, const char *call, struct error *error)
{
    const int mode = attribute(device, cudaDevAttrComputeMode);
    if (code == cudaErrorDevicesUnavailable && mode == cudaComputeModeProhibited)
        return error_set(error, STATUS_ENVIRONMENT,
                         "the compute mode of %s forbids computing (Prohibited): nvidia-smi -i %d -c DEFAULT allows "
                         "it",
                         device->name, device->index);
    if (code == cudaErrorDevicesUnavailable && mode == cudaComputeModeExclusiveProcess)
        return error_set(
            error, STATUS_ENVIRONMENT,
            "%s serves one process at a time (compute mode Exclusive_Process), and another process uses it: wait for "
            "that, choose another device with SELFSAME_CUDA_DEVICE, or pass " ENGINE_CPU,
            device->name);
    return cuda_error(error, (int)code, call);
}

/* ---- opening and measuring --------------------------------------------------------------------------------------- */

struct peak_run {
    cudaStream_t stream;
    cudaEvent_t begin, end;
    struct peak_arguments arguments;
    float *sums; /* [blocks][PEAK_THREADS], on the host */
};

static void peak_close(struct peak_run *run)
{
    /* Whatever is lost here was reported by the call that lost it. */
    if (run->arguments.out != NULL)
        (void)cudaFree(run->arguments.out);
    if (run->begin != NULL)
        (void)cudaEventDestroy(run->begin);
    if (run->end != NULL)
        (void)cudaEventDestroy(run->end);
    if (run->stream != NULL)
        (void)cudaStreamDestroy(run->stream);
    free(run->sums);
}

static enum status peak_open(struct peak_run *run, uint32_t blocks, struct error *error)
{
    const size_t bytes = (size_t)blocks * PEAK_THREADS * sizeof(float);
    void *out = NULL;
    run->arguments.factor = 0.5f;
    run->arguments.addend = 1.0f;
    run->arguments.blocks = blocks;
    run->sums = (float *)malloc(bytes);
    if (run->sums == NULL)
        return error_out_of_memory(error, "the sums of %u blocks", blocks);
    enum status status = cuda_status(error, cudaMalloc(&out, bytes), "cudaMalloc");
    run->arguments.out = (float *)out;
    if (status == STATUS_OK)
        status = cuda_status(error, cudaStreamCreateWithFlags(&run->stream, cudaStreamNonBlocking),
                             "cudaStreamCreateWithFlags");
    if (status == STATUS_OK)
        status =
            cuda_status(error, cudaEventCreateWithFlags(&run->begin, cudaEventDefault), "cudaEventCreateWithFlags");
    if (status == STATUS_OK)
        status = cuda_status(error, cudaEventCreateWithFlags(&run->end, cudaEventDefault), "cudaEventCreateWithFlags");
    return status;
}

static enum status peak_launch(struct peak_run *run, uint32_t rounds, float *milliseconds, struct error *error)
{
    run->arguments.rounds = rounds;
    enum status status = cuda_status(error, cudaEventRecord(run->begin, run->stream), "cudaEventRecord");
    if (status == STATUS_OK)
        status = cuda_status(error, gpu_peak(&run->arguments, run->stream), "the launch of the kernel peak");
    if (status == STATUS_OK)
        status = cuda_status(error, cudaEventRecord(run->end, run->stream), "cudaEventRecord");
    if (status == STATUS_OK)
        status = cuda_status(error, cudaStreamSynchronize(run->stream), "cudaStreamSynchronize");
    if (status == STATUS_OK)
        status = cuda_status(error, cudaEventElapsedTime(milliseconds, run->begin, run->end), "cudaEventElapsedTime");
    return status;
}

/* Every chain ends at 2, whatever it began with. */
static enum status peak_check(struct peak_run *run, struct error *error)
{
    const size_t count = (size_t)run->arguments.blocks * PEAK_THREADS;
    enum status status = cuda_status(
        error, cudaMemcpy(run->sums, run->arguments.out, count * sizeof(float), cudaMemcpyDeviceToHost), "cudaMemcpy");
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        if (run->sums[i] != 2.0f * PEAK_CHAINS)
            status = error_set(
                error, STATUS_ENVIRONMENT,
                "the device computes wrongly: block %zu, thread %zu of the kernel peak gave %.9g instead of %d; do "
                "not trust its memory or its clocks",
                i / PEAK_THREADS, i % PEAK_THREADS, (double)run->sums[i], 2 * PEAK_CHAINS);
    }
    return status;
}

enum status device_open(struct device *device, struct error *error)
{
    int count = 0;
    float milliseconds;
    struct peak_run run = { 0 };
    memset(device, 0, sizeof *device);
    read_driver(device->driver);
    /* Neither fails: a missing version is 0. */
    (void)cudaDriverGetVersion(&device->driver_version);
    (void)cudaRuntimeGetVersion(&device->runtime_version);
    cudaError_t code = cudaGetDeviceCount(&count);
    if (code == cudaSuccess && count == 0)
        code = cudaErrorNoDevice;
    if (code != cudaSuccess)
        return no_devices(device, code, error);
    enum status status = choose(count, &device->index, error);
    if (status == STATUS_OK)
        status = describe(device, error);
    if (status == STATUS_OK)
        status = check_architecture(device, error);
    if (status != STATUS_OK)
        return status;
    code = cudaSetDevice(device->index);
    if (code != cudaSuccess)
        return not_to_be_had(device, code, "cudaSetDevice", error);
    size_t total;
    code = cudaMemGetInfo(&device->free_bytes, &total);
    if (code != cudaSuccess)
        return not_to_be_had(device, code, "cudaMemGetInfo", error);
    status = peak_open(&run, device->multiprocessors, error);
    if (status == STATUS_OK)
        status = peak_launch(&run, 8, &milliseconds, error);
    if (status == STATUS_OK)
        status = peak_check(&run, error);
    peak_close(&run);
    return status;
}

enum status device_check_memory(const struct device *device, size_t needed, const char *what, struct error *error)
{
    const double mib = 1024.0 * 1024.0;
    if (needed <= device->free_bytes)
        return STATUS_OK;
    return error_set(error, STATUS_ENVIRONMENT,
                     "%s needs %.0f MiB of the device's memory, but %s has %.0f MiB free of %.0f: use a smaller batch, "
                     "%sor " ENGINE_CPU,
                     what, (double)needed / mib, device->name, (double)device->free_bytes / mib,
                     (double)device->memory_bytes / mib,
                     needed <= device->memory_bytes ? "end other programs that use it (nvidia-smi lists them), "
                                                    : "a larger device, ");
}

enum status device_peak_flops(double *flops, struct error *error)
{
    enum { LAUNCHES = 5, BLOCKS_PER_MULTIPROCESSOR = 8, ROUNDS = 4096 };
    int index = 0, multiprocessors = 0;
    struct peak_run run = { 0 };
    *flops = 0.0;
    enum status status = cuda_status(error, cudaGetDevice(&index), "cudaGetDevice");
    if (status == STATUS_OK)
        status = cuda_status(error, cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, index),
                             "cudaDeviceGetAttribute");
    if (status == STATUS_OK)
        status = peak_open(&run, (uint32_t)multiprocessors * BLOCKS_PER_MULTIPROCESSOR, error);
    const double work = 2.0 * PEAK_CHAINS * PEAK_UNROLL * ROUNDS * PEAK_THREADS * (double)run.arguments.blocks;
    /* The first launch only wakes the clocks, and is not counted. */
    for (int launch = 0; status == STATUS_OK && launch <= LAUNCHES; launch++) {
        float milliseconds = 0.0f;
        status = peak_launch(&run, ROUNDS, &milliseconds, error);
        if (status == STATUS_OK && launch > 0 && milliseconds > 0.0f && work / (milliseconds * 1e-3) > *flops)
            *flops = work / (milliseconds * 1e-3);
    }
    if (status == STATUS_OK)
        status = peak_check(&run, error);
    peak_close(&run);
    return status;
}

void device_facts(const struct device *device, char texts[DEVICE_FACTS][DEVICE_FACT_BYTES])
{
    snprintf(texts[0], DEVICE_FACT_BYTES, "card: %s, %u multiprocessors, capability %d.%d, %zu MiB%s", device->name,
             device->multiprocessors, device->major, device->minor, device->memory_bytes >> 20,
             device->ecc ? ", ECC" : "");
    snprintf(texts[1], DEVICE_FACT_BYTES, "driver: %s (CUDA %d.%d)",
             device->driver[0] != '\0' ? device->driver : "version unknown", device->driver_version / 1000,
             device->driver_version % 1000 / 10);
    snprintf(texts[2], DEVICE_FACT_BYTES, "CUDA runtime: %d.%d", device->runtime_version / 1000,
             device->runtime_version % 1000 / 10);
    snprintf(texts[3], DEVICE_FACT_BYTES, "kernels compiled for: %s", device_build_architectures);
}

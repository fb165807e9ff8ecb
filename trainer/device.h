/* Chooses, opens and describes the NVIDIA GPU for the engines cuda and cudnn, and turns its errors into messages. It
 * needs no header of CUDA, so that commands and records can include it on every build. Without CUDA, the functions say
 * that it is missing (absent.c). */
#ifndef SELFSAME_GPU_DEVICE_H
#define SELFSAME_GPU_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#ifdef __cplusplus
extern "C" {
#endif

struct device {
    int index; /* among the devices that CUDA_VISIBLE_DEVICES lets this process see */
    char name[256];
    int major, minor; /* compute capability */
    uint32_t multiprocessors;
    size_t memory_bytes; /* of the card */
    size_t free_bytes;   /* of these, when it was opened, without what opening it took */
    size_t l2_bytes;     /* second-level cache */
    size_t shared_bytes; /* shared memory that a block may ask for */
    bool ecc;            /* memory errors are found and corrected */
    int driver_version,
        runtime_version;  /* 1000 major + 10 minor: the CUDA that the driver knows, and that of this program */
    char driver[32];      /* the driver's own version, such as "580.65.06"; "" where the system does not tell */
    char pci_address[32]; /* such as "0000:65:00.0" */
};

/* What this build compiled its kernels for, such as "8.0 9.0+PTX", and with which CUDA; "" without CUDA. */
extern const char device_build_architectures[], device_build_toolkit[];

/* Opens the device that SELFSAME_CUDA_DEVICE names (a number from 0; default 0), makes it this thread's, fills *device
 * and has it compute something whose result is known.
 * errors   STATUS_ENVIRONMENT, each with what to do: a build without CUDA, no driver or one that is too old or a stub,
 *          no device, one held by another process or closed to computing, an architecture that this build has no code
 *          for, a wrong result. STATUS_INPUT: SELFSAME_CUDA_DEVICE is no number. *device holds what was found
 *          out before the error, zeros otherwise. */
enum status device_open(struct device *device, struct error *error) MUST_USE;

/* The device in words, for the record. */
enum { DEVICE_FACTS = 4, DEVICE_FACT_BYTES = 384 };
void device_facts(const struct device *device, char texts[DEVICE_FACTS][DEVICE_FACT_BYTES]);

/* STATUS_ENVIRONMENT if the device has not `needed` bytes free; `what` is what needs them, such as "batch 128 at depth
 * 110". */
enum status device_check_memory(const struct device *device, size_t needed, const char *what,
                                struct error *error) MUST_USE;

/* The rate of fused multiply-adds of the device that is open, in flop/s: the best of several timed launches on every
 * multiprocessor. Waits for the device; takes about a tenth of a second. */
enum status device_peak_flops(double *flops, struct error *error) MUST_USE;

/* Fills *error for a call of the CUDA runtime that failed and returns STATUS_ENVIRONMENT: `code` is its cudaError_t,
 * `call` its name, such as "cudaGraphLaunch". Where the device is lost to this process, the message says how to
 * go on from the last checkpoint. */
enum status cuda_error(struct error *error, int code, const char *call);

#ifdef __cplusplus
}
#endif

#endif

/* device.h for a build without CUDA: every function says that it is missing. */
#include <string.h>

#include "trainer/device.h"

const char device_build_architectures[] = "", device_build_toolkit[] = "";

static enum status absent(struct error *error)
{
    return error_set(
        error, STATUS_ENVIRONMENT,
        "this build has no CUDA: install the CUDA toolkit 12 or 13, configure again (its summary says what it "
        "found), and build; --engine cpu needs no CUDA and gives the same bits as the engine cuda");
}

enum status device_open(struct device *device, struct error *error)
{
    memset(device, 0, sizeof *device);
    return absent(error);
}

enum status device_check_memory(const struct device *device, size_t needed, const char *what, struct error *error)
{
    (void)device, (void)needed, (void)what;
    return absent(error);
}

enum status device_peak_flops(double *flops, struct error *error)
{
    *flops = 0.0;
    return absent(error);
}

enum status cuda_error(struct error *error, int code, const char *call)
{
    (void)code, (void)call;
    return absent(error);
}

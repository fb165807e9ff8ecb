/* A management library for check/cli/nvml.sh, which compiles it: one card at the address of the imitation's. Its energy
 * grows by a joule at each question. FAKE_NVML names functions that fail, FAKE_NVML_LOG a file for the calls. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DONE = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6 };

static int called(const char *name)
{
    const char *fails = getenv("FAKE_NVML"), *path = getenv("FAKE_NVML_LOG");
    FILE *log = path != NULL ? fopen(path, "a") : NULL;
    if (log != NULL) {
        fprintf(log, "%s\n", name);
        fclose(log);
    }
    return fails != NULL && strstr(fails, name) != NULL ? NOT_SUPPORTED : DONE;
}

int nvmlInit_v2(void)
{
    return called("init");
}

int nvmlShutdown(void)
{
    return called("shutdown");
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *address, void **card)
{
    static int the_card;
    *card = &the_card;
    return strcmp(address, "0000:00:00.0") == 0 ? called("find") : NOT_FOUND;
}

int nvmlSystemGetDriverVersion(char *text, unsigned size)
{
    snprintf(text, size, "580.65.06");
    return called("driver");
}

int nvmlDeviceGetUUID(void *card, char *text, unsigned size)
{
    (void)card;
    snprintf(text, size, "GPU-01234567-89ab-cdef-0123-456789abcdef");
    return called("uuid");
}

int nvmlDeviceGetVbiosVersion(void *card, char *text, unsigned size)
{
    (void)card;
    memset(text, 'v', size); /* without an end, as no library should */
    return called("vbios");
}

int nvmlDeviceGetEnforcedPowerLimit(void *card, unsigned *milliwatts)
{
    (void)card;
    *milliwatts = 350000;
    return called("power");
}

int nvmlDeviceGetMaxClockInfo(void *card, int clock, unsigned *mhz)
{
    (void)card;
    *mhz = clock == 1 ? 1980 : 1;
    return called("clock");
}

int nvmlDeviceGetTotalEnergyConsumption(void *card, unsigned long long *millijoules)
{
    static unsigned long long energy = 5000000;
    (void)card;
    *millijoules = energy += 1000;
    return called("energy");
}

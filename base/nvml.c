#include "base/nvml.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/float_environment.h"

/* As NVIDIA documents them. Every function returns 0 if it succeeded. */
enum { NVML_CLOCK_SM = 1 };
typedef struct device *card_handle;

struct functions {
    int (*init)(void);
    int (*shutdown)(void);
    int (*find)(const char *pci_address, card_handle *card);
    int (*driver)(char *text, unsigned size);
    int (*uuid)(card_handle card, char *text, unsigned size);
    int (*vbios)(card_handle card, char *text, unsigned size);
    int (*power_limit)(card_handle card, unsigned *milliwatts);
    int (*max_clock)(card_handle card, int clock, unsigned *mhz);
    int (*energy)(card_handle card, unsigned long long *millijoules); /* since the driver was loaded */
};

struct nvml {
    void *library;
    struct functions functions;
    card_handle card;
    bool begun, has_energy;
    unsigned long long first, last;
};

/* A pointer to an object may not be cast to one to a function, but may be copied into one. */
static void take(const struct nvml *nvml, const char *name, void *function, size_t size)
{
    void *found = dlsym(nvml->library, name);
    memcpy(function, &found, size);
}

static void take_all(struct nvml *nvml)
{
    struct functions *f = &nvml->functions;
    take(nvml, "nvmlInit_v2", &f->init, sizeof f->init);
    take(nvml, "nvmlShutdown", &f->shutdown, sizeof f->shutdown);
    take(nvml, "nvmlDeviceGetHandleByPciBusId_v2", &f->find, sizeof f->find);
    take(nvml, "nvmlSystemGetDriverVersion", &f->driver, sizeof f->driver);
    take(nvml, "nvmlDeviceGetUUID", &f->uuid, sizeof f->uuid);
    take(nvml, "nvmlDeviceGetVbiosVersion", &f->vbios, sizeof f->vbios);
    take(nvml, "nvmlDeviceGetEnforcedPowerLimit", &f->power_limit, sizeof f->power_limit);
    take(nvml, "nvmlDeviceGetMaxClockInfo", &f->max_clock, sizeof f->max_clock);
    take(nvml, "nvmlDeviceGetTotalEnergyConsumption", &f->energy, sizeof f->energy);
}

/* Ends a text that the library may have left open, or clears it after a failure. */
static void end_text(char *text, size_t size, int code)
{
    text[code == 0 ? size - 1 : 0] = '\0';
}

static void describe(const struct nvml *nvml, struct nvml_card *card)
{
    const struct functions *f = &nvml->functions;
    unsigned milliwatts = 0;
    if (f->uuid != NULL)
        end_text(card->uuid, sizeof card->uuid, f->uuid(nvml->card, card->uuid, sizeof card->uuid));
    if (f->vbios != NULL)
        end_text(card->vbios, sizeof card->vbios, f->vbios(nvml->card, card->vbios, sizeof card->vbios));
    if (f->power_limit != NULL && f->power_limit(nvml->card, &milliwatts) == 0)
        card->power_limit_watts = 1e-3 * (double)milliwatts;
    if (f->max_clock != NULL && f->max_clock(nvml->card, NVML_CLOCK_SM, &card->clock_mhz) != 0)
        card->clock_mhz = 0;
}

static bool open_card(struct nvml *nvml, const char *pci_address, struct nvml_card *card)
{
    const struct functions *f = &nvml->functions;
    nvml->library = dlopen(NVML_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (nvml->library == NULL)
        return false;
    take_all(nvml);
    if (f->init == NULL || f->shutdown == NULL || f->find == NULL || f->init() != 0)
        return false;
    nvml->begun = true;
    if (f->driver != NULL)
        end_text(card->driver, sizeof card->driver, f->driver(card->driver, sizeof card->driver));
    if (f->find(pci_address, &nvml->card) != 0)
        return false;
    describe(nvml, card);
    nvml->has_energy = f->energy != NULL && f->energy(nvml->card, &nvml->first) == 0;
    nvml->last = nvml->first;
    return true;
}

struct nvml *nvml_open(const char *pci_address, struct nvml_card *card)
{
    struct nvml *nvml = calloc(1, sizeof *nvml);
    *card = (struct nvml_card){ .driver = "" };
    if (nvml == NULL)
        return NULL;
    const bool opened = open_card(nvml, pci_address, card);
    (void)float_environment_enter(); /* whatever the library's constructors left */
    if (opened)
        return nvml;
    nvml_close(nvml);
    return NULL;
}

double nvml_joules(struct nvml *nvml)
{
    unsigned long long now;
    /* A driver that was loaded again begins anew. What was counted until then stays. */
    if (nvml != NULL && nvml->has_energy && nvml->functions.energy(nvml->card, &now) == 0) {
        if (now < nvml->last)
            nvml->first -= nvml->last - now;
        nvml->last = now;
    }
    return nvml != NULL ? 1e-3 * (double)(nvml->last - nvml->first) : 0.0;
}

void nvml_close(struct nvml *nvml)
{
    if (nvml == NULL)
        return;
    if (nvml->begun)
        (void)nvml->functions.shutdown();
    if (nvml->library != NULL)
        dlclose(nvml->library);
    free(nvml);
}

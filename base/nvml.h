/* NVIDIA's management library (NVML), which comes with the driver: what a card is, and the energy that it has taken. It
 * is opened at run time, so that the program needs no driver. Nothing here is an error: what is not told stays
 * unknown. */
#ifndef SELFSAME_NVML_H
#define SELFSAME_NVML_H

#define NVML_LIBRARY "libnvidia-ml.so.1"

struct nvml;

/* Texts are "" and numbers 0 where the library does not tell. */
struct nvml_card {
    char driver[80], uuid[96], vbios[32];
    double power_limit_watts; /* that is enforced */
    unsigned clock_mhz;       /* the highest of its multiprocessors */
};

/* The card at a PCI address such as "0000:65:00.0". NULL without the library or such a card; *card is filled anyway. */
struct nvml *nvml_open(const char *pci_address, struct nvml_card *card);
/* The joules that the card has taken since nvml_open, with all that runs on it; 0 if unknown. */
double nvml_joules(struct nvml *nvml);
void nvml_close(struct nvml *nvml); /* NULL is fine */

#endif

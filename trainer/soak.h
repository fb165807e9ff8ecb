/* A soak: known answers (soak_check.h), computed again and again until the time is over. Every check runs on every core
 * alone, then on all cores at once, and networks also as one computation of all cores together. What runs on a card is
 * not bound to a core.
 *
 * The checks go from the smallest working set to the largest, and a round has all of them. A short soak may end within
 * its first round: the report says what it reached. */
#ifndef SELFSAME_SOAK_H
#define SELFSAME_SOAK_H

#include "trainer/soak_check.h"

enum { SOAK_ENGINES_MAX = 16, SOAK_CORES_MAX = 1024, SOAK_FAULTS_MAX = 32, SOAK_LABEL_BYTES = 96 };

/* How large a check's working set is: that of the caches, or of the memory. */
enum soak_level { SOAK_LEVEL_1, SOAK_LEVEL_2, SOAK_LEVEL_3, SOAK_MEMORY, SOAK_LEVELS };

enum { SOAK_KINDS = SOAK_LEVELS + SOAK_NETWORKS };

struct soak_count {
    uint64_t checks, wrong;
    double seconds; /* of these checks, added up over the threads */
};

struct soak_fault {
    int64_t core; /* its number, or SOAK_TOGETHER or SOAK_CARD */
    size_t engine;
    double at_s; /* since the beginning */
    char what[SOAK_WHAT_BYTES];
};
enum { SOAK_TOGETHER = -1, SOAK_CARD = -2 };

struct soak_options {
    double seconds;
    struct soak_engine
        engines[SOAK_ENGINES_MAX]; /* that work here; those with an instruction set are the processor's */
    size_t engine_count;
    struct soak_engine reference; /* names the tensor of a wrong network, and skips the largest one */
    uint32_t cores[SOAK_CORES_MAX];
    uint32_t core_count;
    size_t vector_bytes[SOAK_LEVELS];
    bool (*stop)(void *context); /* asked often */
    /* What runs now, such as "core 3, avx2 in exact-1, network of 16 images"; called about ten times a second. */
    void (*progress)(void *context, double elapsed_s, uint64_t checks, uint64_t wrong, const char *label);
    void *context;
};

struct soak_report {
    double seconds;
    uint64_t rounds; /* complete ones */
    bool stopped;    /* before the time was over */
    struct soak_count all, cores[SOAK_CORES_MAX], together, card, engines[SOAK_ENGINES_MAX], kinds[SOAK_KINDS];
    struct soak_fault faults[SOAK_FAULTS_MAX]; /* the first ones */
    size_t fault_count;                        /* of these */
};

/* Fills what follows from the machine: the cores, and vector_bytes. An array for a cache takes half of it. The one for
 * the memory is twice the largest cache, and so small that all cores together take a quarter of what is free. */
void soak_machine(struct soak_options *options);

/* The checks of a round, in their order: a name such as "vectors, 16 KiB" or "network of 16 images". */
const char *soak_kind(const struct soak_options *options, size_t kind, char label[SOAK_LABEL_BYTES]);

/* Computes until the time is over. Wrong answers are in the report, and no error.
 * errors   STATUS_ENVIRONMENT without memory or threads, or if an engine fails; STATUS_NO if plain C computes a wrong
 *          answer. The report then holds what was done before. */
enum status soak_run(const struct soak_options *options, const struct soak_data *data, struct soak_report *report,
                     struct error *error) MUST_USE;

#endif

/* What selfsame eval prints of predictions. */
#ifndef SELFSAME_EVAL_REPORT_H
#define SELFSAME_EVAL_REPORT_H

#include <stdint.h>

#include "commands/command.h"
#include "experiments/manifest.h"
#include "trainer/dataset.h"

/* A file of weights, evaluated. */
struct evaluation {
    const char *path; /* of the weights; it belongs to the caller */
    struct manifest manifest;
    struct dataset test;
    uint8_t *predictions; /* [test.count] */
    double loss;          /* mean cross entropy */
};

/* `second`: another file on the same images, or NULL. Honours --per-class and --format. */
enum status evaluation_print(const struct arguments *arguments, const struct evaluation *first,
                             const struct evaluation *second, struct error *error) MUST_USE;
void evaluation_free(struct evaluation *evaluation);

#endif

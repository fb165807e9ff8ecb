/* The parts of the page that selfsame report writes. */
#ifndef SELFSAME_REPORT_H
#define SELFSAME_REPORT_H

#include <stdio.h>

#include "results/record.h"
#include "results/signature.h"

struct report {
    FILE *page;
    struct record **records; /* [count], in the order they were named */
    size_t count;
    struct signing_key **keys; /* that the reader trusts */
    size_t key_count;
};

/* report_results.c: what came out. */
enum status report_lead(const struct report *report, struct error *error) MUST_USE;
enum status report_verdict(const struct report *report, struct error *error) MUST_USE;
enum status report_results(const struct report *report, struct error *error) MUST_USE;

/* report_figures.c: draws all figures before the page begins, since their style is in its head. */
struct report_figure;
enum status report_draw(const struct report *report, struct report_figure **figures, size_t *count, char **style,
                        struct error *error) MUST_USE;
void report_figures(const struct report *report, const struct report_figure *figures, size_t count);
void report_figures_free(struct report_figure *figures, size_t count);

/* report_circumstances.c: what it came from. */
enum status report_configuration(const struct report *report, struct error *error) MUST_USE;
enum status report_environment(const struct report *report, struct error *error) MUST_USE;
enum status report_digests(const struct report *report, struct error *error) MUST_USE;
enum status report_signatures(const struct report *report, struct error *error) MUST_USE;
void report_again(const struct report *report);

#endif

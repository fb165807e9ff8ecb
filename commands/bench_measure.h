/* What selfsame bench measures: steps and evaluations of one engine on images of noise. */
#ifndef SELFSAME_BENCH_MEASURE_H
#define SELFSAME_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ranks/ranks.h"
#include "trainer/engine.h"

enum { WARM_UP_STEPS = 3 };

struct measurement {
    uint32_t steps, batch, conv_count;
    double *step_ms;       /* sorted */
    double *peaks;         /* [steps + 1], sorted: flop/s, measured before, between and after the steps */
    double *shares;        /* [steps], sorted: of the peak, which is the mean of those around the step */
    double *evaluation_ms; /* [steps], sorted: of evaluation_images images each */
    uint32_t evaluation_images;
    double *forward_s, *backward_s;      /* [conv_count] */
    double head_s, update_s, peak_flops; /* peak_flops: the largest, since what disturbs it only lowers it */
    size_t engine_bytes, process_bytes;
    uint64_t digest[2]; /* after the steps that warm up */
    const struct engine_operations *operations;
    enum arithmetic arithmetic;
    const char *engine; /* its description */
    const char *const *facts;
    struct ranks *ranks;          /* NULL: this process alone */
    struct ranks_traffic traffic; /* of all measured steps */
};

/* Floating-point operations (a multiply-add is two) of the convolutions that a step needs: of one of them for one
 * image, forward, and backward by data and weights; and of all of them for a batch. */
double bench_forward_flops(const struct conv_layer *conv);
double bench_backward_flops(const struct network *network, uint32_t l);
double bench_step_flops(const struct network *network, uint32_t batch);

/* As many images of noise as the steps need: the arithmetic takes as long as on any others. */
uint32_t bench_noise_images(const struct engine_operations *operations, const struct recipe *recipe);
enum status bench_noise(struct dataset *dataset, uint32_t images, struct error *error) MUST_USE;
/* An engine with the initial weights. */
enum status bench_open_engine(const struct engine_operations *operations, const struct recipe *recipe,
                              const struct network *network, const struct engine_options *options,
                              const struct dataset *noise, struct engine **engine, struct error *error) MUST_USE;
/* Warms up, then times as many steps as m->steps says, and as many evaluations. The caller sets steps, batch and
 * operations, and frees what is measured whatever the status. */
enum status bench_measure(const struct network *network, struct measurement *m, struct engine *engine,
                          const struct dataset *noise, struct error *error) MUST_USE;
void bench_measurement_free(struct measurement *m);

/* For qsort. */
int bench_compare_doubles(const void *a, const void *b);
double bench_median(const double *sorted, uint32_t count);
/* The value below which a quarter, or three quarters, of the values lie. */
double bench_quartile(const double *sorted, uint32_t count, uint32_t quarters);
/* Whether something else used the processors meanwhile. */
bool bench_disturbed(const struct measurement *m);
/* Images per second. */
double bench_evaluation_rate(const struct measurement *m);

#endif

#include "commands/bench_measure.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"

double bench_forward_flops(const struct conv_layer *conv)
{
    const uint32_t side = conv->side / conv->stride;
    return 2.0 * side * side * conv->filters * conv->channels * 9.0;
}

/* Data and weights; the first layer has no data gradient. */
double bench_backward_flops(const struct network *network, uint32_t l)
{
    return (l == 0 ? 1.0 : 2.0) * bench_forward_flops(&network->convs[l]);
}

double bench_step_flops(const struct network *network, uint32_t batch)
{
    double sum = 0.0;
    for (uint32_t l = 0; l < network->conv_count; l++)
        sum += bench_forward_flops(&network->convs[l]) + bench_backward_flops(network, l);
    return sum * batch;
}

enum status bench_noise(struct dataset *dataset, uint32_t images, struct error *error)
{
    enum status status = dataset_allocate(dataset, images, error);
    if (status != STATUS_OK)
        return status;
    uint32_t word = 1;
    for (size_t i = 0; i < (size_t)images * DATASET_IMAGE_BYTES; i++) {
        word = word * 1664525u + 1013904223u;
        dataset->images[i] = (uint8_t)(word >> 24);
    }
    for (uint32_t i = 0; i < images; i++)
        dataset->labels[i] = (uint8_t)(i % DATASET_CLASSES);
    return STATUS_OK;
}

int bench_compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(const double *sorted, uint32_t count)
{
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0;
}

double bench_quartile(const double *sorted, uint32_t count, uint32_t quarters)
{
    return sorted[(uint64_t)(count - 1) * quarters / 4];
}

static size_t peak_process_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (size_t)usage.ru_maxrss * 1024 : 0;
}

/* As many evaluations of the noise as there were steps. */
static enum status measure_evaluation(struct engine *engine, const struct dataset *noise, struct measurement *m,
                                      struct error *error)
{
    uint8_t *predictions = malloc(noise->count);
    double loss;
    enum status status = predictions != NULL ? STATUS_OK : error_out_of_memory(error, "%u predictions", noise->count);
    m->evaluation_images = noise->count;
    for (uint32_t i = 0; i < m->steps && status == STATUS_OK; i++) {
        double began = clock_seconds();
        status = m->operations->evaluate(engine, predictions, &loss, error);
        m->evaluation_ms[i] = 1e3 * (clock_seconds() - began);
    }
    qsort(m->evaluation_ms, m->steps, sizeof *m->evaluation_ms, bench_compare_doubles);
    free(predictions);
    return status;
}

/* Steps that are timed together. On a CPU it is one. On a GPU, whose engine has no isa, it is a whole series, so that
 * the host's work before and after it hardly counts. */
enum { SERIES_STEPS_MOST = 32 };

static uint32_t series_steps(const struct engine_operations *operations)
{
    return operations->isa == NULL ? SERIES_STEPS_MOST : 1;
}

/* Two batches; for a series, as many as it takes through two passes, whose orders are made before it. Larger batches
 * need no such care. */
uint32_t bench_noise_images(const struct engine_operations *operations, const struct recipe *recipe)
{
    const uint32_t batch = recipe->training.batch_size;
    return (series_steps(operations) > 1 && batch <= 256 ? SERIES_STEPS_MOST / 2 : 2) * batch;
}

/* The steps from `first` on, and the peak before and after each: another program that slows a step slows the peaks
 * around it, too. */
static enum status measure_steps(struct engine *engine, uint64_t first, double flops, struct measurement *m,
                                 struct error *error)
{
    const uint32_t most = series_steps(m->operations);
    double step_s[SERIES_STEPS_MOST];
    const struct ranks_traffic before_all = ranks_traffic(m->ranks);
    m->peaks[0] = m->operations->peak_flops(engine);
    for (uint32_t i = 0; i < m->steps;) {
        const uint32_t count = m->steps - i < most ? m->steps - i : most;
        struct engine_profile profile = { .step_s = step_s, .forward_s = m->forward_s, .backward_s = m->backward_s };
        enum status status = m->operations->profile(engine, first + i, first + i + count, &profile, error);
        if (status != STATUS_OK)
            return status;
        m->head_s += profile.head_s;
        m->update_s += profile.update_s;
        const double before = m->peaks[i], after = m->operations->peak_flops(engine);
        for (uint32_t j = 0; j < count; j++, i++) {
            m->step_ms[i] = 1e3 * step_s[j];
            m->peaks[i + 1] = after;
            m->shares[i] = flops / step_s[j] / ((before + after) / 2.0);
        }
    }
    const struct ranks_traffic after_all = ranks_traffic(m->ranks);
    m->traffic.exchanges = after_all.exchanges - before_all.exchanges;
    m->traffic.bytes = after_all.bytes - before_all.bytes;
    qsort(m->step_ms, m->steps, sizeof *m->step_ms, bench_compare_doubles);
    qsort(m->shares, m->steps, sizeof *m->shares, bench_compare_doubles);
    qsort(m->peaks, m->steps + 1, sizeof *m->peaks, bench_compare_doubles);
    m->peak_flops = m->peaks[m->steps];
    return STATUS_OK;
}

enum status bench_open_engine(const struct engine_operations *operations, const struct recipe *recipe,
                              const struct network *network, const struct engine_options *options,
                              const struct dataset *noise, struct engine **engine, struct error *error)
{
    float *values = calloc(network->value_count, sizeof *values),
          *momentum = calloc(network->value_count, sizeof *momentum);
    enum status status = STATUS_OK;
    if (values == NULL || momentum == NULL)
        status = error_out_of_memory(error, "the weights");
    if (status == STATUS_OK) {
        network_initialize(network, recipe->training.seed, values);
        status = operations->open(engine, recipe, network, noise, noise, options, error);
    }
    if (status == STATUS_OK)
        status = operations->set_state(*engine, values, momentum, error);
    free(values);
    free(momentum);
    return status;
}

static bool hear_digest(void *context, uint64_t first, const struct step_result *results, uint64_t count)
{
    struct measurement *m = context;
    (void)first;
    memcpy(m->digest, results[count - 1].digest, sizeof m->digest);
    return true;
}

enum status bench_measure(const struct network *network, struct measurement *m, struct engine *engine,
                          const struct dataset *noise, struct error *error)
{
    m->step_ms = calloc(m->steps, sizeof *m->step_ms);
    m->peaks = calloc(m->steps + (size_t)1, sizeof *m->peaks);
    m->shares = calloc(m->steps, sizeof *m->shares);
    m->evaluation_ms = calloc(m->steps, sizeof *m->evaluation_ms);
    m->forward_s = calloc(2 * (size_t)network->conv_count, sizeof *m->forward_s);
    if (m->step_ms == NULL || m->peaks == NULL || m->shares == NULL || m->evaluation_ms == NULL || m->forward_s == NULL)
        return error_out_of_memory(error, "the measurement");
    m->backward_s = m->forward_s + network->conv_count;
    m->conv_count = network->conv_count;
    const struct step_listener listener = { .context = m, .steps = hear_digest };
    uint64_t done;
    enum status status = m->operations->run_steps(engine, 0, WARM_UP_STEPS, &listener, &done, error);
    if (status == STATUS_OK)
        status = measure_steps(engine, WARM_UP_STEPS, bench_step_flops(network, m->batch), m, error);
    if (status == STATUS_OK)
        status = measure_evaluation(engine, noise, m, error);
    if (status != STATUS_OK)
        return status;
    m->engine_bytes = m->operations->memory_bytes(engine);
    m->process_bytes = peak_process_bytes();
    m->engine = m->operations->describe(engine);
    m->facts = m->operations->facts(engine);
    return STATUS_OK;
}

bool bench_disturbed(const struct measurement *m)
{
    return bench_quartile(m->peaks, m->steps + 1, 1) < 0.93 * m->peak_flops;
}

double bench_evaluation_rate(const struct measurement *m)
{
    return 1e3 * m->evaluation_images / bench_median(m->evaluation_ms, m->steps);
}

void bench_measurement_free(struct measurement *m)
{
    free(m->step_ms);
    free(m->peaks);
    free(m->shares);
    free(m->evaluation_ms);
    free(m->forward_s);
}

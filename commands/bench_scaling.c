#include "commands/bench_scaling.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/machine.h"
#include "base/text.h"
#include "commands/table.h"

/* One number of threads. */
struct scaling_row {
    uint32_t threads;
    double step_ms, lower_quartile_ms; /* step_ms: the median */
    double images_per_s, evaluation_images_per_s;
    double peak_gflops, share_of_peak;
    bool disturbed;
    uint64_t digest[2]; /* after the steps that warm up */
};

/* The row with the shortest median step. */
static const struct scaling_row *best_row(const struct scaling_row *rows, size_t count)
{
    const struct scaling_row *best = rows;
    for (size_t i = 1; i < count; i++) {
        if (rows[i].step_ms < best->step_ms)
            best = &rows[i];
    }
    return best;
}

static bool bits_agree(const struct scaling_row *rows, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (memcmp(rows[i].digest, rows[0].digest, sizeof rows[0].digest) != 0)
            return false;
    }
    return true;
}

/* Of the first row, by which the others are measured. */
static double speed_up(const struct scaling_row *rows, size_t i)
{
    return rows[0].step_ms / rows[i].step_ms;
}

/* The speed-up as a share of that of as many independent machines. */
static double efficiency(const struct scaling_row *rows, size_t i)
{
    return speed_up(rows, i) * rows[0].threads / rows[i].threads;
}

static enum status print_rows(const struct scaling_row *rows, size_t count, uint32_t usable, struct error *error)
{
    static const struct table_column columns[] = {
        { "threads", true, 0 },      { "step_ms", true, 0 },   { "lower_quartile", true, 2 },
        { "images/s", true, 0 },     { "speed-up", true, 0 },  { "of_ideal_%", true, 0 },
        { "evaluation/s", true, 1 }, { "of_peak_%", true, 1 }, { "", false, 0 },
    };
    struct table *table = table_open(columns, sizeof columns / sizeof *columns);
    if (table == NULL)
        return error_out_of_memory(error, "a table");
    for (size_t i = 0; i < count; i++) {
        const struct scaling_row *row = &rows[i];
        table_cell(table, "%" PRIu32, row->threads);
        table_number(table, 2, row->step_ms);
        table_number(table, 2, row->lower_quartile_ms);
        table_number(table, 0, row->images_per_s);
        table_number(table, 2, speed_up(rows, i));
        table_number(table, 0, 100.0 * efficiency(rows, i));
        table_number(table, 0, row->evaluation_images_per_s);
        table_number(table, 0, 100.0 * row->share_of_peak);
        table_cell(table, "%s%s%s", row->threads > usable ? "oversubscribed" : "",
                   row->threads > usable && row->disturbed ? ", " : "", row->disturbed ? "disturbed" : "");
    }
    enum status status = table_print(table, NULL, error);
    table_close(table);
    const struct scaling_row *best = best_row(rows, count);
    printf("\nbest   --threads %" PRIu32 ": %.2f ms a step", best->threads, best->step_ms);
    if (best != rows)
        printf(", %.2f times as fast as with %" PRIu32, rows[0].step_ms / best->step_ms, rows[0].threads);
    putchar('\n');
    text_fact(stdout, 7, "bits   %s",
              bits_agree(rows, count) ? "equal with every number of threads"
                                      : "DIFFER: this is a fault of selfsame or of this machine; "
                                        "selfsame doctor looks closer");
    return status;
}

static json_t *rows_json(const struct scaling_row *rows, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        const struct scaling_row *row = &rows[i];
        json_add(&list, json_pack("{s:i, s:f, s:f, s:o, s:o, s:o, s:o, s:f, s:o, s:b}", "threads", (int)row->threads,
                                  "step_ms", row->step_ms, "lower_quartile_ms", row->lower_quartile_ms, "images_per_s",
                                  json_number(row->images_per_s), "speed_up", json_number(speed_up(rows, i)),
                                  "efficiency", json_number(efficiency(rows, i)), "evaluation_images_per_s",
                                  json_number(row->evaluation_images_per_s), "peak_gflops", row->peak_gflops,
                                  "share_of_peak", json_number(row->share_of_peak), "disturbed", (int)row->disturbed));
    }
    return json_pack("{s:o, s:i, s:b}", "rows", list, "best_threads", (int)best_row(rows, count)->threads, "bits_agree",
                     (int)bits_agree(rows, count));
}

/* Opens an engine, measures it unless `only_open`, and closes it. */
static enum status measure_threads(const struct network *network, const struct recipe *recipe,
                                   const struct engine_options *options, const struct dataset *noise,
                                   struct measurement m, bool only_open, struct scaling_row *row, struct error *error)
{
    struct engine *engine = NULL;
    enum status status = bench_open_engine(m.operations, recipe, network, options, noise, &engine, error);
    if (status == STATUS_OK && !only_open)
        status = bench_measure(network, &m, engine, noise, error);
    if (status == STATUS_OK && !only_open) {
        const double step_ms = bench_median(m.step_ms, m.steps);
        *row = (struct scaling_row){ .threads = options->threads,
                                     .step_ms = step_ms,
                                     .lower_quartile_ms = bench_quartile(m.step_ms, m.steps, 1),
                                     .images_per_s = 1e3 * m.batch / step_ms,
                                     .evaluation_images_per_s = bench_evaluation_rate(&m),
                                     .peak_gflops = 1e-9 * m.peak_flops,
                                     .share_of_peak = bench_median(m.shares, m.steps),
                                     .disturbed = bench_disturbed(&m),
                                     .digest = { m.digest[0], m.digest[1] } };
    }
    if (engine != NULL)
        m.operations->close(engine);
    bench_measurement_free(&m);
    return status;
}

enum status bench_scaling(const struct network *network, const struct recipe *recipe, struct engine_options options,
                          const struct dataset *noise, const struct measurement *m, const struct number_list *threads,
                          bool json, struct error *error)
{
    struct scaling_row *rows = calloc(threads->count, sizeof *rows);
    enum status status = rows != NULL ? STATUS_OK : error_out_of_memory(error, "%zu rows", threads->count);
    if (status == STATUS_OK && m->operations->isa == NULL)
        status = error_set(error, STATUS_INPUT, "--threads: the engine %s has no threads to compare; leave it out",
                           m->operations->name);
    /* The most threads first, without steps: what cannot be opened is said before anything is timed. */
    for (size_t i = 0; i < threads->count; i++)
        options.threads = threads->numbers[i] > options.threads ? (uint32_t)threads->numbers[i] : options.threads;
    if (status == STATUS_OK)
        status = measure_threads(network, recipe, &options, noise, *m, true, NULL, error);
    for (size_t i = 0; status == STATUS_OK && i < threads->count; i++) {
        options.threads = (uint32_t)threads->numbers[i];
        status = measure_threads(network, recipe, &options, noise, *m, false, &rows[i], error);
    }
    if (status == STATUS_OK && json) {
        status = json_print(json_pack("{s:i, s:i, s:s, s:s, s:i, s:o}", "depth", (int)network->model.depth, "batch",
                                      (int)m->batch, "engine", m->operations->name, "arithmetic",
                                      arithmetic_version(recipe->arithmetic), "steps", (int)m->steps, "scaling",
                                      rows_json(rows, threads->count)),
                            error);
    } else if (status == STATUS_OK) {
        text_fact(stdout, 2, "ResNet-%u, batch %u, %s, engine %s%s: %u steps each", network->model.depth, m->batch,
                  arithmetic_version(recipe->arithmetic), m->operations->name, options.pin ? ", pinned" : "", m->steps);
        putchar('\n');
        status = print_rows(rows, threads->count, machine_processors_usable(), error);
    }
    if (status == STATUS_OK && !bits_agree(rows, threads->count))
        status = error_set(error, STATUS_NO, "the bits depend on the number of threads");
    free(rows);
    return status;
}

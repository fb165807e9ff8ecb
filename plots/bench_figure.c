/* The share of the FMA peak by layer, from what selfsame bench --format json printed. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "plots/chart.h"
#include "plots/figure_kinds.h"

enum { BENCH_BYTES_MAX = 1 << 24, LAYERS_MAX = 10000 };

/* The numbers of one file that a figure shows. */
struct bench {
    json_t *json, *layers;
    json_int_t depth, batch;
    const char *engine, *arithmetic;
    double peak, share;
};

static enum status read_bench(const char *path, struct bench *bench, struct error *error)
{
    char *text;
    size_t bytes;
    json_error_t json_error;
    *bench = (struct bench){ .json = NULL };
    enum status status = file_read_text(path, BENCH_BYTES_MAX, &text, &bytes, NULL, error);
    if (status != STATUS_OK)
        return status;
    bench->json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &json_error);
    free(text);
    if (bench->json == NULL)
        return error_set(error, STATUS_INPUT, "%s:%d: not JSON: %s", path, json_error.line, json_error.text);
    if (json_unpack(bench->json, "{s:I, s:I, s:s, s:s, s:F, s:F, s:o}", "depth", &bench->depth, "batch", &bench->batch,
                    "engine", &bench->engine, "arithmetic", &bench->arithmetic, "peak_gflops", &bench->peak,
                    "share_of_peak", &bench->share, "layers", &bench->layers) != 0 ||
        json_array_size(bench->layers) == 0 || json_array_size(bench->layers) > LAYERS_MAX || !(bench->peak > 0.0))
        status = error_set(error, STATUS_INPUT,
                           "%s: not the output of selfsame bench --format json: it has no layers with their rates, or "
                           "no peak",
                           path);
    return status;
}

static enum status add_bench(struct chart *chart, const char *path, size_t number, const struct bench *bench, bool many,
                             struct error *error)
{
    static const char *const keys[] = { "forward_gflops", "backward_gflops" }, *const ways[] = { "forward",
                                                                                                 "backward" };
    const size_t layers = json_array_size(bench->layers);
    for (int way = 0; way < 2; way++) {
        struct series *series = chart_add(chart, SERIES_LINE, 2 * number + (size_t)way, layers, false, error);
        if (series == NULL)
            return error->status;
        for (size_t l = 0; l < layers; l++) {
            const json_t *rate = json_object_get(json_array_get(bench->layers, l), keys[way]);
            if (!json_is_number(rate) || !(json_number_value(rate) >= 0.0))
                return error_set(error, STATUS_INPUT, "%s: layer %zu has no %s", path, l + 1, keys[way]);
            series->x[l] = (double)(l + 1);
            series->y[l] = 100.0 * json_number_value(rate) / bench->peak;
        }
        snprintf(series->column, sizeof series->column, "%.60s, %.20s, %s", bench->engine, bench->arithmetic,
                 ways[way]);
        if (many)
            snprintf(series->title, sizeof series->title, "%s: ResNet-%d, %.12s, %.36s", ways[way], (int)bench->depth,
                     bench->arithmetic, bench->engine);
        else
            snprintf(series->title, sizeof series->title, "%s: %.12s, %.44s", ways[way], bench->arithmetic,
                     bench->engine);
    }
    return STATUS_OK;
}

enum status figure_open_bench(struct figure *figure, const char *const *files, size_t count, struct error *error)
{
    *figure = (struct figure){ .content = NULL };
    struct chart *chart = chart_open(error);
    enum status status = chart != NULL ? STATUS_OK : error->status;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        struct bench bench;
        status = read_bench(files[i], &bench, error);
        if (status == STATUS_OK)
            status = add_bench(chart, files[i], i, &bench, count > 1, error);
        if (status == STATUS_OK && i == 0) {
            if (count == 1)
                snprintf(chart->heading, sizeof chart->heading, "ResNet-%d, batch %d: speed of each convolution",
                         (int)bench.depth, (int)bench.batch);
            else
                snprintf(chart->heading, sizeof chart->heading, "Speed of each convolution");
            snprintf(figure->description, sizeof figure->description,
                     "The share of the machine's measured FMA peak that each convolution reaches, forward and "
                     "backward, in the order of the network. It counts the operations of direct convolutions, so an "
                     "arithmetic that needs fewer may pass 100 %%. Whole steps in %.12s, %.60s, reach %.1f %% of the "
                     "peak of %.1f GFLOP/s.",
                     bench.arithmetic, bench.engine, 100.0 * bench.share, bench.peak);
        }
        json_decref(bench.json);
    }
    if (chart != NULL) {
        chart->x_label = "convolution, from the input";
        chart->x_column = "convolution";
        chart->y_label = "share of the measured multiply-add peak (%)";
        chart->from_zero = true;
    }
    return figure_opened(figure, chart_finish(chart, status, figure, error));
}

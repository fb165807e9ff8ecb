#include "commands/eval_report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "commands/table.h"
#include "results/statistics.h"
#include "trainer/network.h"

void evaluation_free(struct evaluation *evaluation)
{
    free(evaluation->predictions);
    dataset_free(&evaluation->test);
    manifest_free(&evaluation->manifest);
}

/* How often images of one class were taken for another. */
struct confusion {
    uint32_t counts[NETWORK_CLASSES][NETWORK_CLASSES]; /* [label][prediction] */
    uint32_t images[NETWORK_CLASSES];                  /* of each label */
    uint32_t errors;
};

static struct confusion count(const struct evaluation *evaluation)
{
    struct confusion confusion = { .errors = 0 };
    for (uint32_t i = 0; i < evaluation->test.count; i++) {
        const uint8_t label = evaluation->test.labels[i], prediction = evaluation->predictions[i];
        confusion.counts[label][prediction]++;
        confusion.images[label]++;
        confusion.errors += label != prediction;
    }
    return confusion;
}

/* CIFAR-10's classes in the order of their labels, as its batches.meta.txt has them. */
static const char *class_name(const struct manifest *manifest, size_t label)
{
    static const char *const cifar10[NETWORK_CLASSES] = { "airplane", "automobile", "bird",  "cat",  "deer",
                                                          "dog",      "frog",       "horse", "ship", "truck" };
    static const char *const digits[NETWORK_CLASSES] = { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9" };
    return manifest->dataset_kind == DATASET_CIFAR10 ? cifar10[label] : digits[label];
}

static struct mcnemar compare(const struct evaluation *first, const struct evaluation *second)
{
    uint64_t only[2] = { 0, 0 };
    for (uint32_t i = 0; i < first->test.count; i++) {
        const bool a = first->predictions[i] == first->test.labels[i],
                   b = second->predictions[i] == first->test.labels[i];
        only[0] += a && !b;
        only[1] += b && !a;
    }
    return test_mcnemar(only[0], only[1]);
}

static uint32_t count_other(const struct evaluation *first, const struct evaluation *second)
{
    uint32_t other = 0;
    for (uint32_t i = 0; i < first->test.count; i++)
        other += first->predictions[i] != second->predictions[i];
    return other;
}

/* ---- text -------------------------------------------------------------------------------------------------------- */

static enum status print_classes(const struct evaluation *evaluation, struct error *error)
{
    static const struct table_column columns[] = {
        { "class", false, 0 },  { "images", true, 0 }, { "errors", true, 0 },
        { "error %", true, 0 }, { "low", true, 0 },    { "high", true, 0 },
    };
    const struct confusion confusion = count(evaluation);
    struct table *table = table_open(columns, sizeof columns / sizeof *columns);
    if (table == NULL)
        return error_out_of_memory(error, "a table");
    for (size_t c = 0; c < NETWORK_CLASSES; c++) {
        const uint32_t images = confusion.images[c], errors = images - confusion.counts[c][c];
        table_cell(table, "%s", class_name(&evaluation->manifest, c));
        table_cell(table, "%" PRIu32, images);
        table_cell(table, "%" PRIu32, errors);
        if (images > 0) {
            const struct interval interval = interval_wilson(errors, images, STATISTICS_CONFIDENCE);
            table_cell(table, "%.2f", 100.0 * errors / images);
            table_cell(table, "%.2f", interval.low);
            table_cell(table, "%.2f", interval.high);
        }
        for (int empty = 0; images == 0 && empty < 3; empty++)
            table_cell(table, "%s", "");
    }
    printf("\n");
    enum status status = table_print(table, NULL, error);
    table_close(table);
    printf("\nlabel, and what it was taken for:\n            ");
    for (size_t c = 0; c < NETWORK_CLASSES; c++)
        printf(" %5.5s", class_name(&evaluation->manifest, c));
    printf("\n");
    for (size_t label = 0; label < NETWORK_CLASSES; label++) {
        printf("  %-10s", class_name(&evaluation->manifest, label));
        for (size_t c = 0; c < NETWORK_CLASSES; c++)
            printf(" %5" PRIu32, confusion.counts[label][c]);
        printf("\n");
    }
    return status;
}

static void print_error(const struct evaluation *evaluation)
{
    const uint32_t errors = count(evaluation).errors, images = evaluation->test.count;
    const struct interval interval = interval_wilson(errors, images, STATISTICS_CONFIDENCE);
    printf("error: %.2f %% (%" PRIu32 " of %" PRIu32 "); %.2f to %.2f %% with so many images\nloss:  %.6f\n",
           100.0 * errors / images, errors, images, interval.low, interval.high, evaluation->loss);
    const char *mark = manifest_test_mark(&evaluation->manifest, evaluation->test.sha256);
    if (mark != NULL)
        text_fact(stdout, 7, "data:  %s, SHA-256 %s", mark, evaluation->test.sha256);
}

static void print_against(const struct evaluation *first, const struct evaluation *second)
{
    const struct mcnemar test = compare(first, second);
    const uint32_t other = count_other(first, second);
    printf("\nagainst ");
    text_line(stdout, "%s:", second->path);
    print_error(second);
    printf("\n");
    text_fact(stdout, 0,
              "%" PRIu32 " of %" PRIu32 " predictions differ. Only the first is right %" PRIu64
              " times, only the second %" PRIu64 " times.",
              other, first->test.count, test.first_only, test.second_only);
    text_fact(stdout, 0, "McNemar's test: p = %.4g exactly; chi square %.4g with continuity correction, p = %.4g.",
              test.exact, test.chi_square, test.p);
    printf("%s\n", test.exact < STATISTICS_LEVEL
                       ? "At a level of 5 %, the two do not err equally often."
                       : "At a level of 5 %, nothing shows that they do not err equally often.");
}

static enum status print_text(const struct evaluation *first, const struct evaluation *second, bool per_class,
                              struct error *error)
{
    print_error(first);
    enum status status = per_class ? print_classes(first, error) : STATUS_OK;
    if (status == STATUS_OK && second != NULL)
        print_against(first, second);
    return status == STATUS_OK && per_class && second != NULL ? print_classes(second, error) : status;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------- */

static json_t *evaluation_json(const struct evaluation *evaluation, bool per_class)
{
    const struct confusion confusion = count(evaluation);
    const uint32_t images = evaluation->test.count;
    const struct interval interval = interval_wilson(confusion.errors, images, STATISTICS_CONFIDENCE);
    const char *mark = manifest_test_mark(&evaluation->manifest, evaluation->test.sha256);
    json_t *json = json_pack(
        "{s:o, s:s, s:I, s:I, s:f, s:f, s:f, s:o, s:s, s:s?}", "weights", json_text(evaluation->path), "manifest",
        evaluation->manifest.name, "images", (json_int_t)images, "errors", (json_int_t)confusion.errors, "error",
        100.0 * confusion.errors / images, "low", interval.low, "high", interval.high, "loss",
        json_number(evaluation->loss), "test_data_sha256", evaluation->test.sha256, "data_note", mark);
    json_t *classes = json_array(), *matrix = json_array();
    for (size_t label = 0; label < NETWORK_CLASSES; label++) {
        json_t *row = json_array();
        for (size_t c = 0; c < NETWORK_CLASSES; c++)
            json_add(&row, json_integer((json_int_t)confusion.counts[label][c]));
        json_add(&matrix, row);
        json_add(&classes, json_pack("{s:s, s:I, s:I}", "class", class_name(&evaluation->manifest, label), "images",
                                     (json_int_t)confusion.images[label], "errors",
                                     (json_int_t)(confusion.images[label] - confusion.counts[label][label])));
    }
    if (per_class) {
        json_put(&json, "classes", json_incref(classes));
        json_put(&json, "confusion", json_incref(matrix)); /* rows are labels, columns predictions */
    }
    json_decref(classes);
    json_decref(matrix);
    return json;
}

static enum status print_json(const struct evaluation *first, const struct evaluation *second, bool per_class,
                              struct error *error)
{
    json_t *json = evaluation_json(first, per_class);
    if (second != NULL) {
        const struct mcnemar test = compare(first, second);
        json_put(&json, "against", evaluation_json(second, per_class));
        json_put(&json, "mcnemar",
                 json_pack("{s:I, s:I, s:I, s:o, s:o, s:o}", "predictions_that_differ",
                           (json_int_t)count_other(first, second), "first_only", (json_int_t)test.first_only,
                           "second_only", (json_int_t)test.second_only, "exact_p", json_number(test.exact),
                           "chi_square", json_number(test.chi_square), "p", json_number(test.p)));
    }
    return json_print(json, error);
}

enum status evaluation_print(const struct arguments *arguments, const struct evaluation *first,
                             const struct evaluation *second, struct error *error)
{
    const char *format = arguments_text(arguments, "format");
    const bool per_class = arguments_flag(arguments, "per-class");
    return format != NULL && strcmp(format, "json") == 0 ? print_json(first, second, per_class, error)
                                                         : print_text(first, second, per_class, error);
}

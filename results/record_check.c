#include "results/record_check.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/imported.h"
#include "trainer/digests.h"
#include "trainer/engine.h"
#include "trainer/schedule.h"

/* "RUN: FILE and FILE contradict each other: ..." */
static enum status contradiction(const struct record *record, const char *a, const char *b, struct error *error,
                                 const char *format, ...) __attribute__((format(printf, 5, 6)));
static enum status contradiction(const struct record *record, const char *a, const char *b, struct error *error,
                                 const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_v(error, STATUS_INPUT, format, arguments);
    va_end(arguments);
    return error_prefix(error, "%s: %s and %s contradict each other", record->path, a, b);
}

/* ---- the manifest ------------------------------------------------------------------------------------------------ */

static enum status check_manifest_digest(const struct record *record, struct error *error)
{
    char hex[DIGEST_HEX_BYTES];
    const char *text = record->manifest_text;
    struct sha256 sha256;
    uint8_t digest[DIGEST_BYTES];
    const size_t bytes = strlen(text);
    sha256_start(&sha256);
    sha256_add(&sha256, text, bytes);
    if (bytes > 0 && text[bytes - 1] != '\n')
        sha256_add(&sha256, "\n", 1); /* an editor took it away */
    sha256_finish(&sha256, digest);
    digest_to_hex(digest, hex);
    if (strcmp(hex, record->facts.manifest_sha256) == 0)
        return STATUS_OK;
    return contradiction(record, RECORD_FILE, RECORD_MANIFEST_FILE, error,
                         "the manifest's SHA-256 is %s, but the record says %s", hex, record->facts.manifest_sha256);
}

/* What record.json must say of the manifest that it has. */
static void expect_manifest(const struct record *record, struct record_facts *expected)
{
    const struct manifest *manifest = &record->manifest;
    const struct training_config *training = &manifest->recipe.training;
    expected->manifest_name = manifest->name;
    expected->seed = manifest->seeds[0];
    manifest_experiment_digest(manifest, expected->seed, expected->experiment_sha256);
    expected->epochs_wanted = schedule_epochs(training, manifest->training_images);
    expected->steps_wanted = schedule_steps(training, manifest->training_images);
    expected->arithmetic = arithmetic_version(manifest->recipe.arithmetic);
    expected->exact = manifest->recipe.arithmetic != ARITHMETIC_FAST;
    expected->depth = manifest->recipe.model.depth;
    expected->training_images = manifest->training_images;
    expected->validation_images = manifest->test_images;
    memcpy(expected->training_data_sha256, manifest->train_sha256, sizeof manifest->train_sha256);
    if (manifest->test_sha256[0] != '\0')
        memcpy(expected->validation_data_sha256, manifest->test_sha256, sizeof manifest->test_sha256);
}

static enum status check_manifest(const struct record *record, struct error *error)
{
    static const char *const sections[] = { "manifest", "experiment",    "arithmetic",
                                            "network",  "training_data", "validation_data" };
    char said[RECORD_VALUE_BYTES], wanted[RECORD_VALUE_BYTES];
    struct record_facts expected = record->facts;
    enum status status = check_manifest_digest(record, error);
    if (status != STATUS_OK)
        return status;
    expect_manifest(record, &expected);
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) {
        const char *key = record_json_difference(&record->facts, &expected, sections[i], said, wanted);
        if (key != NULL)
            return contradiction(record, RECORD_FILE, RECORD_MANIFEST_FILE, error,
                                 "\"%s\" is %s, but by the manifest it is %s", key, said, wanted);
    }
    return STATUS_OK;
}

/* ---- the epochs -------------------------------------------------------------------------------------------------- */

/* A row by itself and by the manifest. */
static enum status check_row(const struct record *record, const struct metrics_row *row, struct error *error)
{
    const struct training_config *training = &record->manifest.recipe.training;
    const uint32_t images = record->manifest.training_images;
    if (metrics_is_imported(row))
        return error_set(error, STATUS_INPUT,
                         "%s/%s:%" PRIu64 ": the line has no digest of weights, as only an imported run may have it",
                         record->path, METRICS_FILE, row->epoch + 1);
    const uint64_t end = schedule_epoch_end(training, images, row->epoch);
    const double rate = (double)schedule_learning_rate(training, images, end - 1),
                 validation_error = 100.0 * (double)row->validation_errors / (double)row->validation_images;
    if (row->end_step != end)
        return contradiction(record, METRICS_FILE, RECORD_MANIFEST_FILE, error,
                             "epoch %" PRIu64 " (from 0) ends after %" PRIu64
                             " steps, but by the manifest after %" PRIu64,
                             row->epoch, row->end_step, end);
    if (row->learning_rate != rate)
        return contradiction(record, METRICS_FILE, RECORD_MANIFEST_FILE, error,
                             "epoch %" PRIu64 " (from 0) ends with the learning rate %.9g, but by the manifest with "
                             "%.9g",
                             row->epoch, row->learning_rate, rate);
    if (row->validation_images != record->facts.validation_images)
        return contradiction(record, METRICS_FILE, RECORD_FILE, error,
                             "epoch %" PRIu64 " (from 0) has %" PRIu64
                             " validation images, but the record says %" PRIu64,
                             row->epoch, row->validation_images, record->facts.validation_images);
    if (row->validation_errors > row->validation_images || row->validation_error != validation_error)
        return error_set(error, STATUS_INPUT,
                         "%s/%s:%" PRIu64 ": the line contradicts itself: \"validation_error\" is %.17g, but %" PRIu64
                         " errors in %" PRIu64 " images are %.17g %%",
                         record->path, METRICS_FILE, row->epoch + 1, row->validation_error, row->validation_errors,
                         row->validation_images, validation_error);
    return STATUS_OK;
}

static enum status check_result(const struct record *record, struct error *error)
{
    char said[RECORD_VALUE_BYTES], found[RECORD_VALUE_BYTES];
    const struct record_facts *facts = &record->facts;
    const uint64_t epochs = facts->result.epochs;
    struct record_facts counted = { .format = 0 };
    /* An epoch's line is written before the record is. */
    const bool done = facts->state == RECORD_FINISHED || facts->state == RECORD_IMPORTED;
    const uint64_t most = done ? epochs : epochs + 1;
    if (record->epochs < epochs || record->epochs > most)
        return contradiction(record, RECORD_FILE, METRICS_FILE, error,
                             "the record says %" PRIu64 " epochs%s, but there are lines of %zu%s", epochs,
                             facts->state == RECORD_FINISHED ? " and finished" : "", record->epochs,
                             record->metrics_lines.torn > 0 ? ", the last line being torn" : "");
    if (record->epochs > facts->epochs_wanted)
        return contradiction(record, RECORD_MANIFEST_FILE, METRICS_FILE, error,
                             "the training has %" PRIu64 " epochs, but there are lines of %zu", facts->epochs_wanted,
                             record->epochs);
    if (done && record->metrics_lines.torn > 0)
        return contradiction(record, RECORD_FILE, METRICS_FILE, error,
                             "the run is %s, but after its lines there are %zu bytes that are no line",
                             record_said_state_name(facts->state), record->metrics_lines.torn);
    for (uint64_t i = 0; i < epochs; i++)
        record_json_add_epoch(&counted, &record->metrics[i]);
    if (epochs > 0)
        sha256_hex(record->metrics_lines.text, record->metrics_lines.ends[epochs - 1], counted.result.metrics_sha256);
    const char *key = record_json_difference(facts, &counted, "result", said, found);
    if (key != NULL)
        return contradiction(record, RECORD_FILE, METRICS_FILE, error, "\"%s\" is %s, but by the lines it is %s", key,
                             said, found);
    return STATUS_OK;
}

/* Times enter no digest. But figures and tables add them up, so they must be some that an epoch can take: the bound is
 * 31 years. NaN is that of an imported run, which may not say. */
static enum status check_times(const struct record *record, const struct metrics_row *row, struct error *error)
{
    const double times[] = { row->training_seconds, row->validation_seconds };
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        if (times[i] < 0.0 || times[i] > 1e9)
            return error_set(error, STATUS_INPUT, "%s/%s:%" PRIu64 ": \"%s_seconds\" is %g, which no epoch can take",
                             record->path, METRICS_FILE, row->epoch + 1, i == 0 ? "training" : "validation", times[i]);
    }
    return STATUS_OK;
}

static enum status check_epochs(const struct record *record, struct error *error)
{
    enum status status = check_result(record, error);
    for (size_t i = 0; i < record->epochs && status == STATUS_OK; i++)
        status = check_times(record, &record->metrics[i], error);
    for (size_t i = 0; i < record->epochs && status == STATUS_OK && !imported_is(record); i++)
        status = check_row(record, &record->metrics[i], error);
    return status;
}

/* ---- the steps --------------------------------------------------------------------------------------------------- */

static enum status check_step_count(const struct record *record, struct error *error)
{
    const uint64_t recorded = record->epochs > 0 ? record->metrics[record->epochs - 1].end_step : 0;
    const uint64_t next =
        schedule_epoch_end(&record->manifest.recipe.training, record->manifest.training_images, record->epochs);
    const char *ledger = ledger_name(&record->ledger_lines);
    const bool finished = record->facts.state == RECORD_FINISHED;
    if (record->steps < recorded)
        return contradiction(record, ledger, METRICS_FILE, error,
                             "there are %zu steps%s, but epochs up to step %" PRIu64, record->steps,
                             record->ledger_lines.torn > 0 ? ", the last line being torn" : "", recorded);
    if (record->epochs < record->facts.epochs_wanted && record->steps > next)
        return contradiction(record, ledger, METRICS_FILE, error,
                             "there are %zu steps, but no line of the epoch that ends after step %" PRIu64,
                             record->steps, next);
    if (record->steps > record->facts.steps_wanted)
        return contradiction(record, ledger, RECORD_MANIFEST_FILE, error,
                             "there are more steps than the training has, %" PRIu64, record->facts.steps_wanted);
    if (finished && (record->steps > recorded || record->ledger_lines.torn > 0))
        return contradiction(record, RECORD_FILE, ledger, error,
                             "the run is finished after step %" PRIu64 ", but the ledger has more steps", recorded);
    return STATUS_OK;
}

/* The training's loss and error are means over the epoch's steps, in the order in which train() adds them. */
static enum status check_means(const struct record *record, const struct metrics_row *row, uint64_t first,
                               struct error *error)
{
    const struct training_config *training = &record->manifest.recipe.training;
    double loss_sum = 0.0;
    uint64_t error_sum = 0, image_sum = 0;
    for (uint64_t step = first; step < row->end_step; step++) {
        const uint32_t images = schedule_batch(training, record->manifest.training_images, step);
        loss_sum += (double)record->ledger[step].loss * (double)images;
        error_sum += record->ledger[step].errors;
        image_sum += images;
    }
    const double loss = loss_sum / (double)image_sum, training_error = 100.0 * (double)error_sum / (double)image_sum;
    if (row->training_loss == loss && row->training_error == training_error)
        return STATUS_OK;
    const bool of_loss = row->training_loss != loss;
    return contradiction(record, METRICS_FILE, ledger_name(&record->ledger_lines), error,
                         "the training %s of epoch %" PRIu64 " (from 0) is %.17g, but by the steps it is %.17g",
                         of_loss ? "loss" : "error", row->epoch, of_loss ? row->training_loss : row->training_error,
                         of_loss ? loss : training_error);
}

static enum status check_steps(const struct record *record, struct error *error)
{
    enum status status = check_step_count(record, error);
    if (status == STATUS_OK)
        status = record_check_chain(record->path, record->facts.experiment_sha256, record->metrics, record->epochs,
                                    record->ledger, record->steps, error);
    for (size_t i = 0; i < record->epochs && status == STATUS_OK; i++)
        status = check_means(record, &record->metrics[i], i > 0 ? record->metrics[i - 1].end_step : 0, error);
    return status;
}

enum status record_check_chain(const char *path, const char *experiment_sha256, const struct metrics_row *metrics,
                               size_t epochs, const struct ledger_row *ledger, size_t steps, struct error *error)
{
    uint8_t chain[DIGEST_BYTES], weights[DIGEST_BYTES], *entries = NULL;
    char hex[DIGEST_HEX_BYTES];
    uint64_t first = 0, room = 0;
    enum status status = STATUS_OK;
    if (!digest_from_hex(experiment_sha256, chain))
        return error_set(error, STATUS_INPUT, "%s: the experiment digest is not 64 digits", path);
    for (size_t epoch = 0; epoch < epochs; epoch++) {
        const uint64_t end = metrics[epoch].end_step;
        if (end <= first || end > steps) {
            status = error_set(error, STATUS_INPUT,
                               "%s: epoch %zu ends at step %" PRIu64 ", which is not among its %zu steps", path, epoch,
                               end, steps);
            goto out;
        }
        if (end - first > room) {
            room = end - first;
            free(entries);
            entries = malloc((size_t)room * DIGEST_STEP_BYTES);
            if (entries == NULL) {
                status = error_out_of_memory(error, "the chain of %s", path);
                goto out;
            }
        }
        for (uint64_t step = first; step < end; step++)
            digest_step(entries + (step - first) * DIGEST_STEP_BYTES, step, ledger[step].loss, ledger[step].errors,
                        ledger[step].digest);
        if (!digest_from_hex(metrics[epoch].weights_sha256, weights)) {
            status = error_set(error, STATUS_INPUT, "%s/%s:%zu: the line has no digest of weights", path, METRICS_FILE,
                               epoch + 1);
            goto out;
        }
        digest_chain(chain, weights, entries, (size_t)(end - first));
        digest_to_hex(chain, hex);
        if (strcmp(hex, metrics[epoch].chain_sha256) != 0) {
            status = error_set(
                error, STATUS_INPUT,
                "%s: %s and %s contradict each other: the chain of epoch %zu (from 0) does not follow from its "
                "weights digest and its steps; one of the two files was changed or damaged there",
                path, METRICS_FILE, LEDGER_FILE, epoch);
            goto out;
        }
        first = end;
    }
out:
    free(entries);
    return status;
}

const char *record_check_memory(const struct record_facts *facts, const char **before, const char **after)
{
    const struct {
        const char *what, *before, *after;
    } data[] = {
        { "training", facts->training_data_sha256, facts->training_data_after_sha256 },
        { "validation", facts->validation_data_sha256, facts->validation_data_after_sha256 },
    };
    for (size_t i = 0; i < sizeof data / sizeof *data; i++) {
        *before = data[i].before;
        *after = data[i].after;
        if (data[i].after[0] != '\0' && strcmp(data[i].before, data[i].after) != 0)
            return data[i].what;
    }
    return NULL;
}

/* A training that finished had the same data in memory at its end. */
static enum status check_after(const struct record *record, struct error *error)
{
    const char *before, *after, *what = record_check_memory(&record->facts, &before, &after);
    if (what == NULL || record->facts.state != RECORD_FINISHED)
        return STATUS_OK;
    return error_set(error, STATUS_INPUT,
                     "%s/%s contradicts itself: the run is finished, but \"after.%s_data_sha256\" is %s, and "
                     "\"%s_data.sha256\" is %s",
                     record->path, RECORD_FILE, what, after, what, before);
}

enum status record_check(const struct record *record, struct error *error)
{
    enum status status = check_manifest(record, error);
    if (status == STATUS_OK)
        status = check_after(record, error);
    if (status == STATUS_OK)
        status = check_epochs(record, error);
    if (status == STATUS_OK)
        status = imported_is(record) ? imported_check(record, error) : check_steps(record, error);
    return status;
}

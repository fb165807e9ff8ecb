#include "check/support/forged_record.h"

#include <math.h>

#include "check/support/simulated_training.h"
#include "trainer/digests.h"
#include "trainer/schedule.h"

/* A record's numbers, which are to be changed and written again. */
struct forgery {
    struct record_facts facts;
    struct metrics_row *metrics; /* [epochs] */
    struct ledger_row *ledger;   /* [steps] */
    size_t epochs, steps;
};

/* One number, by one bit or to anything. What it was, for messages. */
static const char *change_number(struct forgery *forgery, uint64_t (*draw)(uint64_t count))
{
    struct metrics_row *row = &forgery->metrics[draw(forgery->epochs)];
    struct ledger_row *step = &forgery->ledger[draw(forgery->steps)];
    const struct metrics_column *column = &metrics_columns[draw(metrics_column_count)];
    char *field = (char *)row + column->offset;
    switch (draw(8)) {
    case 0:
        step->loss = nextafterf(step->loss, draw(2) == 0 ? 0.0f : 1e30f);
        return "a loss";
    case 1:
        step->errors = (uint32_t)draw(step->errors + 3);
        return "errors";
    case 2:
    case 3:
        step->digest[draw(2)] ^= (uint64_t)1 << draw(64);
        return "a step's digest";
    case 4:
        row->weights_sha256[draw(64)] = "0123456789abcdef"[draw(16)];
        return "an epoch's weights";
    case 5:
        row->validation_errors = draw(row->validation_images + 1);
        row->validation_error = 100.0 * (double)row->validation_errors / (double)row->validation_images;
        return "validation errors";
    case 6:
        forgery->facts.seed ^= (uint64_t)1 << draw(8);
        forgery->facts.experiment_sha256[draw(64)] = "0123456789abcdef"[draw(16)];
        return "the experiment";
    default:
        if (column->type == METRICS_INTEGER)
            *(uint64_t *)field ^= (uint64_t)1 << draw(20);
        else if (column->type == METRICS_REAL)
            *(double *)field = nextafter(*(double *)field, draw(2) == 0 ? 0.0 : 1e30);
        else
            field[draw(64)] = "0123456789abcdef"[draw(16)];
        return column->name;
    }
}

/* What follows from the ledger: the means and the chain. `ends`: of the epochs; NULL: the schedule's. */
static void follow_from_steps(struct forgery *forgery, const uint64_t *ends)
{
    const struct training_config *training = &simulated_recipe.training;
    uint8_t chain[DIGEST_BYTES], weights[DIGEST_BYTES];
    uint64_t first = 0;
    digest_from_hex(forgery->facts.experiment_sha256, chain);
    for (size_t i = 0; i < forgery->epochs; i++) {
        struct metrics_row *row = &forgery->metrics[i];
        const uint64_t end = ends != NULL ? ends[i] : schedule_epoch_end(training, SIMULATED_IMAGES, i);
        uint8_t *entries = malloc((size_t)(end - first) * DIGEST_STEP_BYTES);
        double loss_sum = 0.0;
        uint64_t error_sum = 0, image_sum = 0;
        assert_non_null(entries);
        for (uint64_t step = first; step < end; step++) {
            const uint32_t images = schedule_batch(training, SIMULATED_IMAGES, step);
            const struct ledger_row *at = &forgery->ledger[step];
            loss_sum += (double)at->loss * (double)images;
            error_sum += at->errors;
            image_sum += images;
            digest_step(entries + (step - first) * DIGEST_STEP_BYTES, step, at->loss, at->errors, at->digest);
        }
        row->training_loss = loss_sum / (double)image_sum;
        row->training_error = 100.0 * (double)error_sum / (double)image_sum;
        digest_from_hex(row->weights_sha256, weights);
        digest_chain(chain, weights, entries, (size_t)(end - first));
        digest_to_hex(chain, row->chain_sha256);
        free(entries);
        first = end;
    }
}

static void write_forgery(struct forgery *forgery, const char *name)
{
    char path[FILE_PATH_BYTES], *text = NULL;
    size_t bytes = 0, counted = 0;
    struct error error;
    FILE *file = open_memstream(&text, &bytes);
    const uint64_t epochs = forgery->facts.result.epochs;
    assert_non_null(file);
    memset(&forgery->facts.result, 0, sizeof forgery->facts.result);
    for (size_t i = 0; i < forgery->epochs; i++) {
        char *line;
        if (metrics_format(&forgery->metrics[i], &line, &error) != STATUS_OK)
            fail_msg("%s", error.message);
        fputs(line, file);
        free(line);
        if (i < epochs) {
            record_json_add_epoch(&forgery->facts, &forgery->metrics[i]);
            fflush(file);
            counted = bytes;
        }
    }
    assert_int_equal(fclose(file), 0);
    sha256_hex(text, counted, forgery->facts.result.metrics_sha256);
    run_path(path, name, METRICS_FILE);
    assert_int_equal(file_write(path, text, bytes, &error), STATUS_OK);
    free(text);
    run_path(path, name, RECORD_FILE);
    if (record_json_write(path, &forgery->facts, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    snprintf(path, sizeof path, "%s/%s", runs_folder, name);
    assert_int_equal(ledger_write(path, forgery->ledger, forgery->steps, &error), STATUS_OK);
}

static struct forgery copy_of(const struct record *record)
{
    struct forgery forgery = { .facts = record->facts, .epochs = record->epochs, .steps = record->steps };
    forgery.metrics = malloc(record->epochs * sizeof *forgery.metrics);
    forgery.ledger = malloc(record->steps * sizeof *forgery.ledger);
    assert_true(forgery.metrics != NULL && forgery.ledger != NULL);
    memcpy(forgery.metrics, record->metrics, record->epochs * sizeof *forgery.metrics);
    memcpy(forgery.ledger, record->ledger, record->steps * sizeof *forgery.ledger);
    return forgery;
}

void forge_epoch_ends(const struct record *record, const char *name, const uint64_t *ends, size_t epochs,
                      char chain_sha256[DIGEST_HEX_BYTES])
{
    struct forgery forgery = copy_of(record);
    assert_in_range(epochs, 1, record->epochs);
    forgery.epochs = forgery.facts.result.epochs = epochs;
    for (size_t i = 0; i < epochs; i++)
        forgery.metrics[i].end_step = ends[i];
    follow_from_steps(&forgery, ends);
    write_forgery(&forgery, name);
    memcpy(chain_sha256, forgery.metrics[epochs - 1].chain_sha256, DIGEST_HEX_BYTES);
    free(forgery.metrics);
    free(forgery.ledger);
}

const char *forge_record(const struct record *record, const char *name, uint64_t (*draw)(uint64_t count))
{
    struct forgery forgery = copy_of(record);
    const char *what = change_number(&forgery, draw);
    while (draw(4) == 0)
        what = change_number(&forgery, draw);
    /* Every other column is written as it was changed: means and chain then contradict the steps, or do not. */
    if (draw(8) != 0)
        follow_from_steps(&forgery, NULL);
    write_forgery(&forgery, name);
    free(forgery.metrics);
    free(forgery.ledger);
    return what;
}

#include "commands/verify_epochs.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/progress.h"
#include "base/stop.h"
#include "base/text.h"
#include "commands/table.h"
#include "fetch/data/load.h"
#include "results/audit.h"
#include "results/checkpoint.h"
#include "trainer/digests.h"
#include "trainer/schedule.h"
#include "trainer/train.h"

static const size_t BEACON_LIMIT = (size_t)1 << 20;

struct audit {
    const struct record *record;
    const struct recipe *recipe;
    const struct engine_operations *operations;
    struct engine *engine;
    struct network *network;
    struct dataset training, validation;
    uint64_t *epochs; /* [count], from 0, rising */
    size_t count;
    uint64_t *checkpoints; /* [checkpoint_count] steps, rising */
    size_t checkpoint_count;
    struct training_state state, stored; /* the latter: a checkpoint that was reached */
    bool begun;                          /* state follows from the run's start or a checkpoint */
    uint64_t wanted_steps, done_steps;   /* of the whole audit */
    size_t at;                           /* the epoch that is audited now */
    bool same_validation;
    bool text;
    struct progress progress;
};

/* ---- which epochs ------------------------------------------------------------------------------------------------ */

static enum status random_beacon(char **beacon, size_t *bytes, struct error *error)
{
    uint8_t random[DIGEST_BYTES];
    char hex[DIGEST_HEX_BYTES];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return error_set_errno(error, STATUS_ENVIRONMENT, "there are no random numbers");
    digest_to_hex(random, hex);
    *beacon = strdup(hex);
    *bytes = strlen(hex);
    return *beacon != NULL ? STATUS_OK : error_out_of_memory(error, "a beacon");
}

/* --beacon: the bytes of the file of that name, else the text itself. */
static enum status read_beacon(const char *given, char **beacon, size_t *bytes, struct error *error)
{
    if (given == NULL)
        return random_beacon(beacon, bytes, error);
    if (file_exists(given))
        return file_read(given, BEACON_LIMIT, beacon, bytes, error);
    *beacon = strdup(given);
    *bytes = strlen(given);
    return *beacon != NULL ? STATUS_OK : error_out_of_memory(error, "a beacon");
}

static enum status choose(struct audit *audit, const struct arguments *arguments, struct error *error)
{
    const struct record *record = audit->record;
    const uint64_t epoch = arguments_integer(arguments, "epoch", 0), sample = arguments_integer(arguments, "sample", 0);
    const char *given = arguments_text(arguments, "beacon");
    char *beacon = NULL;
    size_t bytes = 0;
    uint8_t chain[DIGEST_BYTES];
    if (epoch > record->epochs || sample > record->epochs || record->epochs == 0)
        return error_set(error, STATUS_INPUT, "%s has %zu whole epochs", record->shown, record->epochs);
    audit->count = epoch > 0 ? 1 : (size_t)sample;
    audit->epochs = calloc(audit->count, sizeof *audit->epochs);
    if (audit->epochs == NULL)
        return error_out_of_memory(error, "the epochs to audit");
    if (epoch > 0) {
        audit->epochs[0] = epoch - 1;
        return STATUS_OK;
    }
    const char *last = record->metrics[record->epochs - 1].chain_sha256;
    enum status status = read_beacon(given, &beacon, &bytes, error);
    if (status != STATUS_OK)
        return status;
    digest_from_hex(last, chain);
    audit_choose(chain, beacon, bytes, record->epochs, sample, audit->epochs);
    if (audit->text) {
        text_line(stdout, "chain:  %s", last);
        if (given == NULL)
            text_fact(stdout, 8, "beacon: %s (random; --beacon with this text repeats the choice)", beacon);
        else
            text_line(stdout, "beacon: %s%s", file_exists(given) ? "the file " : "", given);
        text_fact(stdout, 0,
                  "%" PRIu64 " of %zu epochs; if 1, 5 or 20 had been tampered with, the chance to hit one is "
                  "%.1f, %.1f or %.1f %%",
                  sample, record->epochs, 100.0 * audit_detection(record->epochs, 1, sample),
                  100.0 * audit_detection(record->epochs, record->epochs < 5 ? record->epochs : 5, sample),
                  100.0 * audit_detection(record->epochs, record->epochs < 20 ? record->epochs : 20, sample));
    }
    free(beacon);
    return STATUS_OK;
}

/* ---- from where -------------------------------------------------------------------------------------------------- */

static uint64_t begin_of(const struct audit *audit, uint64_t epoch)
{
    return epoch == 0 ? 0 : audit->record->metrics[epoch - 1].end_step;
}

/* Whether a step ends an epoch; before the first, too. */
static bool ends_epoch(const struct audit *audit, uint64_t step)
{
    if (step == 0)
        return true;
    for (size_t i = 0; i < audit->record->epochs; i++) {
        if (audit->record->metrics[i].end_step == step)
            return true;
    }
    return false;
}

/* The step of the nearest checkpoint between two epochs from which an epoch can be reached; 0: the start. */
static uint64_t nearest(const struct audit *audit, uint64_t epoch)
{
    const uint64_t begin = begin_of(audit, epoch);
    uint64_t best = 0;
    for (size_t i = 0; i < audit->checkpoint_count; i++) {
        if (audit->checkpoints[i] <= begin && ends_epoch(audit, audit->checkpoints[i]))
            best = audit->checkpoints[i];
    }
    return best;
}

static void count_steps(struct audit *audit)
{
    uint64_t reached = 0;
    for (size_t i = 0; i < audit->count; i++) {
        uint64_t from = nearest(audit, audit->epochs[i]);
        if (i > 0 && reached > from)
            from = reached;
        reached = audit->record->metrics[audit->epochs[i]].end_step;
        audit->wanted_steps += reached - from;
    }
}

static enum status go_to(struct audit *audit, uint64_t epoch, struct error *error)
{
    struct checkpoint_place place;
    const uint64_t from = nearest(audit, epoch);
    if (audit->begun && audit->state.step >= from)
        return STATUS_OK; /* where the epoch before led to is nearer */
    audit->begun = true;
    if (from > 0)
        return checkpoint_read(audit->record->path, from, audit->network, audit->record->facts.experiment_sha256,
                               &place, &audit->state, error);
    network_initialize(audit->network, audit->recipe->training.seed, audit->state.values);
    memset(audit->state.momentum, 0, audit->network->value_count * sizeof *audit->state.momentum);
    audit->state.step = 0;
    audit->state.loss_sum = 0.0;
    audit->state.error_sum = audit->state.image_sum = 0;
    return STATUS_OK;
}

/* ---- against the record ------------------------------------------------------------------------------------------ */

static enum status hear_steps(void *context, uint64_t first, const struct step_result *results, uint64_t count,
                              struct error *error)
{
    struct audit *audit = context;
    const struct record *record = audit->record;
    char label[64];
    for (uint64_t i = 0; i < count; i++) {
        const struct ledger_row row = ledger_row_of(&results[i]);
        const char *what = ledger_difference(&record->ledger[first + i], &row);
        if (what != NULL)
            return error_set(error, STATUS_NO,
                             "%s does not follow: step %" PRIu64 " (from 1) of epoch %" PRIu64
                             " comes out otherwise: %s; compared with %s",
                             record->shown, first + i + 1,
                             schedule_epoch_of(&audit->recipe->training, audit->training.count, first + i) + 1, what,
                             ledger_name(&record->ledger_lines));
    }
    audit->done_steps += count;
    snprintf(label, sizeof label, "epoch %" PRIu64 ", %zu of %zu",
             schedule_epoch_of(&audit->recipe->training, audit->training.count, first) + 1, audit->at + 1,
             audit->count);
    progress_report(&audit->progress, label, audit->done_steps, audit->done_steps, audit->wanted_steps);
    return STATUS_OK;
}

/* A checkpoint at the end of an epoch that was computed again must be the same, its momentum included: no digest of the
 * record covers that. */
static enum status check_checkpoint(struct audit *audit, const struct training_state *state, struct error *error)
{
    struct checkpoint_place place;
    const size_t bytes = audit->network->value_count * sizeof *state->values;
    bool there = false;
    for (size_t i = 0; i < audit->checkpoint_count; i++)
        there = there || audit->checkpoints[i] == state->step;
    if (!there)
        return STATUS_OK;
    enum status status = checkpoint_read(audit->record->path, state->step, audit->network,
                                         audit->record->facts.experiment_sha256, &place, &audit->stored, error);
    if (status != STATUS_OK)
        return status;
    if (memcmp(state->values, audit->stored.values, bytes) != 0 ||
        memcmp(state->momentum, audit->stored.momentum, bytes) != 0)
        return error_set(error, STATUS_NO,
                         "%s does not follow: its checkpoint of step %" PRIu64 " is not the state after that step",
                         audit->record->shown, state->step);
    return STATUS_OK;
}

static enum status hear_epoch(void *context, const struct epoch_report *report, const struct training_state *state,
                              struct error *error)
{
    struct audit *audit = context;
    const struct metrics_row *row = &audit->record->metrics[report->epoch];
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_BYTES];
    weights_digest(audit->network, state->values, digest);
    digest_to_hex(digest, hex);
    const char *what = strcmp(hex, row->weights_sha256) != 0           ? "weights_sha256"
                       : report->training_loss != row->training_loss   ? "training_loss"
                       : report->training_error != row->training_error ? "training_error"
                                                                       : NULL;
    if (what == NULL && audit->same_validation)
        what = report->validation_loss != row->validation_loss       ? "validation_loss"
               : report->validation_errors != row->validation_errors ? "validation_errors"
                                                                     : NULL;
    if (what != NULL)
        return error_set(error, STATUS_NO, "%s does not follow: epoch %" PRIu64 " comes out otherwise: %s",
                         audit->record->shown, report->epoch + 1, what);
    return check_checkpoint(audit, state, error);
}

static enum status audit_epoch(struct audit *audit, struct error *error)
{
    const uint64_t epoch = audit->epochs[audit->at];
    const struct train_listener listener = {
        .context = audit, .steps = hear_steps, .epoch = hear_epoch, .stop_requested = stop_requested
    };
    enum status status = go_to(audit, epoch, error);
    const uint64_t from = audit->state.step;
    if (status == STATUS_OK)
        status = train(audit->operations, audit->engine, audit->recipe, audit->training.count, &audit->validation,
                       epoch + 1, &audit->state, &listener, error);
    progress_clear(&audit->progress);
    if (status == STATUS_OK && audit->text) {
        text_fact(stdout, 2,
                  "epoch %" PRIu64 ": the same %" PRIu64 " steps, from step %" PRIu64 " on; weights %.16s...",
                  epoch + 1, audit->state.step - from, from, audit->record->metrics[epoch].weights_sha256);
        fflush(stdout);
    }
    return status;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static enum status allocate(struct audit *audit, struct error *error)
{
    enum status status = network_open(&audit->network, &audit->recipe->model, error);
    if (status != STATUS_OK)
        return status;
    const size_t count = audit->network->value_count;
    audit->state.values = calloc(count, sizeof(float));
    audit->state.momentum = calloc(count, sizeof(float));
    audit->stored.values = calloc(count, sizeof(float));
    audit->stored.momentum = calloc(count, sizeof(float));
    if (audit->state.values == NULL || audit->state.momentum == NULL || audit->stored.values == NULL ||
        audit->stored.momentum == NULL)
        return error_out_of_memory(error, "the weights of %s", audit->record->shown);
    return checkpoint_list(audit->record->path, &audit->checkpoints, &audit->checkpoint_count, error);
}

static enum status open_engine(struct audit *audit, const struct arguments *arguments, struct error *error)
{
    const struct data_options data = { .place = arguments_text(arguments, "data"),
                                       .any_test_data = arguments_flag(arguments, "any-test-data") };
    const struct engine_options options = { .threads = (uint32_t)arguments_integer(arguments, "threads", 0),
                                            .isa = arguments_text(arguments, "isa") };
    enum status status =
        engine_choose(arguments_text(arguments, "engine"), audit->recipe->arithmetic, &audit->operations, error);
    if (status == STATUS_OK)
        status = data_load(&audit->record->manifest, &data, &audit->training, &audit->validation, error);
    if (status == STATUS_OK)
        status = audit->operations->open(&audit->engine, audit->recipe, audit->network, &audit->training,
                                         &audit->validation, &options, error);
    audit->same_validation =
        status == STATUS_OK && strcmp(audit->validation.sha256, audit->record->facts.validation_data_sha256) == 0;
    return status;
}

static void release(struct audit *audit)
{
    if (audit->engine != NULL)
        audit->operations->close(audit->engine);
    dataset_free(&audit->training);
    dataset_free(&audit->validation);
    free(audit->state.values);
    free(audit->state.momentum);
    free(audit->stored.values);
    free(audit->stored.momentum);
    free(audit->checkpoints);
    free(audit->epochs);
    network_close(audit->network);
}

static enum status print_json(const struct audit *audit, struct error *error)
{
    json_t *list = json_array();
    for (size_t i = 0; i < audit->count; i++)
        json_add(&list, json_integer((json_int_t)audit->epochs[i]));
    return json_print(json_pack("{s:o, s:o, s:I, s:b}", "run", json_text(audit->record->shown), "epochs", list, "steps",
                                (json_int_t)audit->done_steps, "validation_images", audit->same_validation),
                      error);
}

enum status verify_epochs(const struct record *record, const struct arguments *arguments, struct error *error)
{
    const char *format = arguments_text(arguments, "format");
    struct audit audit = { .record = record,
                           .recipe = &record->manifest.recipe,
                           .text = format == NULL || strcmp(format, "json") != 0 };
    if (!record->facts.exact)
        return error_set(error, STATUS_INPUT, "%s was computed in fast arithmetic, which promises no bits",
                         record->shown);
    stop_watch("\nselfsame verify: stopping; what was computed so far is said above\n", NULL);
    progress_open(&audit.progress, "steps");
    enum status status = allocate(&audit, error);
    if (status == STATUS_OK)
        status = choose(&audit, arguments, error);
    if (status == STATUS_OK)
        status = open_engine(&audit, arguments, error);
    if (status == STATUS_OK)
        count_steps(&audit);
    for (audit.at = 0; status == STATUS_OK && audit.at < audit.count; audit.at++)
        status = audit_epoch(&audit, error);
    if (status == STATUS_OK && audit.text && !audit.same_validation)
        text_fact(stdout, 2, "errors on validation images were not compared: the record's were measured on others");
    if (status == STATUS_OK && !audit.text)
        status = print_json(&audit, error);
    release(&audit);
    return status;
}

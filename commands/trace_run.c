#include "commands/trace_run.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/stop.h"
#include "fetch/data/load.h"
#include "results/checkpoint.h"
#include "results/imported.h"
#include "trainer/engine.h"
#include "trainer/schedule.h"

struct job {
    const struct record *record;
    const struct recipe *recipe;
    const struct engine_operations *operations;
    struct engine *engine;
    struct dataset training;
    struct training_state state;
    uint64_t step; /* the one to trace */
    struct progress progress;
    enum status heard; /* of the steps before it */
    struct error *error;
};

/* ---- from where -------------------------------------------------------------------------------------------------- */

/* The last checkpoint that is not after the step, or the initial state. */
static enum status begin(struct job *job, struct traced *traced, struct error *error)
{
    const struct network *network = traced->network;
    struct checkpoint_place place;
    uint64_t *steps;
    size_t count;
    job->state.values = calloc(network->value_count, sizeof *job->state.values);
    job->state.momentum = calloc(network->value_count, sizeof *job->state.momentum);
    if (job->state.values == NULL || job->state.momentum == NULL)
        return error_out_of_memory(error, "the weights of %s", job->record->shown);
    enum status status = checkpoint_list(job->record->path, &steps, &count, error);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < count && steps[i] <= job->step; i++)
        traced->from = steps[i];
    free(steps);
    if (traced->from > 0)
        return checkpoint_read(job->record->path, traced->from, network, job->record->facts.experiment_sha256, &place,
                               &job->state, error);
    network_initialize(network, job->recipe->training.seed, job->state.values);
    return STATUS_OK;
}

const char *traced_from(const struct traced *traced, char text[TRACED_FROM_BYTES])
{
    if (traced->from == 0)
        snprintf(text, TRACED_FROM_BYTES, "the start");
    else
        snprintf(text, TRACED_FROM_BYTES, "the checkpoint after step %" PRIu64, traced->from);
    return text;
}

/* ---- up to the step ---------------------------------------------------------------------------------------------- */

static bool is_recorded(const struct record *record, uint64_t step)
{
    return step < record->steps;
}

/* Whether the record says the same of a step that it has. */
static bool follows(const struct record *record, uint64_t step, const struct ledger_row *row)
{
    return ledger_difference(&record->ledger[step], row) == NULL;
}

static bool hear(void *context, uint64_t first, const struct step_result *results, uint64_t count)
{
    struct job *job = context;
    for (uint64_t i = 0; i < count && job->heard == STATUS_OK; i++) {
        const struct ledger_row row = ledger_row_of(&results[i]);
        if (is_recorded(job->record, first + i) && !follows(job->record, first + i, &row))
            job->heard = error_set(job->error, STATUS_NO,
                                   "%s: step %" PRIu64 " (from 1) comes out otherwise here than its ledger says; trace "
                                   "that step instead: --step %" PRIu64,
                                   job->record->shown, first + i + 1, first + i + 1);
    }
    const uint64_t done = first + count - job->state.step;
    progress_report(&job->progress, "before the step", done, done, job->step - job->state.step);
    return job->heard == STATUS_OK && !stop_requested(NULL);
}

static enum status go(struct job *job, struct error *error)
{
    const struct step_listener listener = { .context = job, .steps = hear };
    uint64_t done = 0;
    enum status status = job->operations->set_state(job->engine, job->state.values, job->state.momentum, error);
    if (status == STATUS_OK && job->state.step < job->step)
        status = job->operations->run_steps(job->engine, job->state.step, job->step, &listener, &done, error);
    progress_clear(&job->progress);
    if (status == STATUS_OK)
        status = job->heard;
    if (status == STATUS_OK && (job->state.step + done < job->step || stop_requested(NULL)))
        status = error_set(error, STATUS_INTERRUPTED, "interrupted; no trace was written");
    return status;
}

/* ---- the step ---------------------------------------------------------------------------------------------------- */

static enum status trace_step(struct job *job, struct traced *traced, struct error *error)
{
    struct step_result result;
    const uint32_t images = schedule_batch(&job->recipe->training, job->training.count, job->step);
    enum status status = step_trace_open(&traced->trace, traced->network, job->recipe, images, error);
    if (status == STATUS_OK)
        status = job->operations->trace(job->engine, job->step, traced->trace, &result, error);
    if (status != STATUS_OK)
        return status;
    struct trace_file *file = &traced->file;
    memcpy(file->experiment_sha256, job->record->facts.experiment_sha256, sizeof file->experiment_sha256);
    snprintf(file->arithmetic, sizeof file->arithmetic, "%s", arithmetic_version(job->recipe->arithmetic));
    file->step = job->step;
    file->row = ledger_row_of(&result);
    file->list = traced->trace->list;
    traced->recorded = is_recorded(job->record, job->step);
    traced->follows = traced->recorded && follows(job->record, job->step, &file->row);
    return STATUS_OK;
}

static enum status open_engine(struct job *job, const struct arguments *arguments, struct network *network,
                               struct error *error)
{
    const struct data_options data = { .place = arguments_text(arguments, "data") };
    const struct engine_options options = { .threads = (uint32_t)arguments_integer(arguments, "threads", 0),
                                            .isa = arguments_text(arguments, "isa") };
    enum status status =
        engine_choose(arguments_text(arguments, "engine"), job->recipe->arithmetic, &job->operations, error);
    if (status == STATUS_OK)
        status = engine_can_trace(job->operations, error);
    if (status == STATUS_OK)
        status = data_load(&job->record->manifest, &data, &job->training, NULL, error);
    if (status != STATUS_OK)
        return status;
    const uint64_t steps = schedule_steps(&job->recipe->training, job->training.count);
    if (job->step >= steps)
        return error_set(error, STATUS_INPUT, "--step %" PRIu64 ": the training of %s has %" PRIu64 " steps",
                         job->step + 1, job->record->shown, steps);
    return job->operations->open(&job->engine, job->recipe, network, &job->training, NULL, &options, error);
}

enum status trace_run(const struct record *record, uint64_t step, const struct arguments *arguments,
                      struct traced *traced, struct error *error)
{
    struct job job = { .record = record, .recipe = &record->manifest.recipe, .step = step, .error = error };
    memset(traced, 0, sizeof *traced);
    enum status status = imported_refuse(record, "trace", error);
    if (status != STATUS_OK)
        return status;
    if (!record->facts.exact)
        return error_set(error, STATUS_INPUT,
                         "%s was computed in fast arithmetic, which promises no bits; only a run in exact arithmetic "
                         "can be traced",
                         record->shown);
    progress_open(&job.progress, "steps");
    status = network_open(&traced->network, &job.recipe->model, error);
    if (status == STATUS_OK)
        status = open_engine(&job, arguments, traced->network, error);
    if (status == STATUS_OK)
        status = begin(&job, traced, error);
    if (status == STATUS_OK)
        status = go(&job, error);
    if (status == STATUS_OK)
        status = trace_step(&job, traced, error);
    if (job.engine != NULL)
        job.operations->close(job.engine);
    dataset_free(&job.training);
    free(job.state.values);
    free(job.state.momentum);
    if (status != STATUS_OK)
        traced_close(traced);
    return status;
}

void traced_close(struct traced *traced)
{
    step_trace_close(traced->trace);
    network_close(traced->network);
    memset(traced, 0, sizeof *traced);
}

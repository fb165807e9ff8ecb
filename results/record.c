#include "results/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/lock.h"
#include "base/text.h"
#include "results/pack.h"
#include "results/packed_run.h"
#include "results/record_check.h"

static const size_t MANIFEST_LIMIT = (size_t)1 << 24;

/* ---- state ------------------------------------------------------------------------------------------------------- */

enum run_state record_state(const struct record *record)
{
    if (record->locked)
        return RUN_RUNNING;
    if (record->facts.state == RECORD_FAILED)
        return RUN_FAILED;
    if (record->facts.state == RECORD_IMPORTED)
        return RUN_IMPORTED;
    return record->facts.state == RECORD_FINISHED ? RUN_FINISHED : RUN_STOPPED;
}

const char *record_state_text(const struct record *record, char text[RECORD_STATE_BYTES])
{
    static const char *const words[] = { [RUN_RUNNING] = "running",
                                         [RUN_STOPPED] = "stopped",
                                         [RUN_FINISHED] = "finished",
                                         [RUN_FAILED] = "failed",
                                         [RUN_IMPORTED] = "imported" };
    const struct record_facts *facts = &record->facts;
    const enum run_state state = record_state(record);
    if ((state != RUN_FINISHED && state != RUN_IMPORTED) || facts->result.epochs >= facts->epochs_wanted)
        return words[state];
    snprintf(text, RECORD_STATE_BYTES, "%s %" PRIu64 " of %" PRIu64, words[state], facts->result.epochs,
             facts->epochs_wanted);
    return text;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static enum status inside(const struct record *record, const char *file, char path[FILE_PATH_BYTES],
                          struct error *error)
{
    return file_path(path, error, "%s/%s", record->path, file);
}

static enum status read_manifest(struct record *record, struct error *error)
{
    char path[FILE_PATH_BYTES];
    size_t bytes;
    enum status status = inside(record, RECORD_MANIFEST_FILE, path, error);
    if (status == STATUS_OK)
        status = file_read_text(path, MANIFEST_LIMIT, &record->manifest_text, &bytes, NULL, error);
    if (status != STATUS_OK)
        return status;
    if (strlen(record->manifest_text) != bytes || !text_is_plain(record->manifest_text, "\n\t"))
        return error_set(error, STATUS_INPUT, "%s holds a control character", path);
    return manifest_read_resolved(record->manifest_text, bytes, path, &record->manifest, error);
}

static enum status read_rest(struct record *record, struct error *error)
{
    char path[FILE_PATH_BYTES];
    enum status status = read_manifest(record, error);
    if (status == STATUS_OK)
        status = inside(record, METRICS_FILE, path, error);
    /* A process that trains the run writes the ledger first, so the ledger has every step of the metrics. */
    if (status == STATUS_OK)
        status = metrics_read(path, &record->metrics_lines, error);
    if (status == STATUS_OK)
        status = ledger_read(record->path, (size_t)record->facts.steps_wanted + 1, &record->ledger_lines, error);
    record->metrics = record->metrics_lines.rows;
    record->epochs = record->metrics_lines.epochs;
    record->ledger = record->ledger_lines.rows;
    record->steps = record->ledger_lines.steps;
    return status == STATUS_OK ? record_check(record, error) : status;
}

static enum status open_once(struct record **record, const char *folder, bool whole, bool *locked, struct error *error)
{
    char path[FILE_PATH_BYTES];
    *record = calloc(1, sizeof **record);
    *locked = false;
    if (*record == NULL)
        return error_out_of_memory(error, "the run %s", folder);
    memcpy((*record)->path, folder, sizeof(*record)->path);
    memcpy((*record)->shown, folder, sizeof(*record)->shown);
    find_run_name(folder, (*record)->name);
    enum status status = inside(*record, RECORD_LOCK_FILE, path, error);
    if (status == STATUS_OK)
        (*record)->locked = *locked = lock_is_held(path);
    if (status == STATUS_OK)
        status = inside(*record, RECORD_FILE, path, error);
    if (status == STATUS_OK)
        status = record_json_read(path, &(*record)->facts, error);
    if (status == STATUS_OK && whole)
        status = read_rest(*record, error);
    if (status != STATUS_OK) {
        record_close(*record);
        *record = NULL;
    }
    return status;
}

/* A packed run, in a temporary folder that people never see. */
static enum status open_packed(struct record **record, const char *run, bool whole, struct error *error)
{
    char folder[FILE_PATH_BYTES], name[RUN_NAME_BYTES];
    struct scratch scratch;
    bool locked;
    enum status status = packed_run_open(run, &scratch, folder, error);
    if (status != STATUS_OK)
        return status;
    status = open_once(record, folder, whole, &locked, error);
    if (status != STATUS_OK) {
        error_replace(error, folder, run);
        file_scratch_close(&scratch);
        return status;
    }
    (*record)->scratch = scratch;
    find_run_name(run, name);
    const size_t length = strlen(name), suffix = strlen(PACK_SUFFIX);
    const bool cut = length > suffix && strcmp(name + length - suffix, PACK_SUFFIX) == 0;
    snprintf((*record)->name, sizeof(*record)->name, "%.*s", (int)(cut ? length - suffix : length), name);
    snprintf((*record)->shown, sizeof(*record)->shown, "%s", run);
    return STATUS_OK;
}

/* A process that trains the run may have changed one file before another was read. Then they are read again. */
static enum status open_run(struct record **record, const char *runs, const char *run, bool whole, struct error *error)
{
    enum { TRIES = 3 };
    static const struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };
    char folder[FILE_PATH_BYTES];
    bool locked;
    *record = NULL;
    enum status status = find_run(runs, run, folder, error);
    if (status != STATUS_OK)
        return status;
    if (packed_run_is(folder))
        return open_packed(record, folder, whole, error);
    for (int i = 1; (status = open_once(record, folder, whole, &locked, error)) == STATUS_INPUT; i++) {
        if (!locked || i == TRIES)
            break;
        (void)nanosleep(&pause, NULL);
    }
    return status;
}

enum status record_open(struct record **record, const char *runs, const char *run, struct error *error)
{
    return open_run(record, runs, run, true, error);
}

enum status record_open_head(struct record **record, const char *runs, const char *run, struct error *error)
{
    return open_run(record, runs, run, false, error);
}

void record_close(struct record *record)
{
    if (record == NULL)
        return;
    record_json_free(&record->facts);
    manifest_free(&record->manifest);
    free(record->manifest_text);
    metrics_free(&record->metrics_lines);
    ledger_free(&record->ledger_lines);
    if (record->scratch.path[0] != '\0')
        file_scratch_close(&record->scratch);
    free(record);
}

enum status records_open(struct record ***records, const char *runs, const char *const *names, size_t count,
                         struct error *error)
{
    *records = calloc(count + 1, sizeof **records);
    enum status status = *records != NULL ? STATUS_OK : error_out_of_memory(error, "%zu runs", count);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        status = record_open(&(*records)[i], runs, names[i], error);
    return status;
}

void records_close(struct record **records, size_t count)
{
    for (size_t i = 0; records != NULL && i < count; i++)
        record_close(records[i]);
    free(records);
}

#include "exchange/import.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/build_info.h"
#include "base/text.h"
#include "results/environment.h"
#include "results/find_run.h"
#include "results/imported.h"
#include "results/new_run.h"
#include "results/record.h"
#include "trainer/engine.h"
#include "trainer/schedule.h"

/* ---- names ------------------------------------------------------------------------------------------------------- */

/* What a run in the runs folder may be called, made from any text. */
static void plain_name(const char *text, char name[RUN_NAME_BYTES])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = 0;
    for (; *text != '\0' && length < 100; text++) {
        const bool plain = strchr(letters, *text) != NULL && (length > 0 || (*text != '.' && *text != '-'));
        if (plain)
            name[length++] = *text;
        else if (length > 0 && name[length - 1] != '-')
            name[length++] = '-';
    }
    while (length > 0 && name[length - 1] == '-')
        length--;
    name[length] = '\0';
}

static void choose_name(const struct import_job *job, const struct import_source *source, char name[RUN_NAME_BYTES])
{
    if (job->name != NULL) {
        snprintf(name, RUN_NAME_BYTES, "%s", job->name);
        return;
    }
    plain_name(source->run, name);
    if (name[0] != '\0')
        return;
    char last[RUN_NAME_BYTES];
    find_run_name(source->name, last);
    char *dot = strrchr(last, '.');
    if (dot != NULL && dot != last && strlen(dot) <= 5)
        *dot = '\0';
    plain_name(last, name);
}

/* ---- the record -------------------------------------------------------------------------------------------------- */

/* Texts of the tool that the record repeats, in plain letters. */
struct plain_texts {
    char run[2 * IMPORT_NAME_BYTES], status[2 * IMPORT_NAME_BYTES];
};

static void describe(const struct import_source *source, const struct plain_texts *plain,
                     const struct manifest *manifest, const char *name, const char *now, struct record_facts *facts)
{
    const struct training_config *training = &manifest->recipe.training;
    *facts = (struct record_facts){
        .name = name,
        .state = RECORD_IMPORTED,
        .imported = { .tool = source->tool,
                      .source = source->name,
                      .time = now,
                      .version = build_version,
                      .run = plain->run,
                      .status = plain->status,
                      .settings = (const char *const *)source->settings.texts,
                      .notes = (const char *const *)source->notes.texts },
        .manifest_name = manifest->name,
        .seed = training->seed,
        .epochs_wanted = schedule_epochs(training, manifest->training_images),
        .steps_wanted = schedule_steps(training, manifest->training_images),
        .arithmetic = arithmetic_version(manifest->recipe.arithmetic),
        .exact = false,
        .depth = manifest->recipe.model.depth,
        .training_images = manifest->training_images,
        .validation_images = manifest->test_images,
        .time_started = source->started,
        .time_updated = source->updated,
    };
    import_source_digest(source, facts->imported.sha256);
    memcpy(facts->manifest_sha256, manifest->sha256, DIGEST_HEX_BYTES);
    manifest_experiment_digest(manifest, training->seed, facts->experiment_sha256);
    memcpy(facts->training_data_sha256, manifest->train_sha256, DIGEST_HEX_BYTES);
    memcpy(facts->validation_data_sha256, manifest->test_sha256, DIGEST_HEX_BYTES);
}

static enum status write_metrics(const char *folder, const struct import_rows *rows, struct record_facts *facts,
                                 struct error *error)
{
    char path[FILE_PATH_BYTES], *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);
    enum status status = file != NULL ? STATUS_OK : error_out_of_memory(error, "the metrics");
    for (size_t i = 0; i < rows->count && status == STATUS_OK; i++) {
        char *line = NULL;
        status = metrics_format(&rows->rows[i], &line, error);
        if (status == STATUS_OK && fputs(line, file) < 0)
            status = error_out_of_memory(error, "the metrics");
        free(line);
        record_json_add_epoch(facts, &rows->rows[i]);
    }
    if (file != NULL && fclose(file) != 0 && status == STATUS_OK)
        status = error_out_of_memory(error, "the metrics");
    if (status == STATUS_OK)
        sha256_hex(text, bytes, facts->result.metrics_sha256);
    if (status == STATUS_OK)
        status = file_path(path, error, "%s/%s", folder, METRICS_FILE);
    if (status == STATUS_OK)
        status = file_write(path, text, bytes, error);
    free(text);
    return status;
}

/* Every file, and then all of them read back and checked as every reader does. */
static enum status write_files(const char *folder, const struct manifest *manifest, const struct import_rows *rows,
                               struct record_facts *facts, struct error *error)
{
    char path[FILE_PATH_BYTES];
    struct record *record;
    enum status status = file_make_folders(folder, error);
    if (status == STATUS_OK)
        status = file_path(path, error, "%s/%s", folder, RECORD_MANIFEST_FILE);
    if (status == STATUS_OK)
        status = file_write(path, manifest->resolved, strlen(manifest->resolved), error);
    if (status == STATUS_OK)
        status = write_metrics(folder, rows, facts, error);
    if (status == STATUS_OK)
        status = file_path(path, error, "%s/%s", folder, RECORD_FILE);
    if (status == STATUS_OK)
        status = record_json_write(path, facts, error);
    if (status == STATUS_OK)
        status = record_open(&record, NULL, folder, error);
    if (status == STATUS_OK)
        record_close(record);
    return status;
}

/* The manifest with the run's seed alone, in arithmetic fast. */
static enum status fast_manifest(const struct manifest *manifest, struct manifest *fast, struct error *error)
{
    struct manifest one;
    enum status status = manifest_with_seed(manifest, manifest->recipe.training.seed, &one, error);
    if (status != STATUS_OK)
        return status;
    status = manifest_with_arithmetic(&one, ARITHMETIC_FAST, fast, error);
    manifest_free(&one);
    return status;
}

enum status import_write(const struct import_job *job, struct import_source *source, struct imported *imported,
                         struct error *error)
{
    char name[RUN_NAME_BYTES], now[ENVIRONMENT_TIME_BYTES];
    struct import_rows rows = { .count = 0 };
    struct plain_texts plain;
    struct record_facts facts;
    struct manifest manifest;
    struct new_run run = { .folder = "" };
    enum status status = fast_manifest(job->manifest, &manifest, error);
    if (status != STATUS_OK)
        return status;
    choose_name(job, source, name);
    environment_time(now);
    status = find_run_check_name(name, error);
    if (status == STATUS_OK && !job->seed_given)
        status = import_add_note(source, error, "the seed is not known; %" PRIu64 ", of the manifest, stands for it",
                                 manifest.recipe.training.seed);
    if (status == STATUS_OK)
        status = import_rows_make(source, &job->choice, &manifest, &rows, error);
    if (status == STATUS_OK)
        status = new_run_open(&run, job->runs, error);
    if (status == STATUS_OK) {
        text_escape(plain.run, sizeof plain.run, TEXT_TERMINAL, source->run);
        text_escape(plain.status, sizeof plain.status, TEXT_TERMINAL, source->status);
        describe(source, &plain, &manifest, name, now, &facts);
        facts.imported.columns = (const char *const *)rows.formulas.texts;
        status = write_files(run.folder, &manifest, &rows, &facts, error);
    }
    if (status == STATUS_OK)
        status = new_run_publish(&run, name, imported->folder, error);
    else if (run.folder[0] != '\0')
        error_replace(error, run.folder, name);
    imported->epochs = rows.count;
    imported->has_error = rows.has_error;
    new_run_close(&run);
    import_rows_free(&rows);
    manifest_free(&manifest);
    return status;
}

/* ---- what is there already --------------------------------------------------------------------------------------- */

enum status import_known_read(struct import_known *known, const char *runs, struct error *error)
{
    char **names;
    size_t count;
    *known = (struct import_known){ .count = 0 };
    enum status status = record_list(runs, &names, &count, error);
    if (status != STATUS_OK)
        return status;
    known->sources = calloc(count + 1, sizeof *known->sources);
    known->names = calloc(count + 1, sizeof *known->names);
    if (known->sources == NULL || known->names == NULL)
        status = error_out_of_memory(error, "the runs in %s", runs);
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        struct record *record;
        struct error ignored;
        if (record_open_head(&record, runs, names[i], &ignored) != STATUS_OK)
            continue;
        if (imported_is(record)) {
            char **source = &known->sources[known->count], **name = &known->names[known->count];
            *source = strdup(record->facts.imported.source);
            *name = strdup(names[i]);
            known->count++;
            if (*source == NULL || *name == NULL)
                status = error_out_of_memory(error, "the runs in %s", runs);
        }
        record_close(record);
    }
    record_list_free(names, count);
    return status;
}

void import_known_free(struct import_known *known)
{
    text_free_list(known->sources, known->count);
    text_free_list(known->names, known->count);
    *known = (struct import_known){ .count = 0 };
}

const char *import_known_mlflow(const struct import_known *known, const char *url, const char *run_id)
{
    char start[MLFLOW_URL_BYTES + 32], end[IMPORT_NAME_BYTES];
    snprintf(start, sizeof start, "%s/#/experiments/", url);
    snprintf(end, sizeof end, "/runs/%s", run_id);
    for (size_t i = 0; i < known->count; i++) {
        const char *source = known->sources[i];
        const size_t length = strlen(source), tail = strlen(end);
        if (strncmp(source, start, strlen(start)) == 0 && length > tail && strcmp(source + length - tail, end) == 0)
            return known->names[i];
    }
    return NULL;
}

/* ---- what a path is ---------------------------------------------------------------------------------------------- */

enum status import_read_path(struct import_source *source, const struct import_choice *choice, const char *path,
                             struct error *error)
{
    char inside[FILE_PATH_BYTES], head[64] = { 0 };
    struct stat stat_buffer;
    if (file_is_folder(path)) {
        enum status status = file_path(inside, error, "%s/meta.yaml", path);
        if (status != STATUS_OK)
            return status;
        return file_exists(inside) ? import_read_mlruns(source, path, error)
                                   : import_read_tensorboard(source, path, error);
    }
    const bool found = stat(path, &stat_buffer) == 0;
    if (found && !S_ISREG(stat_buffer.st_mode))
        return error_set(error, STATUS_INPUT,
                         "%s is neither a regular file nor a folder; write what it gives into a file", path);
    FILE *file = found ? fopen(path, "rb") : NULL;
    if (file == NULL)
        return error_set_errno(error, STATUS_INPUT, "%s cannot be read", path);
    const size_t bytes = fread(head, 1, sizeof head, file);
    fclose(file);
    return import_is_event_file(path, head, bytes) ? import_read_tensorboard(source, path, error)
                                                   : import_read_csv(source, choice, path, error);
}

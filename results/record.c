#include "results/record.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/digests.h"

static const size_t RECORD_LIMIT = (size_t)1 << 24, MANIFEST_LIMIT = (size_t)1 << 24;

static const char *const state_names[] = { [RECORD_RUNNING] = "running",
                                           [RECORD_INTERRUPTED] = "interrupted",
                                           [RECORD_FINISHED] = "finished",
                                           [RECORD_FAILED] = "failed" };
enum { STATES = sizeof state_names / sizeof *state_names };

const char *record_state_name(enum record_state state)
{
    return state_names[state];
}

const char *record_runs_folder(const char *option)
{
    const char *environment = getenv("SELFSAME_RUNS");
    if (option != NULL)
        return option;
    return environment != NULL && environment[0] != '\0' ? environment : "runs";
}

/* ---- record.json ------------------------------------------------------------------------------------------------- */

/* What record.json holds of struct record: where, as what. A digest is a string of 64 digits. */
enum field_type { FIELD_TEXT, FIELD_DIGEST, FIELD_INTEGER, FIELD_FLAG };

struct field {
    const char *section, *key; /* section NULL: at the top */
    enum field_type type;
    size_t offset, bytes;
};

#define FIELD(section, key, type, member)                                                       \
    {                                                                                           \
        section, key, type, offsetof(struct record, member), sizeof((struct record *)0)->member \
    }

static const struct field fields[] = {
    FIELD(NULL, "name", FIELD_TEXT, name),
    FIELD("manifest", "name", FIELD_TEXT, manifest_name),
    FIELD("manifest", "sha256", FIELD_DIGEST, manifest_sha256),
    FIELD("experiment", "sha256", FIELD_DIGEST, experiment_sha256),
    FIELD("experiment", "seed", FIELD_INTEGER, seed),
    FIELD("experiment", "epochs", FIELD_INTEGER, epochs_wanted),
    FIELD("experiment", "steps", FIELD_INTEGER, steps_wanted),
    FIELD("arithmetic", "version", FIELD_TEXT, arithmetic),
    FIELD("arithmetic", "exact", FIELD_FLAG, exact),
    FIELD("training_data", "sha256", FIELD_DIGEST, training_data_sha256),
    FIELD("validation_data", "sha256", FIELD_DIGEST, validation_data_sha256),
};

/* Whether a text may be printed: what others made must not steer a terminal or a program that it is handed to. */
static bool is_plain(const char *text, const char *allowed)
{
    for (; *text != '\0'; text++) {
        if (((unsigned char)*text < 0x20 || *text == 0x7f) && strchr(allowed, *text) == NULL)
            return false;
    }
    return true;
}

/* 0, or what is wrong. */
static const char *read_field(struct record *record, const struct field *field)
{
    const json_t *section = field->section != NULL ? json_object_get(record->fields, field->section) : record->fields;
    const json_t *value = json_object_get(section, field->key);
    char *to = (char *)record + field->offset;
    uint8_t digest[DIGEST_BYTES];
    if (value == NULL)
        return "is missing";
    switch (field->type) {
    case FIELD_TEXT:
    case FIELD_DIGEST:
        if (!json_is_string(value) || json_string_length(value) >= field->bytes)
            return "is not a string, or too long";
        if (!is_plain(json_string_value(value), ""))
            return "holds a control character";
        if (field->type == FIELD_DIGEST && !digest_from_hex(json_string_value(value), digest))
            return "is not a digest of 64 digits";
        memcpy(to, json_string_value(value), json_string_length(value) + 1);
        break;
    case FIELD_INTEGER:
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return "is not a whole number";
        *(uint64_t *)to = (uint64_t)json_integer_value(value);
        break;
    case FIELD_FLAG:
        if (!json_is_boolean(value))
            return "is not true or false";
        *(bool *)to = json_is_true(value);
        break;
    }
    return NULL;
}

static enum status read_fields(struct record *record, struct error *error)
{
    char path[FILE_PATH_BYTES], *text;
    size_t bytes;
    json_error_t where;
    enum status status = file_path(path, error, "%s/%s", record->path, RECORD_FILE);
    if (status == STATUS_OK)
        status = file_read(path, RECORD_LIMIT, &text, &bytes, error);
    if (status != STATUS_OK)
        return status;
    record->fields = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &where);
    free(text);
    if (record->fields == NULL)
        return error_set(error, STATUS_INPUT, "%s:%d: %s", path, where.line, where.text);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const char *wrong = read_field(record, &fields[i]);
        if (wrong != NULL)
            return error_set(error, STATUS_INPUT, "%s: \"%s%s%s\" %s", path,
                             fields[i].section != NULL ? fields[i].section : "", fields[i].section != NULL ? "." : "",
                             fields[i].key, wrong);
    }
    const char *state = json_string_value(json_object_get(record->fields, "state"));
    for (size_t i = 0; i < STATES; i++) {
        if (state != NULL && strcmp(state, state_names[i]) == 0) {
            record->state = (enum record_state)i;
            return STATUS_OK;
        }
    }
    return error_set(error, STATUS_INPUT, "%s: \"state\" is missing, or none that is known", path);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static bool has_record(const char *folder)
{
    char path[FILE_PATH_BYTES];
    struct error ignored;
    return file_path(path, &ignored, "%s/%s", folder, RECORD_FILE) == STATUS_OK && file_exists(path);
}

static enum status find_run(struct record *record, const char *runs, const char *run, struct error *error)
{
    enum status status;
    size_t length = strlen(run);
    while (length > 1 && run[length - 1] == '/')
        length--;
    if (strchr(run, '/') != NULL || has_record(run)) {
        status = file_path(record->path, error, "%.*s", (int)length, run);
        if (status == STATUS_OK && !has_record(record->path))
            status = error_set(error, STATUS_INPUT, "%s is not a run: it has no %s", record->path, RECORD_FILE);
        return status;
    }
    status = file_path(record->path, error, "%s/%s", runs, run);
    if (status == STATUS_OK && !has_record(record->path))
        status = error_set(error, STATUS_INPUT,
                           "there is no run \"%s\" in the folder %s (no %s/%s); name a run's folder, or give the "
                           "runs folder with --runs",
                           run, runs, record->path, RECORD_FILE);
    return status;
}

static enum status read_rest(struct record *record, struct error *error)
{
    char path[FILE_PATH_BYTES];
    size_t bytes;
    enum status status = file_path(path, error, "%s/%s", record->path, RECORD_MANIFEST_FILE);
    if (status == STATUS_OK)
        status = file_read(path, MANIFEST_LIMIT, &record->manifest, &bytes, error);
    if (status == STATUS_OK && (strlen(record->manifest) != bytes || !is_plain(record->manifest, "\n\t")))
        status = error_set(error, STATUS_INPUT, "%s holds a control character", path);
    if (status == STATUS_OK)
        status = file_path(path, error, "%s/%s", record->path, METRICS_FILE);
    if (status == STATUS_OK)
        status = metrics_read(path, &record->metrics, &record->epochs, NULL, &record->torn_metrics, error);
    if (status == STATUS_OK)
        status = file_path(path, error, "%s/%s", record->path, LEDGER_FILE);
    if (status == STATUS_OK)
        status = ledger_read(path, SIZE_MAX, &record->ledger, &record->steps, &record->torn_ledger, error);
    if (status == STATUS_OK && record->epochs > 0 && record->metrics[record->epochs - 1].end_step > record->steps)
        status = error_set(error, STATUS_INPUT, "%s has %zu steps, but %s has epochs up to step %" PRIu64, path,
                           record->steps, METRICS_FILE, record->metrics[record->epochs - 1].end_step);
    return status;
}

static enum status open_run(struct record **record, const char *runs, const char *run, bool whole, struct error *error)
{
    *record = calloc(1, sizeof **record);
    if (*record == NULL)
        return error_out_of_memory(error, "the run %s", run);
    enum status status = find_run(*record, runs, run, error);
    if (status == STATUS_OK)
        status = read_fields(*record, error);
    if (status == STATUS_OK && whole)
        status = read_rest(*record, error);
    if (status != STATUS_OK) {
        record_close(*record);
        *record = NULL;
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
    json_decref(record->fields);
    free(record->manifest);
    free(record->metrics);
    free(record->ledger);
    free(record);
}

/* ---- the chain --------------------------------------------------------------------------------------------------- */

enum status record_check_chain(const char *path, const char *experiment_sha256, const struct metrics_row *metrics,
                               size_t epochs, const struct ledger_row *ledger, size_t steps, struct error *error)
{
    uint8_t chain[DIGEST_BYTES], weights[DIGEST_BYTES];
    char hex[DIGEST_HEX_BYTES];
    uint64_t step = 0;
    if (!digest_from_hex(experiment_sha256, chain))
        return error_set(error, STATUS_INPUT, "%s: the experiment digest is not 64 digits", path);
    for (size_t epoch = 0; epoch < epochs; epoch++) {
        uint64_t first = step, end = metrics[epoch].end_step;
        if (end <= first || end > steps)
            return error_set(error, STATUS_INPUT,
                             "%s: epoch %zu ends at step %" PRIu64 ", which is not among its %zu steps", path, epoch,
                             end, steps);
        uint8_t *entries = malloc((size_t)(end - first) * DIGEST_STEP_BYTES);
        if (entries == NULL)
            return error_out_of_memory(error, "the chain of %s", path);
        for (; step < end; step++)
            digest_step(entries + (step - first) * DIGEST_STEP_BYTES, step, ledger[step].loss, ledger[step].errors,
                        ledger[step].digest);
        digest_from_hex(metrics[epoch].weights_sha256, weights);
        digest_chain(chain, weights, entries, (size_t)(end - first));
        free(entries);
        digest_to_hex(chain, hex);
        if (strcmp(hex, metrics[epoch].chain_sha256) != 0)
            return error_set(error, STATUS_INPUT,
                             "%s: the chain of epoch %zu does not follow from its weights digest and its ledger: %s "
                             "or %s is damaged there",
                             path, epoch, METRICS_FILE, LEDGER_FILE);
    }
    return STATUS_OK;
}

/* ---- listing ----------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

enum status record_list(const char *runs, char ***names, size_t *count, struct error *error)
{
    enum status status = STATUS_OK;
    size_t room = 0;
    *names = NULL;
    *count = 0;
    if (!file_exists(runs))
        return STATUS_OK;
    DIR *list = opendir(runs);
    if (list == NULL)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot list the runs folder %s", runs);
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(list)) != NULL;) {
        char path[FILE_PATH_BYTES];
        if (entry->d_name[0] == '.' || file_path(path, error, "%s/%s", runs, entry->d_name) != STATUS_OK ||
            !has_record(path))
            continue;
        if (*count == room) {
            char **more = realloc(*names, (2 * room + 16) * sizeof **names);
            room = 2 * room + 16;
            if (more == NULL) {
                status = error_out_of_memory(error, "the runs in %s", runs);
                break;
            }
            *names = more;
        }
        (*names)[*count] = strdup(entry->d_name);
        if ((*names)[*count] == NULL)
            status = error_out_of_memory(error, "the runs in %s", runs);
        else
            ++*count;
    }
    closedir(list);
    if (status != STATUS_OK) {
        record_list_free(*names, *count);
        *names = NULL;
        *count = 0;
    } else if (*count > 0) {
        qsort(*names, *count, sizeof **names, by_name);
    }
    return status;
}

void record_list_free(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

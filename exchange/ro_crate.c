/* RO-Crate: runs in a folder that describes itself, as a Process Run Crate 0.5 (on RO-Crate 1.1).
 *
 * NAME/FILE   the files of each run, as they are
 * ro-crate-metadata.json
 *             one CreateAction for each run: the program made metrics, ledger, record and weights from the manifest,
 *             the data and the settings. Every file has its size and SHA-256 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exchange/export.h"
#include "fetch/http.h"

#define PROFILE "https://w3id.org/ro/wfrun/process/0.5"
#define CRATE "https://w3id.org/ro/crate/1.1"

struct crate {
    const struct export_job *job;
    json_t *graph, *parts, *actions; /* the last two: of the root */
};

static json_t *reference(const char *id)
{
    return json_pack("{s:s}", "@id", id);
}

/* Adds an entity, which it takes over, unless there is one of that name. */
static bool add_entity(struct crate *crate, json_t *entity)
{
    const char *id = json_string_value(json_object_get(entity, "@id"));
    for (size_t i = 0; id != NULL && i < json_array_size(crate->graph); i++) {
        if (strcmp(json_string_value(json_object_get(json_array_get(crate->graph, i), "@id")), id) == 0) {
            json_decref(entity);
            return true;
        }
    }
    return json_array_append_new(crate->graph, entity) == 0;
}

/* ---- a run's files ----------------------------------------------------------------------------------------------- */

/* Copies a file, and adds it to the crate and to the run's inputs or results. */
static enum status add_file(struct crate *crate, const struct record *record, const char *folder,
                            const struct export_run_file *file, json_t *list, struct error *error)
{
    static const size_t limit = (size_t)1 << 32;
    char from[FILE_PATH_BYTES], to[FILE_PATH_BYTES], id[FILE_PATH_BYTES], hex[DIGEST_HEX_BYTES], size[32], *data;
    size_t bytes;
    enum status status = file_path(from, error, "%s/%s", record->path, file->name);
    if (status == STATUS_OK)
        status = file_path(to, error, "%s/%s/%s", crate->job->out, record->name, file->name);
    if (status == STATUS_OK)
        status = file_path(id, error, "%s%s", folder, file->name);
    if (status != STATUS_OK || !file_exists(from))
        return status;
    status = file_read(from, limit, &data, &bytes, error);
    if (status != STATUS_OK)
        return status;
    sha256_hex(data, bytes, hex);
    snprintf(size, sizeof size, "%zu", bytes);
    status = export_file(crate->job, to, data, bytes, error);
    free(data);
    if (status != STATUS_OK)
        return status;
    json_t *entity =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "@id", id, "@type", "File", "name", file->name, "description",
                  file->what, "encodingFormat", file->type, "contentSize", size, "sha256", hex);
    if (!add_entity(crate, entity) || json_array_append_new(crate->parts, reference(id)) != 0 ||
        json_array_append_new(list, reference(id)) != 0)
        return error_out_of_memory(error, "the crate %s", crate->job->out);
    return STATUS_OK;
}

static enum status add_files(struct crate *crate, const struct record *record, const char *folder, json_t *inputs,
                             json_t *results, struct error *error)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < EXPORT_RUN_FILES && status == STATUS_OK; i++) {
        const struct export_run_file *file = &export_run_files[i];
        status = add_file(crate, record, folder, file, strcmp(file->name, RECORD_MANIFEST_FILE) == 0 ? inputs : results,
                          error);
    }
    return status;
}

/* ---- what it was made from --------------------------------------------------------------------------------------- */

struct values {
    struct crate *crate;
    const char *folder;
    json_t *list;
    bool good;
};

static void add_value(void *context, const char *key, const char *value)
{
    struct values *values = context;
    char id[FILE_PATH_BYTES];
    struct error ignored;
    values->good = values->good && file_path(id, &ignored, "#%s%s", values->folder, key) == STATUS_OK &&
                   add_entity(values->crate, json_pack("{s:s, s:s, s:s, s:s}", "@id", id, "@type", "PropertyValue",
                                                       "name", key, "value", value)) &&
                   json_array_append_new(values->list, reference(id)) == 0;
}

/* The data set's archive where it is published; the digests of its images in any case. */
static bool add_data(struct values *values, const struct record *record)
{
    const struct manifest *manifest = &record->manifest;
    char size[32];
    add_value(values, "training_data.sha256", record->facts.training_data_sha256);
    add_value(values, "validation_data.sha256", record->facts.validation_data_sha256);
    if (manifest->dataset_kind != DATASET_CIFAR10 || manifest->archive_count == 0 ||
        manifest->archives[0].url_count == 0)
        return values->good;
    const struct manifest_source *archive = &manifest->archives[0];
    snprintf(size, sizeof size, "%" PRIu64, archive->bytes);
    json_t *entity = json_pack("{s:s, s:s, s:s, s:s, s:s}", "@id", archive->urls[0], "@type", "File", "name",
                               "CIFAR-10, the archive that the manifest names", "encodingFormat", "application/gzip",
                               "contentSize", size);
    if (entity != NULL && archive->sha256[0] != '\0')
        json_object_set_new(entity, "sha256", json_string(archive->sha256));
    return values->good && add_entity(values->crate, entity) &&
           json_array_append_new(values->list, reference(archive->urls[0])) == 0 &&
           json_array_append_new(values->crate->parts, reference(archive->urls[0])) == 0;
}

static json_t *program_of(const struct record_facts *facts, char id[FILE_PATH_BYTES])
{
    char *version = http_escape(facts->program_version);
    snprintf(id, FILE_PATH_BYTES, "urn:selfsame:program:%.200s", version != NULL ? version : "");
    free(version);
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "@id", id, "@type", "SoftwareApplication", "name", "selfsame",
                     "description",
                     "trains residual networks on CIFAR-10 so that the same manifest gives the same bits",
                     "softwareVersion", facts->program_version);
}

/* A record's time as the profile wants it: with +00:00 for Z. */
static json_t *time_of(const char *text)
{
    const size_t length = strlen(text);
    const bool zulu = length > 0 && text[length - 1] == 'Z';
    return json_sprintf("%.*s%s", (int)(zulu ? length - 1 : length), text, zulu ? "+00:00" : "");
}

/* ---- the action -------------------------------------------------------------------------------------------------- */

static json_t *describe(const struct record *record)
{
    const struct record_facts *facts = &record->facts;
    char state[RECORD_STATE_BYTES];
    if (record->epochs == 0)
        return json_sprintf("%s on %s, %s, without a whole epoch", facts->manifest_name, export_dataset_name(record),
                            record_state_text(record, state));
    const struct metrics_row *last = &record->metrics[record->epochs - 1];
    return json_sprintf("%s on %s, seed %" PRIu64
                        ", %s: %.2f %% wrong after %zu epochs; computed in %s by the engine %s on %s "
                        "(%s)",
                        facts->manifest_name, export_dataset_name(record), facts->seed,
                        record_state_text(record, state), last->validation_error, record->epochs, facts->arithmetic,
                        facts->engine_name, facts->host_cpu, facts->engine_description);
}

static bool add_action(struct crate *crate, const struct record *record, const char *folder, json_t *inputs,
                       json_t *results)
{
    const struct record_facts *facts = &record->facts;
    const enum run_state state = record_state(record);
    char id[FILE_PATH_BYTES], program[FILE_PATH_BYTES];
    bool good = add_entity(crate, program_of(facts, program));
    snprintf(id, sizeof id, "#%.*s", (int)(strlen(folder) - 1), folder);
    json_t *action = json_pack("{s:s, s:s, s:s, s:o, s:o, s:O, s:O, s:o, s:o}", "@id", id, "@type", "CreateAction",
                               "name", record->name, "description", describe(record), "instrument", reference(program),
                               "object", inputs, "result", results, "startTime", time_of(facts->time_started),
                               "endTime", time_of(facts->time_updated));
    if (state == RUN_FINISHED)
        good = good &&
               json_object_set_new(action, "actionStatus", json_string("http://schema.org/CompletedActionStatus")) == 0;
    if (state == RUN_FAILED)
        good = good &&
               json_object_set_new(action, "actionStatus", json_string("http://schema.org/FailedActionStatus")) == 0 &&
               json_object_set_new(action, "error", json_string(facts->failure)) == 0;
    if (crate->job->author != NULL)
        good = good && json_object_set_new(action, "agent", reference("#author")) == 0;
    return good && add_entity(crate, action) && json_array_append_new(crate->actions, reference(id)) == 0;
}

static enum status add_run(struct crate *crate, const struct record *record, struct error *error)
{
    char folder[FILE_PATH_BYTES]; /* part of URLs; a run's name needs no escape */
    json_t *inputs = json_array(), *results = json_array();
    struct values values = { .crate = crate, .folder = folder, .list = inputs, .good = true };
    enum status status = file_path(folder, error, "%s/", record->name);
    if (status == STATUS_OK)
        status = add_files(crate, record, folder, inputs, results, error);
    if (status == STATUS_OK)
        status = export_parameters(record, add_value, &values, error);
    if (status == STATUS_OK && (!add_data(&values, record) || !add_action(crate, record, folder, inputs, results)))
        status = error_out_of_memory(error, "the crate %s", crate->job->out);
    json_decref(inputs);
    json_decref(results);
    return status;
}

/* ---- the crate --------------------------------------------------------------------------------------------------- */

/* The day of the newest record: the same runs give the same crate on any day. */
static const char *newest(const struct export_job *job)
{
    const char *time = "";
    for (size_t i = 0; i < job->count; i++) {
        const char *updated = job->records[i]->facts.time_updated;
        time = strcmp(updated, time) > 0 ? updated : time;
    }
    return time;
}

static bool add_root(struct crate *crate)
{
    const struct export_job *job = crate->job;
    json_t *title = job->count == 1 ? json_sprintf("A run of selfsame: %s", job->records[0]->name)
                                    : json_sprintf("%zu runs of selfsame", job->count);
    const bool is_url = strstr(job->license, "://") != NULL;
    json_t *license = is_url ? json_string(job->license) : json_sprintf("https://spdx.org/licenses/%s", job->license);
    json_t *root = json_pack("{s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:O, s:O}", "@id", "./", "@type", "Dataset", "name",
                             title, "description",
                             "Trainings of residual networks, with all that is needed to repeat and to check them: "
                             "manifest, record, losses, errors and digests of the weights after every step.",
                             "datePublished", time_of(newest(job)), "license", reference(json_string_value(license)),
                             "conformsTo", reference(PROFILE), "hasPart", crate->parts, "mentions", crate->actions);
    if (job->author != NULL && root != NULL)
        json_object_set_new(root, "author", reference("#author"));
    bool good =
        add_entity(crate, json_pack("{s:s, s:s, s:o, s:o}", "@id", "ro-crate-metadata.json", "@type", "CreativeWork",
                                    "about", reference("./"), "conformsTo", reference(CRATE))) &&
        add_entity(crate, root) &&
        add_entity(crate, json_pack("{s:s, s:s, s:s, s:s}", "@id", PROFILE, "@type", "CreativeWork", "name",
                                    "Process Run Crate", "version", "0.5")) &&
        add_entity(crate, json_pack("{s:s, s:s, s:s, s:s}", "@id", json_string_value(license), "@type", "CreativeWork",
                                    "name", job->license, "description", "the license of this crate"));
    if (job->author != NULL)
        good = good && add_entity(crate, json_pack("{s:s, s:s, s:s}", "@id", "#author", "@type", "Person", "name",
                                                   job->author));
    json_decref(license);
    return good;
}

static enum status write_metadata(struct crate *crate, const char *path, struct error *error)
{
    json_t *document = json_pack("{s:[s, {s:s}], s:O}", "@context", CRATE "/context", "sha256",
                                 "http://schema.org/sha256", "@graph", crate->graph);
    char *text = document != NULL ? json_dumps(document, JSON_INDENT(2)) : NULL;
    enum status status = text != NULL ? export_file(crate->job, path, text, strlen(text), error)
                                      : error_out_of_memory(error, "the crate %s", crate->job->out);
    free(text);
    json_decref(document);
    return status;
}

enum status export_ro_crate(const struct export_job *job, struct error *error)
{
    char path[FILE_PATH_BYTES];
    if (job->license == NULL)
        return error_set(error, STATUS_INPUT,
                         "a crate must name its license, and selfsame cannot choose one for you; pass --license, such "
                         "as --license CC-BY-4.0");
    struct crate crate = { .job = job, .graph = json_array(), .parts = json_array(), .actions = json_array() };
    enum status status = file_path(path, error, "%s/ro-crate-metadata.json", job->out);
    if (status == STATUS_OK)
        status = export_may_write(job, path, error); /* before any file of a run is written */
    if (status == STATUS_OK && !add_root(&crate))
        status = error_out_of_memory(error, "the crate %s", job->out);
    for (size_t i = 0; i < job->count && status == STATUS_OK; i++)
        status = add_run(&crate, job->records[i], error);
    if (status == STATUS_OK)
        status = write_metadata(&crate, path, error);
    json_decref(crate.graph);
    json_decref(crate.parts);
    json_decref(crate.actions);
    return status;
}

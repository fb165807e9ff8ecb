#include "results/attestation.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/build_info.h"
#include "base/text.h"

static const char statement_type[] = "https://in-toto.io/Statement/v1",
                  provenance_type[] = "https://slsa.dev/provenance/v1",
                  weights_type[] = "https://model_signing/signature/v1.0", training[] = "urn:selfsame:training:v1",
                  equivalence[] = "urn:selfsame:equivalence:v1", builder[] = "urn:selfsame:program:v1";
static const size_t FILE_LIMIT = (size_t)1 << 32;

/* ---- digests of a run's files ------------------------------------------------------------------------------------ */

/* What statements may name, and the ledger among them as ledger.txt even where it is compressed. */
static const char *const files[] = { RECORD_FILE, RECORD_MANIFEST_FILE, METRICS_FILE, LEDGER_FILE,
                                     RECORD_WEIGHTS_FILE };
enum { FILES = sizeof files / sizeof *files };

static enum status digest_ledger(const struct record *record, char hex[DIGEST_HEX_BYTES], struct error *error)
{
    char line[LEDGER_LINE_BYTES + 1];
    struct sha256 sha256;
    uint8_t digest[DIGEST_BYTES];
    sha256_start(&sha256);
    ledger_heading(line);
    sha256_add(&sha256, line, LEDGER_LINE_BYTES);
    for (size_t step = 0; step < record->steps; step++) {
        if (!ledger_format(line, step, &record->ledger[step]))
            return error_set(error, STATUS_INPUT, "%s: step %zu does not fit into a line", record->path, step);
        sha256_add(&sha256, line, LEDGER_LINE_BYTES);
    }
    sha256_finish(&sha256, digest);
    digest_to_hex(digest, hex);
    return STATUS_OK;
}

/* The SHA-256 of a file of the run, of texts without what editors add; "" where it is not there. */
static enum status digest_file(const struct record *record, const char *name, char hex[DIGEST_HEX_BYTES],
                               struct error *error)
{
    char path[FILE_PATH_BYTES], *data;
    size_t bytes;
    hex[0] = '\0';
    enum status status = file_path(path, error, "%s/%s", record->path, name);
    if (status != STATUS_OK)
        return status;
    if (strcmp(name, LEDGER_FILE) == 0 && !file_exists(path))
        return record->steps > 0 ? digest_ledger(record, hex, error) : STATUS_OK;
    if (!file_exists(path))
        return STATUS_OK;
    status = strcmp(name, RECORD_WEIGHTS_FILE) == 0 ? file_read(path, FILE_LIMIT, &data, &bytes, error)
                                                    : file_read_text(path, FILE_LIMIT, &data, &bytes, NULL, error);
    if (status != STATUS_OK)
        return status;
    sha256_hex(data, bytes, hex);
    free(data);
    return STATUS_OK;
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

static json_t *resource(const char *name, const char *sha256)
{
    return json_pack("{s:s, s:{s:s}}", "name", name, "digest", "sha256", sha256);
}

/* The files that are there, and with `other` only those that are the same in both. */
static enum status list_subjects(const struct record *record, const struct record *other, json_t **subjects,
                                 struct error *error)
{
    enum status status = STATUS_OK;
    *subjects = json_array();
    for (size_t i = 0; i < FILES && status == STATUS_OK; i++) {
        char hex[DIGEST_HEX_BYTES], theirs[DIGEST_HEX_BYTES];
        status = digest_file(record, files[i], hex, error);
        if (status == STATUS_OK && other != NULL) {
            status = digest_file(other, files[i], theirs, error);
            if (strcmp(hex, theirs) != 0)
                continue;
        }
        if (status == STATUS_OK && hex[0] != '\0' && json_array_append_new(*subjects, resource(files[i], hex)) != 0)
            status = error_out_of_memory(error, "a statement about %s", record->path);
    }
    if (status != STATUS_OK)
        json_decref(*subjects);
    return status;
}

/* Takes subjects, parameters and dependencies over. */
static json_t *make_provenance(const struct record *record, const char *build_type, json_t *subjects,
                               json_t *parameters, json_t *dependencies)
{
    const struct record_facts *facts = &record->facts;
    json_t *engine = record_json_section(facts, "engine"), *host = record_json_section(facts, "host");
    return json_pack(
        "{s:s, s:o, s:s, s:{s:{s:s, s:o, s:{s:o, s:o}, s:o}, s:{s:{s:s, s:{s:s}}, s:{s:s, s:s, s:s}}}}", "_type",
        statement_type, "subject", subjects, "predicateType", provenance_type, "predicate", "buildDefinition",
        "buildType", build_type, "externalParameters", parameters, "internalParameters", "engine", engine, "host", host,
        "resolvedDependencies", dependencies, "runDetails", "builder", "id", builder, "version", "selfsame",
        strcmp(build_type, training) == 0 ? facts->program_version : build_version, "metadata", "invocationId",
        facts->record_sha256, "startedOn", facts->time_started, "finishedOn", facts->time_updated);
}

/* What a run came to. */
static json_t *result_of(const struct record *record)
{
    const struct metrics_row *last = record->epochs > 0 ? &record->metrics[record->epochs - 1] : NULL;
    json_t *result = json_pack("{s:s, s:s, s:s, s:I, s:I}", "experiment_sha256", record->facts.experiment_sha256,
                               "arithmetic", record->facts.arithmetic, "record_sha256", record->facts.record_sha256,
                               "epochs", (json_int_t)record->epochs, "steps", (json_int_t)record->steps);
    if (result != NULL && last != NULL) {
        json_object_set_new(result, "weights_sha256", json_string(last->weights_sha256));
        json_object_set_new(result, "chain_sha256", json_string(last->chain_sha256));
    }
    return result;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* Signs a statement, which it takes over, and writes it as KIND-KEY.json. */
static enum status write_statement(const struct record *record, const char *kind, enum envelope_form form,
                                   json_t *statement, const struct signing_key *key, void (*written)(const char *path),
                                   struct error *error)
{
    char path[FILE_PATH_BYTES];
    char *payload = statement != NULL ? json_dumps(statement, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL,
         *text = NULL;
    json_decref(statement);
    if (payload == NULL)
        return error_out_of_memory(error, "a statement about %s", record->path);
    enum status status = envelope_make(key, form, payload, &text, error);
    if (status == STATUS_OK)
        status = file_path(path, error, "%s/" RECORD_ATTESTATIONS_FOLDER, record->path);
    if (status == STATUS_OK)
        status = file_make_folders(path, error);
    if (status == STATUS_OK)
        status = file_path(path, error, "%s/" RECORD_ATTESTATIONS_FOLDER "/%s-%.16s.json", record->path, kind,
                           signing_key_id(key));
    if (status == STATUS_OK)
        status = file_write(path, text, strlen(text), error);
    if (status == STATUS_OK && written != NULL)
        written(path);
    free(payload);
    free(text);
    return status;
}

static enum status attest_provenance(const struct record *record, const struct signing_key *key,
                                     void (*written)(const char *path), struct error *error)
{
    json_t *subjects;
    enum status status = list_subjects(record, NULL, &subjects, error);
    if (status != STATUS_OK)
        return status;
    json_t *parameters = json_pack("{s:s, s:s, s:o}", "manifest", record->manifest_text, "manifest_sha256",
                                   record->facts.manifest_sha256, "result", result_of(record));
    json_t *dependencies = json_pack("[o, o]", resource("training data", record->facts.training_data_sha256),
                                     resource("validation data", record->facts.validation_data_sha256));
    return write_statement(record, "provenance", ENVELOPE_DSSE,
                           make_provenance(record, training, subjects, parameters, dependencies), key, written, error);
}

/* As model-signing serializes one file: named ".", with the digest of all digests as the subject's. */
static enum status attest_weights(const struct record *record, const struct signing_key *key,
                                  void (*written)(const char *path), struct error *error)
{
    char hex[DIGEST_HEX_BYTES], root[DIGEST_HEX_BYTES];
    uint8_t digest[DIGEST_BYTES];
    enum status status = digest_file(record, RECORD_WEIGHTS_FILE, hex, error);
    if (status != STATUS_OK || hex[0] == '\0')
        return status;
    digest_from_hex(hex, digest);
    sha256_hex(digest, sizeof digest, root);
    json_t *statement =
        json_pack("{s:s, s:[o], s:s, s:{s:{s:s, s:s, s:b, s:[]}, s:[{s:s, s:s, s:s}]}}", "_type", statement_type,
                  "subject", resource(RECORD_WEIGHTS_FILE, root), "predicateType", weights_type, "predicate",
                  "serialization", "method", "files", "hash_type", "sha256", "allow_symlinks", 0, "ignore_paths",
                  "resources", "name", ".", "algorithm", "sha256", "digest", hex);
    return write_statement(record, "weights", ENVELOPE_BUNDLE, statement, key, written, error);
}

enum status attest_run(const struct record *record, const struct signing_key *key, void (*written)(const char *path),
                       struct error *error)
{
    enum status status = attest_provenance(record, key, written, error);
    return status == STATUS_OK ? attest_weights(record, key, written, error) : status;
}

enum status attest_equivalence(const struct record *record, const struct record *other, const struct signing_key *key,
                               void (*written)(const char *path), struct error *error)
{
    char kind[64];
    json_t *subjects;
    enum status status = list_subjects(record, other, &subjects, error);
    if (status != STATUS_OK)
        return status;
    json_t *parameters = json_pack("{s:o, s:o}", "candidate", result_of(record), "target", result_of(other));
    json_t *dependencies = json_pack("[{s:s, s:{s:s}}, {s:s, s:{s:s}}]", "name", "candidate", "digest", "sha256",
                                     record->metrics[record->epochs - 1].chain_sha256, "name", "target", "digest",
                                     "sha256", other->metrics[other->epochs - 1].chain_sha256);
    snprintf(kind, sizeof kind, "equivalence-%.16s",
             other->facts.record_sha256[0] != '\0' ? other->facts.record_sha256
                                                   : other->metrics[other->epochs - 1].chain_sha256);
    return write_statement(record, kind, ENVELOPE_DSSE,
                           make_provenance(record, equivalence, subjects, parameters, dependencies), key, written,
                           error);
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static enum status contradiction(const char *path, struct error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static enum status contradiction(const char *path, struct error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_v(error, STATUS_INPUT, format, arguments);
    va_end(arguments);
    return error_prefix(error, "%s", path);
}

/* A text of an object, by the keys that lead to it up to a NULL; "" for none. */
static const char *text_at(const json_t *json, const char *const *keys)
{
    for (; *keys != NULL; keys++)
        json = json_object_get(json, *keys);
    const char *text = json_string_value(json);
    return text != NULL ? text : "";
}

static enum status check_file(const struct record *record, const char *path, const char *name, const char *sha256,
                              struct error *error)
{
    char hex[DIGEST_HEX_BYTES];
    bool known = false;
    for (size_t i = 0; i < FILES; i++)
        known = known || strcmp(name, files[i]) == 0;
    if (!known)
        return contradiction(path, error, "it names '%.64s', which is no file of a run", name);
    enum status status = digest_file(record, name, hex, error);
    if (status == STATUS_OK && strcmp(hex, sha256) != 0)
        return contradiction(path, error,
                             "%s/%s is not what was signed: its SHA-256 is %s, where the statement says "
                             "%.64s",
                             record->path, name, hex[0] != '\0' ? hex : "unknown, since it is not there", sha256);
    return status;
}

static enum status check_subjects(const struct record *record, const char *path, const json_t *statement, size_t *count,
                                  struct error *error)
{
    static const char *const name[] = { "name", NULL }, *const digest[] = { "digest", "sha256", NULL };
    const json_t *subjects = json_object_get(statement, "subject");
    *count = json_array_size(subjects);
    if (*count == 0)
        return contradiction(path, error, "it names no file");
    for (size_t i = 0; i < *count; i++) {
        const json_t *subject = json_array_get(subjects, i);
        enum status status = check_file(record, path, text_at(subject, name), text_at(subject, digest), error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status check_weights(const struct record *record, const char *path, const json_t *statement,
                                 struct error *error)
{
    static const char *const digest[] = { "digest", NULL }, *const subject_digest[] = { "digest", "sha256", NULL };
    const json_t *resources = json_object_get(json_object_get(statement, "predicate"), "resources"),
                 *subject = json_array_get(json_object_get(statement, "subject"), 0);
    const char *hex = text_at(json_array_get(resources, 0), digest);
    uint8_t bytes[DIGEST_BYTES];
    char root[DIGEST_HEX_BYTES];
    if (json_array_size(resources) != 1 || !digest_from_hex(hex, bytes))
        return contradiction(path, error, "it does not name one file of weights");
    sha256_hex(bytes, sizeof bytes, root);
    if (strcmp(root, text_at(subject, subject_digest)) != 0)
        return contradiction(path, error, "its subject's digest is not that of its file");
    return check_file(record, path, RECORD_WEIGHTS_FILE, hex, error);
}

/* Holds a statement's content against the run, and puts it into words. */
static enum status check_statement(const struct record *record, const char *path, const json_t *statement,
                                   struct attestation *attestation, struct error *error)
{
    static const char *const type[] = { "_type", NULL }, *const predicate[] = { "predicateType", NULL },
                             *const build[] = { "predicate", "buildDefinition", "buildType", NULL },
                             *const
                                 cpu[] = { "predicate", "buildDefinition", "internalParameters", "host", "cpu", NULL },
                             *const host[] = { "predicate", "buildDefinition", "internalParameters", "host", "name",
                                               NULL },
                             *const engine[] = { "predicate", "buildDefinition", "internalParameters",
                                                 "engine",    "description",     NULL },
                             *const version[] = { "predicate", "runDetails", "builder", "version", "selfsame", NULL },
                             *const finished[] = { "predicate", "runDetails", "metadata", "finishedOn", NULL },
                             *const target[] = { "predicate", "buildDefinition", "externalParameters",
                                                 "target",    "record_sha256",   NULL };
    if (strcmp(text_at(statement, type), statement_type) != 0)
        return contradiction(path, error, "it is no in-toto statement");
    if (strcmp(text_at(statement, predicate), weights_type) == 0) {
        snprintf(attestation->summary, sizeof attestation->summary, "signs %s", RECORD_WEIGHTS_FILE);
        attestation->files = 1;
        return check_weights(record, path, statement, error);
    }
    const char *kind = text_at(statement, build);
    if (strcmp(text_at(statement, predicate), provenance_type) != 0 ||
        (strcmp(kind, training) != 0 && strcmp(kind, equivalence) != 0))
        return contradiction(path, error, "it states something that this version does not know, '%.64s' '%.64s'",
                             text_at(statement, predicate), kind);
    enum status status = check_subjects(record, path, statement, &attestation->files, error);
    if (strcmp(kind, training) == 0)
        snprintf(attestation->summary, sizeof attestation->summary,
                 "says that %zu files were computed by selfsame %s on %s (%s; %s), until %s", attestation->files,
                 text_at(statement, version), text_at(statement, host), text_at(statement, cpu),
                 text_at(statement, engine), text_at(statement, finished));
    else
        snprintf(attestation->summary, sizeof attestation->summary,
                 "says that this run, computed on %s (%s; %s), and the record %.16s... are identical, and %zu files of "
                 "theirs the same",
                 text_at(statement, host), text_at(statement, cpu), text_at(statement, engine),
                 text_at(statement, target), attestation->files);
    return status;
}

static enum status check_one(const struct record *record, const char *folder, const char *name,
                             struct signing_key *const *keys, size_t key_count, struct attestation *attestation,
                             size_t *key, struct error *error)
{
    char path[FILE_PATH_BYTES];
    struct envelope envelope;
    enum status status = file_path(path, error, "%s/%s", folder, name);
    if (status == STATUS_OK)
        status = envelope_read(path, &envelope, error);
    if (status != STATUS_OK)
        return status;
    *attestation = (struct attestation){ .files = 0 };
    snprintf(attestation->name, sizeof attestation->name, "%s", name);
    memcpy(attestation->key_id, envelope.key_id, sizeof envelope.key_id);
    json_t *statement = json_loads(envelope.payload, JSON_REJECT_DUPLICATES, NULL);
    *key = key_count;
    for (size_t i = 0; i < key_count && status == STATUS_OK; i++) {
        const bool named = strcmp(signing_key_id(keys[i]), envelope.key_id) == 0;
        if (named)
            *key = i;
        if (envelope_verify(&envelope, keys[i]) != named)
            status = named ? contradiction(path, error, "the signature is not by the key %.16s... over what it states",
                                           envelope.key_id)
                           : contradiction(path, error, "it names the key %.16s..., but %.16s... signed it",
                                           envelope.key_id, signing_key_id(keys[i]));
    }
    if (status == STATUS_OK && statement == NULL)
        status = contradiction(path, error, "what it signs is no JSON");
    if (status == STATUS_OK)
        status = check_statement(record, path, statement, attestation, error);
    json_decref(statement);
    envelope_free(&envelope);
    return status;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_statement(const struct dirent *entry)
{
    const size_t length = strlen(entry->d_name);
    return entry->d_name[0] != '.' && length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0;
}

enum status attestations_check(const struct record *record, struct signing_key *const *keys, size_t key_count,
                               void (*visit)(void *context, const struct attestation *attestation, size_t key),
                               void *context, struct error *error)
{
    char folder[FILE_PATH_BYTES];
    struct dirent **entries = NULL;
    enum status status = file_path(folder, error, "%s/" RECORD_ATTESTATIONS_FOLDER, record->path);
    if (status != STATUS_OK)
        return status;
    const int count = scandir(folder, &entries, is_statement, by_name);
    if (count < 0 && errno != ENOENT)
        return error_set_errno(error, STATUS_ENVIRONMENT, "cannot list the folder %s", folder);
    for (int i = 0; i < count; i++) {
        struct attestation attestation;
        size_t key;
        if (status == STATUS_OK) {
            status = check_one(record, folder, entries[i]->d_name, keys, key_count, &attestation, &key, error);
            if (status == STATUS_OK)
                visit(context, &attestation, key);
        }
        free(entries[i]);
    }
    free(entries);
    return status;
}

#include "results/record_json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"

static const size_t RECORD_LIMIT = (size_t)1 << 24;

/* ---- the table --------------------------------------------------------------------------------------------------- */

enum field_type {
    FIELD_TEXT,    /* const char * */
    FIELD_TEXTS,   /* const char *const *, up to a NULL */
    FIELD_DIGEST,  /* char[DIGEST_HEX_BYTES] */
    FIELD_INTEGER, /* uint64_t */
    FIELD_REAL,    /* double */
    FIELD_FLAG,    /* bool */
    FIELD_STATE    /* enum record_said_state */
};

enum field_presence {
    REQUIRED,
    WITH_EPOCHS, /* required as soon as there is an epoch, and not written before */
    MAY_MISS,    /* always written; a reader does without */
    IF_SET       /* written unless it is "", NULL or 0 */
};

struct field {
    const char *path; /* sections and key, joined by dots */
    enum field_type type;
    enum field_presence presence;
    size_t offset;
};

/* clang-format off */
#define FIELD(path, type, presence, member) { path, type, presence, offsetof(struct record_facts, member) }
/* clang-format on */

static const struct field fields[] = {
    FIELD("format", FIELD_INTEGER, REQUIRED, format),
    FIELD("record_sha256", FIELD_DIGEST, IF_SET, record_sha256),
    FIELD("name", FIELD_TEXT, REQUIRED, name),
    FIELD("state", FIELD_STATE, REQUIRED, state),
    FIELD("result.epochs", FIELD_INTEGER, WITH_EPOCHS, result.epochs),
    FIELD("result.steps", FIELD_INTEGER, WITH_EPOCHS, result.last.end_step),
    FIELD("result.training_loss", FIELD_REAL, WITH_EPOCHS, result.last.training_loss),
    FIELD("result.training_error", FIELD_REAL, WITH_EPOCHS, result.last.training_error),
    FIELD("result.validation_loss", FIELD_REAL, WITH_EPOCHS, result.last.validation_loss),
    FIELD("result.validation_error", FIELD_REAL, WITH_EPOCHS, result.last.validation_error),
    FIELD("result.validation_errors", FIELD_INTEGER, WITH_EPOCHS, result.last.validation_errors),
    FIELD("result.validation_images", FIELD_INTEGER, WITH_EPOCHS, result.last.validation_images),
    FIELD("result.best_validation_error", FIELD_REAL, WITH_EPOCHS, result.best_validation_error),
    FIELD("result.best_epoch", FIELD_INTEGER, WITH_EPOCHS, result.best_epoch),
    FIELD("result.weights_sha256", FIELD_DIGEST, WITH_EPOCHS, result.last.weights_sha256),
    FIELD("result.chain_sha256", FIELD_DIGEST, WITH_EPOCHS, result.last.chain_sha256),
    FIELD("result.metrics_sha256", FIELD_DIGEST, IF_SET, result.metrics_sha256),
    FIELD("failure", FIELD_TEXT, IF_SET, failure),
    FIELD("imported.tool", FIELD_TEXT, IF_SET, imported.tool),
    FIELD("imported.source", FIELD_TEXT, IF_SET, imported.source),
    FIELD("imported.sha256", FIELD_DIGEST, IF_SET, imported.sha256),
    FIELD("imported.time", FIELD_TEXT, IF_SET, imported.time),
    FIELD("imported.selfsame", FIELD_TEXT, IF_SET, imported.version),
    FIELD("imported.run", FIELD_TEXT, IF_SET, imported.run),
    FIELD("imported.status", FIELD_TEXT, IF_SET, imported.status),
    FIELD("imported.columns", FIELD_TEXTS, IF_SET, imported.columns),
    FIELD("imported.settings", FIELD_TEXTS, IF_SET, imported.settings),
    FIELD("imported.notes", FIELD_TEXTS, IF_SET, imported.notes),
    FIELD("manifest.name", FIELD_TEXT, REQUIRED, manifest_name),
    FIELD("manifest.sha256", FIELD_DIGEST, REQUIRED, manifest_sha256),
    FIELD("experiment.sha256", FIELD_DIGEST, REQUIRED, experiment_sha256),
    FIELD("experiment.seed", FIELD_INTEGER, REQUIRED, seed),
    FIELD("experiment.epochs", FIELD_INTEGER, REQUIRED, epochs_wanted),
    FIELD("experiment.steps", FIELD_INTEGER, REQUIRED, steps_wanted),
    FIELD("arithmetic.version", FIELD_TEXT, REQUIRED, arithmetic),
    FIELD("arithmetic.exact", FIELD_FLAG, REQUIRED, exact),
    FIELD("arithmetic.claims", FIELD_TEXTS, MAY_MISS, claims),
    FIELD("network.depth", FIELD_INTEGER, REQUIRED, depth),
    FIELD("network.parameters", FIELD_INTEGER, MAY_MISS, parameters),
    FIELD("training_data.images", FIELD_INTEGER, REQUIRED, training_images),
    FIELD("training_data.sha256", FIELD_DIGEST, REQUIRED, training_data_sha256),
    FIELD("validation_data.images", FIELD_INTEGER, REQUIRED, validation_images),
    FIELD("validation_data.sha256", FIELD_DIGEST, REQUIRED, validation_data_sha256),
    FIELD("data_notes", FIELD_TEXTS, MAY_MISS, data_notes),
    FIELD("engine.name", FIELD_TEXT, MAY_MISS, engine_name),
    FIELD("engine.description", FIELD_TEXT, MAY_MISS, engine_description),
    FIELD("engine.memory_bytes", FIELD_INTEGER, MAY_MISS, engine_memory_bytes),
    FIELD("engine.facts", FIELD_TEXTS, IF_SET, engine_facts),
    FIELD("engine.ranks", FIELD_INTEGER, IF_SET, ranks),
    FIELD("engine.ranks_description", FIELD_TEXT, IF_SET, ranks_description),
    FIELD("program.version", FIELD_TEXT, MAY_MISS, program_version),
    FIELD("program.commit", FIELD_TEXT, IF_SET, program_commit),
    FIELD("program.sha256", FIELD_DIGEST, IF_SET, program_sha256),
    FIELD("program.compiler", FIELD_TEXT, MAY_MISS, program_compiler),
    FIELD("program.flags", FIELD_TEXT, MAY_MISS, program_flags),
    FIELD("program.configured", FIELD_TEXT, MAY_MISS, program_configured),
    FIELD("program.source_changes.bytes", FIELD_INTEGER, IF_SET, source_changes_bytes),
    FIELD("program.source_changes.sha256", FIELD_DIGEST, IF_SET, source_changes_sha256),
    FIELD("program.libraries.libc", FIELD_TEXT, MAY_MISS, libc_version),
    FIELD("program.libraries.libcrypto", FIELD_TEXT, MAY_MISS, libcrypto_version),
    FIELD("program.libraries.jansson", FIELD_TEXT, MAY_MISS, jansson_version),
    FIELD("program.libraries.zlib", FIELD_TEXT, IF_SET, libz_version),
    FIELD("program.libraries.libyaml", FIELD_TEXT, IF_SET, libyaml_version),
    FIELD("program.libraries.libarchive", FIELD_TEXT, IF_SET, libarchive_version),
    FIELD("program.libraries.libcurl", FIELD_TEXT, IF_SET, libcurl_version),
    FIELD("program.libraries.sqlite", FIELD_TEXT, IF_SET, sqlite_version),
    FIELD("host.name", FIELD_TEXT, MAY_MISS, host_name),
    FIELD("host.system", FIELD_TEXT, MAY_MISS, host_system),
    FIELD("host.cpu", FIELD_TEXT, MAY_MISS, host_cpu),
    FIELD("host.cpus", FIELD_INTEGER, MAY_MISS, host_cpus),
    FIELD("host.microcode", FIELD_TEXT, IF_SET, host_microcode),
    FIELD("host.caches", FIELD_TEXT, IF_SET, host_caches),
    FIELD("host.memory_bytes", FIELD_INTEGER, IF_SET, host_memory_bytes),
    FIELD("host.container", FIELD_TEXT, IF_SET, host_container),
    FIELD("gpu.driver", FIELD_TEXT, IF_SET, gpu_driver),
    FIELD("gpu.uuid", FIELD_TEXT, IF_SET, gpu_uuid),
    FIELD("gpu.vbios", FIELD_TEXT, IF_SET, gpu_vbios),
    FIELD("gpu.power_limit_watts", FIELD_REAL, IF_SET, gpu_power_limit_watts),
    FIELD("gpu.clock_mhz", FIELD_INTEGER, IF_SET, gpu_clock_mhz),
    FIELD("environment.variables", FIELD_TEXTS, IF_SET, environment),
    FIELD("time.started", FIELD_TEXT, MAY_MISS, time_started),
    FIELD("time.updated", FIELD_TEXT, MAY_MISS, time_updated),
    FIELD("time.wall_seconds", FIELD_REAL, MAY_MISS, wall_seconds),
    FIELD("time.cpu_seconds", FIELD_REAL, IF_SET, cpu_seconds),
    FIELD("time.sessions", FIELD_INTEGER, MAY_MISS, sessions),
    FIELD("energy.package_joules", FIELD_REAL, IF_SET, package_joules),
    FIELD("energy.gpu_joules", FIELD_REAL, IF_SET, gpu_joules),
    FIELD("peak_memory_bytes", FIELD_INTEGER, MAY_MISS, peak_memory_bytes),
    FIELD("after.training_data_sha256", FIELD_DIGEST, IF_SET, training_data_after_sha256),
    FIELD("after.validation_data_sha256", FIELD_DIGEST, IF_SET, validation_data_after_sha256),
    FIELD("after.program_sha256", FIELD_DIGEST, IF_SET, program_after_sha256),
    FIELD("after.manifest_sha256", FIELD_DIGEST, IF_SET, manifest_after_sha256),
};
enum { FIELDS = sizeof fields / sizeof *fields };

static const char *const state_names[] = { [RECORD_RUNNING] = "running",
                                           [RECORD_INTERRUPTED] = "interrupted",
                                           [RECORD_FINISHED] = "finished",
                                           [RECORD_FAILED] = "failed",
                                           [RECORD_IMPORTED] = "imported" };
enum { STATES = sizeof state_names / sizeof *state_names };

const char *record_said_state_name(enum record_said_state state)
{
    return state_names[state];
}

static void *member(struct record_facts *facts, const struct field *field)
{
    return (char *)facts + field->offset;
}

static const void *value_of(const struct record_facts *facts, const struct field *field)
{
    return (const char *)facts + field->offset;
}

/* Whether a path lies in a section: "host.name" in "host", and every path in "". */
static bool in_section(const char *path, const char *section)
{
    size_t length = strlen(section);
    return length == 0 || (strncmp(path, section, length) == 0 && path[length] == '.');
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static json_t *list_of(const char *const *texts)
{
    json_t *list = json_array();
    for (size_t i = 0; texts != NULL && texts[i] != NULL; i++) {
        if (json_array_append_new(list, json_string(texts[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* null for what an imported run may not have; of any other run, such a value is not written. */
static json_t *json_of(const void *value, enum field_type type)
{
    switch (type) {
    case FIELD_TEXT:
        return json_string(*(const char *const *)value != NULL ? *(const char *const *)value : "");
    case FIELD_TEXTS:
        return list_of(*(const char *const *const *)value);
    case FIELD_DIGEST:
        return *(const char *)value != '\0' ? json_string(value) : json_null();
    case FIELD_INTEGER:
        return *(const uint64_t *)value != METRICS_MISSING ? json_integer((json_int_t) * (const uint64_t *)value)
                                                           : json_null();
    case FIELD_REAL:
        return !isnan(*(const double *)value) ? json_real(*(const double *)value) : json_null();
    case FIELD_FLAG:
        return json_boolean(*(const bool *)value);
    case FIELD_STATE:
        return json_string(state_names[*(const enum record_said_state *)value]);
    }
    return NULL;
}

static bool is_set(const void *value, enum field_type type)
{
    switch (type) {
    case FIELD_TEXT:
        return *(const char *const *)value != NULL && **(const char *const *)value != '\0';
    case FIELD_TEXTS:
        return *(const char *const *const *)value != NULL;
    case FIELD_INTEGER:
        return *(const uint64_t *)value != 0;
    case FIELD_REAL:
        return *(const double *)value != 0.0;
    case FIELD_DIGEST:
        return *(const char *)value != '\0';
    case FIELD_FLAG:
    case FIELD_STATE:
        break;
    }
    return true;
}

/* Of an imported run, what another tool did not say is left out. */
static bool is_written(const struct record_facts *facts, const struct field *field)
{
    const bool may_go = field->presence == IF_SET || (field->presence == MAY_MISS && facts->state == RECORD_IMPORTED);
    return !may_go || is_set(value_of(facts, field), field->type);
}

/* Which values may be null, and only in the record of an imported run. */
static bool may_be_null(const struct record_facts *facts, const struct field *field)
{
    return facts->state == RECORD_IMPORTED && (field->presence == WITH_EPOCHS || field->type == FIELD_DIGEST);
}

/* Puts a value into the object by its path, making the sections on the way. False without memory, or where the value
 * cannot be written: a text that is not UTF-8, a number that is not finite. */
static bool put(json_t *object, const char *path, json_t *value)
{
    for (const char *dot; (dot = strchr(path, '.')) != NULL; path = dot + 1) {
        char key[32];
        snprintf(key, sizeof key, "%.*s", (int)(dot - path), path);
        json_t *section = json_object_get(object, key);
        if (section == NULL) {
            section = json_object();
            if (json_object_set_new(object, key, section) != 0) {
                json_decref(value);
                return false;
            }
        }
        object = section;
    }
    return json_object_set_new(object, path, value) == 0;
}

/* All fields of a section, by the part of their path after it. */
json_t *record_json_section(const struct record_facts *facts, const char *section)
{
    const size_t skip = section[0] != '\0' ? strlen(section) + 1 : 0;
    json_t *object = json_object();
    bool good = object != NULL;
    for (size_t i = 0; i < FIELDS && good; i++) {
        const struct field *field = &fields[i];
        if (!in_section(field->path, section) || !is_written(facts, field))
            continue;
        if (field->presence == WITH_EPOCHS && facts->result.epochs == 0) {
            if (json_object_get(object, "result") == NULL)
                good = put(object, "result", json_object());
            continue;
        }
        json_t *value = json_of(value_of(facts, field), field->type);
        good = put(object, field->path + skip, value) && (!json_is_null(value) || may_be_null(facts, field));
    }
    if (good)
        return object;
    json_decref(object);
    return NULL;
}

/* The file's text, ended by a newline; NULL where it cannot be made. The caller frees it. */
static char *text_of(const struct record_facts *facts)
{
    json_t *object = record_json_section(facts, "");
    char *dumped = object != NULL ? json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL, *text = NULL;
    if (dumped != NULL && asprintf(&text, "%s\n", dumped) < 0)
        text = NULL;
    free(dumped);
    json_decref(object);
    return text;
}

enum status record_json_write(const char *path, const struct record_facts *facts, struct error *error)
{
    struct record_facts written = *facts;
    written.format = RECORD_FORMAT;
    written.record_sha256[0] = '\0';
    char *text = text_of(&written);
    if (text != NULL) {
        sha256_hex(text, strlen(text), written.record_sha256);
        free(text);
        text = text_of(&written);
    }
    enum status status =
        text != NULL ? file_write(path, text, strlen(text), error)
                     : error_set(error, STATUS_ENVIRONMENT,
                                 "cannot write %s: a text in it is not UTF-8, a number is not finite, or there is "
                                 "not enough memory",
                                 path);
    free(text);
    return status;
}

void record_json_add_epoch(struct record_facts *facts, const struct metrics_row *row)
{
    const double best = facts->result.best_validation_error;
    if (facts->result.epochs == 0 || row->validation_error < best || (isnan(best) && !isnan(row->validation_error))) {
        facts->result.best_validation_error = row->validation_error;
        facts->result.best_epoch = isnan(row->validation_error) ? METRICS_MISSING : row->epoch;
    }
    facts->result.last = *row;
    facts->result.epochs++;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static const json_t *find(const json_t *object, const char *path)
{
    for (const char *dot; (dot = strchr(path, '.')) != NULL; path = dot + 1) {
        char key[32];
        snprintf(key, sizeof key, "%.*s", (int)(dot - path), path);
        object = json_object_get(object, key);
    }
    return json_object_get(object, path);
}

static const char *read_texts(const json_t *list, const char *const **texts)
{
    if (!json_is_array(list))
        return "is not a list";
    const char **copy = calloc(json_array_size(list) + 1, sizeof *copy);
    if (copy == NULL)
        return "does not fit into memory";
    *texts = copy;
    for (size_t i = 0; i < json_array_size(list); i++) {
        copy[i] = json_string_value(json_array_get(list, i));
        if (copy[i] == NULL || strlen(copy[i]) != json_string_length(json_array_get(list, i)))
            return "is not a list of texts";
        if (!text_is_plain(copy[i], ""))
            return "holds a control character";
    }
    return NULL;
}

static const char *read_state(const json_t *value, enum record_said_state *state)
{
    for (size_t i = 0; json_is_string(value) && i < STATES; i++) {
        if (strcmp(json_string_value(value), state_names[i]) == 0) {
            *state = (enum record_said_state)i;
            return NULL;
        }
    }
    return "is not one of running, interrupted, finished, failed and imported";
}

/* NULL, or what is wrong. */
static const char *read_value(const json_t *value, enum field_type type, void *to)
{
    uint8_t digest[DIGEST_BYTES];
    switch (type) {
    case FIELD_TEXT:
    case FIELD_DIGEST:
        if (!json_is_string(value) || strlen(json_string_value(value)) != json_string_length(value))
            return "is not a text";
        if (!text_is_plain(json_string_value(value), ""))
            return "holds a control character";
        if (type == FIELD_TEXT) {
            *(const char **)to = json_string_value(value);
            return NULL;
        }
        if (!digest_from_hex(json_string_value(value), digest))
            return "is not a digest of 64 lower-case hex digits";
        digest_to_hex(digest, to);
        return NULL;
    case FIELD_TEXTS:
        return read_texts(value, to);
    case FIELD_INTEGER:
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return "is not a whole number";
        *(uint64_t *)to = (uint64_t)json_integer_value(value);
        return NULL;
    case FIELD_REAL:
        if (!json_is_number(value))
            return "is not a number";
        *(double *)to = json_number_value(value);
        return NULL;
    case FIELD_FLAG:
        if (!json_is_boolean(value))
            return "is not true or false";
        *(bool *)to = json_is_true(value);
        return NULL;
    case FIELD_STATE:
        return read_state(value, to);
    }
    return NULL;
}

static const char *read_field(struct record_facts *facts, const struct field *field)
{
    const json_t *value = find(facts->document, field->path);
    void *to = member(facts, field);
    if (json_is_null(value) && may_be_null(facts, field)) {
        if (field->type == FIELD_REAL)
            *(double *)to = NAN;
        else if (field->type == FIELD_INTEGER)
            *(uint64_t *)to = METRICS_MISSING;
        return NULL; /* a digest is "" already */
    }
    if (value != NULL)
        return read_value(value, field->type, to);
    if (field->type == FIELD_TEXT)
        *(const char **)to = "";
    if (field->type == FIELD_TEXTS && field->presence != IF_SET) {
        const char **none = calloc(1, sizeof *none);
        *(const char *const **)to = none;
        return none == NULL ? "does not fit into memory" : NULL;
    }
    return field->presence == REQUIRED || (field->presence == WITH_EPOCHS && facts->result.epochs > 0) ? "is missing"
                                                                                                       : NULL;
}

/* The format comes first: of another one, nothing else is known. */
static enum status check_format(const char *path, const struct record_facts *facts, struct error *error)
{
    const json_t *format = json_object_get(facts->document, "format");
    if (!json_is_integer(format))
        return error_set(error, STATUS_INPUT, "%s: \"format\" %s", path,
                         format == NULL ? "is missing" : "is not a whole number");
    if (json_integer_value(format) != RECORD_FORMAT)
        return error_set(error, STATUS_INPUT,
                         "%s has format %" JSON_INTEGER_FORMAT ", but this version of selfsame reads only format %d; "
                         "read it with the version that wrote it",
                         path, json_integer_value(format), RECORD_FORMAT);
    return STATUS_OK;
}

/* A run is another tool's if and only if the record says which. */
static enum status check_imported(const char *path, const struct record_facts *facts, struct error *error)
{
    const bool imported = facts->state == RECORD_IMPORTED;
    const struct {
        const char *key, *text;
    } texts[] = { { "tool", facts->imported.tool },
                  { "source", facts->imported.source },
                  { "sha256", facts->imported.sha256 },
                  { "time", facts->imported.time },
                  { "selfsame", facts->imported.version } };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if ((texts[i].text[0] != '\0') != imported)
            return error_set(error, STATUS_INPUT, "%s: the state is \"%s\", but \"imported.%s\" %s", path,
                             state_names[facts->state], texts[i].key, imported ? "is missing" : "is there");
    }
    return STATUS_OK;
}

/* The digest of the text without the line that holds it. */
static void digest_without_itself(const char *text, char hex[DIGEST_HEX_BYTES])
{
    static const char key[] = "\"record_sha256\"";
    struct sha256 sha256;
    uint8_t digest[DIGEST_BYTES];
    sha256_start(&sha256);
    while (*text != '\0') {
        const size_t length = strcspn(text, "\n"), whole = length + (text[length] == '\n');
        if (strncmp(text + strspn(text, " \t"), key, strlen(key)) != 0) {
            sha256_add(&sha256, text, length);
            sha256_add(&sha256, "\n", 1); /* also where an editor took the last one away */
        }
        text += whole;
    }
    sha256_finish(&sha256, digest);
    digest_to_hex(digest, hex);
}

static enum status check_unchanged(const char *path, const char *text, const struct record_facts *facts,
                                   struct error *error)
{
    char hex[DIGEST_HEX_BYTES];
    if (facts->record_sha256[0] == '\0')
        return STATUS_OK;
    digest_without_itself(text, hex);
    if (strcmp(hex, facts->record_sha256) == 0)
        return STATUS_OK;
    return error_set(error, STATUS_INPUT,
                     "%s was changed after it was written: the SHA-256 of its other lines is %s, not its record_sha256",
                     path, hex);
}

static enum status parse(const char *path, const char *text, size_t bytes, struct record_facts *facts,
                         struct error *error)
{
    json_error_t where;
    facts->document = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &where);
    if (facts->document == NULL)
        return error_set(error, STATUS_INPUT, "%s:%d: %s", path, where.line, where.text);
    enum status status = check_format(path, facts, error);
    for (size_t i = 0; i < FIELDS && status == STATUS_OK; i++) {
        const char *wrong = read_field(facts, &fields[i]);
        if (wrong != NULL)
            status = error_set(error, STATUS_INPUT, "%s: \"%s\" %s", path, fields[i].path, wrong);
    }
    if (status == STATUS_OK)
        status = check_imported(path, facts, error);
    return status == STATUS_OK ? check_unchanged(path, text, facts, error) : status;
}

enum status record_json_read(const char *path, struct record_facts *facts, struct error *error)
{
    char *text;
    size_t bytes;
    *facts = (struct record_facts){ .format = 0 };
    enum status status = file_read_text(path, RECORD_LIMIT, &text, &bytes, NULL, error);
    if (status != STATUS_OK)
        return status;
    status = parse(path, text, bytes, facts, error);
    free(text);
    if (status != STATUS_OK)
        record_json_free(facts);
    return status;
}

void record_json_free(struct record_facts *facts)
{
    for (size_t i = 0; facts->document != NULL && i < FIELDS; i++) {
        if (fields[i].type == FIELD_TEXTS)
            free(*(void **)member(facts, &fields[i]));
    }
    json_decref(facts->document);
    *facts = (struct record_facts){ .format = 0 };
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

static void print_value(const void *value, enum field_type type, char text[RECORD_VALUE_BYTES])
{
    json_t *json = json_of(value, type);
    char *dumped = json_dumps(json, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    snprintf(text, RECORD_VALUE_BYTES, "%s", dumped != NULL ? dumped : "?");
    free(dumped);
    json_decref(json);
}

const char *record_json_difference(const struct record_facts *a, const struct record_facts *b, const char *section,
                                   char value_a[RECORD_VALUE_BYTES], char value_b[RECORD_VALUE_BYTES])
{
    for (size_t i = 0; i < FIELDS; i++) {
        const struct field *field = &fields[i];
        const void *x = value_of(a, field), *y = value_of(b, field);
        if (!in_section(field->path, section) || (field->presence == IF_SET && !is_set(x, field->type)) ||
            (field->presence == WITH_EPOCHS && a->result.epochs == 0 && b->result.epochs == 0))
            continue;
        print_value(x, field->type, value_a);
        print_value(y, field->type, value_b);
        if (strcmp(value_a, value_b) != 0)
            return field->path;
    }
    return NULL;
}

/* "" for a missing value; the caller frees the text unless it is NULL. */
static char *text_of_value(const struct record_facts *facts, const struct field *field)
{
    const void *value = value_of(facts, field);
    if ((field->presence == WITH_EPOCHS && facts->result.epochs == 0) || !is_written(facts, field))
        return strdup("");
    if (field->type == FIELD_TEXT)
        return strdup(*(const char *const *)value != NULL ? *(const char *const *)value : "");
    if (field->type == FIELD_DIGEST)
        return strdup(value);
    json_t *json = json_of(value, field->type);
    char *text = json_is_null(json) ? strdup("") : json_dumps(json, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    json_decref(json);
    return text;
}

void record_json_pairs(const struct record_facts *a, const struct record_facts *b,
                       void (*visit)(void *context, const char *key, const char *value_a, const char *value_b),
                       void *context)
{
    for (size_t i = 0; i < FIELDS; i++) {
        char *x = text_of_value(a, &fields[i]), *y = text_of_value(b, &fields[i]);
        visit(context, fields[i].path, x != NULL ? x : "?", y != NULL ? y : "?");
        free(x);
        free(y);
    }
}

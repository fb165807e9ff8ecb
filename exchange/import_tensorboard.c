/* TensorBoard: event files, as its own writers and those of PyTorch and Keras make them. A scalar is a simple_value, or
 * a tensor of one float or double. In a folder, each event file below it is read, in the order of their paths; the tag
 * of a file in a folder of its own has that folder's name before it, as Keras's validation/epoch_loss. */
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/text.h"
#include "exchange/event_file.h"
#include "exchange/import.h"

enum { DEPTH_MAX = 8, TAG_BYTES = 1024, ENTRIES_MAX = 100000 };

/* Fields of tensors and of the plugin hparams that event_file.h does not name. */
enum {
    TENSOR_TYPE = 1,
    TENSOR_CONTENT = 4,
    TENSOR_FLOATS = 5,
    TENSOR_DOUBLES = 6,
    TYPE_FLOAT = 1,
    TYPE_DOUBLE = 2,
    METADATA_PLUGIN = 1,
    PLUGIN_NAME = 1,
    PLUGIN_CONTENT = 2,
    PLUGIN_START = 3,
    PLUGIN_END = 4,
    START_PARAMETERS = 1,
    END_STATUS = 1,
    MAP_KEY = 1,
    MAP_VALUE = 2,
    ANY_NUMBER = 2,
    ANY_TEXT = 3,
    ANY_BOOLEAN = 4
};

struct event_reader {
    struct import_source *source;
    const char *path;
    const char *group;       /* the folder of the file below the source's, and a slash; or "" */
    double earliest, latest; /* of all events; 0: none */
    uint64_t place;          /* of the record under way */
    struct error *error;
};

bool import_is_event_file(const char *name, const void *data, size_t bytes)
{
    /* The first record holds its time and "brain.Event:2". */
    static const char version[] = "brain.Event:";
    const char *slash = strrchr(name, '/');
    if (strstr(slash != NULL ? slash + 1 : name, "tfevents") != NULL)
        return true;
    return bytes >= 32 && memmem(data, bytes, version, strlen(version)) != NULL && memchr(data, '\0', 12) != NULL;
}

static enum status damaged(const struct event_reader *reader, const char *what)
{
    return error_set(reader->error, STATUS_INPUT, "%s: byte %" PRIu64 ": %s", reader->path, reader->place, what);
}

/* A text of a message, cut to fit; a NUL in it ends it. */
static void take_text(const struct message_field *field, char *text, size_t size)
{
    snprintf(text, size, "%.*s", (int)(field->bytes.bytes < size ? field->bytes.bytes : size - 1),
             (const char *)field->bytes.data);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static double number_at(const uint8_t *data, size_t bytes)
{
    const struct message_field field = { .type = bytes == 4 ? WIRE_32 : WIRE_64, .value = bytes_get(data, bytes) };
    return message_field_double(&field);
}

/* Whether a tensor is one number. */
static bool read_tensor(struct message_reader tensor, double *value, bool *wrong)
{
    struct message_field field;
    uint64_t type = 0;
    size_t numbers = 0;
    while (message_next(&tensor, &field, wrong)) {
        const size_t size = field.number == TENSOR_FLOATS ? 4 : 8;
        if (field.number == TENSOR_TYPE && field.type == WIRE_VARINT)
            type = field.value;
        if (field.number == TENSOR_CONTENT && field.type == WIRE_BYTES &&
            (field.bytes.bytes == 4 || field.bytes.bytes == 8)) {
            *value = number_at(field.bytes.data, field.bytes.bytes);
            numbers += field.bytes.bytes == (type == TYPE_DOUBLE ? 8 : 4) ? 1 : 2;
        } else if (field.number == TENSOR_CONTENT) {
            numbers += 2; /* more than one, or none */
        }
        if (field.number != TENSOR_FLOATS && field.number != TENSOR_DOUBLES)
            continue;
        if (field.type == WIRE_BYTES && field.bytes.bytes == size) {
            *value = number_at(field.bytes.data, size);
            numbers++;
        } else if (field.type == (size == 4 ? WIRE_32 : WIRE_64)) {
            *value = message_field_double(&field);
            numbers++;
        } else {
            numbers += 2;
        }
    }
    return !*wrong && numbers == 1 && (type == TYPE_FLOAT || type == TYPE_DOUBLE);
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static enum status read_setting(const struct event_reader *reader, struct message_reader entry, bool *wrong)
{
    struct message_field field, value;
    char name[256] = "", text[512] = "";
    while (message_next(&entry, &field, wrong)) {
        if (field.number == MAP_KEY && field.type == WIRE_BYTES)
            take_text(&field, name, sizeof name);
        if (field.number != MAP_VALUE || field.type != WIRE_BYTES)
            continue;
        struct message_reader any = field.bytes;
        while (message_next(&any, &value, wrong)) {
            if (value.number == ANY_NUMBER && value.type == WIRE_64)
                snprintf(text, sizeof text, "%.17g", message_field_double(&value));
            else if (value.number == ANY_TEXT && value.type == WIRE_BYTES)
                take_text(&value, text, sizeof text);
            else if (value.number == ANY_BOOLEAN && value.type == WIRE_VARINT)
                snprintf(text, sizeof text, "%s", value.value != 0 ? "true" : "false");
        }
    }
    return *wrong ? STATUS_OK : import_add_setting(reader->source, name, text, reader->error);
}

/* What the plugin hparams keeps in a value's metadata: the settings at the start, the outcome at the end. */
static enum status read_hparams(const struct event_reader *reader, struct message_reader content, bool *wrong)
{
    static const char *const states[] = { "unknown", "success", "failure", "running" };
    struct message_field field, inner;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && message_next(&content, &field, wrong)) {
        if (field.type != WIRE_BYTES)
            continue;
        struct message_reader session = field.bytes;
        while (status == STATUS_OK && message_next(&session, &inner, wrong)) {
            if (field.number == PLUGIN_START && inner.number == START_PARAMETERS && inner.type == WIRE_BYTES)
                status = read_setting(reader, inner.bytes, wrong);
            if (field.number == PLUGIN_END && inner.number == END_STATUS && inner.type == WIRE_VARINT &&
                inner.value < sizeof states / sizeof *states)
                snprintf(reader->source->status, sizeof reader->source->status, "%s", states[inner.value]);
        }
    }
    return status;
}

static enum status read_metadata(const struct event_reader *reader, struct message_reader metadata, bool *wrong)
{
    struct message_field field, inner;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && message_next(&metadata, &field, wrong)) {
        char name[64] = "";
        struct message_reader content = { .bytes = 0 };
        if (field.number != METADATA_PLUGIN || field.type != WIRE_BYTES)
            continue;
        struct message_reader plugin = field.bytes;
        while (message_next(&plugin, &inner, wrong)) {
            if (inner.number == PLUGIN_NAME && inner.type == WIRE_BYTES)
                take_text(&inner, name, sizeof name);
            if (inner.number == PLUGIN_CONTENT && inner.type == WIRE_BYTES)
                content = inner.bytes;
        }
        if (strcmp(name, "hparams") == 0)
            status = read_hparams(reader, content, wrong);
    }
    return status;
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static enum status read_value(const struct event_reader *reader, struct message_reader summary_value, int64_t step,
                              bool *wrong)
{
    struct message_field field;
    char tag[TAG_BYTES];
    size_t length = (size_t)snprintf(tag, sizeof tag, "%s", reader->group);
    double number = NAN;
    bool is_number = false;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && message_next(&summary_value, &field, wrong)) {
        if (field.number == VALUE_TAG && field.type == WIRE_BYTES)
            take_text(&field, tag + length, sizeof tag - length);
        if (field.number == VALUE_SIMPLE && field.type == WIRE_32) {
            number = message_field_double(&field);
            is_number = true;
        }
        if (field.number == VALUE_TENSOR && field.type == WIRE_BYTES)
            is_number = read_tensor(field.bytes, &number, wrong) || is_number;
        if (field.number == VALUE_METADATA && field.type == WIRE_BYTES)
            status = read_metadata(reader, field.bytes, wrong);
    }
    if (status != STATUS_OK || *wrong || !is_number)
        return status;
    struct import_series *series;
    status = import_find_series(reader->source, tag, &series, reader->error);
    return status == STATUS_OK
               ? import_add_point(reader->source, series,
                                  (struct import_point){ .number = step,
                                                         .value = number,
                                                         .place = reader->place,
                                                         .file = (uint32_t)reader->source->file_count - 1 },
                                  reader->error)
               : status;
}

static enum status read_event(struct event_reader *reader, struct message_reader event, bool first)
{
    static const char version[] = "brain.Event:";
    struct message_reader summary = { .bytes = 0 };
    struct message_field field;
    double time = 0.0;
    int64_t step = 0;
    bool wrong = false, versioned = false;
    enum status status = STATUS_OK;
    while (message_next(&event, &field, &wrong)) {
        if (field.number == EVENT_WALL_TIME && field.type == WIRE_64)
            time = message_field_double(&field);
        if (field.number == EVENT_STEP && field.type == WIRE_VARINT)
            step = (int64_t)field.value;
        if (field.number == EVENT_SUMMARY && field.type == WIRE_BYTES)
            summary = field.bytes;
        if (field.number == EVENT_FILE_VERSION && field.type == WIRE_BYTES)
            versioned = field.bytes.bytes >= strlen(version) && memcmp(field.bytes.data, version, strlen(version)) == 0;
    }
    if (first && !wrong && !versioned)
        return damaged(reader, "the first record is not that of an event file");
    if (isfinite(time) && time > 0.0) {
        reader->earliest = reader->earliest == 0.0 ? time : fmin(reader->earliest, time);
        reader->latest = fmax(reader->latest, time);
    }
    while (status == STATUS_OK && !wrong && message_next(&summary, &field, &wrong)) {
        if (field.number == SUMMARY_VALUE && field.type == WIRE_BYTES)
            status = read_value(reader, field.bytes, step, &wrong);
    }
    return status == STATUS_OK && wrong ? damaged(reader, "the record is no message of an event file") : status;
}

static enum status read_events(struct event_reader *reader, const char *name)
{
    char *data = NULL;
    size_t bytes, offset = 0;
    bool found = true;
    enum status status = import_read_file(reader->source, reader->path, name, &data, &bytes, reader->error);
    while (status == STATUS_OK && found) {
        struct message_reader event;
        const bool first = offset == 0;
        reader->place = offset;
        status = event_file_next(reader->path, data, bytes, &offset, &found, &event, reader->error);
        if (status == STATUS_OK && found)
            status = read_event(reader, event, first);
    }
    if (status == STATUS_OK && offset == 0)
        status = error_set(reader->error, STATUS_INPUT, "%s holds no whole record of an event file", reader->path);
    else if (status == STATUS_OK && offset < bytes)
        status = import_add_note(reader->source, reader->error,
                                 "%s ends in a torn record of %zu bytes, which was left out", name, bytes - offset);
    free(data);
    return status;
}

/* ---- folders ----------------------------------------------------------------------------------------------------- */

/* Paths below a folder. */
struct paths {
    char **paths;
    size_t count, seen; /* kept; looked at */
};

static enum status add_path(struct paths *paths, const char *path, struct error *error)
{
    char **more = realloc(paths->paths, (paths->count + 1) * sizeof *more);
    if (more == NULL)
        return error_out_of_memory(error, "a list of files");
    paths->paths = more;
    more[paths->count] = strdup(path);
    return more[paths->count++] != NULL ? STATUS_OK : error_out_of_memory(error, "a list of files");
}

static bool is_real_folder(DIR *list, const struct dirent *entry)
{
    struct stat about;
    return fstatat(dirfd(list), entry->d_name, &about, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(about.st_mode);
}

/* Links are not followed: a folder could hold itself. */
static enum status list_files(struct paths *paths, const char *root, const char *below, unsigned depth,
                              struct error *error)
{
    char folder[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
    enum status status = file_path(folder, error, "%s%s%s", root, below[0] != '\0' ? "/" : "", below);
    DIR *list = status == STATUS_OK ? opendir(folder) : NULL;
    if (status == STATUS_OK && list == NULL)
        return error_set_errno(error, STATUS_INPUT, "cannot list the folder %s", folder);
    for (struct dirent *entry; status == STATUS_OK && list != NULL && (entry = readdir(list)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        if (++paths->seen > ENTRIES_MAX)
            status = error_set(error, STATUS_INPUT, "%s has more than %d files; name the folder of one run", root,
                               ENTRIES_MAX);
        else
            status = file_path(path, error, "%s%s%s", below, below[0] != '\0' ? "/" : "", entry->d_name);
        if (status == STATUS_OK && is_real_folder(list, entry) && depth < DEPTH_MAX)
            status = list_files(paths, root, path, depth + 1, error);
        else if (status == STATUS_OK && !is_real_folder(list, entry) && strstr(entry->d_name, "tfevents") != NULL)
            status = add_path(paths, path, error);
    }
    if (list != NULL)
        closedir(list);
    return status;
}

static int compare_paths(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum status read_folder(struct event_reader *reader, const char *folder)
{
    struct paths paths = { .count = 0 };
    enum status status = list_files(&paths, folder, "", 0, reader->error);
    if (status == STATUS_OK && paths.count == 0)
        status = error_set(reader->error, STATUS_INPUT,
                           "%s holds no event files (their names have \"tfevents\" in them), and no meta.yaml of a run "
                           "of MLflow",
                           folder);
    if (status == STATUS_OK)
        qsort(paths.paths, paths.count, sizeof *paths.paths, compare_paths);
    for (size_t i = 0; i < paths.count && status == STATUS_OK; i++) {
        char path[FILE_PATH_BYTES], group[TAG_BYTES / 2];
        const char *slash = strrchr(paths.paths[i], '/');
        status = file_path(path, reader->error, "%s/%s", folder, paths.paths[i]);
        snprintf(group, sizeof group, "%.*s", slash != NULL ? (int)(slash + 1 - paths.paths[i]) : 0, paths.paths[i]);
        reader->path = path;
        reader->group = group;
        if (status == STATUS_OK)
            status = read_events(reader, paths.paths[i]);
    }
    text_free_list(paths.paths, paths.count);
    return status;
}

enum status import_read_tensorboard(struct import_source *source, const char *path, struct error *error)
{
    struct event_reader reader = { .source = source, .path = path, .group = "", .error = error };
    const char *slash = strrchr(path, '/');
    source->tool = "TensorBoard";
    source->place = ": byte ";
    enum status status = import_source_name(source, path, error);
    if (status == STATUS_OK)
        status =
            file_is_folder(path) ? read_folder(&reader, path) : read_events(&reader, slash != NULL ? slash + 1 : path);
    import_time(reader.earliest, source->started);
    import_time(reader.latest, source->updated);
    return status;
}

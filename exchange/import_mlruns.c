/* MLflow's folder mlruns: mlruns/EXPERIMENT/RUN has meta.yaml, metrics/KEY (lines "time value step"), and params/KEY (a
 * text). A slash in a key is a folder. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/text.h"
#include "exchange/import.h"
#include "experiments/yaml.h"

static const size_t META_LIMIT = (size_t)1 << 20;

struct mlruns_reader {
    struct import_source *source;
    const char *folder;
    struct error *error;
};

/* ---- meta.yaml --------------------------------------------------------------------------------------------------- */

static const char *text_of(const struct node *meta, const char *key)
{
    const struct node *node = node_get(meta, key);
    return node != NULL && node->kind == NODE_SCALAR ? node->text : "";
}

static enum status read_meta(const struct mlruns_reader *reader)
{
    /* enum RunStatus of MLflow's protocol. */
    static const char *const words[] = { "", "RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED" };
    char path[FILE_PATH_BYTES], *text = NULL;
    size_t bytes;
    struct node *meta = NULL;
    struct import_source *source = reader->source;
    enum status status = file_path(path, reader->error, "%s/meta.yaml", reader->folder);
    if (status == STATUS_OK)
        status = file_read_unlinked(path, META_LIMIT, &text, &bytes, reader->error);
    if (status == STATUS_OK)
        status = import_add_file(source, "meta.yaml", path, text, bytes, reader->error);
    if (status == STATUS_OK)
        status = node_parse(text, bytes, path, 0, &meta, reader->error);
    if (status == STATUS_OK && meta->kind == NODE_MAP) {
        const char *code = text_of(meta, "status"), *name = text_of(meta, "run_name");
        snprintf(source->run, sizeof source->run, "%s", name[0] != '\0' ? name : text_of(meta, "run_id"));
        if (code[0] >= '1' && code[0] <= '5' && code[1] == '\0')
            snprintf(source->status, sizeof source->status, "%s", words[code[0] - '0']);
        import_time(strtod(text_of(meta, "start_time"), NULL) / 1000.0, source->started);
        import_time(strtod(text_of(meta, "end_time"), NULL) / 1000.0, source->updated);
    }
    node_free(meta);
    free(text);
    return status;
}

/* ---- metrics and parameters -------------------------------------------------------------------------------------- */

/* "1764300000000 8.31 180"; lines of old versions have no step, and new ones may go on with a data set. */
static enum status read_line(const struct mlruns_reader *reader, const char *path, uint64_t number, const char *line,
                             struct import_point *point)
{
    char *end = NULL;
    const char *value = strchr(line, ' '), *step = value != NULL ? strchr(value + 1, ' ') : NULL;
    bool good = value != NULL && strspn(line, "-0123456789") == (size_t)(value - line);
    *point = (struct import_point){ .place = number, .file = (uint32_t)reader->source->file_count - 1 };
    if (good) {
        point->value = strtod(value + 1, &end);
        good = end != value + 1 && (*end == ' ' || *end == '\0') && strpbrk(value, "xX") == NULL;
    }
    if (good && step != NULL) {
        errno = 0;
        point->number = strtoll(step + 1, &end, 10);
        good = errno == 0 && end != step + 1 && (*end == ' ' || *end == '\0');
    }
    return good ? STATUS_OK
                : error_set(reader->error, STATUS_INPUT,
                            "%s:%" PRIu64 ": the line is not of the form \"time value step\"", path, number);
}

static enum status read_metric(const struct mlruns_reader *reader, const char *key)
{
    char path[FILE_PATH_BYTES], name[FILE_PATH_BYTES], *text = NULL, *rest = NULL;
    size_t bytes;
    uint64_t number = 0;
    struct import_series *series;
    enum status status = import_find_series(reader->source, key, &series, reader->error);
    if (status != STATUS_OK || !reader->source->wants(reader->source->context, key))
        return status;
    status = file_path(path, reader->error, "%s/metrics/%s", reader->folder, key);
    if (status == STATUS_OK)
        status = file_path(name, reader->error, "metrics/%s", key);
    if (status == STATUS_OK)
        status = import_read_file(reader->source, path, name, &text, &bytes, reader->error);
    if (status == STATUS_OK)
        text_unify(text, bytes);
    rest = text;
    for (char *line; status == STATUS_OK && (line = strsep(&rest, "\n")) != NULL;) {
        struct import_point point;
        number++;
        if (line[0] == '\0')
            continue;
        status = read_line(reader, path, number, line, &point);
        if (status == STATUS_OK)
            status = import_add_point(reader->source, series, point, reader->error);
    }
    free(text);
    return status;
}

static enum status read_parameter(const struct mlruns_reader *reader, const char *key)
{
    char path[FILE_PATH_BYTES], name[FILE_PATH_BYTES], *text = NULL;
    size_t bytes;
    enum status status = file_path(path, reader->error, "%s/params/%s", reader->folder, key);
    if (status == STATUS_OK)
        status = file_path(name, reader->error, "params/%s", key);
    if (status == STATUS_OK)
        status = import_read_file(reader->source, path, name, &text, &bytes, reader->error);
    if (status == STATUS_OK)
        status = import_add_setting(reader->source, key, text, reader->error);
    free(text);
    return status;
}

/* ---- folders ----------------------------------------------------------------------------------------------------- */

static int keep_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* A link would take a file of its reader into a record that others get to see: it is left out, and a note says so. */
static enum status is_link(const struct mlruns_reader *reader, const char *path, bool *link)
{
    struct stat about;
    *link = lstat(path, &about) == 0 && S_ISLNK(about.st_mode);
    return *link ? import_add_note(reader->source, reader->error, "the symbolic link %s was left out", path)
                 : STATUS_OK;
}

/* Calls `read` for each file below a folder of the run, by name; what is not there is empty. */
static enum status for_each(const struct mlruns_reader *reader, const char *kind, const char *below, unsigned depth,
                            enum status (*read)(const struct mlruns_reader *reader, const char *key))
{
    enum { DEPTH_MAX = 8 };
    char folder[FILE_PATH_BYTES], key[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
    struct dirent **entries = NULL;
    const char *slash = below[0] != '\0' ? "/" : "";
    bool link = false;
    enum status status = file_path(folder, reader->error, "%s/%s%s%s", reader->folder, kind, slash, below);
    if (status == STATUS_OK)
        status = is_link(reader, folder, &link);
    if (link)
        return status;
    const int count = status == STATUS_OK ? scandir(folder, &entries, keep_visible, alphasort) : 0;
    if (count < 0)
        return below[0] == '\0' && errno == ENOENT
                   ? STATUS_OK
                   : error_set_errno(reader->error, STATUS_INPUT, "cannot list the folder %s", folder);
    for (int i = 0; i < count; i++) {
        if (status == STATUS_OK)
            status = file_path(key, reader->error, "%s%s%s", below, slash, entries[i]->d_name);
        if (status == STATUS_OK)
            status = file_path(path, reader->error, "%s/%s/%s", reader->folder, kind, key);
        if (status == STATUS_OK)
            status = is_link(reader, path, &link);
        if (status == STATUS_OK && !link && file_is_folder(path) && depth < DEPTH_MAX)
            status = for_each(reader, kind, key, depth + 1, read);
        else if (status == STATUS_OK && !link && !file_is_folder(path))
            status = read(reader, key);
        free(entries[i]);
    }
    free(entries);
    return status;
}

enum status import_read_mlruns(struct import_source *source, const char *path, struct error *error)
{
    const struct mlruns_reader reader = { .source = source, .folder = path, .error = error };
    source->tool = "MLflow";
    source->place = ":";
    enum status status = import_source_name(source, path, error);
    if (status == STATUS_OK)
        status = read_meta(&reader);
    if (status == STATUS_OK)
        status = for_each(&reader, "params", "", 0, read_parameter);
    if (status == STATUS_OK)
        status = for_each(&reader, "metrics", "", 0, read_metric);
    return status;
}

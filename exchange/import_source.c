#include "exchange/import_source.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/text.h"
#include "fetch/gunzip.h"

enum { TEXT_BYTES_MAX = 2000 };
static const size_t FILE_LIMIT = (size_t)1 << 30;

static enum status no_memory(const struct import_source *source, struct error *error)
{
    return error_out_of_memory(error, "the run in %s", source->name != NULL ? source->name : "the source");
}

enum status import_source_name(struct import_source *source, const char *name, struct error *error)
{
    char escaped[TEXT_BYTES_MAX];
    text_escape(escaped, sizeof escaped, TEXT_TERMINAL, name);
    source->name = strdup(escaped);
    return source->name != NULL ? STATUS_OK : no_memory(source, error);
}

void import_source_free(struct import_source *source)
{
    for (size_t i = 0; i < source->series_count; i++) {
        free(source->series[i].name);
        free(source->series[i].points);
    }
    for (size_t i = 0; i < source->file_count; i++) {
        free(source->files[i].name);
        free(source->files[i].shown);
    }
    free(source->series);
    free(source->files);
    text_free_list(source->settings.texts, source->settings.count);
    text_free_list(source->notes.texts, source->notes.count);
    free(source->name);
    *source = (struct import_source){ .tool = NULL };
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

enum status import_add_file(struct import_source *source, const char *name, const char *shown, const void *data,
                            size_t bytes, struct error *error)
{
    if (source->file_count == IMPORT_FILES_MAX)
        return error_set(error, STATUS_INPUT, "%s has more than %d files; name a smaller folder", source->name,
                         IMPORT_FILES_MAX);
    struct import_file *files = realloc(source->files, (source->file_count + 1) * sizeof *files);
    if (files == NULL)
        return no_memory(source, error);
    source->files = files;
    struct import_file *file = &files[source->file_count];
    *file = (struct import_file){ .name = strdup(name), .shown = strdup(shown) };
    sha256_hex(data, bytes, file->sha256);
    source->file_count++;
    return file->name != NULL && file->shown != NULL ? STATUS_OK : no_memory(source, error);
}

/* What comes out of a gzip file. */
static enum status unpack(const char *path, char **data, size_t *bytes, struct error *error)
{
    struct gunzip *gunzip;
    const void *part;
    size_t got = 0, room = 0;
    char *all = NULL;
    enum status status = gunzip_open(&gunzip, path, FILE_LIMIT, error);
    if (status != STATUS_OK)
        return status;
    *bytes = 0;
    while ((status = gunzip_next(gunzip, &part, &got, error)) == STATUS_OK && got > 0) {
        if (*bytes + got + 1 > room) {
            room = 2 * (*bytes + got + 1);
            char *more = realloc(all, room);
            if (more == NULL) {
                status = error_out_of_memory(error, "%s", path);
                break;
            }
            all = more;
        }
        memcpy(all + *bytes, part, got);
        *bytes += got;
    }
    gunzip_close(gunzip);
    if (status == STATUS_OK && all == NULL && (all = malloc(1)) == NULL)
        status = error_out_of_memory(error, "%s", path);
    if (status != STATUS_OK) {
        free(all);
        return status;
    }
    all[*bytes] = '\0';
    *data = all;
    return STATUS_OK;
}

enum status import_read_file(struct import_source *source, const char *path, const char *name, char **data,
                             size_t *bytes, struct error *error)
{
    static const char gzip[] = { 0x1f, (char)0x8b };
    enum status status = file_read(path, FILE_LIMIT, data, bytes, error);
    if (status == STATUS_OK)
        status = import_add_file(source, name, path, *data, *bytes, error);
    if (status == STATUS_OK && *bytes >= sizeof gzip && memcmp(*data, gzip, sizeof gzip) == 0) {
        free(*data);
        *data = NULL;
        status = unpack(path, data, bytes, error);
    }
    if (status != STATUS_OK) {
        free(*data);
        *data = NULL;
    }
    return status;
}

void import_source_digest(const struct import_source *source, char hex[DIGEST_HEX_BYTES])
{
    struct sha256 sha256;
    uint8_t digest[DIGEST_BYTES];
    if (source->file_count == 1) {
        memcpy(hex, source->files[0].sha256, DIGEST_HEX_BYTES);
        return;
    }
    sha256_start(&sha256);
    for (size_t i = 0; i < source->file_count; i++) {
        const struct import_file *file = &source->files[i];
        sha256_add(&sha256, file->sha256, strlen(file->sha256));
        sha256_add(&sha256, "  ", 2);
        sha256_add(&sha256, file->name, strlen(file->name));
        sha256_add(&sha256, "\n", 1);
    }
    sha256_finish(&sha256, digest);
    digest_to_hex(digest, hex);
}

void import_where(const struct import_source *source, const struct import_point *point, char text[IMPORT_WHERE_BYTES])
{
    snprintf(text, IMPORT_WHERE_BYTES, "%.900s%s%" PRIu64, source->files[point->file].shown, source->place,
             point->place);
}

/* ---- series ------------------------------------------------------------------------------------------------------ */

enum status import_find_series(struct import_source *source, const char *name, struct import_series **series,
                               struct error *error)
{
    /* Points come in rounds over the same few names: the search begins after the last one that was found. */
    for (size_t i = 0; i < source->series_count; i++) {
        const size_t at = (source->found + 1 + i) % source->series_count;
        if (strcmp(source->series[at].name, name) == 0) {
            source->found = at;
            *series = &source->series[at];
            return STATUS_OK;
        }
    }
    if (source->series_count == IMPORT_SERIES_MAX)
        return error_set(error, STATUS_INPUT, "%s has more than %d series of numbers", source->name, IMPORT_SERIES_MAX);
    struct import_series *more = realloc(source->series, (source->series_count + 1) * sizeof *more);
    if (more == NULL)
        return no_memory(source, error);
    source->series = more;
    more[source->series_count] = (struct import_series){ .name = strdup(name) };
    if (more[source->series_count].name == NULL)
        return no_memory(source, error);
    source->found = source->series_count;
    *series = &more[source->series_count++];
    return STATUS_OK;
}

enum status import_add_point(struct import_source *source, struct import_series *series, struct import_point point,
                             struct error *error)
{
    if (!source->wants(source->context, series->name))
        return STATUS_OK;
    if (series->count == series->room) {
        const size_t room = 2 * series->room + 64;
        struct import_point *points = realloc(series->points, room * sizeof *points);
        if (points == NULL)
            return no_memory(source, error);
        series->points = points;
        series->room = room;
    }
    series->points[series->count++] = point;
    return STATUS_OK;
}

/* ---- texts ------------------------------------------------------------------------------------------------------- */

enum status import_texts_add(struct import_texts *list, const char *text, struct error *error)
{
    char escaped[TEXT_BYTES_MAX];
    char **texts = realloc(list->texts, (list->count + 2) * sizeof *texts);
    if (texts == NULL)
        return error_out_of_memory(error, "a list of texts");
    list->texts = texts;
    text_escape(escaped, sizeof escaped, TEXT_TERMINAL, text);
    texts[list->count] = strdup(escaped);
    if (texts[list->count] == NULL)
        return error_out_of_memory(error, "a list of texts");
    texts[++list->count] = NULL;
    return STATUS_OK;
}

/* The same up to so many texts, and one that says that there are more. */
static enum status add_some(struct import_texts *list, size_t most, const char *text, struct error *error)
{
    if (list->count > most)
        return STATUS_OK;
    return import_texts_add(list, list->count < most ? text : "(there are more)", error);
}

enum status import_add_setting(struct import_source *source, const char *name, const char *value, struct error *error)
{
    char text[TEXT_BYTES_MAX];
    snprintf(text, sizeof text, "%s=%s", name, value);
    return add_some(&source->settings, IMPORT_SETTINGS_MAX, text, error);
}

enum status import_add_note(struct import_source *source, struct error *error, const char *format, ...)
{
    char text[TEXT_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return add_some(&source->notes, IMPORT_NOTES_MAX, text, error);
}

void import_time(double seconds, char text[IMPORT_TIME_BYTES])
{
    const double most = 253402300799.0; /* the end of the year 9999 */
    struct tm utc;
    time_t time = 0;
    text[0] = '\0';
    if (!(seconds > 0.0 && seconds <= most))
        return;
    time = (time_t)seconds;
    if (gmtime_r(&time, &utc) != NULL)
        strftime(text, IMPORT_TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

#include "plots/published.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/manifest.h"
#include "plots/curve.h"

enum { VALUES_MAX = 128, TABLE_BYTES_MAX = 1 << 20 };

/* The source of a target is "who, where, how": the first part is its name. */
static void name_source(struct published_value *value, const char *source)
{
    snprintf(value->source, sizeof value->source, "%.*s", (int)strcspn(source, ","), source);
}

/* The values that manifests of experiments/ have as targets. */
static enum status read_targets(struct published_value *values, size_t *count, struct error *error)
{
    static const char *const families[] = { "msra", "paper", "akamaster" };
    static const int depths[] = { 20, 32, 44, 56, 110 };
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
            char path[64];
            struct manifest manifest;
            bool there;
            snprintf(path, sizeof path, "%s/resnet%d.yaml", families[f], depths[d]);
            enum status status = manifest_read_installed(path, &manifest, &there, error);
            if (status != STATUS_OK)
                return status;
            if (!there)
                continue;
            for (size_t t = 0; t < manifest.target_count; t++) {
                if (manifest.targets[t].best || *count == VALUES_MAX)
                    continue;
                values[*count] =
                    (struct published_value){ .depth = depths[d], .value = manifest.targets[t].value, .spread = NAN };
                name_source(&values[(*count)++], manifest.targets[t].source);
            }
            manifest_free(&manifest);
        }
    }
    return STATUS_OK;
}

/* A line of the table: quantity, source, depth, value, spread, and what people read. */
static enum status parse_line(const char *path, size_t number, const char *line, const char *quantity,
                              struct published_value *values, size_t *count, struct error *error)
{
    char what[16], spread[16];
    struct published_value value = { .spread = NAN };
    if (sscanf(line, "%15[^\t\n]\t%63[^\t\n]\t%lf\t%lf\t%15[^\t\n]\t", what, value.source, &value.depth, &value.value,
               spread) != 5 ||
        !(value.depth > 0.0) || !(value.value > 0.0) || *count == VALUES_MAX)
        return error_set(error, STATUS_INPUT,
                         "%s:%zu: not a line of quantity, source, depth, value, spread, runs and "
                         "protocol",
                         path, number);
    value.spread = strtod(spread, NULL);
    if (strcmp(what, quantity) == 0)
        values[(*count)++] = value;
    return STATUS_OK;
}

static enum status read_table(const char *quantity, struct published_value *values, size_t *count, struct error *error)
{
    char path[FILE_PATH_BYTES], *text;
    size_t bytes, number = 0;
    bool headed = false;
    enum status status = plots_find("published_results.tsv", path, error);
    if (status == STATUS_OK)
        status = file_read(path, TABLE_BYTES_MAX, &text, &bytes, error);
    if (status != STATUS_OK)
        return status;
    for (char *line = text, *next; line != NULL && *line != '\0' && status == STATUS_OK; line = next) {
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        number++;
        if (line[0] == '#' || line[0] == '\0')
            continue;
        if (headed)
            status = parse_line(path, number, line, quantity, values, count, error);
        headed = true;
    }
    free(text);
    return status;
}

enum status published_read(const char *quantity, struct published_value **values, size_t *count, struct error *error)
{
    *count = 0;
    *values = calloc(VALUES_MAX, sizeof **values);
    enum status status = *values != NULL ? STATUS_OK : error_out_of_memory(error, "published values");
    if (status == STATUS_OK && strcmp(quantity, "error") == 0)
        status = read_targets(*values, count, error);
    if (status == STATUS_OK)
        status = read_table(quantity, *values, count, error);
    if (status != STATUS_OK) {
        free(*values);
        *values = NULL;
    }
    return status;
}

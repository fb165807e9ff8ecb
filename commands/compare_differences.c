#include "commands/compare_differences.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "commands/table.h"
#include "experiments/settings_difference.h"

static const struct table_column difference_columns[] = { { "key", false, 0 },
                                                          { "first", false, 0 },
                                                          { "second", false, 0 } };

/* The rows of one table, as text and as JSON. */
struct rows {
    struct table *table;
    json_t *json; /* an array, where there is no table */
    size_t count;
};

static enum status rows_open(struct rows *rows, bool json, struct error *error)
{
    *rows = (struct rows){ .table = NULL };
    if (json)
        rows->json = json_array();
    else
        rows->table = table_open(difference_columns, 3);
    return rows->json != NULL || rows->table != NULL ? STATUS_OK : error_out_of_memory(error, "what differs");
}

/* Digests and other long values are cut for people; JSON has them whole. */
static void value_cell(struct table *table, const char *value)
{
    enum { MOST = 56, DIGITS = 16 };
    uint8_t digest[DIGEST_BYTES];
    if (value[0] == '\0')
        table_cell(table, "-");
    else if (digest_from_hex(value, digest))
        table_cell(table, "%.*s...", DIGITS, value);
    else if (strlen(value) > MOST)
        table_cell(table, "%.*s...", MOST - 3, value);
    else
        table_cell(table, "%s", value);
}

static void rows_add(struct rows *rows, const char *key, const char *first, const char *second)
{
    rows->count++;
    if (rows->table == NULL) {
        json_add(&rows->json,
                 json_pack("{s:s, s:o, s:o}", "key", key, "first", json_text(first), "second", json_text(second)));
        return;
    }
    table_cell(rows->table, "%s", key);
    value_cell(rows->table, first);
    value_cell(rows->table, second);
}

/* Prints the table below its heading, or hands the JSON over. */
static enum status rows_close(struct rows *rows, const char *heading, json_t *object, const char *name,
                              struct error *error)
{
    enum status status = STATUS_OK;
    if (rows->table == NULL && json_object_set_new(object, name, rows->json) != 0)
        status = error_out_of_memory(error, "what differs");
    if (rows->table != NULL && rows->count > 0) {
        text_line(stdout, "%s", "");
        text_line(stdout, "%s", heading);
        status = table_print(rows->table, NULL, error);
    }
    table_close(rows->table);
    return status;
}

enum status show_settings(const struct record *a, const struct record *b, bool all, json_t *json, struct error *error)
{
    struct settings_difference *differences;
    struct rows rows;
    size_t count;
    enum status status =
        settings_differences(a->manifest_text, a->path, b->manifest_text, b->path, &differences, &count, error);
    if (status == STATUS_OK)
        status = rows_open(&rows, json != NULL, error);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < count; i++) {
        if (differences[i].moves_bits || all)
            rows_add(&rows, differences[i].key, differences[i].first, differences[i].second);
    }
    settings_differences_free(differences, count);
    return rows_close(&rows, "What differs in the manifests:", json, "settings", error);
}

/* "" for what an imported run does not have. */
static void print_number(char text[DIGEST_HEX_BYTES], double value)
{
    text[0] = '\0';
    if (!isnan(value))
        snprintf(text, DIGEST_HEX_BYTES, "%.9g", value);
}

enum status show_metrics(const struct comparison *c, bool all, json_t *json, struct error *error)
{
    struct rows rows;
    char heading[128];
    enum status status = rows_open(&rows, json != NULL, error);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; c->last_first != NULL && i < metrics_column_count; i++) {
        const struct metrics_column *column = &metrics_columns[i];
        char a[DIGEST_HEX_BYTES], b[DIGEST_HEX_BYTES];
        if (column->type == METRICS_DIGEST) {
            snprintf(a, sizeof a, "%s", (const char *)c->last_first + column->offset);
            snprintf(b, sizeof b, "%s", (const char *)c->last_second + column->offset);
        } else {
            print_number(a, metrics_value(c->last_first, column));
            print_number(b, metrics_value(c->last_second, column));
        }
        if (all || (column->depends != METRICS_MACHINE && strcmp(a, b) != 0))
            rows_add(&rows, column->name, a, b);
    }
    if (c->last_first == NULL)
        heading[0] = '\0';
    else if (c->last_first->epoch == c->last_second->epoch)
        snprintf(heading, sizeof heading, "Results after epoch %" PRIu64 ":", c->last_first->epoch + 1);
    else
        snprintf(heading, sizeof heading, "Results after the last epochs, %" PRIu64 " and %" PRIu64 ":",
                 c->last_first->epoch + 1, c->last_second->epoch + 1);
    return rows_close(&rows, heading, json, "results", error);
}

struct circumstances {
    struct rows rows;
    bool all;
};

/* Sections that say how a run was computed. With --all, everything; times always differ. */
static void add_circumstance(void *context, const char *key, const char *first, const char *second)
{
    static const char *const sections[] = { "engine.", "program.", "host.", "environment." };
    struct circumstances *to = context;
    bool shown = to->all;
    for (size_t i = 0; i < sizeof sections / sizeof *sections && !shown; i++)
        shown = strncmp(key, sections[i], strlen(sections[i])) == 0 && strcmp(first, second) != 0;
    if (shown)
        rows_add(&to->rows, key, first, second);
}

enum status show_circumstances(const struct record *a, const struct record *b, bool all, json_t *json,
                               struct error *error)
{
    struct circumstances circumstances = { .all = all };
    enum status status = rows_open(&circumstances.rows, json != NULL, error);
    if (status != STATUS_OK)
        return status;
    record_json_pairs(&a->facts, &b->facts, add_circumstance, &circumstances);
    return rows_close(&circumstances.rows, all ? "The records:" : "Computed in other circumstances:", json,
                      "circumstances", error);
}

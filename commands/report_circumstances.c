/* Where the runs of selfsame report came from: settings, machines, digests, signatures; how to compute them again. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "commands/report.h"
#include "commands/report_page.h"
#include "experiments/settings_difference.h"
#include "results/attestation.h"
#include "results/imported.h"

/* ---- a table of keys and runs ------------------------------------------------------------------------------------ */

/* Values by key, a column for each run. Keys are in the order in which they were first met. */
struct keys {
    struct key {
        char *key;
        char **values; /* [runs]; NULL: none */
    } * rows;
    size_t count, runs;
    bool failed; /* without memory */
};

static struct key *find_key(struct keys *keys, const char *name)
{
    for (size_t i = 0; i < keys->count; i++) {
        if (strcmp(keys->rows[i].key, name) == 0)
            return &keys->rows[i];
    }
    struct key *rows = realloc(keys->rows, (keys->count + 1) * sizeof *rows);
    if (rows == NULL)
        return NULL;
    keys->rows = rows;
    struct key *row = &rows[keys->count];
    *row = (struct key){ .key = strdup(name), .values = calloc(keys->runs, sizeof *row->values) };
    if (row->key == NULL || row->values == NULL) {
        free(row->key);
        free(row->values);
        return NULL;
    }
    keys->count++;
    return row;
}

static void set_key(struct keys *keys, const char *name, size_t run, const char *value)
{
    struct key *row = find_key(keys, name);
    if (row != NULL) {
        free(row->values[run]);
        row->values[run] = strdup(value);
    }
    keys->failed |= row == NULL || row->values[run] == NULL;
}

static void free_keys(struct keys *keys)
{
    for (size_t i = 0; i < keys->count; i++) {
        for (size_t r = 0; r < keys->runs; r++)
            free(keys->rows[i].values[r]);
        free(keys->rows[i].values);
        free(keys->rows[i].key);
    }
    free(keys->rows);
}

static const char *value_of(const struct key *row, size_t run)
{
    return row->values[run] != NULL ? row->values[run] : "";
}

static bool is_same_everywhere(const struct keys *keys, const struct key *row)
{
    for (size_t r = 1; r < keys->runs; r++) {
        if (strcmp(value_of(row, r), value_of(row, 0)) != 0)
            return false;
    }
    return true;
}

/* The rows that are the same everywhere have one value, and those that differ one for each run. */
static void print_keys(const struct report *report, const struct keys *keys, bool same, const char *caption)
{
    FILE *page = report->page;
    size_t rows = 0;
    for (size_t i = 0; i < keys->count; i++)
        rows += is_same_everywhere(keys, &keys->rows[i]) == same;
    if (rows == 0)
        return;
    page_table_begin(page, caption);
    fputs("<thead><tr><th scope=\"col\">key</th>", page);
    for (size_t r = 0; r < (same ? 1 : keys->runs); r++) {
        fputs("<th scope=\"col\">", page);
        page_text(page, "%s", !same ? report->records[r]->name : keys->runs > 1 ? "every run" : "value");
        fputs("</th>", page);
    }
    fputs("</tr></thead>\n<tbody>\n", page);
    for (size_t i = 0; i < keys->count; i++) {
        if (is_same_everywhere(keys, &keys->rows[i]) != same)
            continue;
        page_row_begin(page);
        fputs("<th scope=\"row\">", page);
        page_text(page, "%s", keys->rows[i].key);
        fputs("</th>", page);
        for (size_t r = 0; r < (same ? 1 : keys->runs); r++) {
            fputs("<td class=\"long\">", page);
            page_text(page, "%s", value_of(&keys->rows[i], r));
            fputs("</td>", page);
        }
        page_row_end(page);
    }
    page_table_end(page);
}

/* ---- settings ---------------------------------------------------------------------------------------------------- */

static const char seed_key[] = "training.seed";

/* Every key in which some run differs from the first. */
static enum status gather_differences(const struct report *report, struct keys *keys, struct error *error)
{
    const struct record *first = report->records[0];
    for (size_t i = 1; i < report->count; i++) {
        struct settings_difference *differences;
        size_t count;
        enum status status = settings_differences(first->manifest_text, first->name, report->records[i]->manifest_text,
                                                  report->records[i]->name, &differences, &count, error);
        if (status != STATUS_OK)
            return status;
        for (size_t d = 0; d < count; d++) {
            struct key *row = find_key(keys, differences[d].key);
            keys->failed |= row == NULL;
            for (size_t r = 0; row != NULL && r < report->count; r++) {
                if (row->values[r] == NULL) /* until another difference says otherwise */
                    set_key(keys, differences[d].key, r, differences[d].first);
            }
            set_key(keys, differences[d].key, i, differences[d].second);
        }
        settings_differences_free(differences, count);
    }
    return keys->failed ? error_out_of_memory(error, "the settings") : STATUS_OK;
}

/* Runs that differ in the seed alone share a column: the number of the first run of each run's column. NULL without
 * memory. */
static size_t *find_columns(const struct keys *keys)
{
    size_t *columns = calloc(keys->runs, sizeof *columns);
    for (size_t r = 0; columns != NULL && r < keys->runs; r++) {
        columns[r] = r;
        for (size_t other = 0; other < r && columns[r] == r; other++) {
            bool same = columns[other] == other;
            for (size_t i = 0; i < keys->count && same; i++)
                same = strcmp(keys->rows[i].key, seed_key) == 0 ||
                       strcmp(value_of(&keys->rows[i], r), value_of(&keys->rows[i], other)) == 0;
            columns[r] = same ? other : r;
        }
    }
    return columns;
}

static void print_column_name(const struct report *report, const size_t *columns, size_t column)
{
    size_t runs = 0;
    for (size_t r = 0; r < report->count; r++)
        runs += columns[r] == column;
    const struct record *record = report->records[column];
    if (runs > 1)
        page_text(report->page, "%s, %zu runs", record->facts.manifest_name, runs);
    else
        page_text(report->page, "%s", record->name);
}

static void print_setting(const struct report *report, const size_t *columns, size_t column, const struct key *row)
{
    FILE *page = report->page;
    fputs("<td class=\"long\">", page);
    page_text(page, "%s", value_of(row, column));
    for (size_t r = column + 1; r < report->count && strcmp(row->key, seed_key) == 0; r++) {
        if (columns[r] == column)
            page_text(page, ", %s", value_of(row, r));
    }
    fputs("</td>", page);
}

/* A row for each key; or, where there are many columns and few keys, a row for each of these columns. */
static enum status print_differences(const struct report *report, const struct keys *keys, struct error *error)
{
    enum { COLUMNS_MANY = 4 };
    FILE *page = report->page;
    size_t *columns = find_columns(keys), count = 0;
    if (columns == NULL)
        return error_out_of_memory(error, "the settings");
    for (size_t r = 0; r < report->count; r++)
        count += columns[r] == r;
    const bool keys_across = count > COLUMNS_MANY && count > keys->count;
    const size_t rows = keys_across ? report->count : keys->count, across = keys_across ? keys->count : report->count;
    page_table_begin(page, "The settings that differ");
    fprintf(page, "<thead><tr><th scope=\"col\">%s</th>", keys_across ? "runs" : "key");
    for (size_t i = 0; i < across; i++) {
        if (!keys_across && columns[i] != i)
            continue;
        fputs("<th scope=\"col\">", page);
        if (keys_across)
            page_text(page, "%s", keys->rows[i].key);
        else
            print_column_name(report, columns, i);
        fputs("</th>", page);
    }
    fputs("</tr></thead>\n<tbody>\n", page);
    for (size_t i = 0; i < rows; i++) {
        if (keys_across && columns[i] != i)
            continue;
        page_row_begin(page);
        fputs("<th scope=\"row\">", page);
        if (keys_across)
            print_column_name(report, columns, i);
        else
            page_text(page, "%s", keys->rows[i].key);
        fputs("</th>", page);
        for (size_t j = 0; j < across; j++) {
            const size_t column = keys_across ? i : j;
            if (columns[column] == column)
                print_setting(report, columns, column, &keys->rows[keys_across ? j : i]);
        }
        page_row_end(page);
    }
    page_table_end(page);
    free(columns);
    return STATUS_OK;
}

enum status report_configuration(const struct report *report, struct error *error)
{
    FILE *page = report->page;
    struct keys keys = { .runs = report->count };
    page_element(page, "h2", "Configuration");
    enum status status = gather_differences(report, &keys, error);
    if (status == STATUS_OK && report->count > 1 && keys.count == 0)
        page_element(page, "p", "All these runs have the same settings.");
    if (status == STATUS_OK && keys.count > 0)
        status = print_differences(report, &keys, error);
    for (size_t i = 0; i < report->count && status == STATUS_OK; i++) {
        if (report->count > 1) {
            /* Paper has those of the first run, and the table has how the others differ. */
            fputs(i == 0 ? "<details class=\"printed\">\n<summary>" : "<details>\n<summary>", page);
            page_text(page, "All settings of %s", report->records[i]->name);
            fputs("</summary>\n", page);
        }
        page_lines(page, report->records[i]->manifest_text);
        fputs(report->count > 1 ? "</details>\n" : "", page);
    }
    free_keys(&keys);
    return status;
}

/* ---- what the record says about itself --------------------------------------------------------------------------- */

struct section {
    struct keys *keys;
    size_t run;
    bool digests; /* the keys of digests, or those of circumstances */
};

static bool begins_with_any(const char *key, const char *const *prefixes)
{
    for (; *prefixes != NULL; prefixes++) {
        if (strncmp(key, *prefixes, strlen(*prefixes)) == 0)
            return true;
    }
    return false;
}

static void visit_pair(void *context, const char *key, const char *value, const char *same)
{
    /* What the other parts of the page have. */
    static const char *const elsewhere[] = { "format",           "name",        "state",
                                             "failure",          "result.",     "manifest.",
                                             "network",          "experiment.", "training_data.",
                                             "validation_data.", NULL };
    const struct section *section = context;
    const bool digest = strstr(key, "sha256") != NULL;
    char rounded[64];
    (void)same;
    if (digest != section->digests || (!digest && begins_with_any(key, elsewhere)) || value[0] == '\0')
        return;
    const char *unit = strrchr(key, '_');
    if (unit != NULL && (strcmp(unit, "_seconds") == 0 || strcmp(unit, "_joules") == 0)) {
        snprintf(rounded, sizeof rounded, "%.1f", strtod(value, NULL));
        value = rounded;
    }
    set_key(section->keys, key, section->run, value);
}

static enum status gather_record(const struct report *report, bool digests, struct keys *keys, struct error *error)
{
    for (size_t i = 0; i < report->count; i++) {
        struct section section = { .keys = keys, .run = i, .digests = digests };
        record_json_pairs(&report->records[i]->facts, &report->records[i]->facts, visit_pair, &section);
    }
    return keys->failed ? error_out_of_memory(error, "the environment") : STATUS_OK;
}

enum status report_environment(const struct report *report, struct error *error)
{
    struct keys keys = { .runs = report->count };
    page_element(report->page, "h2", "Environment");
    enum status status = gather_record(report, false, &keys, error);
    if (status == STATUS_OK) {
        print_keys(report, &keys, false, "Where the runs differ");
        print_keys(report, &keys, true,
                   report->count > 1 ? "What is the same for every run" : "Where and how the run was computed");
    }
    free_keys(&keys);
    return status;
}

enum status report_digests(const struct report *report, struct error *error)
{
    struct keys keys = { .runs = report->count };
    page_element(report->page, "h2", "Digests");
    page_element(report->page, "p",
                 "SHA-256. Two exact runs of one experiment have the same weights and the same chain of steps on every "
                 "machine.");
    enum status status = gather_record(report, true, &keys, error);
    if (status == STATUS_OK) {
        print_keys(report, &keys, false, "Digests that differ");
        print_keys(report, &keys, true, report->count > 1 ? "Digests of every run" : "Digests");
    }
    free_keys(&keys);
    return status;
}

/* ---- signatures -------------------------------------------------------------------------------------------------- */

struct signatures {
    const struct report *report;
    const struct record *record; /* whose statements are visited */
    size_t rows;
};

/* The beginning of a row; the first one begins the table. */
static void begin_statement(struct signatures *signatures)
{
    FILE *page = signatures->report->page;
    if (signatures->rows++ == 0) {
        page_table_begin(page, "Signed statements");
        page_table_headings(page, "run|signature|key|statement");
    }
    page_row_begin(page);
    fputs("<th scope=\"row\">", page);
    page_text(page, "%s", signatures->record->name);
    fputs("</th><td>", page);
}

static void print_statement(void *context, const struct attestation *attestation, size_t key)
{
    struct signatures *signatures = context;
    FILE *page = signatures->report->page;
    begin_statement(signatures);
    if (key < signatures->report->key_count)
        page_verdict(page, PAGE_GOOD, "good");
    else
        page_verdict(page, PAGE_OPEN, "not verified: its public key was not named");
    fputs("</td><td class=\"long\">", page);
    page_text(page, "%s", attestation->key_id);
    fputs("</td><td class=\"long\">", page);
    page_text(page, "%s", attestation->summary);
    fputs("</td>", page);
    page_row_end(page);
}

enum status report_signatures(const struct report *report, struct error *error)
{
    FILE *page = report->page;
    struct signatures signatures = { .report = report };
    page_element(page, "h2", "Signatures");
    for (size_t i = 0; i < report->count; i++) {
        signatures.record = report->records[i];
        enum status status = attestations_check(report->records[i], report->keys, report->key_count, print_statement,
                                                &signatures, error);
        if (status == STATUS_INPUT) { /* damaged, or about other files: that is a finding */
            begin_statement(&signatures);
            page_verdict(page, PAGE_BAD, "bad");
            fputs("</td><td></td><td class=\"long\">", page);
            page_text(page, "%s", error->message);
            fputs("</td>", page);
            page_row_end(page);
            error->message[0] = '\0';
        } else if (status != STATUS_OK) {
            return status;
        }
    }
    if (signatures.rows > 0)
        page_table_end(page);
    else
        page_element(page, "p", "Nobody signed a statement about %s.", report->count == 1 ? "this run" : "these runs");
    return STATUS_OK;
}

/* ---- again ------------------------------------------------------------------------------------------------------- */

/* No text of the record is in a command: a name may be hostile to a shell. */
static void print_commands(FILE *page, const struct record *record)
{
    const struct record_facts *facts = &record->facts;
    fputs("<pre tabindex=\"0\">", page);
    if (record->manifest.dataset_kind == DATASET_CIFAR10)
        fputs("selfsame fetch manifest.yaml\n", page);
    fputs("selfsame train manifest.yaml --name again", page);
    if (record->epochs > 0 && record->epochs < facts->epochs_wanted)
        fprintf(page, " --epochs %zu", record->epochs);
    fputs("\n</pre>\n", page);
}

void report_again(const struct report *report)
{
    FILE *page = report->page;
    size_t ours = 0;
    for (size_t i = 0; i < report->count; i++)
        ours += !imported_is(report->records[i]);
    page_element(page, "h2", "Run it again");
    if (ours > 0)
        page_element(page, "p",
                     "Save the settings of a run, above, as manifest.yaml. Then these commands compute it again, and "
                     "selfsame compare says whether the bits are the same.");
    for (size_t i = 0; i < report->count; i++) {
        const struct record *record = report->records[i];
        if (report->count > 1)
            page_element(page, "h3", "%s", record->name);
        if (imported_is(record)) {
            page_element(page, "p", "It was imported. Only the tool that computed it can compute it again.");
            continue;
        }
        print_commands(page, record);
        page_element(page, "p.quiet", "Computed by selfsame %s. %s", record->facts.program_version,
                     record->facts.exact ? "Every machine and every exact engine gives the same bits."
                                         : "This arithmetic does not promise the same bits on other machines.");
    }
}

/* Makes the index fresh: looks at every run, and reads those that changed. Most of the time goes into looking. So other
 * threads list the runs and look at their files while the index itself is read. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lock.h"
#include "base/machine.h"
#include "results/imported.h"
#include "results/labels.h"
#include "results/run_columns.h"
#include "results/run_group.h"
#include "results/run_index_state.h"
#include "trainer/engine.h"

/* ---- how the files look ------------------------------------------------------------------------------------------ */

/* A folder in the runs folder. What the index knows of it, and how it looks now. */
struct entry {
    char *name;
    bool known, labels, locked, open; /* in the index */
    bool has_stamp;
    uint8_t stamp[DIGEST_BYTES];
    bool is_run, is_same;     /* now */
    bool settled, labels_now; /* of those that are not the same */
    uint8_t stamp_now[DIGEST_BYTES];
};

struct entries {
    struct entry *list;
    size_t count; /* in the runs folder */
    size_t total; /* and those that the index knows, and that are no longer there */
    size_t room;
    const struct run_index *index;
    int folder;
    time_t now;
};

/* `path` is the run's name; `end` is where the name of its file is added. */
static bool add_file(struct sha256 *sha256, int folder, char *path, char *end, const char *file, time_t *newest)
{
    struct stat about;
    strcpy(end, file);
    const bool there = fstatat(folder, path, &about, 0) == 0;
    if (!there)
        memset(&about, 0, sizeof about);
    const uint64_t facts[] = { (uint64_t)about.st_size,        (uint64_t)about.st_ino,
                               (uint64_t)about.st_mtim.tv_sec, (uint64_t)about.st_mtim.tv_nsec,
                               (uint64_t)about.st_ctim.tv_sec, (uint64_t)about.st_ctim.tv_nsec };
    sha256_add(sha256, facts, sizeof facts);
    *newest = about.st_ctim.tv_sec > *newest ? about.st_ctim.tv_sec : *newest;
    return there;
}

/* Whether it is a run, and how its files look, with tags and note or without. */
static void look(const struct entries *entries, struct entry *entry, bool labels)
{
    enum { SETTLED_S = 3 }; /* as in fetch/stamp.c */
    char path[NAME_MAX + 32];
    struct sha256 sha256;
    time_t newest = 0;
    const int folder = entries->folder;
    char *end = stpcpy(path, entry->name);
    sha256_start(&sha256);
    entry->is_run = add_file(&sha256, folder, path, end, "/" RECORD_FILE, &newest);
    if (!entry->is_run)
        return;
    (void)add_file(&sha256, folder, path, end, "", &newest);
    if (labels) {
        struct sha256 with = sha256;
        const bool tags = add_file(&with, folder, path, end, "/" LABELS_TAGS_FOLDER, &newest),
                   note = add_file(&with, folder, path, end, "/" LABELS_NOTE_FILE, &newest);
        entry->labels_now = tags || note;
        sha256 = entry->labels_now || entry->labels ? with : sha256;
    }
    sha256_finish(&sha256, entry->stamp_now);
    entry->settled = newest + SETTLED_S <= entries->now;
}

static void look_at_files(const struct entries *entries, struct entry *entry)
{
    look(entries, entry, false);
}

/* What the index knows is in the entry now. Only a run that had tags or a note, or is new, is looked at for them: the
 * time of its folder shows that another got its first. */
static void compare(const struct entries *entries, struct entry *entry)
{
    char lock[FILE_PATH_BYTES];
    struct error ignored;
    if (entry->is_run && (!entry->known || entry->labels))
        look(entries, entry, true);
    if (!entry->is_run)
        return;
    entry->is_same = entry->known && entry->has_stamp && memcmp(entry->stamp, entry->stamp_now, DIGEST_BYTES) == 0;
    if (entry->is_same && entry->open)
        entry->is_same =
            file_path(lock, &ignored, "%s/%s/" RECORD_LOCK_FILE, entries->index->runs, entry->name) == STATUS_OK &&
            lock_is_held(lock) == entry->locked;
}

struct share {
    const struct entries *entries;
    size_t from, to;
    void (*visit)(const struct entries *entries, struct entry *entry);
    pthread_t thread;
};

static void *visit_share(void *context)
{
    const struct share *share = context;
    for (size_t i = share->from; i < share->to; i++)
        share->visit(share->entries, &share->entries->list[i]);
    return NULL;
}

/* Looking at a file takes 1 to 3 microseconds, so thousands of runs are looked at by several threads. */
static void visit_all(const struct entries *entries, void (*visit)(const struct entries *, struct entry *))
{
    enum { THREADS_MAX = 8, LEAST = 500 };
    struct share shares[THREADS_MAX];
    size_t threads = machine_processors_usable(), started = 0;
    threads = threads > THREADS_MAX ? THREADS_MAX : threads;
    threads = threads > entries->count / LEAST ? entries->count / LEAST + 1 : threads;
    for (size_t i = 0; i < threads; i++)
        shares[i] = (struct share){ .entries = entries,
                                    .visit = visit,
                                    .from = entries->count * i / threads,
                                    .to = entries->count * (i + 1) / threads };
    while (started + 1 < threads &&
           pthread_create(&shares[started + 1].thread, NULL, visit_share, &shares[started + 1]) == 0)
        started++;
    for (size_t i = 0; i < threads; i++) {
        if (i == 0 || i > started)
            visit_share(&shares[i]);
    }
    for (size_t i = 1; i <= started; i++)
        pthread_join(shares[i].thread, NULL);
}

/* ---- listing ----------------------------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static void free_entries(struct entries *entries)
{
    for (size_t i = 0; i < entries->total; i++)
        free(entries->list[i].name);
    free(entries->list);
    if (entries->folder >= 0)
        close(entries->folder);
}

static enum status add_entry(struct entries *entries, const char *name, struct error *error)
{
    if (entries->total == entries->room) {
        const size_t room = 2 * entries->room + 64;
        struct entry *more = realloc(entries->list, room * sizeof *more);
        if (more == NULL)
            return error_out_of_memory(error, "the runs in %s", entries->index->runs);
        entries->list = more;
        entries->room = room;
    }
    entries->list[entries->total] = (struct entry){ .name = strdup(name) };
    if (entries->list[entries->total].name == NULL)
        return error_out_of_memory(error, "the runs in %s", entries->index->runs);
    entries->total++;
    return STATUS_OK;
}

static enum status list_entries(struct entries *entries, struct error *error)
{
    const char *runs = entries->index->runs;
    enum status status = STATUS_OK;
    DIR *list = opendir(runs);
    if (list == NULL && errno == ENOENT)
        return STATUS_OK;
    if (list == NULL || (entries->folder = dup(dirfd(list))) < 0)
        status = error_set_errno(error, STATUS_ENVIRONMENT, "cannot list the runs folder %s", runs);
    for (struct dirent *entry; status == STATUS_OK && (entry = readdir(list)) != NULL;) {
        if (entry->d_name[0] != '.')
            status = add_entry(entries, entry->d_name, error);
    }
    if (list != NULL)
        closedir(list);
    if (entries->total > 0)
        qsort(entries->list, entries->total, sizeof *entries->list, by_name);
    entries->count = entries->total;
    return status;
}

/* Adds what the index knows. Both are in the order of the names. What it knows and is gone comes after the entries. */
static enum status compare_with_index(struct run_index *index, struct entries *entries, struct error *error)
{
    sqlite3_stmt *known;
    int step = SQLITE_DONE;
    size_t i = 0;
    enum status status =
        run_index_prepare(index, "SELECT run, stamp, labels, locked, open FROM seen ORDER BY run", &known, error);
    while (status == STATUS_OK && (step = sqlite3_step(known)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(known, 0);
        while (i < entries->count && strcmp(entries->list[i].name, name) < 0)
            i++;
        const bool there = i < entries->count && strcmp(entries->list[i].name, name) == 0;
        if (!there)
            status = add_entry(entries, name, error);
        if (status != STATUS_OK)
            break;
        struct entry *entry = &entries->list[there ? i : entries->total - 1];
        entry->known = true;
        entry->has_stamp = sqlite3_column_bytes(known, 1) == DIGEST_BYTES;
        if (entry->has_stamp)
            memcpy(entry->stamp, sqlite3_column_blob(known, 1), DIGEST_BYTES);
        entry->labels = sqlite3_column_int(known, 2) != 0;
        entry->locked = sqlite3_column_int(known, 3) != 0;
        entry->open = sqlite3_column_int(known, 4) != 0;
    }
    if (status == STATUS_OK && step != SQLITE_DONE)
        status = run_index_sql_error(index, error);
    sqlite3_finalize(known);
    return status;
}

/* ---- reading a run ----------------------------------------------------------------------------------------------- */

/* Runs that differ in the seed alone have one recipe: what moves bits, and the data that errors are measured on. */
static void recipe_digest(const struct record *record, char hex[DIGEST_HEX_BYTES])
{
    struct sha256 sha256;
    uint8_t digest[DIGEST_BYTES];
    const char *version = arithmetic_version(record->manifest.recipe.arithmetic),
               *test_data = record->facts.validation_data_sha256;
    sha256_start(&sha256);
    sha256_add(&sha256, record->manifest.experiment, strlen(record->manifest.experiment) + 1);
    sha256_add(&sha256, version, strlen(version) + 1);
    sha256_add(&sha256, test_data, strlen(test_data));
    if (imported_is(record)) /* never in one group with runs of selfsame */
        sha256_add(&sha256, "imported", strlen("imported"));
    sha256_finish(&sha256, digest);
    digest_to_hex(digest, hex);
}

static int bind_text(sqlite3_stmt *statement, int place, const char *text)
{
    return text == NULL ? sqlite3_bind_null(statement, place)
                        : sqlite3_bind_text(statement, place, text, -1, SQLITE_TRANSIENT);
}

static int bind_column(sqlite3_stmt *statement, int place, const struct run_column *column, const struct record *record,
                       const struct listed_run *run)
{
    const struct metrics_row *last = run->epochs > 0 ? &record->metrics[run->epochs - 1] : NULL;
    const char *base = column->source == FROM_LAST     ? (const char *)last
                       : column->source == FROM_LISTED ? (const char *)run
                                                       : (const char *)&record->facts;
    /* Of a run without an epoch nothing is known about the last or the best one. */
    if (base == NULL || (last == NULL && column->source == FROM_LISTED && column->type == RUN_COLUMN_REAL))
        return sqlite3_bind_null(statement, place);
    const void *value = base + column->offset;
    switch (column->type) {
    case RUN_COLUMN_INTEGER:
        if ((column->source == FROM_KNOWN && *(const uint64_t *)value == 0) ||
            *(const uint64_t *)value == METRICS_MISSING)
            return sqlite3_bind_null(statement, place);
        return sqlite3_bind_int64(statement, place, (sqlite3_int64) * (const uint64_t *)value);
    case RUN_COLUMN_REAL:
        if (column->source == FROM_KNOWN && *(const double *)value == 0.0)
            return sqlite3_bind_null(statement, place);
        return sqlite3_bind_double(statement, place, *(const double *)value);
    case RUN_COLUMN_DIGEST:
        return bind_text(statement, place, value);
    case RUN_COLUMN_TEXT:
    case RUN_COLUMN_TAGS:
        break;
    }
    const char *text = *(const char *const *)value;
    return bind_text(statement, place, text != NULL ? text : "");
}

static enum status put_tags(struct run_index *index, const char *run, const char *tags, struct error *error)
{
    int code = SQLITE_DONE;
    while (*tags != '\0' && code == SQLITE_DONE) {
        const int length = (int)strcspn(tags, " ");
        sqlite3_reset(index->put_tag);
        (void)bind_text(index->put_tag, 1, run);
        (void)sqlite3_bind_text(index->put_tag, 2, tags, length, SQLITE_STATIC);
        code = sqlite3_step(index->put_tag);
        tags += length + (tags[length] == ' ');
    }
    return code == SQLITE_DONE ? STATUS_OK : run_index_sql_error(index, error);
}

static enum status forget(struct run_index *index, const char *run, struct error *error)
{
    sqlite3_stmt *const statements[] = { index->drop_tags, index->drop_run, index->drop_seen };
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        sqlite3_reset(statements[i]);
        if (bind_text(statements[i], 1, run) != SQLITE_OK || sqlite3_step(statements[i]) != SQLITE_DONE)
            return run_index_sql_error(index, error);
    }
    return STATUS_OK;
}

/* `record` is NULL where there is a problem. */
static enum status put_run(struct run_index *index, const struct entry *entry, const struct record *record,
                           const struct listed_run *run, const char *problem, struct error *error)
{
    sqlite3_stmt *statement = index->put_run;
    int place = 3;
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    int code = bind_text(statement, 1, entry->name);
    if (code == SQLITE_OK)
        code = bind_text(statement, 2, problem);
    if (code == SQLITE_OK && record != NULL)
        code = bind_text(statement, 3, manifest_test_mark(&record->manifest, record->facts.validation_data_sha256));
    for (size_t i = 1; i < run_column_count && code == SQLITE_OK && record != NULL; i++) {
        if (run_column_is_stored(&run_columns[i]))
            code = bind_column(statement, ++place, &run_columns[i], record, run);
    }
    return code == SQLITE_OK && sqlite3_step(statement) == SQLITE_DONE ? STATUS_OK : run_index_sql_error(index, error);
}

static enum status put_seen(struct run_index *index, const struct entry *entry, const struct record *record,
                            struct error *error)
{
    sqlite3_stmt *statement = index->put_seen;
    const bool open = record == NULL || record->locked || record->facts.state == RECORD_RUNNING ||
                      record->facts.state == RECORD_INTERRUPTED;
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    int code = bind_text(statement, 1, entry->name);
    if (code == SQLITE_OK && entry->settled)
        code = sqlite3_bind_blob(statement, 2, entry->stamp_now, DIGEST_BYTES, SQLITE_TRANSIENT);
    if (code == SQLITE_OK)
        code = sqlite3_bind_int(statement, 3, entry->labels_now);
    if (code == SQLITE_OK)
        code = sqlite3_bind_int(statement, 4, record != NULL && record->locked);
    if (code == SQLITE_OK)
        code = sqlite3_bind_int(statement, 5, open);
    if (code != SQLITE_OK || sqlite3_step(statement) != SQLITE_DONE)
        return run_index_sql_error(index, error);
    index->changed = index->changed || entry->settled;
    return STATUS_OK;
}

/* A run that is damaged is noted with its problem, and is read each time: what mends it may show in none of the stamps.
 * Tags or a note that cannot be read are left out, and the run is not. */
static enum status read_run(struct run_index *index, struct entry *entry, struct error *error)
{
    char path[FILE_PATH_BYTES], state[RECORD_STATE_BYTES], *tags = NULL, *note = NULL;
    struct record *record = NULL;
    struct error problem, ignored;
    enum status status = file_path(path, &problem, "%s/%s", index->runs, entry->name);
    if (status == STATUS_OK)
        status = record_open(&record, index->runs, path, &problem);
    if (status == STATUS_OK && tags_read(path, &tags, &ignored) != STATUS_OK)
        tags = NULL;
    if (status == STATUS_OK && note_read(path, &note, &ignored) != STATUS_OK)
        note = NULL;
    entry->settled = entry->settled && status == STATUS_OK;
    enum status put = forget(index, entry->name, error);
    if (put == STATUS_OK && status == STATUS_OK) {
        struct listed_run run = { .name = entry->name,
                                  .state = record_state_text(record, state),
                                  .tags = tags,
                                  .note = note,
                                  .epochs = record->epochs,
                                  .best = run_group_error(record, true) };
        recipe_digest(record, run.recipe_sha256);
        put = put_run(index, entry, record, &run, NULL, error);
        if (put == STATUS_OK && tags != NULL)
            put = put_tags(index, entry->name, tags, error);
    } else if (put == STATUS_OK) {
        put = put_run(index, entry, NULL, NULL, problem.message, error);
    }
    if (put == STATUS_OK)
        put = put_seen(index, entry, status == STATUS_OK ? record : NULL, error);
    record_close(record);
    free(tags);
    free(note);
    return put;
}

/* ---- all of it --------------------------------------------------------------------------------------------------- */

static bool is_changed(const struct entry *entry)
{
    return entry->is_run ? !entry->is_same : entry->known;
}

static enum status read_changed(struct run_index *index, struct entries *entries,
                                void (*reading)(void *context, size_t done, size_t total), void *context,
                                struct error *error)
{
    static const double SAVE_EVERY_S = 5.0; /* so that little is lost where it is stopped */
    double saved_s = clock_seconds();
    size_t next = 0;
    while (next < entries->total && !is_changed(&entries->list[next]))
        next++;
    if (next == entries->total)
        return STATUS_OK;
    enum status status = run_index_begin(index, error);
    if (status == STATUS_OK)
        status = run_index_execute(index, "BEGIN", error);
    for (size_t i = next; i < entries->total && status == STATUS_OK; i++) {
        struct entry *entry = &entries->list[i];
        if (!entry->is_run && entry->known) {
            status = forget(index, entry->name, error);
            index->changed = true;
        }
        if (!entry->is_run || entry->is_same)
            continue;
        if (reading != NULL)
            reading(context, i, entries->count);
        if (status == STATUS_OK)
            status = read_run(index, entry, error);
        if (status == STATUS_OK && clock_seconds() - saved_s > SAVE_EVERY_S) {
            status = run_index_execute(index, "COMMIT", error);
            run_index_save(index);
            saved_s = clock_seconds();
            if (status == STATUS_OK)
                status = run_index_execute(index, "BEGIN", error);
        }
    }
    return status == STATUS_OK ? run_index_execute(index, "COMMIT", error) : status;
}

struct run_index_look {
    struct entries entries;
    pthread_t thread;
    bool started;
    enum status status;
    struct error error;
};

static void *list_and_look(void *context)
{
    struct run_index_look *looking = context;
    looking->status = list_entries(&looking->entries, &looking->error);
    if (looking->status == STATUS_OK)
        visit_all(&looking->entries, look_at_files);
    return NULL;
}

enum status run_index_look_begin(struct run_index_look **looking, const struct run_index *index, struct error *error)
{
    struct run_index_look *made = *looking = calloc(1, sizeof *made);
    if (made == NULL)
        return error_out_of_memory(error, "the runs in %s", index->runs);
    made->entries = (struct entries){ .index = index, .folder = -1, .now = time(NULL) };
    made->started = pthread_create(&made->thread, NULL, list_and_look, made) == 0;
    if (!made->started)
        list_and_look(made);
    return STATUS_OK;
}

static void wait_for(struct run_index_look *looking)
{
    if (looking->started)
        pthread_join(looking->thread, NULL);
    looking->started = false;
}

void run_index_look_end(struct run_index_look *looking)
{
    if (looking == NULL)
        return;
    wait_for(looking);
    free_entries(&looking->entries);
    free(looking);
}

enum status run_index_refresh(struct run_index *index, struct run_index_look *looking,
                              void (*reading)(void *context, size_t done, size_t total), void *context,
                              struct error *error)
{
    struct entries *entries = &looking->entries;
    wait_for(looking);
    if (looking->status != STATUS_OK) {
        *error = looking->error;
        return looking->status;
    }
    enum status status = compare_with_index(index, entries, error);
    if (status == STATUS_OK) {
        visit_all(entries, compare);
        status = read_changed(index, entries, reading, context, error);
    }
    if (status == STATUS_OK && index->changed)
        run_index_save(index);
    return status;
}

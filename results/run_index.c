#include "results/run_index.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/build_info.h"
#include "base/text.h"
#include "results/run_index_state.h"

static const char title[] = "selfsame-index";
static const size_t INDEX_LIMIT = (size_t)1 << 30;

enum status run_index_sql_error(const struct run_index *index, struct error *error)
{
    return error_set(error, STATUS_ENVIRONMENT, "the index of the runs in %s: %s", index->runs,
                     sqlite3_errmsg(index->database));
}

enum status run_index_execute(struct run_index *index, const char *sql, struct error *error)
{
    return sqlite3_exec(index->database, sql, NULL, NULL, NULL) == SQLITE_OK ? STATUS_OK
                                                                             : run_index_sql_error(index, error);
}

enum status run_index_prepare(struct run_index *index, const char *sql, sqlite3_stmt **statement, struct error *error)
{
    return sqlite3_prepare_v2(index->database, sql, -1, statement, NULL) == SQLITE_OK
               ? STATUS_OK
               : run_index_sql_error(index, error);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static const char *sql_type(enum run_column_type type)
{
    return type == RUN_COLUMN_INTEGER ? "INTEGER" : type == RUN_COLUMN_REAL ? "REAL" : "TEXT";
}

/* The first column is the run's name. What is asked of every row comes next, since SQLite reads a row from its
 * beginning. How the files looked has a table of its own, which every process reads as a whole. NULL without memory. */
static char *make_schema(void)
{
    char *schema = NULL;
    size_t size;
    FILE *file = open_memstream(&schema, &size);
    if (file == NULL)
        return NULL;
    fprintf(file, "CREATE TABLE run (\"%s\" TEXT PRIMARY KEY, problem TEXT, mark TEXT", run_columns[0].name);
    for (size_t i = 1; i < run_column_count; i++) {
        if (run_column_is_stored(&run_columns[i]))
            fprintf(file, ", \"%s\" %s", run_columns[i].name, sql_type(run_columns[i].type));
    }
    fputs(") WITHOUT ROWID;"
          "CREATE INDEX left_out ON run (problem) WHERE problem IS NOT NULL;"
          "CREATE TABLE seen (run TEXT PRIMARY KEY, stamp BLOB, labels INTEGER, locked INTEGER, open INTEGER)"
          " WITHOUT ROWID;"
          "CREATE TABLE tag (run TEXT, tag TEXT, PRIMARY KEY (run, tag)) WITHOUT ROWID",
          file);
    if (fclose(file) == 0)
        return schema;
    free(schema);
    return NULL;
}

static enum status prepare_all(struct run_index *index, struct error *error)
{
    char *sql = NULL;
    size_t size;
    FILE *file = open_memstream(&sql, &size);
    if (file == NULL)
        return error_out_of_memory(error, "the index of the runs");
    fputs("REPLACE INTO run VALUES (?, ?, ?", file);
    for (size_t i = 1; i < run_column_count; i++)
        fputs(run_column_is_stored(&run_columns[i]) ? ", ?" : "", file);
    fputs(")", file);
    enum status status = fclose(file) == 0 ? STATUS_OK : error_out_of_memory(error, "the index of the runs");
    if (status == STATUS_OK)
        status = run_index_prepare(index, sql, &index->put_run, error);
    free(sql);
    if (status == STATUS_OK)
        status = run_index_prepare(index, "REPLACE INTO seen VALUES (?, ?, ?, ?, ?)", &index->put_seen, error);
    if (status == STATUS_OK)
        status = run_index_prepare(index, "REPLACE INTO tag VALUES (?, ?)", &index->put_tag, error);
    if (status == STATUS_OK)
        status = run_index_prepare(index, "DELETE FROM tag WHERE run = ?", &index->drop_tags, error);
    if (status == STATUS_OK)
        status = run_index_prepare(index, "DELETE FROM run WHERE \"run\" = ?", &index->drop_run, error);
    if (status == STATUS_OK)
        status = run_index_prepare(index, "DELETE FROM seen WHERE run = ?", &index->drop_seen, error);
    return status;
}

/* ---- the file ---------------------------------------------------------------------------------------------------- */

/* Of everything that the file must agree with, and the database. */
static void digest_of(const struct run_index *index, const void *database, size_t bytes, char hex[DIGEST_HEX_BYTES])
{
    struct sha256 sha256;
    uint8_t digest[DIGEST_BYTES];
    sha256_start(&sha256);
    sha256_add(&sha256, build_version, strlen(build_version) + 1);
    sha256_add(&sha256, index->schema, strlen(index->schema) + 1);
    sha256_add(&sha256, index->folder, strlen(index->folder) + 1);
    sha256_add(&sha256, database, bytes);
    sha256_finish(&sha256, digest);
    digest_to_hex(digest, hex);
}

/* The version may have a blank, if the builder's git says so. */
static int print_line(const struct run_index *index, const char *digest, char *line, size_t size)
{
    return snprintf(line, size, "%s %s %s %s\n", title, digest, build_version, index->folder);
}

static void find_file(struct run_index *index, const char *store)
{
    char *whole = realpath(index->runs, NULL), hex[DIGEST_HEX_BYTES];
    struct error ignored;
    const char *path = whole != NULL ? whole : index->runs;
    (void)text_escape(index->folder, sizeof index->folder, TEXT_TERMINAL, path);
    sha256_hex(path, strlen(path), hex);
    free(whole);
    index->path[0] = '\0';
    if (store != NULL &&
        file_path(index->path, &ignored, "%s/index/%" PRIu64 "-%.32s", store, (uint64_t)geteuid(), hex) != STATUS_OK)
        index->path[0] = '\0';
}

static bool is_ours(const char *path)
{
    struct stat about;
    return lstat(path, &about) == 0 && S_ISREG(about.st_mode) && about.st_uid == geteuid();
}

/* Reads the file. Its database is read where it lies, since most processes change nothing. False where there is none
 * that is good. */
static bool load(struct run_index *index)
{
    char line[2 * FILE_PATH_BYTES], digest[DIGEST_HEX_BYTES], *data = NULL;
    size_t bytes;
    struct error ignored;
    bool good = false;
    if (index->path[0] == '\0' || !is_ours(index->path) ||
        file_read(index->path, INDEX_LIMIT, &data, &bytes, &ignored) != STATUS_OK)
        return false;
    const char *end = memchr(data, '\n', bytes);
    const size_t head = end != NULL ? (size_t)(end - data) + 1 : bytes, size = bytes - head;
    digest_of(index, data + head, size, digest);
    const int length = print_line(index, digest, line, sizeof line);
    if (size > 0 && (size_t)length == head && memcmp(line, data, head) == 0)
        good = sqlite3_deserialize(index->database, "main", (unsigned char *)data + head, (sqlite3_int64)size,
                                   (sqlite3_int64)size, SQLITE_DESERIALIZE_READONLY) == SQLITE_OK;
    if (!good) {
        free(data);
        return false;
    }
    index->file_data = data;
    index->database_at = head;
    index->database_bytes = size;
    return true;
}

void run_index_save(struct run_index *index)
{
    char line[2 * FILE_PATH_BYTES], folder[FILE_PATH_BYTES], digest[DIGEST_HEX_BYTES];
    sqlite3_int64 size;
    struct error ignored;
    index->changed = false;
    if (index->path[0] == '\0')
        return;
    unsigned char *database = sqlite3_serialize(index->database, "main", &size, 0);
    memcpy(folder, index->path, sizeof folder);
    *strrchr(folder, '/') = '\0';
    if (database != NULL && file_make_folders(folder, &ignored) == STATUS_OK &&
        file_check_folder(folder, true, &ignored) == STATUS_OK) {
        digest_of(index, database, (size_t)size, digest);
        const struct iovec parts[] = { { line, (size_t)print_line(index, digest, line, sizeof line) },
                                       { database, (size_t)size } };
        (void)!file_write_parts(index->path, parts, 2, &ignored);
    }
    sqlite3_free(database);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static enum status set_up(struct run_index *index, struct error *error)
{
    return run_index_execute(
        index, "PRAGMA journal_mode = OFF; PRAGMA trusted_schema = OFF; PRAGMA mmap_size = 1073741824", error);
}

static void close_database(struct run_index *index)
{
    sqlite3_finalize(index->put_run);
    sqlite3_finalize(index->put_seen);
    sqlite3_finalize(index->put_tag);
    sqlite3_finalize(index->drop_run);
    sqlite3_finalize(index->drop_seen);
    sqlite3_finalize(index->drop_tags);
    sqlite3_close(index->database);
    free(index->file_data);
    index->file_data = NULL;
    index->put_run = index->put_seen = index->put_tag = NULL;
    index->drop_run = index->drop_seen = index->drop_tags = NULL;
    index->database = NULL;
}

/* A database in memory: the file's, or an empty one. */
static enum status open_database(struct run_index *index, bool from_file, struct error *error)
{
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX; /* one thread uses it */
    if (sqlite3_open_v2(":memory:", &index->database, flags, NULL) != SQLITE_OK)
        return error_out_of_memory(error, "the index of the runs");
    const bool loaded = from_file && load(index);
    enum status status = set_up(index, error);
    if (status == STATUS_OK && !loaded)
        status = run_index_execute(index, index->schema, error);
    return status;
}

enum status run_index_begin(struct run_index *index, struct error *error)
{
    enum status status = STATUS_OK;
    if (index->file_data != NULL) {
        const sqlite3_int64 bytes = (sqlite3_int64)index->database_bytes;
        unsigned char *copy = sqlite3_malloc64((sqlite3_uint64)bytes);
        if (copy == NULL)
            return error_out_of_memory(error, "the index of the runs");
        memcpy(copy, index->file_data + index->database_at, index->database_bytes);
        if (sqlite3_deserialize(index->database, "main", copy, bytes, bytes,
                                SQLITE_DESERIALIZE_FREEONCLOSE | SQLITE_DESERIALIZE_RESIZEABLE) != SQLITE_OK)
            return run_index_sql_error(index, error);
        free(index->file_data);
        index->file_data = NULL;
        status = set_up(index, error);
    }
    return status == STATUS_OK ? prepare_all(index, error) : status;
}

enum status run_index_open(struct run_index **index, const char *runs, const char *store,
                           void (*reading)(void *context, size_t done, size_t total), void *context,
                           struct error *error)
{
    struct run_index *made = *index = calloc(1, sizeof *made);
    struct run_index_look *looking = NULL;
    if (made == NULL)
        return error_out_of_memory(error, "the index of the runs");
    made->schema = make_schema();
    enum status status = made->schema != NULL ? file_path(made->runs, error, "%s", runs)
                                              : error_out_of_memory(error, "the index of the runs");
    if (status == STATUS_OK)
        status = run_index_look_begin(&looking, made, error);
    if (status == STATUS_OK) {
        find_file(made, store);
        status = open_database(made, true, error);
    }
    if (status == STATUS_OK)
        status = run_index_refresh(made, looking, reading, context, error);
    run_index_look_end(looking);
    if (status != STATUS_OK) {
        run_index_close(made);
        *index = NULL;
    }
    return status;
}

void run_index_close(struct run_index *index)
{
    if (index == NULL)
        return;
    close_database(index);
    free(index->schema);
    free(index);
}

/* ---- asking ------------------------------------------------------------------------------------------------------ */

enum status run_index_problems(struct run_index *index, void (*visit)(void *context, const char *problem),
                               void *context, struct error *error)
{
    sqlite3_stmt *statement;
    int step = SQLITE_DONE;
    enum status status = run_index_prepare(index, "SELECT problem FROM run WHERE problem IS NOT NULL ORDER BY \"run\"",
                                           &statement, error);
    while (status == STATUS_OK && (step = sqlite3_step(statement)) == SQLITE_ROW)
        visit(context, (const char *)sqlite3_column_text(statement, 0));
    if (status == STATUS_OK && step != SQLITE_DONE)
        status = run_index_sql_error(index, error);
    sqlite3_finalize(statement);
    return status;
}

static enum status make_select(struct run_index *index, const struct run_query *query, sqlite3_stmt **statement,
                               struct error *error)
{
    char *sql = NULL, column[QUERY_SQL_BYTES];
    size_t size;
    FILE *file = open_memstream(&sql, &size);
    if (file == NULL)
        return error_out_of_memory(error, "a query");
    fputs("SELECT run.\"run\", run.mark", file);
    for (size_t i = 0; i < query->column_count; i++)
        fprintf(file, ", %s", run_query_sql(query->columns[i], column));
    fputs(" FROM run WHERE run.problem IS NULL", file);
    if (query->where != NULL)
        fprintf(file, " AND (%s)", query->where);
    fprintf(file, " ORDER BY %s", query->order);
    enum status status =
        fclose(file) == 0 ? run_index_prepare(index, sql, statement, error) : error_out_of_memory(error, "a query");
    free(sql);
    return status;
}

/* Where the query does not use ?1, there is no such parameter; that is no error. */
static enum status bind_values(struct run_index *index, const struct run_query *query, sqlite3_stmt *statement,
                               struct error *error)
{
    char folder[FILE_PATH_BYTES];
    enum status status = file_path(folder, error, "%s/", index->runs);
    int code = SQLITE_OK;
    if (status == STATUS_OK && sqlite3_bind_parameter_count(statement) > 0)
        code = sqlite3_bind_text(statement, 1, folder, -1, SQLITE_TRANSIENT);
    for (size_t i = 0; i < query->value_count && code == SQLITE_OK && status == STATUS_OK; i++) {
        const struct query_value *value = &query->values[i];
        code = value->text != NULL ? sqlite3_bind_text(statement, (int)i + 2, value->text, -1, SQLITE_STATIC)
                                   : sqlite3_bind_double(statement, (int)i + 2, value->number);
    }
    return status == STATUS_OK && code != SQLITE_OK ? run_index_sql_error(index, error) : status;
}

enum status run_index_select(struct run_index *index, const struct run_query *query,
                             void (*visit)(void *context, const char *run, const char *mark,
                                           const struct run_value *values),
                             void *context, struct error *error)
{
    sqlite3_stmt *statement = NULL;
    struct run_value values[QUERY_COLUMNS_MAX];
    int step = SQLITE_DONE;
    enum status status = make_select(index, query, &statement, error);
    if (status == STATUS_OK)
        status = bind_values(index, query, statement, error);
    while (status == STATUS_OK && (step = sqlite3_step(statement)) == SQLITE_ROW) {
        for (size_t i = 0; i < query->column_count; i++) {
            const int c = (int)i + 2, type = sqlite3_column_type(statement, c);
            values[i] = (struct run_value){ .present = type != SQLITE_NULL };
            if (type == SQLITE_TEXT)
                values[i].text = (const char *)sqlite3_column_text(statement, c);
            else if (type == SQLITE_INTEGER || type == SQLITE_FLOAT)
                values[i] = (struct run_value){ .present = true,
                                                .integer = sqlite3_column_int64(statement, c),
                                                .real = sqlite3_column_double(statement, c) };
        }
        visit(context, (const char *)sqlite3_column_text(statement, 0), (const char *)sqlite3_column_text(statement, 1),
              values);
    }
    if (status == STATUS_OK && step != SQLITE_DONE)
        status = run_index_sql_error(index, error);
    sqlite3_finalize(statement);
    return status;
}

/* ---- pruning ----------------------------------------------------------------------------------------------------- */

/* Whether an index is of this version, and its runs folder is there. */
static bool is_used(const char *path)
{
    char line[2 * FILE_PATH_BYTES], start[sizeof title + DIGEST_HEX_BYTES + 256];
    FILE *file = fopen(path, "re");
    const bool read = file != NULL && fgets(line, sizeof line, file) != NULL;
    if (file != NULL)
        fclose(file);
    const size_t place = sizeof title + DIGEST_HEX_BYTES;
    const int length = snprintf(start, sizeof start, "%s ", build_version);
    if (!read || strlen(line) < place || strncmp(line, title, sizeof title - 1) != 0 ||
        strncmp(line + place, start, (size_t)length) != 0)
        return false;
    line[strcspn(line, "\n")] = '\0';
    return file_is_folder(line + place + length);
}

enum status run_index_prune(const char *store, void (*removed)(void *context, const char *path, uint64_t bytes),
                            void *context, struct error *error)
{
    char folder[FILE_PATH_BYTES], path[FILE_PATH_BYTES];
    enum status status = file_path(folder, error, "%s/index", store);
    DIR *list = status == STATUS_OK ? opendir(folder) : NULL;
    for (struct dirent *entry; list != NULL && status == STATUS_OK && (entry = readdir(list)) != NULL;) {
        uint64_t bytes;
        status = file_path(path, error, "%s/%s", folder, entry->d_name);
        /* One that is being written has another name until it is whole. */
        if (status != STATUS_OK || entry->d_name[0] == '.' || file_temporary_of(entry->d_name) > 0 || !is_ours(path) ||
            is_used(path))
            continue;
        status = file_size(path, &bytes, error);
        if (status == STATUS_OK)
            status = file_remove(path, error);
        if (status == STATUS_OK)
            removed(context, path, bytes);
    }
    if (list != NULL)
        closedir(list);
    return status;
}

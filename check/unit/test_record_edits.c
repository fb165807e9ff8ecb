/* Torn, edited and forged records: whatever is done to a file of a run, each reader gives what it gave before, or
 * refuses; none finds other numbers, and none calls the run identical to what it is not. A run that resumes all the
 * same ends with the files that it would have had.
 *
 * Each command that reads a run begins with one of these readers: record_open (targets, table, plot, report, export,
 * status, sweep; the index of runs), record_open_whole (check, compare, verify, trace, attest, pack), record_open_head
 * (experiments, delete, train), checkpoint_read (verify, trace, train), weights_check_used (eval), pack_read (unpack,
 * and all commands that take a packed run).
 *
 * Linked with --wrap=fsync: nothing need outlive us. */
#include "check/support/edits.h"
#include "check/support/forged_record.h"
#include "check/support/simulated_training.h"

#include <zlib.h>

#include "fetch/weights/weights.h"
#include "results/checkpoint.h"
#include "results/compare.h"
#include "results/pack.h"
#include "results/run_index.h"
#include "results/weights_check.h"

int __wrap_fsync(int descriptor);
int __wrap_fsync(int descriptor)
{
    (void)descriptor;
    return 0;
}

/* ---- runs -------------------------------------------------------------------------------------------------------- */

enum { FILES = 6, RUNS = 3 };
static const char *const run_names[RUNS] = { "whole", "stopped", "killed" };
static const char *const file_names[FILES] = {
    RECORD_FILE, RECORD_MANIFEST_FILE, METRICS_FILE, LEDGER_FILE, RECORD_WEIGHTS_FILE, NULL
}; /* the last: the newest checkpoint */

struct file {
    char name[128];
    char *data;
    size_t bytes;
};

struct run {
    struct file files[FILES];
    struct record *record;
    float *weights;
};

static struct run runs[RUNS];

static void put(const char *run, const struct file *file)
{
    char path[FILE_PATH_BYTES];
    struct error error;
    run_path(path, run, file->name);
    if (file_write(path, file->data, file->bytes, &error) != STATUS_OK)
        fail_msg("%s", error.message);
}

static void load_run(struct run *run, const char *name)
{
    char names[32][64], path[FILE_PATH_BYTES];
    struct error error;
    for (size_t i = 0; i < FILES; i++) {
        struct file *file = &run->files[i];
        if (file_names[i] != NULL) {
            snprintf(file->name, sizeof file->name, "%s", file_names[i]);
        } else {
            for (size_t n = list_folder(name, RECORD_CHECKPOINTS_FOLDER, names); n-- > 0;) {
                char found[sizeof file->name];
                snprintf(found, sizeof found, "%s/%s", RECORD_CHECKPOINTS_FOLDER, names[n]);
                if (strcmp(found, file->name) > 0)
                    memcpy(file->name, found, sizeof found);
            }
        }
        run_path(path, name, file->name);
        assert_int_equal(file_read(path, 1 << 28, &file->data, &file->bytes, &error), STATUS_OK);
    }
    if (record_open(&run->record, runs_folder, name, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    run->weights = calloc(simulated_network->value_count, sizeof(float));
    assert_non_null(run->weights);
    run_path(path, name, RECORD_WEIGHTS_FILE);
    assert_int_equal(weights_read(path, simulated_network, run->weights, &error), STATUS_OK);
}

/* A folder with the files of a run, all its checkpoints included. */
static void copy_run(const char *from, const char *to)
{
    char names[32][64], path[FILE_PATH_BYTES];
    const char *const folders[] = { ".", RECORD_CHECKPOINTS_FOLDER };
    struct error error;
    snprintf(path, sizeof path, "%s/%s", runs_folder, to);
    if (file_exists(path))
        remove_tree(path);
    for (size_t i = 0; i < 2; i++) {
        run_path(path, to, folders[i]);
        assert_int_equal(file_make_folders(path, &error), STATUS_OK);
        for (size_t n = list_folder(from, folders[i], names); n-- > 0;) {
            struct file file;
            snprintf(file.name, sizeof file.name, "%s/%s", folders[i], names[n]);
            run_path(path, from, file.name);
            if (file_is_folder(path))
                continue;
            assert_int_equal(file_read(path, 1 << 28, &file.data, &file.bytes, &error), STATUS_OK);
            put(to, &file);
            free(file.data);
        }
    }
}

static int setup(void **state)
{
    struct error error;
    edits_begin();
    if (simulated_setup(state) != 0)
        return -1;
    for (int killed = 0; killed < 2; killed++) {
        struct recorder_options options = simulated_options(run_names[1 + killed], false);
        if (simulated_session(&options, 14, 23, killed, &error) != STATUS_INTERRUPTED)
            return -1;
    }
    for (size_t i = 0; i < RUNS; i++)
        load_run(&runs[i], run_names[i]);
    return 0;
}

static int teardown(void **state)
{
    for (size_t i = 0; i < RUNS; i++) {
        for (size_t f = 0; f < FILES; f++)
            free(runs[i].files[f].data);
        free(runs[i].weights);
        record_close(runs[i].record);
    }
    return simulated_teardown(state);
}

/* ---- edits ------------------------------------------------------------------------------------------------------- */

/* What editors and transfers do, which must not matter. */
static const char *convert(struct file *file)
{
    char *from = malloc(file->bytes + 1), *to = file->data;
    const uint64_t what = edits_below(3);
    assert_non_null(from);
    memcpy(from, file->data, file->bytes);
    if (what == 0) {
        file->bytes -= file->bytes > 0 && file->data[file->bytes - 1] == '\n';
    } else {
        if (what == 1)
            to += sprintf(to, "\xef\xbb\xbf");
        for (size_t i = 0; i < file->bytes; i++) {
            if (from[i] == '\n')
                *to++ = '\r';
            *to++ = from[i];
        }
        file->bytes = (size_t)(to - file->data);
    }
    free(from);
    return what == 0 ? "without the last newline" : "carriage returns";
}

/* ---- what compare says ------------------------------------------------------------------------------------------- */

static unsigned long verdict_counts[VERDICTS];

/* Whether two records have the same bits as far as both go, without compare's help. */
static bool same_bits(const struct record *a, const struct record *b)
{
    const size_t steps = a->steps < b->steps ? a->steps : b->steps,
                 epochs = a->epochs < b->epochs ? a->epochs : b->epochs;
    if (strcmp(a->facts.experiment_sha256, b->facts.experiment_sha256) != 0 ||
        strcmp(a->facts.arithmetic, b->facts.arithmetic) != 0 ||
        memcmp(a->ledger, b->ledger, steps * sizeof *a->ledger) != 0)
        return false;
    for (size_t i = 0; i < epochs; i++) {
        struct metrics_row x = a->metrics[i], y = b->metrics[i];
        x.training_seconds = y.training_seconds = 0.0;
        x.validation_seconds = y.validation_seconds = 0.0;
        x.images_per_second = y.images_per_second = 0.0;
        if (memcmp(&x, &y, sizeof x) != 0)
            return false;
    }
    return true;
}

/* Holds an edited copy against the run as another machine would have computed it, and as this one did. No verdict that
 * means agreement may come where the bits do not agree. */
static void check_verdict(const struct record *was, const char *name, const char *what)
{
    struct record *is, other = *was;
    struct comparison comparison;
    struct weights_found found;
    struct error error = { STATUS_OK, "" };
    if (record_open_whole(&is, runs_folder, name, &found, &error) != STATUS_OK) {
        assert_int_equal(error.status, STATUS_INPUT);
        verdict_counts[VERDICT_MALFORMED]++;
        return;
    }
    other.metrics = malloc(was->epochs * sizeof *other.metrics);
    assert_non_null(other.metrics);
    for (size_t i = 0; i < was->epochs; i++) {
        other.metrics[i] = was->metrics[i];
        other.metrics[i].training_seconds += 1.0;
    }
    other.facts.time_started = "2001-01-01T00:00:00Z";
    const bool same = same_bits(was, is), whole = same && was->steps == is->steps && was->epochs == is->epochs;
    compare_records(&other, is, NULL, 0, &comparison);
    verdict_counts[comparison.verdict]++;
    if (verdict_status(comparison.verdict) == STATUS_OK && !same)
        fail_msg("%s: called %s, and the bits differ", what, verdict_name(comparison.verdict));
    if (comparison.verdict == VERDICT_IDENTICAL && !whole)
        fail_msg("%s: called identical, and one goes on", what);
    if (same && verdict_status(comparison.verdict) != STATUS_OK)
        fail_msg("%s: called %s, and the bits agree", what, verdict_name(comparison.verdict));
    compare_records(was, is, NULL, 0, &comparison);
    if (verdict_status(comparison.verdict) == STATUS_OK && !same)
        fail_msg("%s: called %s, and the bits differ", what, verdict_name(comparison.verdict));
    free(other.metrics);
    record_close(is);
}

/* ---- readers ----------------------------------------------------------------------------------------------------- */

/* What was read is what was written: all of a finished run; of another, all whole epochs. */
static void check_numbers(const struct record *was, const struct record *is)
{
    char a[RECORD_VALUE_BYTES], b[RECORD_VALUE_BYTES];
    struct record_facts x = was->facts, y = is->facts;
    struct comparison comparison;
    /* The line with the digest may be gone: then it is a record as 0.1.0 wrote it. */
    x.record_sha256[0] = y.record_sha256[0] = '\0';
    /* The record of another run of the same experiment, with the same numbers, contradicts nothing: names and times are
     * its own. */
    static const char *const all[] = { "" }, *const sections[] = { "result",         "manifest", "experiment",
                                                                   "arithmetic",     "network",  "training_data",
                                                                   "validation_data" };
    const bool other = strcmp(x.name, y.name) != 0;
    for (size_t i = 0; i < (other ? sizeof sections / sizeof *sections : 1); i++) {
        const char *key = record_json_difference(&x, &y, other ? sections[i] : all[i], a, b);
        if (key != NULL)
            fail_msg("%s was %s and is %s", key, a, b);
    }
    assert_true(is->epochs == was->epochs);
    assert_memory_equal(is->metrics, was->metrics, is->epochs * sizeof *is->metrics);
    const uint64_t steps = is->metrics[is->epochs - 1].end_step;
    assert_true(is->steps >= steps);
    assert_memory_equal(is->ledger, was->ledger, steps * sizeof *is->ledger);
    compare_records(was, is, NULL, 0, &comparison);
    bool same = is->steps == was->steps && memcmp(is->ledger, was->ledger, is->steps * sizeof *is->ledger) == 0;
    assert_true(comparison.verdict != VERDICT_IDENTICAL); /* one computation */
    if (same)
        assert_int_equal(comparison.verdict, VERDICT_SAME_DOCUMENT);
    if (was->facts.state == RECORD_FINISHED)
        assert_true(same);
}

static void must_be(enum status status, const struct error *error)
{
    if (status != STATUS_OK && status != STATUS_INPUT)
        fail_msg("status %d: %s", (int)status, error->message);
}

/* True if the record was read. */
static bool read_all(const struct run *run, const char *name)
{
    char path[FILE_PATH_BYTES];
    struct record *record;
    struct error error = { STATUS_OK, "" };
    struct weights_found found;
    enum status status = record_open(&record, runs_folder, name, &error);
    must_be(status, &error);
    const bool opened = status == STATUS_OK;
    if (opened) {
        check_numbers(run->record, record);
        must_be(weights_check_all(record, &found, &error), &error);
        record_close(record);
    }
    /* As eval does. */
    float *values = calloc(simulated_network->value_count, sizeof *values);
    assert_non_null(values);
    run_path(path, name, RECORD_WEIGHTS_FILE);
    status = weights_read(path, simulated_network, values, &error);
    must_be(status, &error);
    if (status == STATUS_OK) {
        status = weights_check_used(path, simulated_network, values, &error);
        must_be(status, &error);
        if (status == STATUS_OK && run->record->facts.state == RECORD_FINISHED)
            assert_memory_equal(values, run->weights, simulated_network->value_count * sizeof *values);
    }
    free(values);
    status = record_open_head(&record, runs_folder, name, &error);
    must_be(status, &error);
    if (status == STATUS_OK)
        record_close(record);
    return opened;
}

/* The index lists the run with its numbers, or leaves it out. */
static void check_listed(void *context, const char *name, const char *mark, const struct run_value *values)
{
    const struct record *was = context;
    (void)mark;
    if (strcmp(name, "edited") != 0)
        return;
    const struct metrics_row *last = &was->metrics[was->epochs - 1];
    assert_true(values[0].integer == (int64_t)was->epochs);
    assert_true(values[1].real == last->validation_error);
    assert_string_equal(values[2].text, last->weights_sha256);
}

static void list(const struct run *run)
{
    struct run_index *index;
    struct run_query query;
    struct error error;
    if (run_index_open(&index, runs_folder, NULL, NULL, NULL, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    if (run_query_parse(&query, NULL, NULL, "epochs,error,weights", &error) != STATUS_OK ||
        run_index_select(index, &query, check_listed, run->record, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    run_query_free(&query);
    run_index_close(index);
}

/* Each checkpoint is refused, or is that of the run before the edit. */
static void read_checkpoints(const char *was, const char *is)
{
    char folder[FILE_PATH_BYTES], whole[FILE_PATH_BYTES];
    uint64_t *steps = NULL;
    size_t count = 0;
    struct error error;
    struct checkpoint_place place;
    run_path(folder, is, ".");
    run_path(whole, was, ".");
    must_be(checkpoint_list(folder, &steps, &count, &error), &error);
    for (size_t i = 0; i < count; i++) {
        struct training_state read = simulated_start(), written = simulated_start();
        const size_t bytes = simulated_network->value_count * sizeof(float);
        enum status status =
            checkpoint_read(folder, steps[i], simulated_network, simulated_experiment, &place, &read, &error);
        must_be(status, &error);
        if (status == STATUS_OK) {
            assert_int_equal(
                checkpoint_read(whole, steps[i], simulated_network, simulated_experiment, &place, &written, &error),
                STATUS_OK);
            assert_true(read.step == written.step);
            assert_memory_equal(read.values, written.values, bytes);
            assert_memory_equal(read.momentum, written.momentum, bytes);
        }
        simulated_end(&read);
        simulated_end(&written);
    }
    free(steps);
}

/* Packed and unpacked it is what it was. Whether it is good is for record_open_whole to say, before and after. */
static void pack(const char *name)
{
    char folder[FILE_PATH_BYTES], path[FILE_PATH_BYTES], back[FILE_PATH_BYTES];
    struct packed packed;
    struct error error;
    run_path(folder, name, ".");
    snprintf(path, sizeof path, "%s/packed.tar", runs_folder);
    run_path(back, "unpacked", ".");
    if (file_exists(back))
        remove_tree(back);
    enum status status = pack_file(folder, path, true, &error);
    must_be(status, &error);
    if (status != STATUS_OK)
        return;
    if (pack_read(path, back, &packed, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    assert_same_file(name, "unpacked", RECORD_FILE);
    assert_same_file(name, "unpacked", METRICS_FILE);
}

/* Resumed, it is refused or ends as the run that was never stopped. */
static void resume(const char *name)
{
    struct error error = { STATUS_OK, "" };
    struct recorder_options options = simulated_options(name, true);
    enum status status = simulated_session(&options, 14, UINT64_MAX, false, &error);
    must_be(status, &error);
    if (status == STATUS_OK)
        assert_same_run("whole", name);
}

static void write_gzip(const char *run, const struct file *file)
{
    char path[FILE_PATH_BYTES];
    run_path(path, run, LEDGER_GZIP_FILE);
    gzFile stream = gzopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(gzwrite(stream, file->data, (unsigned)file->bytes), file->bytes);
    assert_int_equal(gzclose(stream), Z_OK);
    run_path(path, run, LEDGER_FILE);
    assert_int_equal(unlink(path), 0);
}

static void print_verdicts(unsigned long edits)
{
    print_message("%lu records compared:", edits);
    for (enum verdict verdict = 0; verdict < VERDICTS; verdict++) {
        if (verdict_counts[verdict] > 0)
            print_message(" %lu %s", verdict_counts[verdict], verdict_name(verdict));
        verdict_counts[verdict] = 0;
    }
    print_message("; none agrees in word and not in bits\n");
}

static void test_forgeries(void **state)
{
    (void)state;
    const unsigned long edits = edits_wanted();
    unsigned long differ = 0;
    for (size_t r = 0; r < RUNS; r++) {
        copy_run(run_names[r], "forged");
        for (unsigned long i = 0; i < edits / RUNS; i++)
            check_verdict(runs[r].record, "forged", forge_record(runs[r].record, "forged", edits_below));
    }
    differ = verdict_counts[VERDICT_DIFFERS];
    print_verdicts(edits / RUNS * RUNS);
    /* Many contradict nothing: the forger's work is seen to be good. */
    assert_true(differ > edits / 10);
}

static void test_edits(void **state)
{
    (void)state;
    enum { RESUME_EVERY = 8, CONVERT_EVERY = 10, LIST_EVERY = 10 };
    const unsigned long edits = edits_wanted();
    unsigned long read = 0, changed = 0;
    const char *last = NULL;
    for (unsigned long i = 0; i < edits; i++) {
        const size_t r = edits_below(RUNS), f = edits_below(FILES);
        const struct run *run = &runs[r];
        const struct file *whole = &run->files[f], *foreign = &runs[(r + 1) % RUNS].files[f];
        const bool text = f < 4, resumes = i % RESUME_EVERY == 0 && r > 0, benign = text && i % CONVERT_EVERY == 1;
        const bool packed = f == 3 && i % 2 == 1;
        struct file file = *whole;
        char what[160];
        file.data = malloc(edits_room(whole->bytes, foreign->bytes));
        assert_non_null(file.data);
        memcpy(file.data, whole->data, whole->bytes);
        snprintf(what, sizeof what, "%s of %s: %s", file.name, run_names[r],
                 benign ? convert(&file) : edit_bytes(file.data, &file.bytes, foreign->data, foreign->bytes));
        if (last != run_names[r])
            copy_run(run_names[r], "edited");
        last = run_names[r];
        put("edited", &file);
        if (packed)
            write_gzip("edited", &file);
        const bool same = file.bytes == whole->bytes && memcmp(file.data, whole->data, file.bytes) == 0;
        const bool good = read_all(run, "edited");
        check_verdict(run->record, "edited", what);
        if (f == FILES - 1)
            read_checkpoints(run_names[r], "edited");
        if (i % LIST_EVERY == 2)
            list(run);
        if (i % LIST_EVERY == 3)
            pack("edited");
        changed += !same;
        read += good && !same;
        if ((benign || same) && !good)
            fail_msg("edit %lu, %s: refused", i, what);
        if (resumes)
            resume("edited");
        if (resumes || packed)
            last = NULL;
        else
            put("edited", whole);
        free(file.data);
    }
    print_message("%lu edits changed a file; %lu of these runs are read, with the numbers that they had\n", changed,
                  read);
    print_verdicts(edits);
    assert_true(changed > edits * 9 / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_edits), cmocka_unit_test(test_forgeries) };
    return cmocka_run_group_tests(tests, setup, teardown);
}

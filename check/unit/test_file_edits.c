/* Torn and edited files around a record: traces, attestations, keys, packed runs and the index of runs. Whatever is
 * done to one, its reader gives what was written, or refuses; no two traces are called identical that are not.
 *
 * Linked with --wrap=fsync: nothing need outlive us. */
#include "check/support/edits.h"
#include "check/support/simulated_training.h"

#include <dirent.h>
#include <unistd.h>

#include "results/attestation.h"
#include "results/pack.h"
#include "results/run_index.h"
#include "results/trace_file.h"
#include "results/weights_check.h"
#include "trainer/step_trace.h"

int __wrap_fsync(int descriptor);
int __wrap_fsync(int descriptor)
{
    (void)descriptor;
    return 0;
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

/* Each as it was written, and another good one of its kind. */
enum kind { KIND_TRACE, KIND_PROVENANCE, KIND_WEIGHTS, KIND_KEY, KIND_PACKED, KIND_INDEX, KINDS };
static const char *const kind_names[KINDS] = {
    "trace", "provenance", "weights' signature", "key", "packed run", "index"
};
struct bytes {
    char *data;
    size_t count;
};
static struct bytes good[KINDS][2];

static char folder[] = "/tmp/selfsame-test-file-edits-XXXXXX";
static struct record *records[2]; /* of the runs "whole" and "stopped" */
static struct signing_key *keys[2];
static struct envelope statement; /* signed by keys[0] */
static struct step_trace *trace;

static const char *in_folder(const char *name)
{
    static char path[FILE_PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static struct bytes load(const char *path)
{
    struct bytes bytes;
    struct error error;
    if (file_read(path, 1 << 28, &bytes.data, &bytes.count, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    return bytes;
}

static void store(const char *path, const struct bytes *bytes)
{
    struct error error;
    if (file_write(path, bytes->data, bytes->count, &error) != STATUS_OK)
        fail_msg("%s", error.message);
}

static bool same(const struct bytes *a, const struct bytes *b)
{
    return a->count == b->count && memcmp(a->data, b->data, a->count) == 0;
}

/* ---- a good one of each kind, and another ------------------------------------------------------------------------ */

/* The list of a step of depth 8, each tensor's digest being that of its name and the step. */
static struct trace_file trace_of(uint64_t step)
{
    struct trace_file file = {
        .arithmetic = "exact-1", .step = step, .row = { .loss = 1.5f, .digest = { step, 7 } }, .list = trace->list
    };
    sha256_hex("an experiment", 13, file.experiment_sha256);
    for (uint32_t i = 0; i < file.list.count; i++) {
        char text[TENSOR_NAME_BYTES + 32];
        const int bytes = snprintf(text, sizeof text, "%s %d", file.list.lines[i].name, (int)step);
        sha256_bytes(text, (size_t)bytes, file.list.lines[i].digest);
    }
    return file;
}

static void make_traces(void)
{
    char sha256[DIGEST_HEX_BYTES];
    struct error error;
    assert_int_equal(step_trace_open(&trace, simulated_network, &simulated_recipe, 4, &error), STATUS_OK);
    for (uint64_t i = 0; i < 2; i++) {
        const struct trace_file file = trace_of(i);
        assert_int_equal(trace_file_write(in_folder("trace"), &file, sha256, &error), STATUS_OK);
        good[KIND_TRACE][i] = load(in_folder("trace"));
    }
}

static char attested[2][FILE_PATH_BYTES]; /* the run's provenance, and the signature of its weights */

static void written(const char *path)
{
    snprintf(attested[strstr(path, "weights") != NULL], FILE_PATH_BYTES, "%s", path);
}

/* The same statements by two keys; the second's are the run's in the end. */
static void make_attestations(void)
{
    char id[DIGEST_HEX_BYTES], public[FILE_PATH_BYTES];
    struct error error;
    for (int i = 1; i >= 0; i--) {
        snprintf(public, sizeof public, "%s/key%d.pub", folder, i);
        assert_int_equal(signing_key_make(in_folder(i ? "key1" : "key0"), public, id, &error), STATUS_OK);
        assert_int_equal(signing_key_read(in_folder(i ? "key1" : "key0"), true, &keys[i], &error), STATUS_OK);
        good[KIND_KEY][i] = load(public);
        if (attest_run(records[0], keys[i], written, &error) != STATUS_OK)
            fail_msg("%s", error.message);
        good[KIND_PROVENANCE][i] = load(attested[0]);
        good[KIND_WEIGHTS][i] = load(attested[1]);
        if (i == 1) {
            assert_int_equal(unlink(attested[0]), 0);
            assert_int_equal(unlink(attested[1]), 0);
        }
    }
    assert_int_equal(envelope_read(attested[0], &statement, &error), STATUS_OK);
}

static void make_packed(void)
{
    static const char *const names[2] = { "whole", "stopped" };
    char path[FILE_PATH_BYTES];
    struct error error;
    for (size_t i = 0; i < 2; i++) {
        run_path(path, names[i], ".");
        if (pack_file(path, in_folder("packed.tar"), i == 0, &error) != STATUS_OK)
            fail_msg("%s", error.message);
        good[KIND_PACKED][i] = load(in_folder("packed.tar"));
    }
}

/* ---- the index --------------------------------------------------------------------------------------------------- */

struct listing {
    char text[4096];
};

static void list(void *context, const char *run, const char *mark, const struct run_value *values)
{
    struct listing *listing = context;
    const size_t at = strlen(listing->text);
    (void)mark;
    snprintf(listing->text + at, sizeof listing->text - at, "%s %.17g %s\n", run, values[0].real, values[1].text);
}

/* What `selfsame runs` would show of all runs. */
static void ask_index(const char *where, struct listing *listing)
{
    struct run_index *index;
    struct run_query query;
    struct error error;
    listing->text[0] = '\0';
    assert_int_equal(run_query_parse(&query, NULL, "run", "loss,weights", &error), STATUS_OK);
    if (run_index_open(&index, runs_folder, where, NULL, NULL, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    if (run_index_select(index, &query, list, listing, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    run_index_close(index);
    assert_true(strlen(listing->text) > 0);
}

static char index_path[FILE_PATH_BYTES];
static struct listing runs_as_they_are;

static void find_index(void)
{
    DIR *list = opendir(in_folder("store/index"));
    assert_non_null(list);
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        if (entry->d_name[0] != '.')
            snprintf(index_path, sizeof index_path, "%s/store/index/%s", folder, entry->d_name);
    }
    closedir(list);
}

/* The other index is of a run more, which is gone. Only runs that have not changed for some seconds are kept. */
static void make_indexes(void)
{
    enum { SETTLED_S = 4 };
    char path[FILE_PATH_BYTES];
    struct listing listing;
    struct error error;
    const struct recorder_options options = simulated_options("another", false);
    assert_int_equal(simulated_session(&options, 14, 5, false, &error), STATUS_INTERRUPTED);
    assert_int_equal(file_make_folders(in_folder("store"), &error), STATUS_OK);
    sleep(SETTLED_S);
    ask_index(in_folder("store"), &listing);
    find_index();
    good[KIND_INDEX][1] = load(index_path);
    snprintf(path, sizeof path, "%s/another", runs_folder);
    remove_tree(path);
    ask_index(NULL, &runs_as_they_are);
    assert_string_not_equal(listing.text, runs_as_they_are.text);
    ask_index(in_folder("store"), &listing);
    assert_string_equal(listing.text, runs_as_they_are.text);
    good[KIND_INDEX][0] = load(index_path);
    assert_false(same(&good[KIND_INDEX][0], &good[KIND_INDEX][1]));
}

static int setup(void **state)
{
    struct error error;
    edits_begin();
    if (simulated_setup(state) != 0 || mkdtemp(folder) == NULL)
        return -1;
    const struct recorder_options stopped = simulated_options("stopped", false);
    if (simulated_session(&stopped, 14, 23, false, &error) != STATUS_INTERRUPTED ||
        record_open(&records[0], runs_folder, "whole", &error) != STATUS_OK ||
        record_open(&records[1], runs_folder, "stopped", &error) != STATUS_OK)
        return -1;
    make_traces();
    make_attestations();
    make_packed();
    make_indexes();
    return 0;
}

static int teardown(void **state)
{
    record_close(records[0]);
    record_close(records[1]);
    envelope_free(&statement);
    for (int i = 0; i < 2; i++) {
        signing_key_free(keys[i]);
        for (int kind = 0; kind < KINDS; kind++)
            free(good[kind][i].data);
    }
    step_trace_close(trace);
    remove_tree(folder);
    return simulated_teardown(state);
}

/* ---- what readers make of an edited file ------------------------------------------------------------------------- */

/* Each returns whether the file was read. */
static bool read_trace(const struct bytes *edited)
{
    const struct trace_file was = trace_of(0);
    struct trace_comparison comparison;
    struct trace_file is;
    struct error error;
    store(in_folder("trace"), edited);
    const enum status status = trace_file_read(in_folder("trace"), &is, &error);
    if (status != STATUS_OK) {
        assert_int_equal(status, STATUS_INPUT);
        return false;
    }
    trace_compare(&was, &is, &comparison);
    if ((comparison.verdict == VERDICT_IDENTICAL) != same(edited, &good[KIND_TRACE][0]))
        fail_msg("a trace is called %s", verdict_name(comparison.verdict));
    trace_file_free(&is);
    return true;
}

static void count(void *context, const struct attestation *attestation, size_t key)
{
    size_t *signed_by_first = context;
    (void)attestation;
    *signed_by_first += key == 0;
}

static bool read_attestation(enum kind kind, const struct bytes *edited)
{
    const char *path = attested[kind == KIND_WEIGHTS];
    size_t signed_by_first = 0;
    struct error error;
    store(path, edited);
    const enum status status = attestations_check(records[0], keys, 1, count, &signed_by_first, &error);
    store(path, &good[kind][0]);
    if (status != STATUS_OK) {
        assert_int_equal(status, STATUS_INPUT);
        return false;
    }
    assert_int_equal(signed_by_first, same(edited, &good[kind][0]) ? 2 : 1);
    return true;
}

/* A key that is read may be written in another way. It is this key, or nothing is signed by it. */
static bool read_key(const struct bytes *edited)
{
    struct signing_key *key;
    struct error error;
    store(in_folder("key.pub"), edited);
    const enum status status = signing_key_read(in_folder("key.pub"), false, &key, &error);
    if (status != STATUS_OK) {
        assert_int_equal(status, STATUS_INPUT);
        return false;
    }
    assert_int_equal(envelope_verify(&statement, key), strcmp(signing_key_id(key), signing_key_id(keys[0])) == 0);
    signing_key_free(key);
    return true;
}

/* What is unpacked is a record that agrees with itself, with the numbers that it had, or nothing. The momentum in a
 * checkpoint is no part of a record. */
static bool read_packed(const struct bytes *edited)
{
    char unpacked[FILE_PATH_BYTES];
    struct weights_found found;
    struct packed packed;
    struct record *is;
    struct error error;
    store(in_folder("packed.tar"), edited);
    run_path(unpacked, "unpacked", ".");
    enum status status = pack_read(in_folder("packed.tar"), unpacked, &packed, &error);
    if (status != STATUS_OK) {
        assert_int_equal(status, STATUS_INPUT);
        return false;
    }
    status = record_open_whole(&is, runs_folder, "unpacked", &found, &error);
    if (status == STATUS_OK) {
        const struct record *was = records[is->steps < records[0]->steps];
        assert_int_equal(is->steps, was->steps);
        assert_int_equal(is->epochs, was->epochs);
        assert_memory_equal(is->ledger, was->ledger, is->steps * sizeof *is->ledger);
        assert_memory_equal(is->metrics, was->metrics, is->epochs * sizeof *is->metrics);
        assert_same_file(was->name, "unpacked", RECORD_FILE);
        assert_same_file(was->name, "unpacked", RECORD_WEIGHTS_FILE);
        record_close(is);
    } else {
        assert_int_equal(status, STATUS_INPUT);
    }
    snprintf(unpacked, sizeof unpacked, "%s/unpacked", runs_folder);
    remove_tree(unpacked);
    return status == STATUS_OK;
}

static bool read_index(const struct bytes *edited)
{
    struct listing listing;
    store(index_path, edited);
    ask_index(in_folder("store"), &listing);
    assert_string_equal(listing.text, runs_as_they_are.text);
    return true;
}

static bool read_edited(enum kind kind, const struct bytes *edited)
{
    switch (kind) {
    case KIND_TRACE:
        return read_trace(edited);
    case KIND_PROVENANCE:
    case KIND_WEIGHTS:
        return read_attestation(kind, edited);
    case KIND_KEY:
        return read_key(edited);
    case KIND_PACKED:
        return read_packed(edited);
    default:
        return read_index(edited);
    }
}

static void test_edits(void **state)
{
    const unsigned long edits = edits_wanted();
    unsigned long read[KINDS] = { 0 }, changed[KINDS] = { 0 };
    (void)state;
    for (enum kind kind = 0; kind < KINDS; kind++)
        assert_true(read_edited(kind, &good[kind][0]));
    for (unsigned long i = 0; i < edits; i++) {
        const enum kind kind = (enum kind)edits_below(KINDS);
        const struct bytes *whole = &good[kind][0], *foreign = &good[kind][1];
        struct bytes edited = { malloc(edits_room(whole->count, foreign->count)), whole->count };
        assert_non_null(edited.data);
        memcpy(edited.data, whole->data, whole->count);
        const char *what = edit_bytes(edited.data, &edited.count, foreign->data, foreign->count);
        const bool changes = !same(&edited, whole), good_one = !changes || same(&edited, foreign);
        const bool was_read = read_edited(kind, &edited);
        if (was_read && !good_one && kind <= KIND_WEIGHTS)
            fail_msg("edit %lu of a %s, %s: read", i, kind_names[kind], what);
        if (!was_read && !changes)
            fail_msg("edit %lu of a %s, %s: refused", i, kind_names[kind], what);
        changed[kind] += changes;
        read[kind] += changes && was_read;
        free(edited.data);
    }
    for (enum kind kind = 0; kind < KINDS; kind++)
        print_message("%s: %lu edits, %lu of them read\n", kind_names[kind], changed[kind], read[kind]);
}

/* Traces that agree with themselves, and are lies: tensors have other digests, and the file's own is right. */
static void test_forged_traces(void **state)
{
    const unsigned long edits = edits_wanted() / 4;
    (void)state;
    for (unsigned long i = 0; i < edits; i++) {
        const struct trace_file was = trace_of(0);
        struct trace_comparison comparison;
        struct trace_file is, forged = trace_of(0);
        char sha256[DIGEST_HEX_BYTES];
        struct error error;
        const uint32_t line = (uint32_t)edits_below(forged.list.count);
        forged.list.lines[line].digest[edits_below(DIGEST_BYTES)] ^= (uint8_t)(1u << edits_below(8));
        assert_int_equal(trace_file_write(in_folder("trace"), &forged, sha256, &error), STATUS_OK);
        (void)trace_of(0); /* its digests are those of the list, which is shared */
        assert_int_equal(trace_file_read(in_folder("trace"), &is, &error), STATUS_OK);
        trace_compare(&was, &is, &comparison);
        assert_true(comparison.verdict != VERDICT_IDENTICAL);
        assert_int_equal(comparison.differing, 1);
        assert_int_equal(comparison.roots[0], line);
        trace_file_free(&is);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_edits), cmocka_unit_test(test_forged_traces) };
    return cmocka_run_group_tests(tests, setup, teardown);
}

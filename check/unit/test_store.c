/* The store: its folder, finding items by their digests, damaged items, files that are in the way, and the lock. Linked
 * with --wrap for time(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fetch/partial_download.h"
#include "fetch/stamp.h"
#include "fetch/store.h"

static time_t seconds_later;

time_t __real_time(time_t *out);
time_t __wrap_time(time_t *out);
time_t __wrap_time(time_t *out)
{
    return __real_time(out) + seconds_later;
}

/* printf 'hello\n' | sha256sum, md5sum */
#define HELLO_SHA256 "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
#define HELLO_MD5 "b1946ac92492d2347c6235b4d2611184"

static int set_up(void **state)
{
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        return -1;
    strcpy(store->folder, "test_store.XXXXXX");
    *state = store;
    return mkdtemp(store->folder) == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    struct store *store = *state;
    struct error error;
    int result = file_remove_tree(store->folder, &error) == STATUS_OK ? 0 : -1;
    free(store);
    return result;
}

static void no_waiting(void *context)
{
    (void)context;
    fail_msg("nobody else has the lock");
}

/* Takes in a file with these bytes, as a download would. */
static void keep(const struct store *store, const struct source *source, const char *text)
{
    char key[STORE_KEY_BYTES], part_path[FILE_PATH_BYTES], path[FILE_PATH_BYTES], sha256[DIGEST_HEX_BYTES],
        md5[MD5_HEX_BYTES];
    struct part part;
    struct error error;
    struct lock lock;
    assert_int_equal(store_key(source, key, &error), STATUS_OK);
    assert_int_equal(store_lock(store, key, NULL, NULL, no_waiting, NULL, &lock, &error), STATUS_OK);
    assert_int_equal(store_part(store, key, part_path, &error), STATUS_OK);
    assert_int_equal(part_open(&part, part_path, true, &error), STATUS_OK);
    assert_int_equal(part_origin(&part, "http://h/x", "", false, &error), STATUS_OK);
    assert_int_equal(part_append(&part, text, strlen(text), &error), STATUS_OK);
    assert_int_equal(part_finish(&part, sha256, md5, &error), STATUS_OK);
    part_close(&part);
    assert_int_equal(store_keep(store, source, part_path, sha256, path, &error), STATUS_OK);
    lock_release(&lock);
    if (strcmp(text, "hello\n") == 0) {
        assert_string_equal(sha256, HELLO_SHA256);
        assert_string_equal(md5, HELLO_MD5);
    }
}

static void test_folder(void **state)
{
    struct store store;
    struct error error;
    (void)state;
    setenv("SELFSAME_STORE", "/one", 1);
    setenv("XDG_CACHE_HOME", "/two", 1);
    setenv("HOME", "/three", 1);
    assert_int_equal(store_open(&store, "/zero", &error), STATUS_OK);
    assert_string_equal(store.folder, "/zero");
    assert_int_equal(store_open(&store, NULL, &error), STATUS_OK);
    assert_string_equal(store.folder, "/one");
    setenv("SELFSAME_STORE", "", 1);
    assert_int_equal(store_open(&store, NULL, &error), STATUS_OK);
    assert_string_equal(store.folder, "/two/selfsame");
    setenv("XDG_CACHE_HOME", "two", 1);
    assert_int_equal(store_open(&store, NULL, &error), STATUS_OK);
    assert_string_equal(store.folder, "/three/.cache/selfsame");
    unsetenv("HOME");
    assert_int_equal(store_open(&store, NULL, &error), STATUS_ENVIRONMENT);
    assert_non_null(strstr(error.message, "--store"));
}

static void test_found_by(void **state)
{
    const struct store *store = *state;
    struct error error;
    char path[FILE_PATH_BYTES], sha256[DIGEST_HEX_BYTES], key[STORE_KEY_BYTES];
    static const struct source by_sha256 = { .sha256 = HELLO_SHA256 }, by_md5 = { .md5 = HELLO_MD5 },
                               by_prefix = { .sha256_prefix = "5891b5b5" }, by_nothing = { .bytes = 6 },
                               another = { .sha256_prefix = "5891b5b6" };
    const struct source *const sources[] = { &by_sha256, &by_md5, &by_prefix };
    assert_int_equal(store_key(&by_nothing, key, &error), STATUS_INPUT);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(store_find(store, sources[i], path, &error), STATUS_OK);
        assert_string_equal(path, "");
        keep(store, sources[i], "hello\n");
        assert_int_equal(store_find(store, sources[i], path, &error), STATUS_OK);
        assert_string_equal(path + strlen(path) - 64, HELLO_SHA256);
        assert_int_equal(store_digest(store, sources[i], sha256, &error), STATUS_OK);
        assert_string_equal(sha256, HELLO_SHA256);
        assert_int_equal(file_remove(path, &error), STATUS_OK);
    }
    keep(store, &by_md5, "hello\n");
    assert_int_equal(store_find(store, &another, path, &error), STATUS_OK);
    assert_string_equal(path, "");
    /* A line that is not a digest is ignored. */
    assert_int_equal(file_path(path, &error, "%s/md5/%s", store->folder, HELLO_MD5), STATUS_OK);
    assert_int_equal(file_write(path, "../../etc/passwd\n", 17, &error), STATUS_OK);
    assert_int_equal(store_find(store, &by_md5, path, &error), STATUS_OK);
    assert_string_equal(path, "");
}

/* Of two processes that find the same damage, one comes second. */
static void test_set_aside_twice(void **state)
{
    const struct store *store = *state;
    static const struct source source = { .sha256 = HELLO_SHA256 };
    struct store_item item;
    struct error error;
    char path[FILE_PATH_BYTES];
    keep(store, &source, "hello\n");
    assert_int_equal(store_item_of(store, "file", HELLO_SHA256, &item, &error), STATUS_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(store_set_aside(store, &item, &error), STATUS_OK);
        assert_false(file_exists(item.path));
        assert_int_equal(file_path(path, &error, "%s/damaged/file-%s", store->folder, HELLO_SHA256), STATUS_OK);
        assert_true(file_exists(path));
    }
}

struct tally {
    const struct store *store;
    size_t items, damaged, removed;
    bool verify, prune;
};

static enum status visit(void *context, const struct store_item *item, struct error *error)
{
    struct tally *tally = context;
    char why[STORE_WHY_BYTES] = "";
    bool removed = false;
    tally->items++;
    if (tally->verify && (strcmp(item->kind, "file") == 0 || strcmp(item->kind, "unpacked") == 0))
        assert_int_equal(store_check(tally->store, item, true, why, error), STATUS_OK);
    if (why[0] != '\0')
        assert_int_equal(store_set_aside(tally->store, item, error), STATUS_OK);
    if (tally->prune)
        assert_int_equal(store_prune(tally->store, item, &removed, error), STATUS_OK);
    tally->damaged += why[0] != '\0';
    tally->removed += removed;
    return STATUS_OK;
}

static void test_care(void **state)
{
    const struct store *store = *state;
    static const struct source source = { .sha256 = HELLO_SHA256 };
    struct tally tally = { .store = store, .verify = true };
    struct error error;
    char path[FILE_PATH_BYTES];
    struct lock lock;
    assert_int_equal(store_each(store, visit, &tally, &error), STATUS_OK);
    assert_int_equal(tally.items, 0);
    keep(store, &source, "hello\n");
    assert_int_equal(store_each(store, visit, &tally, &error), STATUS_OK);
    assert_int_equal(tally.items, 1);
    assert_int_equal(tally.damaged, 0);
    assert_int_equal(store_find(store, &source, path, &error), STATUS_OK);
    assert_int_equal(file_write(path, "jello\n", 6, &error), STATUS_OK);
    assert_int_equal(store_each(store, visit, &tally, &error), STATUS_OK);
    assert_int_equal(tally.damaged, 1);
    assert_int_equal(store_find(store, &source, path, &error), STATUS_OK);
    assert_string_equal(path, "");
    /* The damaged file, and a part, but not while somebody is at it. */
    assert_int_equal(store_part(store, "some", path, &error), STATUS_OK);
    assert_int_equal(file_write(path, "12", 2, &error), STATUS_OK);
    assert_int_equal(store_lock(store, "some", NULL, NULL, no_waiting, NULL, &lock, &error), STATUS_OK);
    tally = (struct tally){ .store = store, .prune = true };
    assert_int_equal(store_each(store, visit, &tally, &error), STATUS_OK);
    assert_int_equal(tally.items, 2);
    assert_int_equal(tally.removed, 1);
    lock_release(&lock);
    assert_int_equal(store_each(store, visit, &tally, &error), STATUS_OK);
    assert_int_equal(tally.removed, 2);
    assert_false(file_exists(path));
}

static void assert_check(const struct store *store, const struct store_item *item, bool anew, const char *why)
{
    struct error error;
    char found[STORE_WHY_BYTES];
    assert_int_equal(store_check(store, item, anew, found, &error), STATUS_OK);
    if (why[0] == '\0')
        assert_string_equal(found, "");
    else
        assert_non_null(strstr(found, why));
}

/* What has not changed since it was hashed is not hashed again; what has is. */
static void test_stamps(void **state)
{
    const struct store *store = *state;
    static const struct source source = { .sha256 = HELLO_SHA256 };
    struct store_item item;
    struct error error;
    char stamps[FILE_PATH_BYTES], stamp[STAMP_BYTES + 1];
    bool settled;
    keep(store, &source, "hello\n");
    assert_int_equal(file_path(stamps, &error, "%s/stamps/file-" HELLO_SHA256, store->folder), STATUS_OK);
    assert_int_equal(store_item_of(store, "file", HELLO_SHA256, &item, &error), STATUS_OK);
    /* A stamp of this moment is not kept: the next change could have the same time. */
    seconds_later = 0;
    assert_check(store, &item, false, "");
    assert_false(file_exists(stamps));
    seconds_later = -60; /* nor one of the future */
    assert_check(store, &item, false, "");
    assert_false(file_exists(stamps));
    seconds_later = 60;
    assert_check(store, &item, false, "");
    assert_true(file_exists(stamps));
    /* Another file of the same size. */
    assert_int_equal(file_write(item.path, "jello\n", 6, &error), STATUS_OK);
    assert_check(store, &item, false, "has SHA-256 ");
    /* That the stamp is believed, and that it is not where all is to be hashed anew. */
    stamp_of(item.path, stamp, &settled);
    strcat(stamp, "\n");
    assert_int_equal(file_write(stamps, stamp, strlen(stamp), &error), STATUS_OK);
    assert_check(store, &item, false, "");
    assert_check(store, &item, true, "has SHA-256 ");
    /* A file that is not a stamp. */
    assert_int_equal(file_write(stamps, "\n", 1, &error), STATUS_OK);
    assert_check(store, &item, false, "has SHA-256 ");
    seconds_later = 0;
}

static void test_unpacked_care(void **state)
{
    const struct store *store = *state;
    static const char sums[] = HELLO_SHA256 "  box/a\n";
    struct tally tally = { .store = store, .verify = true };
    struct error error;
    char folder[FILE_PATH_BYTES], path[FILE_PATH_BYTES + 64];
    static const struct {
        const char *sums, *data;
        size_t damaged;
    } cases[] = { { sums, "hello\n", 0 },     { sums, "jello\n", 1 }, { "", "hello\n", 1 },
                  { "what\n", "hello\n", 1 }, { NULL, "hello\n", 1 }, { sums, NULL, 1 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(store_unpacked(store, HELLO_SHA256, folder, &error), STATUS_OK);
        snprintf(path, sizeof path, "%s/box", folder);
        assert_int_equal(file_make_folders(path, &error), STATUS_OK);
        snprintf(path, sizeof path, "%s/SHA256SUMS", folder);
        if (cases[i].sums != NULL)
            assert_int_equal(file_write(path, cases[i].sums, strlen(cases[i].sums), &error), STATUS_OK);
        snprintf(path, sizeof path, "%s/box/a", folder);
        if (cases[i].data != NULL)
            assert_int_equal(file_write(path, cases[i].data, strlen(cases[i].data), &error), STATUS_OK);
        tally.damaged = 0;
        assert_int_equal(store_each(store, visit, &tally, &error), STATUS_OK);
        assert_int_equal(tally.damaged, cases[i].damaged);
        assert_int_equal(file_is_folder(folder), cases[i].damaged == 0);
        assert_int_equal(file_remove_tree(folder, &error), STATUS_OK);
    }
}

/* An unfinished download: it is read back with its origin; one whose origin is lost begins anew. */
static void test_part(void **state)
{
    const struct store *store = *state;
    struct error error;
    struct part part;
    char path[FILE_PATH_BYTES], sha256[DIGEST_HEX_BYTES], md5[MD5_HEX_BYTES], origin[FILE_PATH_BYTES + 16];
    assert_int_equal(file_path(path, &error, "%s/part", store->folder), STATUS_OK);
    snprintf(origin, sizeof origin, "%s.origin", path);
    assert_int_equal(part_open(&part, path, false, &error), STATUS_OK);
    assert_int_equal(part_origin(&part, "http://h/x", "\"tag\"", false, &error), STATUS_OK);
    assert_int_equal(part_append(&part, "hel", 3, &error), STATUS_OK);
    part_close(&part);
    assert_int_equal(part_open(&part, path, true, &error), STATUS_OK);
    assert_int_equal(part.bytes, 3);
    assert_string_equal(part.url, "http://h/x");
    assert_string_equal(part.validator, "\"tag\"");
    assert_false(part.mixed);
    assert_int_equal(part_origin(&part, "http://i/x", "", true, &error), STATUS_OK);
    assert_int_equal(part_append(&part, "lo\n", 3, &error), STATUS_OK);
    assert_int_equal(part_finish(&part, sha256, md5, &error), STATUS_OK);
    assert_string_equal(sha256, HELLO_SHA256);
    assert_string_equal(md5, HELLO_MD5);
    part_close(&part);
    static const char *const lost[] = { "", "http://h/x\n", "http://h/x\n\n", "http://h/x\n\nboth\n",
                                        "http://h/x\n\none" };
    for (size_t i = 0; i < sizeof lost / sizeof *lost; i++) {
        assert_int_equal(file_write(path, "hel", 3, &error), STATUS_OK);
        assert_int_equal(file_write(origin, lost[i], strlen(lost[i]), &error), STATUS_OK);
        assert_int_equal(part_open(&part, path, false, &error), STATUS_OK);
        assert_int_equal(part.bytes, 0);
        part_close(&part);
    }
    assert_int_equal(part_remove(path, &error), STATUS_OK);
    assert_false(file_exists(path) || file_exists(origin));
}

static int polls;

static bool stop_at_third(void *context)
{
    (void)context;
    return ++polls >= 3;
}

static void count_waiting(void *context)
{
    ++*(int *)context;
}

static void test_lock(void **state)
{
    const struct store *store = *state;
    struct error error;
    struct lock lock;
    int ready[2], waits = 0;
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        if (store_lock(store, "item", NULL, NULL, count_waiting, &waits, &lock, &error) == STATUS_OK &&
            write(ready[1], "x", 1) == 1)
            pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(store_lock(store, "item", stop_at_third, NULL, count_waiting, &waits, &lock, &error),
                     STATUS_INTERRUPTED);
    assert_int_equal(waits, 1);
    kill(child, SIGKILL); /* a lock ends with its process, however that ends */
    waitpid(child, NULL, 0);
    assert_int_equal(store_lock(store, "item", NULL, NULL, count_waiting, &waits, &lock, &error), STATUS_OK);
    lock_release(&lock);
    close(ready[0]);
    close(ready[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folder),
        cmocka_unit_test_setup_teardown(test_found_by, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_set_aside_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_care, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stamps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unpacked_care, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_part, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lock, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a manifest names, by way of file: URLs: from the network, from the store, from the next archive, damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fetch/obtain.h"

/* printf 'hello\n' | sha256sum, md5sum */
#define HELLO_SHA256 "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"
#define HELLO_MD5 "b1946ac92492d2347c6235b4d2611184"

enum { URL_BYTES = FILE_PATH_BYTES + 64 };

struct fixture {
    struct store store;
    char folder[FILE_PATH_BYTES], url[URL_BYTES], missing_url[URL_BYTES], warned[1024];
    char *good[1], *missing[1];
    struct manifest_source archives[2];
    struct manifest manifest;
    struct obtain_options options;
};

static void remember(void *context, const char *message)
{
    struct fixture *fixture = context;
    snprintf(fixture->warned, sizeof fixture->warned, "%s", message);
}

static void put(const struct fixture *fixture, const char *name, const char *text)
{
    struct error error;
    char path[FILE_PATH_BYTES];
    assert_int_equal(file_path(path, &error, "%s/%s", fixture->folder, name), STATUS_OK);
    assert_int_equal(file_write(path, text, strlen(text), &error), STATUS_OK);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    char folder[] = "test_obtain.XXXXXX", here[1024];
    if (fixture == NULL || mkdtemp(folder) == NULL || getcwd(here, sizeof here) == NULL)
        return -1;
    snprintf(fixture->folder, sizeof fixture->folder, "%s/%s", here, folder);
    snprintf(fixture->store.folder, sizeof fixture->store.folder, "%s/store", folder);
    snprintf(fixture->url, URL_BYTES, "file://%s/hello.txt", fixture->folder);
    snprintf(fixture->missing_url, URL_BYTES, "file://%s/missing", fixture->folder);
    fixture->good[0] = fixture->url;
    fixture->missing[0] = fixture->missing_url;
    fixture->manifest = (struct manifest){ .path = "m.yaml", .name = "m", .archives = fixture->archives };
    fixture->manifest.weights =
        (struct manifest_source){ .urls = fixture->good, .url_count = 1, .sha256 = HELLO_SHA256 };
    fixture->options.download = (struct download_options){ .speed_time_s = 5, .warn = remember, .context = fixture };
    put(fixture, "hello.txt", "hello\n");
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    int result = file_remove_tree(fixture->folder, &error) == STATUS_OK ? 0 : -1;
    free(fixture);
    return result;
}

static void test_weights(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    struct obtained obtained;
    char path[FILE_PATH_BYTES];
    assert_int_equal(obtain_find_weights(&fixture->store, &fixture->manifest, path, &error), STATUS_ENVIRONMENT);
    assert_non_null(strstr(error.message, "selfsame fetch m.yaml"));
    fixture->options.offline = true;
    assert_int_equal(obtain_weights(&fixture->store, &fixture->manifest, &fixture->options, &obtained, &error),
                     STATUS_ENVIRONMENT);
    fixture->options.offline = false;
    for (int again = 0; again < 2; again++) {
        assert_int_equal(obtain_weights(&fixture->store, &fixture->manifest, &fixture->options, &obtained, &error),
                         STATUS_OK);
        assert_int_equal(obtained.fetched, !again);
        assert_int_equal(obtained.received, again ? 0 : 6);
        assert_string_equal(obtained.name, "hello.txt");
        assert_string_equal(obtained.sha256, HELLO_SHA256);
        assert_int_equal(obtain_find_weights(&fixture->store, &fixture->manifest, path, &error), STATUS_OK);
        assert_string_equal(path, obtained.path);
    }
    fixture->manifest.weights.url_count = 0;
    assert_int_equal(obtain_weights(&fixture->store, &fixture->manifest, &fixture->options, &obtained, &error),
                     STATUS_INPUT);
    assert_non_null(strstr(error.message, "weights.urls"));
}

/* However little is published of them: damage in the store is noticed, and mended by the next fetch. */
static void test_damaged_weights(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    struct obtained obtained;
    char path[FILE_PATH_BYTES];
    static const struct manifest_source published[] = { { .sha256 = HELLO_SHA256 },
                                                        { .sha256_prefix = "5891b5b5" },
                                                        { .md5 = HELLO_MD5 } };
    for (size_t i = 0; i < sizeof published / sizeof *published; i++) {
        fixture->manifest.weights = published[i];
        fixture->manifest.weights.urls = fixture->good;
        fixture->manifest.weights.url_count = 1;
        assert_int_equal(file_remove_tree(fixture->store.folder, &error), STATUS_OK);
        assert_int_equal(obtain_weights(&fixture->store, &fixture->manifest, &fixture->options, &obtained, &error),
                         STATUS_OK);
        assert_int_equal(file_write(obtained.path, "jello\n", 6, &error), STATUS_OK);
        assert_int_equal(obtain_find_weights(&fixture->store, &fixture->manifest, path, &error), STATUS_INPUT);
        assert_non_null(strstr(error.message, "selfsame fetch m.yaml downloads them again"));
        assert_int_equal(obtain_weights(&fixture->store, &fixture->manifest, &fixture->options, &obtained, &error),
                         STATUS_OK);
        assert_true(obtained.fetched);
        assert_non_null(strstr(fixture->warned, "damaged"));
        assert_int_equal(obtain_find_weights(&fixture->store, &fixture->manifest, path, &error), STATUS_OK);
    }
}

/* What another process does while we wait for its lock. */
struct repair {
    struct fixture *fixture;
    const char *path;
    struct lock lock;
};

static void repair(void *context, const char *message)
{
    struct repair *other = context;
    struct error error;
    remember(other->fixture, message);
    if (strstr(message, "another process") == NULL)
        return;
    assert_int_equal(file_write(other->path, "hello\n", 6, &error), STATUS_OK);
    lock_release(&other->lock);
}

static void ignore(void *context)
{
    (void)context;
}

/* A damaged file that another process is about to replace is left to that process. */
static void test_damage_mended_meanwhile(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    struct obtained obtained;
    struct repair other = { .fixture = fixture };
    char path[FILE_PATH_BYTES], damaged[FILE_PATH_BYTES];
    assert_int_equal(obtain_weights(&fixture->store, &fixture->manifest, &fixture->options, &obtained, &error),
                     STATUS_OK);
    memcpy(path, obtained.path, sizeof path);
    other.path = path;
    assert_int_equal(file_write(path, "jello\n", 6, &error), STATUS_OK);
    assert_int_equal(store_lock(&fixture->store, HELLO_SHA256, NULL, NULL, ignore, NULL, &other.lock, &error),
                     STATUS_OK);
    fixture->options.download.warn = repair;
    fixture->options.download.context = &other;
    assert_int_equal(obtain_weights(&fixture->store, &fixture->manifest, &fixture->options, &obtained, &error),
                     STATUS_OK);
    assert_non_null(strstr(fixture->warned, "another process is using hello.txt"));
    assert_false(obtained.fetched);
    assert_string_equal(obtained.path, path);
    assert_int_equal(file_path(damaged, &error, "%s/damaged/file-%s", fixture->store.folder, HELLO_SHA256), STATUS_OK);
    assert_false(file_exists(damaged));
    lock_release(&other.lock);
}

/* Which archive is downloaded, and the message if none can be. */
static void test_archives(void **state)
{
    struct fixture *fixture = *state;
    struct error error;
    struct obtained obtained;
    char folder[FILE_PATH_BYTES];
    assert_int_equal(obtain_dataset(&fixture->store, &fixture->manifest, &fixture->options, &obtained, &error),
                     STATUS_INPUT);
    assert_non_null(strstr(error.message, "dataset.archives"));
    fixture->archives[0] = (struct manifest_source){ .urls = fixture->missing, .url_count = 1, .sha256 = HELLO_SHA256 };
    fixture->archives[1] = fixture->archives[0];
    fixture->archives[1].sha256[0] = '6';
    fixture->manifest.archive_count = 2;
    assert_int_equal(obtain_dataset(&fixture->store, &fixture->manifest, &fixture->options, &obtained, &error),
                     STATUS_ENVIRONMENT);
    assert_non_null(strstr(error.message, "; and cannot download missing"));
    assert_non_null(strstr(error.message, "--data"));
    assert_string_equal(fixture->warned, "trying the next archive of the data set");
    assert_int_equal(obtain_find_dataset(&fixture->store, &fixture->manifest, folder, &error), STATUS_ENVIRONMENT);
    assert_non_null(strstr(error.message, "selfsame fetch m.yaml"));
    assert_non_null(strstr(error.message, "--data"));
    /* A file that is not an archive is an error of its own: its publisher must mend it, and another archive would not
     * help. */
    fixture->archives[0].urls = fixture->good;
    assert_int_equal(obtain_dataset(&fixture->store, &fixture->manifest, &fixture->options, &obtained, &error),
                     STATUS_INPUT);
    assert_non_null(strstr(error.message, "not a gzip file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_weights, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_weights, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage_mended_meanwhile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_archives, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

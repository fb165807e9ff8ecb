/* CIFAR-10's files: where they are found, and what is read of a folder with one copy or several. test_cifar10_batch.c
 * has the bytes of a batch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "experiments/manifest.h"
#include "fetch/data/cifar10.h"
#include "fetch/data/cifar10_places.h"

/* ---- where it is ------------------------------------------------------------------------------------------------- */

static int enter_scratch(void **state)
{
    static char folder[32];
    strcpy(folder, "test_cifar10.XXXXXX");
    *state = folder;
    return mkdtemp(folder) != NULL && chdir(folder) == 0 ? 0 : -1;
}

static int leave_scratch(void **state)
{
    struct error error;
    return chdir("..") == 0 && file_remove_tree(*state, &error) == STATUS_OK ? 0 : -1;
}

/* An empty file, and the folders above it. */
static void touch(const char *path)
{
    char folder[FILE_PATH_BYTES];
    struct error error;
    snprintf(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    assert_int_equal(file_make_folders(folder, &error), STATUS_OK);
    assert_int_equal(file_write(path, "", 0, &error), STATUS_OK);
}

static const char *const test_batch[] = { "test_batch" };

static void assert_found(const char *path, size_t place, const char *expected, enum cifar10_kind kind)
{
    struct cifar10_place *places;
    size_t count;
    struct error error = { STATUS_OK, "" };
    if (cifar10_find(path, test_batch, 1, &places, &count, &error) != STATUS_OK)
        fail_msg("%s: %s", path, error.message);
    assert_true(place < count);
    assert_string_equal(places[place].path, expected);
    assert_int_equal(places[place].kind, kind);
    free(places);
}

static void assert_not_found(const char *path, const char *says)
{
    struct cifar10_place *places;
    size_t count;
    struct error error = { STATUS_OK, "" };
    assert_int_equal(cifar10_find(path, test_batch, 1, &places, &count, &error), STATUS_INPUT);
    if (strstr(error.message, says) == NULL)
        fail_msg("%s says %s", path, error.message);
}

static void test_places(void **state)
{
    (void)state;
    struct error error;
    touch("itself/test_batch.bin");
    assert_found("itself", 0, "itself", CIFAR10_BINARY);
    touch("parent/cifar-10-batches-py/test_batch");
    assert_found("parent", 0, "parent/cifar-10-batches-py", CIFAR10_PYTHON);
    assert_int_equal(file_make_folders("parent/cifar-10-batches-bin", &error), STATUS_OK); /* empty */
    assert_found("parent", 0, "parent/cifar-10-batches-py", CIFAR10_PYTHON);
    touch("parent/cifar-10-batches-bin/data_batch_1.bin"); /* without the test batch */
    assert_found("parent", 0, "parent/cifar-10-batches-py", CIFAR10_PYTHON);
    touch("parent/cifar-10-batches-bin/test_batch.bin");
    assert_found("parent", 0, "parent/cifar-10-batches-bin", CIFAR10_BINARY);
    assert_found("parent", 1, "parent/cifar-10-batches-py", CIFAR10_PYTHON);
    touch("twice/cifar-10-batches-py/cifar-10-batches-py/test_batch");
    assert_found("twice", 0, "twice/cifar-10-batches-py/cifar-10-batches-py", CIFAR10_PYTHON);
    touch("only/something/else/test_batch.bin");
    assert_found("only", 0, "only/something/else", CIFAR10_BINARY);
    touch("among/imagenet/test_batch.bin");
    touch("among/mnist/x");
    touch("among/CIFAR10/cifar-10-batches-bin/test_batch.bin");
    assert_found("among", 0, "among/CIFAR10/cifar-10-batches-bin", CIFAR10_BINARY);
    touch("archive/cifar-10-python.tar.gz");
    assert_found("archive", 0, "archive/cifar-10-python.tar.gz", CIFAR10_ARCHIVE);
    assert_found("archive/cifar-10-python.tar.gz", 0, "archive/cifar-10-python.tar.gz", CIFAR10_ARCHIVE);
    touch("archive/cifar-10-batches-py/data_batch_1"); /* what was unpacked of it is not whole */
    assert_found("archive", 0, "archive/cifar-10-python.tar.gz", CIFAR10_ARCHIVE);
    touch("archive/cifar-10-batches-py/test_batch");
    assert_found("archive", 0, "archive/cifar-10-batches-py", CIFAR10_PYTHON);
    touch("renamed/data.tgz");
    assert_found("renamed", 0, "renamed/data.tgz", CIFAR10_ARCHIVE);
    touch("both/cifar-100-python/test");
    touch("both/cifar-10-batches-py/test_batch");
    assert_found("both", 0, "both/cifar-10-batches-py", CIFAR10_PYTHON);
    touch("hundred/cifar-100-python/test");
    assert_not_found("hundred", "CIFAR-100");
    assert_not_found("hundred/cifar-100-python/", "CIFAR-100");
    touch("archive100/cifar-100-python.tar.gz");
    assert_not_found("archive100", "CIFAR-100");
    assert_not_found("archive100/cifar-100-python.tar.gz", "CIFAR-100");
    touch("nothing/a/b");
    assert_not_found("nothing", "not contain CIFAR-10");
    assert_not_found("nowhere", "cannot open nowhere");
    /* A circle of links ends. */
    assert_int_equal(symlink("..", "nothing/cifar"), 0);
    assert_not_found("nothing", "not contain CIFAR-10");
}

/* ---- reading it -------------------------------------------------------------------------------------------- */

static const char *const FILES[] = { "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                     "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin" };
enum { FILE_COUNT = 6, PATH_BYTES = 256 };

struct fixture {
    char parent[64], folder[128];
};

static void file_of(const struct fixture *scratch, int file, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/%s", scratch->folder, FILES[file]);
}

static void resize(const struct fixture *scratch, int file, off_t bytes)
{
    char path[PATH_BYTES];
    file_of(scratch, file, path);
    int descriptor = open(path, O_WRONLY | O_CREAT, 0666);
    assert_true(descriptor >= 0);
    assert_int_equal(ftruncate(descriptor, bytes), 0);
    close(descriptor);
}

/* A byte of a file becomes `value`. */
static void poke(const struct fixture *scratch, int file, off_t at, uint8_t value)
{
    char path[PATH_BYTES];
    file_of(scratch, file, path);
    int descriptor = open(path, O_WRONLY);
    assert_int_equal(pwrite(descriptor, &value, 1, at), 1);
    close(descriptor);
}

static void clean(struct fixture *scratch)
{
    for (int file = 0; file < FILE_COUNT; file++) {
        char path[PATH_BYTES];
        file_of(scratch, file, path);
        unlink(path);
    }
    rmdir(scratch->folder);
    rmdir(scratch->parent);
}

/* Six sparse files of the right size in a folder as the archive's: black images of class 0. */
static int set_up(void **state)
{
    struct fixture *scratch = calloc(1, sizeof *scratch);
    *state = scratch;
    strcpy(scratch->parent, "test_cifar10.XXXXXX");
    if (mkdtemp(scratch->parent) == NULL)
        return -1;
    snprintf(scratch->folder, sizeof scratch->folder, "%s/cifar-10-batches-bin", scratch->parent);
    mkdir(scratch->folder, 0777);
    for (int file = 0; file < FILE_COUNT; file++)
        resize(scratch, file, CIFAR10_FILE_BYTES);
    return 0;
}

static int tear_down(void **state)
{
    clean(*state);
    free(*state);
    return 0;
}

static void assert_failure(const char *folder, enum status status, const char *first, const char *second)
{
    struct dataset training, test;
    struct error error;
    assert_int_equal(cifar10_read(folder, &training, &test, NULL, NULL, &error), status);
    if (strstr(error.message, first) == NULL || strstr(error.message, second) == NULL)
        fail_msg("\"%s\" does not say \"%s\" or \"%s\"", error.message, first, second);
    assert_int_equal(training.count, 0);
    assert_null(training.images);
    assert_null(test.images);
}

static void test_cifar10_whole(void **state)
{
    const struct fixture *scratch = *state;
    struct dataset training, test;
    struct error error;
    poke(scratch, 1, 0, 9);                         /* label of image 10,000 */
    poke(scratch, 1, DATASET_RECORD_BYTES - 1, 77); /* its last pixel */
    poke(scratch, 5, DATASET_RECORD_BYTES, 3);      /* label of test image 1 */
    assert_int_equal(cifar10_read(scratch->folder, &training, &test, NULL, NULL, &error), STATUS_OK);
    assert_int_equal(training.count, 50000);
    assert_int_equal(test.count, 10000);
    assert_int_equal(training.labels[10000], 9);
    assert_int_equal(training.images[(size_t)10001 * DATASET_IMAGE_BYTES - 1], 77);
    assert_int_equal(test.labels[1], 3);
    dataset_free(&test);
    poke(scratch, 5, DATASET_RECORD_BYTES, 0);
    assert_int_equal(cifar10_read(scratch->parent, NULL, &test, NULL, NULL, &error), STATUS_OK);
    assert_string_equal(test.sha256,
                        "3a8a84b64bcf861b26141d5cdcae007b8457d57210923dc132103760842ce568"); /* 30,730,000 zeros */
    dataset_free(&training);
    dataset_free(&test);
}

static void test_cifar10_damaged(void **state)
{
    const struct fixture *scratch = *state;
    char path[PATH_BYTES];
    resize(scratch, 4, CIFAR10_FILE_BYTES - 1);
    assert_failure(scratch->parent, STATUS_INPUT, "data_batch_5.bin is too short: 30729999 bytes", "expected 30730000");
    resize(scratch, 4, CIFAR10_FILE_BYTES + 1);
    assert_failure(scratch->parent, STATUS_INPUT, "data_batch_5.bin is too long: 30730001 bytes", "expected 30730000");
    resize(scratch, 4, 0);
    assert_failure(scratch->parent, STATUS_INPUT, "data_batch_5.bin is too short: 0 bytes", "expected 30730000");
    resize(scratch, 4, CIFAR10_FILE_BYTES);
    poke(scratch, 2, (off_t)9999 * DATASET_RECORD_BYTES, 10);
    assert_failure(scratch->folder, STATUS_INPUT, "data_batch_3.bin: record 9999", "at byte 30726927, has label 10");
    poke(scratch, 2, (off_t)9999 * DATASET_RECORD_BYTES, 0);
    file_of(scratch, 5, path);
    unlink(path);
    assert_failure(scratch->folder, STATUS_INPUT, "test_batch.bin", "No such file");
    file_of(scratch, 0, path);
    unlink(path);
    assert_failure(scratch->parent, STATUS_INPUT, "cifar-10-batches-bin/data_batch_1.bin", "No such file");
}

static enum status accept_one(void *context, const struct dataset *training, const struct dataset *test,
                              struct error *error)
{
    (void)training;
    return strcmp(test->sha256, context) == 0 ? STATUS_OK : error_set(error, STATUS_INPUT, "other data");
}

/* A copy that is cut, or whole with other images, does not hide a good one. */
static void test_several_copies(void **state)
{
    const struct fixture *scratch = *state;
    struct dataset test;
    struct error error;
    char second[PATH_BYTES], file[PATH_BYTES + 16];
    /* 30,730,000 zeros */
    char *zeros = "3a8a84b64bcf861b26141d5cdcae007b8457d57210923dc132103760842ce568";
    snprintf(second, sizeof second, "%s/cifar-10-copy", scratch->parent);
    snprintf(file, sizeof file, "%s/test_batch.bin", second);
    mkdir(second, 0777);
    int descriptor = open(file, O_WRONLY | O_CREAT, 0666);
    assert_int_equal(ftruncate(descriptor, CIFAR10_FILE_BYTES), 0);
    close(descriptor);
    resize(scratch, 5, 1000);
    assert_int_equal(cifar10_read(scratch->parent, NULL, &test, accept_one, zeros, &error), STATUS_OK);
    dataset_free(&test);
    resize(scratch, 5, CIFAR10_FILE_BYTES);
    poke(scratch, 5, 100, 1);
    assert_int_equal(cifar10_read(scratch->parent, NULL, &test, accept_one, zeros, &error), STATUS_OK);
    assert_string_equal(test.sha256, zeros);
    dataset_free(&test);
    /* If none is good, the message names the fault of the first. */
    assert_int_equal(truncate(file, 999), 0);
    assert_int_equal(cifar10_read(scratch->parent, NULL, &test, accept_one, zeros, &error), STATUS_INPUT);
    assert_null(test.images);
    unlink(file);
    rmdir(second);
}

static void test_cifar10_elsewhere(void **state)
{
    const struct fixture *scratch = *state;
    char empty[PATH_BYTES], python[PATH_BYTES + 32];
    snprintf(empty, sizeof empty, "%s/empty", scratch->parent);
    snprintf(python, sizeof python, "%s/cifar-10-batches-py", empty);
    mkdir(empty, 0777);
    assert_failure("no/such/folder", STATUS_INPUT, "no/such/folder", "No such file");
    assert_failure(empty, STATUS_INPUT, empty, "not contain CIFAR-10");
    mkdir(python, 0777);
    assert_failure(empty, STATUS_INPUT, "not contain CIFAR-10", "cifar-10-python.tar.gz");
    rmdir(python);
    rmdir(empty);
}

/* The real CIFAR-10, if there is one: SELFSAME_CIFAR10 names its folder, or a copy that unpacks itself is next to the
 * checkout. */
static void test_cifar10_real(void **state)
{
    struct fixture *scratch = *state;
    struct dataset training, test;
    struct error error;
    const char *folder = getenv("SELFSAME_CIFAR10"), *source = getenv("srcdir");
    if (folder == NULL) {
        char command[1024];
        snprintf(command, sizeof command,
                 "unpack='%s/../shared/data/cifar10/unpack'; test -f \"$unpack\" && "
                 "python3 \"$unpack\" '%s' >/dev/null 2>&1",
                 source == NULL ? "." : source, scratch->parent);
        if (system(command) != 0)
            skip();
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "%s/batches.meta.txt", scratch->folder);
        unlink(path);
        folder = scratch->parent;
    }
    assert_int_equal(cifar10_read(folder, &training, &test, NULL, NULL, &error), STATUS_OK);
    /* SHA-256 of the five official files one after the other. */
    assert_string_equal(training.sha256, "a0181da372c0d63a5920fdbea2ec3f83ecbc552d378218e1cb473cf634941a3b");
    static const double published_means[3] = { 125.3, 123.0, 113.9 };
    uint64_t sums[3] = { 0 };
    uint32_t counts[2][DATASET_CLASSES] = { { 0 } };
    for (size_t at = 0; at < (size_t)training.count * DATASET_IMAGE_BYTES; at++)
        sums[at % DATASET_IMAGE_BYTES / DATASET_PIXELS] += training.images[at];
    for (int c = 0; c < 3; c++) {
        double difference = (double)sums[c] / (50000.0 * DATASET_PIXELS) - published_means[c];
        assert_true(difference > -0.06 && difference < 0.06);
    }
    for (uint32_t i = 0; i < training.count; i++)
        counts[0][training.labels[i]]++;
    for (uint32_t i = 0; i < test.count; i++)
        counts[1][test.labels[i]]++;
    for (int label = 0; label < DATASET_CLASSES; label++) {
        assert_int_equal(counts[0][label], 5000);
        assert_int_equal(counts[1][label], 1000);
    }
    dataset_free(&training);
    dataset_free(&test);
}

/* The note on an error that was measured on other data. */
static void test_marks(void **state)
{
    (void)state;
    struct manifest cifar10 = { .dataset_kind = DATASET_CIFAR10 }, embedded = { .dataset_kind = DATASET_EMBEDDED };
    static const char other[] = "3a8a84b64bcf861b26141d5cdcae007b8457d57210923dc132103760842ce568";
    assert_null(manifest_test_mark(&cifar10, CIFAR10_TEST_SHA256));
    assert_non_null(manifest_test_mark(&cifar10, other));
    memcpy(cifar10.test_sha256, other, sizeof other); /* a manifest that says so does not make it CIFAR-10's */
    assert_non_null(manifest_test_mark(&cifar10, other));
    assert_null(manifest_test_mark(&cifar10, ""));
    assert_null(manifest_test_mark(&embedded, other));
    memcpy(embedded.test_sha256, CIFAR10_TEST_SHA256, sizeof CIFAR10_TEST_SHA256);
    assert_non_null(manifest_test_mark(&embedded, other));
    /* The manifests and the program mean the same data. */
    struct manifest manifest;
    struct error error;
    setenv("SELFSAME_EXPERIMENTS", SOURCE_DIR "/experiments", 1);
    assert_int_equal(manifest_read("msra/resnet20.yaml", &manifest, &error), STATUS_OK);
    assert_string_equal(manifest.test_sha256, CIFAR10_TEST_SHA256);
    manifest_free(&manifest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_marks),
        cmocka_unit_test_setup_teardown(test_places, enter_scratch, leave_scratch),
        cmocka_unit_test_setup_teardown(test_cifar10_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cifar10_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_several_copies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cifar10_elsewhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cifar10_real, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

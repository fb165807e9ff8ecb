/* Data sets in memory, the embedded one, and CIFAR-10's files, whole and damaged. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/hash.h"
#include "fetch/data/cifar10.h"
#include "fetch/data/embedded.h"
#include "trainer/dataset.h"

/* ---- the embedded data set --------------------------------------------------------------------------------------- */

/* The bytes are the same with gcc and clang, optimised and not, on every machine; they were looked at, too. */
static void test_embedded_digests(void **state)
{
    (void)state;
    struct dataset training, test;
    struct error error;
    assert_int_equal(embedded_make(&training, 2000, &test, 1000, &error), STATUS_OK);
    assert_string_equal(training.sha256, "d4fbd46c8e6e3bc1c96b3a552aea5d4c252790df8a3d318f9ae1067d45fb5937");
    assert_string_equal(test.sha256, "79b635ba6a19d9800cb6be63d135543dbc950311c7da323afbf28165bc6650ca");
    uint32_t counts[DATASET_CLASSES] = { 0 };
    for (uint32_t i = 0; i < training.count; i++)
        counts[training.labels[i]]++;
    for (int label = 0; label < DATASET_CLASSES; label++)
        assert_int_equal(counts[label], 200);
    dataset_free(&training);
    dataset_free(&test);
}

static void test_embedded_prefix(void **state)
{
    (void)state;
    struct dataset large, small, test;
    struct error error;
    assert_int_equal(embedded_make(&large, 40, &test, 0, &error), STATUS_OK);
    assert_int_equal(test.count, 0);
    dataset_free(&test);
    assert_int_equal(embedded_make(&small, 25, &test, 40, &error), STATUS_OK);
    assert_memory_equal(large.images, small.images, 25 * DATASET_IMAGE_BYTES);
    assert_memory_equal(large.labels, small.labels, 25);
    for (uint32_t i = 0; i < 40; i++)
        assert_memory_not_equal(large.images, test.images + (size_t)i * DATASET_IMAGE_BYTES, DATASET_IMAGE_BYTES);
    dataset_free(&large);
    dataset_free(&small);
    dataset_free(&test);
}

/* ---- digests ----------------------------------------------------------------------------------------------------- */

static void test_digest_is_of_records(void **state)
{
    (void)state;
    struct dataset dataset;
    struct error error;
    char hex[DIGEST_HEX_BYTES];
    uint8_t records[2][DATASET_RECORD_BYTES];
    assert_int_equal(dataset_allocate(&dataset, 2, &error), STATUS_OK);
    for (size_t i = 0; i < sizeof records; i++)
        records[i / DATASET_RECORD_BYTES][i % DATASET_RECORD_BYTES] = (uint8_t)(i * i >> 3);
    for (size_t i = 0; i < 2; i++) {
        dataset.labels[i] = records[i][0];
        memcpy(dataset.images + i * DATASET_IMAGE_BYTES, records[i] + 1, DATASET_IMAGE_BYTES);
    }
    dataset_digest(&dataset);
    sha256_hex(records, sizeof records, hex);
    assert_string_equal(dataset.sha256, hex);
    assert_int_equal(dataset_expect(&dataset, hex, "the test data", "a.yaml:3", &error), STATUS_OK);
    hex[63] = hex[63] == '0' ? '1' : '0';
    assert_int_equal(dataset_expect(&dataset, hex, "the test data", "a.yaml:3", &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "the test data has SHA-256 "));
    assert_non_null(strstr(error.message, "a.yaml:3 expects "));
    assert_non_null(strstr(error.message, hex));
    assert_non_null(strstr(error.message, dataset.sha256));
    dataset_free(&dataset);
    assert_null(dataset.images);
}

/* ---- CIFAR-10's files -------------------------------------------------------------------------------------------- */

static const char *const FILES[] = { "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                     "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin" };
enum { FILE_COUNT = 6, PATH_BYTES = 256 };

struct scratch {
    char parent[64], folder[128];
};

static void file_of(const struct scratch *scratch, int file, char path[PATH_BYTES])
{
    snprintf(path, PATH_BYTES, "%s/%s", scratch->folder, FILES[file]);
}

static void resize(const struct scratch *scratch, int file, off_t bytes)
{
    char path[PATH_BYTES];
    file_of(scratch, file, path);
    int descriptor = open(path, O_WRONLY | O_CREAT, 0666);
    assert_true(descriptor >= 0);
    assert_int_equal(ftruncate(descriptor, bytes), 0);
    close(descriptor);
}

/* A byte of a file becomes `value`. */
static void poke(const struct scratch *scratch, int file, off_t at, uint8_t value)
{
    char path[PATH_BYTES];
    file_of(scratch, file, path);
    int descriptor = open(path, O_WRONLY);
    assert_int_equal(pwrite(descriptor, &value, 1, at), 1);
    close(descriptor);
}

static void clean(struct scratch *scratch)
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
    struct scratch *scratch = calloc(1, sizeof *scratch);
    strcpy(scratch->parent, "test_dataset.XXXXXX");
    if (mkdtemp(scratch->parent) == NULL)
        return -1;
    snprintf(scratch->folder, sizeof scratch->folder, "%s/cifar-10-batches-bin", scratch->parent);
    mkdir(scratch->folder, 0777);
    for (int file = 0; file < FILE_COUNT; file++)
        resize(scratch, file, CIFAR10_FILE_BYTES);
    *state = scratch;
    return 0;
}

static int tear_down(void **state)
{
    clean(*state);
    free(*state);
    return 0;
}

static void expect_failure(const char *folder, enum status status, const char *first, const char *second)
{
    struct dataset training, test;
    struct error error;
    assert_int_equal(cifar10_read(folder, &training, &test, &error), status);
    if (strstr(error.message, first) == NULL || strstr(error.message, second) == NULL)
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", error.message, first, second);
    assert_int_equal(training.count, 0);
    assert_null(training.images);
    assert_null(test.images);
}

static void test_cifar10_whole(void **state)
{
    const struct scratch *scratch = *state;
    struct dataset training, test;
    struct error error;
    poke(scratch, 1, 0, 9);                         /* label of image 10,000 */
    poke(scratch, 1, DATASET_RECORD_BYTES - 1, 77); /* its last pixel */
    poke(scratch, 5, DATASET_RECORD_BYTES, 3);      /* label of test image 1 */
    assert_int_equal(cifar10_read(scratch->folder, &training, &test, &error), STATUS_OK);
    assert_int_equal(training.count, 50000);
    assert_int_equal(test.count, 10000);
    assert_int_equal(training.labels[10000], 9);
    assert_int_equal(training.images[(size_t)10001 * DATASET_IMAGE_BYTES - 1], 77);
    assert_int_equal(test.labels[1], 3);
    dataset_free(&test);
    poke(scratch, 5, DATASET_RECORD_BYTES, 0);
    assert_int_equal(cifar10_read(scratch->parent, NULL, &test, &error), STATUS_OK);
    assert_string_equal(test.sha256,
                        "3a8a84b64bcf861b26141d5cdcae007b8457d57210923dc132103760842ce568"); /* 30,730,000 zeros */
    dataset_free(&training);
    dataset_free(&test);
}

static void test_cifar10_damaged(void **state)
{
    const struct scratch *scratch = *state;
    char path[PATH_BYTES];
    resize(scratch, 4, CIFAR10_FILE_BYTES - 1);
    expect_failure(scratch->parent, STATUS_INPUT, "data_batch_5.bin is too short: 30729999 bytes", "expected 30730000");
    resize(scratch, 4, CIFAR10_FILE_BYTES + 1);
    expect_failure(scratch->parent, STATUS_INPUT, "data_batch_5.bin is too long: 30730001 bytes", "expected 30730000");
    resize(scratch, 4, 0);
    expect_failure(scratch->parent, STATUS_INPUT, "data_batch_5.bin is too short: 0 bytes", "expected 30730000");
    resize(scratch, 4, CIFAR10_FILE_BYTES);
    poke(scratch, 2, (off_t)9999 * DATASET_RECORD_BYTES, 10);
    expect_failure(scratch->folder, STATUS_INPUT, "data_batch_3.bin: record 9999", "at byte 30726927, has label 10");
    poke(scratch, 2, (off_t)9999 * DATASET_RECORD_BYTES, 0);
    file_of(scratch, 5, path);
    unlink(path);
    expect_failure(scratch->folder, STATUS_INPUT, "test_batch.bin", "No such file");
    file_of(scratch, 0, path);
    unlink(path);
    expect_failure(scratch->parent, STATUS_INPUT, "cifar-10-batches-bin/data_batch_1.bin", "No such file");
}

static void test_cifar10_elsewhere(void **state)
{
    const struct scratch *scratch = *state;
    char empty[PATH_BYTES], python[PATH_BYTES + 32];
    snprintf(empty, sizeof empty, "%s/empty", scratch->parent);
    snprintf(python, sizeof python, "%s/cifar-10-batches-py", empty);
    mkdir(empty, 0777);
    expect_failure("no/such/folder", STATUS_INPUT, "no/such/folder", "not a folder");
    expect_failure(empty, STATUS_INPUT, empty, "no CIFAR-10");
    mkdir(python, 0777);
    expect_failure(empty, STATUS_INPUT, "cifar-10-batches-py/data_batch_1", "No such file");
    rmdir(python);
    rmdir(empty);
}

/* The real thing, where it is at hand: SELFSAME_CIFAR10 names its folder, or a copy that unpacks itself stands beside
 * the checkout. */
static void test_cifar10_real(void **state)
{
    struct scratch *scratch = *state;
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
    assert_int_equal(cifar10_read(folder, &training, &test, &error), STATUS_OK);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embedded_digests),
        cmocka_unit_test(test_embedded_prefix),
        cmocka_unit_test(test_digest_is_of_records),
        cmocka_unit_test_setup_teardown(test_cifar10_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cifar10_damaged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cifar10_elsewhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cifar10_real, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

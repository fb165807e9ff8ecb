/* Data sets in memory, and the embedded one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/hash.h"
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
    dataset_free(&dataset);
    assert_null(dataset.images);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_embedded_digests),
        cmocka_unit_test(test_embedded_prefix),
        cmocka_unit_test(test_digest_is_of_records),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

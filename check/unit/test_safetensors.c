/* safetensors: what is good opens, and each rule of the format has a file that breaks it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/file.h"
#include "fetch/weights/safetensors.h"
#include "fetch/weights/weights.h"

static char folder[] = "/tmp/test_safetensors.XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/file.safetensors", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

/* A file of a header and `data_bytes` bytes of data, for the parser to own. */
static char *compose(const char *header, size_t data_bytes, size_t *bytes)
{
    size_t length = strlen(header);
    *bytes = 8 + length + data_bytes;
    char *file = calloc(1, *bytes + 1);
    assert_non_null(file);
    bytes_put_u64((uint8_t *)file, length);
    memcpy(file + 8, header, length);
    return file;
}

static enum status parse_text(const char *header, size_t data_bytes, struct error *error)
{
    struct safetensors read;
    size_t bytes;
    char *file = compose(header, data_bytes, &bytes);
    enum status status = safetensors_parse(&read, "x.safetensors", file, bytes, error);
    if (status == STATUS_OK)
        safetensors_free(&read);
    return status;
}

#define TENSOR(name, dtype, shape, offsets) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void test_good(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data_bytes;
    } files[] = {
        { "{}", 0 },
        { "{}      ", 0 },
        { "{" TENSOR("a", "F32", "[2,3]", "[0,24]") "}", 24 },
        { "{" TENSOR("a", "F32", "[]", "[0,4]") "}", 4 },
        { "{" TENSOR("a", "F32", "[0,5]", "[0,0]") "," TENSOR("b", "U8", "[3]", "[0,3]") "," TENSOR("c", "I64", "[0]",
                                                                                                    "[3,3]") "}",
          3 },
        { "{" TENSOR("b", "BF16", "[2]", "[8,12]") "," TENSOR("a", "I64", "[]", "[0,8]") "}", 12 },
        { "{" TENSOR("a", "F4", "[4]", "[0,2]") "}", 2 },
        { "{\"__metadata__\":{\"format\":\"pt\"}," TENSOR("a", "BOOL", "[1]", "[0,1]") "}", 1 },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct error error = { STATUS_OK, "" };
        if (parse_text(files[i].header, files[i].data_bytes, &error) != STATUS_OK)
            fail_msg("%s: %s", files[i].header, error.message);
    }
}

static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t data_bytes;
        const char *complaint;
    } files[] = {
        { " {}", 0, "does not begin with {" },
        { "", 0, "does not begin with {" },
        { "[]", 0, "does not begin with {" },
        { "{", 0, "not JSON" },
        { "{}x", 0, "not JSON" },
        { "{\"\xff\":1}", 0, "not JSON" },
        { "{\"a\":1}", 0, "\"a\" is not an object" },
        { "{" TENSOR("a", "U8", "[1]", "[0,1]") "," TENSOR("a", "U8", "[1]", "[1,2]") "}", 2, "not JSON: duplicate" },
        { "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
          "not JSON: duplicate" },
        { "{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "\"dtype\" is missing" },
        { "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "\"shape\" is missing" },
        { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "\"data_offsets\" is not" },
        { "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"zip\":1}}", 1, "unknown key \"zip\"" },
        { "{" TENSOR("a", "U9", "[1]", "[0,1]") "}", 1, "unknown dtype \"U9\"" },
        { "{" TENSOR("a", "U8", "[-1]", "[0,1]") "}", 1, "dimension 0" },
        { "{" TENSOR("a", "U8", "[1.0]", "[0,1]") "}", 1, "dimension 0" },
        { "{" TENSOR("a", "U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, "9 dimensions" },
        { "{" TENSOR("a", "F32", "[4294967296,4294967296]", "[0,0]") "}", 0, "more than 2^64 bits" },
        { "{" TENSOR("a", "U8", "[18446744073709551617]", "[0,1]") "}", 1, "not JSON" },
        { "{" TENSOR("a", "F4", "[3]", "[0,1]") "}", 1, "whole bytes" },
        { "{" TENSOR("a", "U8", "[1]", "[-1,0]") "}", 1, "rising whole numbers" },
        { "{" TENSOR("a", "U8", "[1]", "[1,0]") "}", 1, "rising whole numbers" },
        { "{" TENSOR("a", "U8", "[1]", "[0,1,2]") "}", 1, "rising whole numbers" },
        { "{" TENSOR("a", "F32", "[2]", "[0,4]") "}", 4, "need 8" },
        { "{" TENSOR("a", "U8", "[2]", "[0,2]") "}", 1, "truncated" },
        { "{" TENSOR("a", "U8", "[1]", "[1,2]") "}", 2, "a hole" },
        { "{" TENSOR("a", "U8", "[1]", "[0,1]") "," TENSOR("b", "U8", "[1]", "[2,3]") "}", 3, "a hole" },
        { "{" TENSOR("a", "U8", "[2]", "[0,2]") "," TENSOR("b", "U8", "[2]", "[1,3]") "}", 3, "an overlap" },
        { "{" TENSOR("a", "U8", "[1]", "[0,1]") "}", 2, "1 bytes follow" },
        { "{}", 1, "1 bytes follow" },
        { "{\"__metadata__\":[]}", 0, "\"__metadata__\" is not an object" },
        { "{\"__metadata__\":{\"a\":1}}", 0, "\"a\" in \"__metadata__\"" },
        { "{\"__metadata__\":{\"selfsame_seal\":\"0\"}}", 0, "damaged" },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct error error = { STATUS_OK, "" };
        if (parse_text(files[i].header, files[i].data_bytes, &error) != STATUS_INPUT)
            fail_msg("not refused: %s", files[i].header);
        if (strstr(error.message, files[i].complaint) == NULL || strstr(error.message, "x.safetensors") == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", files[i].header, error.message, files[i].complaint);
    }
}

static void test_lengths(void **state)
{
    (void)state;
    static const struct {
        uint64_t length;
        size_t bytes;
        const char *complaint;
    } files[] = {
        { 0, 0, "too short" },       { 0, 7, "too short" },      { 3, 10, "truncated" },
        { UINT64_MAX, 10, "limit" }, { 100000001, 10, "limit" }, { 100000000, 10, "truncated" },
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct safetensors read;
        struct error error;
        char *file = calloc(1, 16);
        assert_non_null(file);
        bytes_put_u64((uint8_t *)file, files[i].length);
        memcpy(file + 8, "{}", 2);
        assert_int_equal(safetensors_parse(&read, "x", file, files[i].bytes, &error), STATUS_INPUT);
        assert_non_null(strstr(error.message, files[i].complaint));
    }
}

/* A header that nests deeper than any stack must be refused, not followed. */
static void test_nesting(void **state)
{
    (void)state;
    enum { DEPTH = 1000000 };
    struct error error;
    char *header = malloc(DEPTH + 6);
    assert_non_null(header);
    memcpy(header, "{\"a\":", 5);
    memset(header + 5, '[', DEPTH);
    header[DEPTH + 5] = '\0';
    assert_int_equal(parse_text(header, 0, &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "depth"));
    free(header);
}

static const float small_values[] = { 1.0f, -2.5f, 0.0f, -0.0f, 1e-45f, 3e38f };
static const uint32_t small_shape[] = { 2, 3 };

static void write_small(bool seal)
{
    const struct safetensors_source sources[] = { { "a", 2, small_shape, small_values },
                                                  { "b\"c", 0, small_shape, small_values + 1 } };
    const struct safetensors_pair pairs[] = { { "step", "17" }, { "text", "a \"quoted\" selfsame_seal\":\"" } };
    struct error error = { STATUS_OK, "" };
    if (safetensors_write(path, sources, 2, pairs, 2, seal, &error) != STATUS_OK)
        fail_msg("%s", error.message);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int seal = 0; seal < 2; seal++) {
        struct safetensors read;
        struct error error;
        write_small(seal);
        assert_int_equal(safetensors_read(&read, path, &error), STATUS_OK);
        assert_int_equal(read.sealed, seal);
        assert_int_equal(read.count, 2);
        const struct safetensor *a = safetensors_find(&read, "a"), *b = safetensors_find(&read, "b\"c");
        assert_non_null(a);
        assert_non_null(b);
        assert_null(safetensors_find(&read, "c"));
        assert_int_equal(a->rank, 2);
        assert_int_equal(a->shape[1], 3);
        assert_int_equal(a->bytes, sizeof small_values);
        float values[sizeof small_values / sizeof *small_values]; /* a file's numbers are little endian */
        bytes_get_floats(values, a->data, sizeof small_values / sizeof *small_values);
        assert_memory_equal(values, small_values, sizeof small_values);
        assert_int_equal(b->rank, 0);
        bytes_get_floats(values, b->data, 1);
        assert_memory_equal(values, small_values + 1, sizeof *small_values);
        assert_int_equal(((const char *)a->data - read.file) % 8, 0);
        assert_string_equal(safetensors_metadata(&read, "step"), "17");
        assert_null(safetensors_metadata(&read, "steps"));
        safetensors_free(&read);
    }
}

/* Every truncation and every flipped bit of a sealed file must show. */
static void test_seal(void **state)
{
    (void)state;
    char *file;
    size_t bytes;
    struct error error;
    struct safetensors read;
    write_small(true);
    assert_int_equal(file_read(path, 4096, &file, &bytes, &error), STATUS_OK);
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        char *copy = malloc(bytes);
        assert_non_null(copy);
        memcpy(copy, file, bytes);
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
        if (safetensors_parse(&read, path, copy, bytes, &error) == STATUS_OK) {
            /* The one harmless-looking way out is a seal whose name was flipped: then it is not sealed, and checkpoints
             * ask for that. */
            assert_false(read.sealed);
            safetensors_free(&read);
        }
    }
    for (size_t length = 0; length < bytes; length++) {
        char *copy = malloc(length + 1);
        assert_non_null(copy);
        memcpy(copy, file, length);
        assert_int_equal(safetensors_parse(&read, path, copy, length, &error), STATUS_INPUT);
    }
    free(file);
}

static struct network *open_network(uint32_t depth, enum shortcut shortcut)
{
    struct model_config model = { .depth = depth,
                                  .shortcut = shortcut,
                                  .linear_bias = BIAS_ZERO,
                                  .batch_norm_epsilon = 1e-5,
                                  .batch_norm_rate = 0.1,
                                  .batch_norm_initial_variance = 1.0 };
    struct network *network;
    struct error error;
    assert_int_equal(network_open(&network, &model, &error), STATUS_OK);
    return network;
}

static void expect_refusal(const struct network *network, const char *complaint)
{
    struct error error = { STATUS_OK, "" };
    float *values = calloc(network->value_count, sizeof *values);
    assert_non_null(values);
    assert_int_equal(weights_read(path, network, values, &error), STATUS_INPUT);
    if (strstr(error.message, complaint) == NULL || strstr(error.message, path) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.message, complaint);
    free(values);
}

static void test_weights(void **state)
{
    (void)state;
    struct network *network = open_network(8, SHORTCUT_PAD_END), *deeper = open_network(14, SHORTCUT_PAD_END),
                   *projected = open_network(8, SHORTCUT_PROJECTION);
    float *values = calloc(network->value_count, sizeof *values), *read = calloc(network->value_count, sizeof *read);
    struct error error;
    assert_non_null(values);
    assert_non_null(read);
    network_initialize(network, 3, values);
    assert_int_equal(weights_write(path, network, values, &error), STATUS_OK);
    assert_int_equal(weights_read(path, network, read, &error), STATUS_OK);
    assert_memory_equal(read, values, network->value_count * sizeof *values);
    expect_refusal(deeper, "belong to another network than the manifest's: model.depth 8 instead of 14");
    expect_refusal(projected, "model.shortcut option A instead of projection");
    assert_int_equal(file_write(path, "\x80\x02\x8a\x0al\xfc\x9c\x46\xf9", 9, &error), STATUS_OK);
    expect_refusal(network, "the file is truncated");
    assert_int_equal(file_write(path, "PK\3\4", 4, &error), STATUS_OK);
    expect_refusal(network, "no end record");
    network->tensors[0].shape[0]++;
    network->tensors[0].rank = 1;
    assert_int_equal(weights_write(path, network, values, &error), STATUS_OK);
    network->tensors[0].shape[0]--;
    expect_refusal(network, "tensor \"bn1.bias\" is 17, but bn1.bias of a 6n+2 network for CIFAR-10 is 16");
    free(values);
    free(read);
    network_close(network);
    network_close(deeper);
    network_close(projected);
}

/* Tensors that PyTorch adds are ignored. Tensors that the network does not have are refused. */
static void test_strange_names(void **state)
{
    (void)state;
    struct network *network = open_network(8, SHORTCUT_PAD_END);
    float *values = calloc(network->value_count, sizeof *values);
    struct safetensors_source *sources = calloc(network->tensor_count + 1u, sizeof *sources);
    struct error error;
    assert_non_null(values);
    assert_non_null(sources);
    for (uint32_t i = 0; i < network->tensor_count; i++)
        sources[i] = (struct safetensors_source){ network->tensors[i].name, network->tensors[i].rank,
                                                  network->tensors[i].shape, values };
    sources[network->tensor_count] = (struct safetensors_source){ "bn1.num_batches_tracked", 0, NULL, values };
    assert_int_equal(safetensors_write(path, sources, network->tensor_count + 1u, NULL, 0, false, &error), STATUS_OK);
    assert_int_equal(weights_read(path, network, values, &error), STATUS_OK);
    sources[network->tensor_count].name = "bn9.weight";
    assert_int_equal(safetensors_write(path, sources, network->tensor_count + 1u, NULL, 0, false, &error), STATUS_OK);
    expect_refusal(network, "has no place for the tensor \"bn9.weight\"");
    /* The name of the entry with the file's metadata. */
    sources[network->tensor_count].name = "__metadata__";
    assert_int_equal(safetensors_write(path, sources, network->tensor_count + 1u, NULL, 0, false, &error),
                     STATUS_INPUT);
    assert_non_null(strstr(error.message, "cannot have a tensor called __metadata__"));
    free(values);
    free(sources);
    network_close(network);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),    cmocka_unit_test(test_malformed),     cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_nesting), cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_seal),
        cmocka_unit_test(test_weights), cmocka_unit_test(test_strange_names),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

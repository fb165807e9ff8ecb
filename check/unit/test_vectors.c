/* The small vectors of check/independent, computed by the program: the second implementation wrote their outputs, so
 * that both have to agree on every number. check/independent/README.md describes the kinds. Replays and records are
 * the program's own, and check/cli/independent.sh has those. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "experiments/manifest.h"
#include "fetch/data/embedded.h"
#include "trainer/digests.h"
#include "trainer/exact.h"
#include "trainer/random.h"
#include "trainer/sampler.h"
#include "trainer/schedule.h"

static const char *vector_name; /* for messages */

/* ---- reading ----------------------------------------------------------------------------------------------------- */

static uint64_t bits_of(const json_t *text)
{
    assert_true(json_is_string(text));
    return strtoull(json_string_value(text), NULL, 16);
}

static float b32(const json_t *text)
{
    return float_of_bits((uint32_t)bits_of(text));
}

static double b64(const json_t *text)
{
    return double_of_bits(bits_of(text));
}

static json_t *b32_json(float x)
{
    return json_sprintf("%08" PRIx32, float_bits(x));
}

static json_t *b64_json(double x)
{
    return json_sprintf("%016" PRIx64, double_bits(x));
}

static uint64_t whole(const json_t *array, size_t index)
{
    return (uint64_t)json_integer_value(json_array_get(array, index));
}

static struct manifest manifest_of(const json_t *given)
{
    const char *text = json_string_value(json_object_get(given, "manifest"));
    struct manifest manifest, seeded = { .name = NULL };
    struct error error;
    if (manifest_read_text(text, strlen(text), vector_name, &manifest, &error) != STATUS_OK ||
        manifest_with_seed(&manifest, (uint64_t)json_integer_value(json_object_get(given, "seed")), &seeded, &error) !=
            STATUS_OK)
        fail_msg("%s", error.message);
    manifest_free(&manifest);
    return seeded;
}

/* ---- kinds: the input of a vector -> its output ------------------------------------------------------------------ */

static json_t *random_blocks(const json_t *given)
{
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(given); i++) {
        const json_t *row = json_array_get(given, i);
        uint32_t words[4];
        json_t *out = json_array();
        random_block(whole(row, 0), (enum random_purpose)whole(row, 1), whole(row, 2), (uint32_t)whole(row, 3), words);
        for (int k = 0; k < 4; k++)
            json_array_append_new(out, json_sprintf("%08" PRIx32, words[k]));
        json_array_append_new(all, out);
    }
    return all;
}

static json_t *normal_deviates(const json_t *given)
{
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(given); i++)
        json_array_append_new(all, b64_json(random_normal((uint32_t)bits_of(json_array_get(given, i)))));
    return all;
}

static json_t *exponentials(const json_t *given)
{
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(given); i++)
        json_array_append_new(all, b32_json(exact_expf(b32(json_array_get(given, i)))));
    return all;
}

static json_t *logarithms(const json_t *given)
{
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(given); i++)
        json_array_append_new(all, b64_json(exact_log(b64(json_array_get(given, i)))));
    return all;
}

static json_t *fma_binary32(const json_t *given)
{
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(given); i++) {
        const json_t *row = json_array_get(given, i);
        json_array_append_new(
            all, b32_json(fmaf(b32(json_array_get(row, 0)), b32(json_array_get(row, 1)), b32(json_array_get(row, 2)))));
    }
    return all;
}

static json_t *fma_binary64(const json_t *given)
{
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(given); i++) {
        const json_t *row = json_array_get(given, i);
        json_array_append_new(
            all, b64_json(fma(b64(json_array_get(row, 0)), b64(json_array_get(row, 1)), b64(json_array_get(row, 2)))));
    }
    return all;
}

static json_t *trees_binary32(const json_t *given)
{
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(given); i++) {
        const json_t *row = json_array_get(given, i);
        float values[64];
        const size_t count = json_array_size(row);
        assert_in_range(count, 1, 64);
        for (size_t k = 0; k < count; k++)
            values[k] = b32(json_array_get(row, k));
        json_array_append_new(all, b32_json(exact_tree32(values, count, 1)));
    }
    return all;
}

/* Sets that begin the training or the test images. */
static json_t *embedded_sets(const json_t *given)
{
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(given); i++) {
        const json_t *row = json_array_get(given, i);
        struct dataset training, test;
        struct error error;
        const uint32_t count = (uint32_t)whole(row, 1);
        assert_int_equal(embedded_make(&training, count, &test, count, &error), STATUS_OK);
        json_array_append_new(all, json_string(whole(row, 0) == 0 ? training.sha256 : test.sha256));
        dataset_free(&training);
        dataset_free(&test);
    }
    return all;
}

static json_t *augmentations(const json_t *given)
{
    struct manifest manifest = manifest_of(given);
    const struct recipe *recipe = &manifest.recipe;
    const json_t *images = json_object_get(given, "images");
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(images); i++) {
        const json_t *row = json_array_get(images, i);
        const struct sample sample =
            sample_augmented(recipe->training.seed, whole(row, 0), (uint32_t)whole(row, 1),
                             recipe->input.padding_pixels, recipe->input.random_crop, recipe->input.random_flip);
        json_array_append_new(all, json_pack("[i, i, i]", sample.row, sample.column, sample.flip));
    }
    manifest_free(&manifest);
    return all;
}

static json_t *batches(const json_t *given)
{
    struct manifest manifest = manifest_of(given);
    const uint32_t images = (uint32_t)json_integer_value(json_object_get(given, "images"));
    const json_t *steps = json_object_get(given, "steps");
    struct sampler *sampler;
    struct sample samples[16];
    struct error error;
    json_t *all = json_array();
    assert_in_range(manifest.recipe.training.batch_size, 1, 16);
    assert_int_equal(sampler_open(&sampler, &manifest.recipe, images, &error), STATUS_OK);
    for (size_t i = 0; i < json_array_size(steps); i++) {
        json_t *batch = json_array();
        sampler_batch(sampler, whole(steps, i), samples);
        const uint32_t count = schedule_batch(&manifest.recipe.training, images, whole(steps, i));
        for (uint32_t n = 0; n < count; n++)
            json_array_append_new(batch, json_integer(samples[n].image));
        json_array_append_new(all, batch);
    }
    sampler_close(sampler);
    manifest_free(&manifest);
    return all;
}

/* The order of a pass is what batches of one image take from it. */
static json_t *orders(const json_t *given)
{
    json_t *all = json_array();
    for (size_t i = 0; i < json_array_size(given); i++) {
        const json_t *row = json_array_get(given, i);
        const uint32_t images = (uint32_t)whole(row, 1);
        const struct recipe recipe = { .training = { .batch_size = 1, .seed = whole(row, 0) } };
        struct sampler *sampler;
        struct error error;
        json_t *order = json_array();
        assert_int_equal(sampler_open(&sampler, &recipe, images, &error), STATUS_OK);
        for (uint32_t place = 0; place < images; place++) {
            struct sample sample;
            sampler_batch(sampler, whole(row, 2) * images + place, &sample);
            json_array_append_new(order, json_integer(sample.image));
        }
        sampler_close(sampler);
        json_array_append_new(all, order);
    }
    return all;
}

static json_t *schedule(const json_t *given)
{
    struct manifest manifest = manifest_of(given);
    const struct training_config *training = &manifest.recipe.training;
    const uint32_t images = (uint32_t)json_integer_value(json_object_get(given, "images"));
    json_t *ends = json_array(), *rates = json_array();
    for (uint64_t epoch = 0; epoch < schedule_epochs(training, images); epoch++)
        json_array_append_new(ends, json_integer((json_int_t)schedule_epoch_end(training, images, epoch)));
    for (uint64_t step = 0; step < schedule_steps(training, images); step++)
        json_array_append_new(rates, b32_json(schedule_learning_rate(training, images, step)));
    manifest_free(&manifest);
    return json_pack("{s:o, s:o}", "ends", ends, "rates", rates);
}

static json_t *first_weights(const json_t *given)
{
    struct manifest manifest = manifest_of(given);
    struct network *network;
    struct error error;
    uint8_t digest[DIGEST_BYTES];
    char hex[DIGEST_HEX_BYTES];
    uint64_t ledger[2] = { 0, 0 };
    assert_int_equal(network_open(&network, &manifest.recipe.model, &error), STATUS_OK);
    float *values = calloc(network->value_count, sizeof *values);
    assert_non_null(values);
    network_initialize(network, manifest.recipe.training.seed, values);
    weights_digest(network, values, digest);
    digest_to_hex(digest, hex);
    for (size_t i = 0; i < network->value_count; i++)
        exact_ledger_add(ledger, (uint32_t)i, float_bits(values[i]));
    free(values);
    network_close(network);
    manifest_free(&manifest);
    return json_pack("{s:s, s:o}", "weights", hex, "ledger",
                     json_sprintf("%016" PRIx64 "%016" PRIx64, ledger[0], ledger[1]));
}

static json_t *run_chain(const json_t *given)
{
    uint8_t chain[DIGEST_BYTES], weights[DIGEST_BYTES], entries[8][DIGEST_STEP_BYTES];
    const json_t *epochs = json_object_get(given, "epochs");
    json_t *all = json_array();
    uint64_t step = 0;
    assert_int_equal(digest_from_hex(json_string_value(json_object_get(given, "experiment")), chain), 1);
    for (size_t i = 0; i < json_array_size(epochs); i++) {
        const json_t *epoch = json_array_get(epochs, i), *steps = json_object_get(epoch, "steps");
        char hex[DIGEST_HEX_BYTES];
        assert_in_range(json_array_size(steps), 1, 8);
        assert_int_equal(digest_from_hex(json_string_value(json_object_get(epoch, "weights")), weights), 1);
        for (size_t k = 0; k < json_array_size(steps); k++) {
            const json_t *row = json_array_get(steps, k);
            uint64_t digest[2];
            assert_int_equal(
                sscanf(json_string_value(json_array_get(row, 2)), "%16" SCNx64 "%16" SCNx64, &digest[0], &digest[1]),
                2);
            digest_step(entries[k], step++, b32(json_array_get(row, 0)), (uint32_t)whole(row, 1), digest);
        }
        digest_chain(chain, weights, entries[0], json_array_size(steps));
        digest_to_hex(chain, hex);
        json_array_append_new(all, json_string(hex));
    }
    return all;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    json_t *(*compute)(const json_t *given);
} kinds[] = {
    { "random_blocks", random_blocks },
    { "normal_deviates", normal_deviates },
    { "exponentials", exponentials },
    { "logarithms", logarithms },
    { "fma_binary32", fma_binary32 },
    { "fma_binary64", fma_binary64 },
    { "trees_binary32", trees_binary32 },
    { "embedded_sets", embedded_sets },
    { "augmentations", augmentations },
    { "batches", batches },
    { "orders", orders },
    { "schedule", schedule },
    { "first_weights", first_weights },
    { "run_chain", run_chain },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static void expect(const json_t *vector, size_t kind)
{
    json_t *found = kinds[kind].compute(json_object_get(vector, "input"));
    if (!json_equal(found, json_object_get(vector, "output"))) {
        char *text = json_dumps(found, JSON_COMPACT);
        fail_msg("%s: the program computes %s", vector_name, text);
    }
    json_decref(found);
}

static void test_vectors(void **state)
{
    static const char folder[] = SOURCE_DIR "/check/independent/vectors";
    size_t seen[KINDS] = { 0 };
    DIR *open = opendir(folder);
    (void)state;
    assert_non_null(open);
    for (struct dirent *entry = readdir(open); entry != NULL; entry = readdir(open)) {
        char path[sizeof folder + 257];
        if (strstr(entry->d_name, ".json") == NULL)
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        json_t *vector = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(vector);
        vector_name = entry->d_name;
        const char *kind = json_string_value(json_object_get(vector, "kind"));
        assert_non_null(kind);
        for (size_t i = 0; i < KINDS; i++) {
            if (strcmp(kind, kinds[i].name) != 0 || json_object_get(vector, "refused") != NULL)
                continue;
            expect(vector, i);
            seen[i]++;
        }
        json_decref(vector);
    }
    closedir(open);
    for (size_t i = 0; i < KINDS; i++)
        if (seen[i] == 0)
            fail_msg("no vector of the kind %s", kinds[i].name);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_vectors) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

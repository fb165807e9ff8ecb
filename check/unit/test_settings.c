/* From YAML to settings: each type's forms, bounds and canonical text, what is refused and with which line, rivals,
 * entries of lists by name, and that the schema's own rows hold together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "experiments/settings.h"
#include "experiments/settings_difference.h"
#include "trainer/recipe.h"

/* Keys without a default, but for the ones that a test is about. */
#define BASE                                                                                                     \
    "name: t\n"                                                                                                  \
    "dataset: {kind: embedded, training_images: 10, test_images: 10, test_sha256: any, padding: {mode: zero},\n" \
    "  normalization: {kind: channel-mean},\n"                                                                   \
    "  train_sha256: 0000000000000000000000000000000000000000000000000000000000000000}\n"                        \
    "model: {depth: 20, shortcut: pad-end, linear_bias: none}\n"
#define TRAINING "training: {epochs: 1, last_batch: short, optimizer: {form: neon}, schedule: {learning_rate: 0.1}, "

static void read_text(struct settings *settings, const char *text)
{
    struct error error;
    if (settings_read_text(text, strlen(text), "t.yaml", settings, &error) != STATUS_OK)
        fail_msg("%s", error.message);
}

static void refuse(const char *text, const char *message)
{
    struct settings settings;
    struct error error;
    assert_int_equal(settings_read_text(text, strlen(text), "t.yaml", &settings, &error), STATUS_INPUT);
    if (strstr(error.message, message) == NULL)
        fail_msg("'%s' does not say '%s'", error.message, message);
    settings_free(&settings);
}

/* A run's manifest counts by itself; an installed one wherever its reader is. */
static void test_resolved_and_installed(void **state)
{
    struct settings s;
    struct error error;
    bool there;
    const char text[] = "inherit: quick/resnet20.yaml\nname: t\n", whole[] = BASE TRAINING "seed: 7}\n";
    (void)state;
    assert_int_equal(settings_read_resolved(text, strlen(text), "t.yaml", &s, &error), STATUS_INPUT);
    assert_non_null(strstr(error.message, "t.yaml:1: inherit: a run's manifest says everything itself"));
    settings_free(&s);
    assert_int_equal(settings_read_resolved(whole, strlen(whole), "t.yaml", &s, &error), STATUS_OK);
    settings_free(&s);
    assert_int_equal(settings_read_installed("quick/resnet20.yaml", &s, &there, &error), STATUS_OK);
    assert_true(there);
    settings_free(&s);
    assert_int_equal(settings_read_installed("quick/resnet21.yaml", &s, &there, &error), STATUS_OK);
    assert_false(there);
}

static void test_defaults_and_types(void **state)
{
    (void)state;
    struct settings s;
    read_text(&s, BASE TRAINING "seed: 7}\n");
    assert_string_equal(settings_get(&s, "name")->text, "t");
    assert_true(settings_get(&s, "model.depth")->numbers[0] == 20);
    assert_int_equal(settings_get(&s, "model.shortcut")->choice, SHORTCUT_PAD_END);
    assert_int_equal(settings_get(&s, "dataset.kind")->choice, DATASET_EMBEDDED);
    assert_int_equal(settings_get(&s, "dataset.padding.mode")->choice, PADDING_ZERO);
    /* Defaults are settings, too, but have no place in a file. */
    assert_true(settings_get(&s, "training.batch_size")->given);
    assert_null(settings_get(&s, "training.batch_size")->node);
    assert_true(settings_get(&s, "training.batch_size")->numbers[0] == 128);
    assert_string_equal(settings_get(&s, "model.batch_norm.epsilon")->text, "1.0e-05");
    /* A rival that is given takes the place of a default. */
    assert_false(settings_get(&s, "training.seeds")->given);
    assert_false(settings_get(&s, "weights.urls")->given);
    settings_free(&s);
}

/* The text is canonical: what the resolved form and the experiment digest are made of. */
static void test_canonical_numbers(void **state)
{
    (void)state;
    static const char *const rates[][2] = { { "0.1", "0.1" },         { "1e-1", "0.1" },
                                            { "0.10", "0.1" },        { "1", "1" },
                                            { "1000", "1.0e+03" },    { "+.5", "0.5" },
                                            { "0.00001", "1.0e-05" }, { "3.3333333333333333", "3.3333333333333335" } };
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        char text[1024];
        struct settings s;
        snprintf(text, sizeof text,
                 BASE "training: {epochs: 1, seed: 1, last_batch: short, optimizer: {form: neon}, "
                      "schedule: {learning_rate: %s}}\n",
                 rates[i][0]);
        read_text(&s, text);
        assert_string_equal(settings_get(&s, "training.schedule.learning_rate")->text, rates[i][1]);
        settings_free(&s);
    }
}

static void test_lists(void **state)
{
    (void)state;
    struct settings s;
    read_text(&s, BASE TRAINING "seeds: [3, 1, 2]}\n");
    const struct setting *seeds = settings_get(&s, "training.seeds");
    assert_int_equal(seeds->count, 3);
    assert_true(seeds->numbers[0] == 3 && seeds->numbers[2] == 2);
    assert_string_equal(seeds->text, "3, 1, 2");
    settings_free(&s);
    read_text(&s, BASE TRAINING "seed: 1}\n"
                                "targets:\n"
                                "  - {metric: best_error, value: 5, tolerance: 0.5, source: a}\n"
                                "  - {source: b, tolerance: 0, value: 6.25, metric: final_error}\n");
    const struct setting *targets = settings_get(&s, "targets");
    assert_int_equal(targets->count, 2);
    assert_int_equal(settings_of_entry(targets, 0, "metric")->choice, METRIC_BEST_ERROR);
    assert_int_equal(settings_of_entry(targets, 1, "metric")->choice, METRIC_FINAL_ERROR);
    assert_true(settings_of_entry(targets, 1, "value")->numbers[0] == 6.25);
    assert_string_equal(settings_of_entry(targets, 0, "source")->text, "a");
    assert_string_equal(settings_of_entry(targets, 1, "source")->text, "b");
    settings_free(&s);
}

/* A text ends where its size says, not at a NUL; one that was not valid YAML was read on (found by fuzzing). */
static void test_end_of_text(void **state)
{
    (void)state;
    static const char *const texts[] = { "a: [", "a: [\n", "a: [\n- ", "a:\n  b: [\n\n -" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct settings settings;
        struct error error;
        const size_t bytes = strlen(texts[i]);
        char behind[64]; /* a tab behind the end is none of the text's */
        snprintf(behind, sizeof behind, "%s\tx", texts[i]);
        assert_int_equal(settings_read_text(behind, bytes, "t.yaml", &settings, &error), STATUS_INPUT);
        assert_null(strstr(error.message, "a tab"));
        settings_free(&settings);
    }
}

static void test_refused(void **state)
{
    (void)state;
    refuse(BASE TRAINING "seed: 1, batch_size: 0}\n", "t.yaml:6: training.batch_size: 0 is out of bounds");
    refuse(BASE TRAINING "seed: 1, batch_size: 1.5}\n", "training.batch_size: must be a whole number, not '1.5'");
    refuse(BASE TRAINING "seed: 1, batch_size: '64'}\n", "must be a whole number");
    refuse(BASE TRAINING "seed: 1, batch_size: [64]}\n", "must be a whole number, not a list or section");
    refuse(BASE TRAINING "seed: -1}\n", "must be a whole number, not '-1'");
    refuse(BASE TRAINING "seed: 0x10}\n", "must be a whole number");
    refuse(BASE TRAINING "seeds: 1}\n", "training.seeds: must be a list");
    refuse(BASE "training: {last_batch: long}\n", "training.last_batch: 'long' is not one of continue|short");
    refuse(BASE TRAINING "seed: 1, augmentation: {crop: yes}}\n", "must be true or false, not 'yes'");
    refuse(BASE TRAINING "seed: 1, bach_size: 64}\n", "unknown key; did you mean 'batch_size'?");
    refuse(BASE "training.epochs: 1\n", "a key has no dot");
    refuse(BASE "training: 1\n", "training: is a section");
    refuse("name: -t\n", "'-t' is not a name");
    refuse("name: \"a\\x07b\"\n", "name");
    refuse("description: \"a\\nb\"\nname: t\n", "must be one line without control or invisible characters");
    refuse(BASE, "training.last_batch: is missing");
    refuse(BASE TRAINING "seed: 1}\ntargets: [{metric: best_error, value: 5, tolerance: 0}]\n",
           "targets[0].source: is missing");
    refuse(BASE TRAINING "seed: 1}\ntargets: [{metric: worst, value: 5, tolerance: 0, source: s}]\n",
           "'worst' is not one of final_error|best_error");
    refuse(BASE TRAINING "seed: 1}\ntargets: [{metrik: worst}]\n", "unknown key 'metrik'; an entry has metric, value");
    refuse(BASE TRAINING "seed: 1}\nweights: {urls: [\"ftp://example.org/w\"]}\n", "must begin with https://");
    refuse(BASE TRAINING "seed: 1}\nweights: {urls: []}\n", "must be a list of URLs");
    refuse(BASE TRAINING "seed: 1}\nweights: {md5: '0123456789ABCDEF0123456789abcdef'}\n", "lower-case hex digits");
    refuse(BASE TRAINING "seed: 1}\nweights: {sha256: any}\n", "must be 64 lower-case hex digits");
}

/* The resolved form reads back to itself. */
static void test_resolved_form_reads_back(void **state)
{
    (void)state;
    struct settings s, again;
    read_text(&s, BASE TRAINING "seeds: [1, 2]}\n"
                                "description: \"it's: a [test], # and ü\"\n"
                                "weights: {urls: [\"https://example.org/a%20b\"], sha256_prefix: \"12345678\"}\n"
                                "targets: [{metric: best_error, value: 5, tolerance: 0.5, source: \"a 'b'\"}]\n");
    char *text = settings_resolved(&s);
    assert_non_null(text);
    read_text(&again, text);
    char *text_again = settings_resolved(&again);
    assert_non_null(text_again);
    assert_string_equal(text, text_again);
    assert_string_equal(settings_get(&again, "description")->text, "it's: a [test], # and ü");
    free(text);
    free(text_again);
    settings_free(&s);
    settings_free(&again);
}

/* Of every row: a path, a help, bounds for what has bounds, choices for what has choices and for nothing else but
 * `any`, a rival that exists and whose rival it is, and a default that its own type takes. */
static void test_schema_holds_together(void **state)
{
    (void)state;
    for (size_t i = 0; i < schema_key_count; i++) {
        const struct schema_key *key = &schema_keys[i];
        assert_true(strlen(key->path) > 0 && strlen(key->help) > 0);
        if (key->type == VALUE_CHOICE)
            assert_true(key->choices != NULL && key->choices->word != NULL);
        else
            assert_true(key->choices == NULL || key->type == VALUE_DIGEST);
        for (const struct schema_choice *c = key->choices; c != NULL && c->word != NULL; c++)
            assert_ptr_equal(schema_find_choice(key->choices, c->word), c);
        for (size_t j = 0; j < i; j++)
            assert_string_not_equal(schema_keys[j].path, key->path);
        if (key->rival != NULL) {
            size_t j = 0;
            while (j < schema_key_count && strcmp(schema_keys[j].path, key->rival) != 0)
                j++;
            assert_true(j < schema_key_count);
            assert_string_equal(schema_keys[j].rival, key->path);
        }
        assert_false(key->required && key->fallback != NULL);
    }
    char words[SCHEMA_WORDS_BYTES];
    schema_print_words(NULL, words);
    assert_string_equal(words, "");
    assert_null(schema_find_choice(NULL, "any"));
}

static void test_differences(void **state)
{
    (void)state;
    static const char plain[] = BASE TRAINING "seed: 7}\n",
                      spelled[] = BASE TRAINING "seed: 7, batch_size: 128}\narithmetic: exact-1\n",
                      other[] = "description: other\nname: t\n"
                                "dataset: {kind: embedded, training_images: 10, test_images: 10, test_sha256: any,\n"
                                "  padding: {mode: mean}, normalization: {kind: channel-mean}, train_sha256: "
                                "0000000000000000000000000000000000000000000000000000000000000000}\n"
                                "model: {depth: 20, shortcut: pad-end, linear_bias: none}\n" TRAINING
                                "seed: 8}\ntargets: [{metric: final_error, value: 1, tolerance: 2, source: s}]\n";
    struct settings_difference *d;
    size_t count;
    struct error error;
    /* A default that is spelled out, and another word for the same, are no differences. */
    assert_int_equal(settings_differences(plain, "a", spelled, "b", &d, &count, &error), STATUS_OK);
    assert_int_equal(count, 0);
    settings_differences_free(d, count);
    /* The data's keys first, then what else moves bits. */
    assert_int_equal(settings_differences(plain, "a", other, "b", &d, &count, &error), STATUS_OK);
    static const char *const keys[] = { "dataset.padding.mode", "training.seed", "description", "targets" };
    assert_int_equal(count, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(d[i].key, keys[i]);
        assert_int_equal(d[i].moves_bits, i < 2);
    }
    assert_string_equal(d[0].first, "zero");
    assert_string_equal(d[0].second, "mean");
    assert_string_equal(d[3].first, "");
    assert_string_equal(d[3].second, "[{metric: final_error, value: 1, tolerance: 2, source: 's'}]");
    settings_differences_free(d, count);
    assert_int_equal(settings_differences(plain, "a", "name: [", "b", &d, &count, &error), STATUS_INPUT);
    assert_int_equal(count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resolved_and_installed),
        cmocka_unit_test(test_defaults_and_types),
        cmocka_unit_test(test_canonical_numbers),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_end_of_text),
        cmocka_unit_test(test_resolved_form_reads_back),
        cmocka_unit_test(test_schema_holds_together),
        cmocka_unit_test(test_differences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

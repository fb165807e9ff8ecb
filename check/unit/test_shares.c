/* Ranks give the bits of a single process. Here they are threads (check/support/threaded_ranks.h), so that any number
 * of them is tested without MPI: shares of batches, sums that cross them, and whole engines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/support/backends.h"
#include "check/support/threaded_ranks.h"
#include "trainer/cpu/shares.h"
#include "trainer/engine.h"
#include "trainer/exact.h"
#include "trainer/random.h"

/* ---- shares ------------------------------------------------------------------------------------------------------ */

/* Every image is in one share, no unit is cut, and no two shares differ by more than a unit. */
static void test_shares_cover_a_batch(void **state)
{
    static const uint32_t units[] = { 1, 4, 16 };
    (void)state;
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
        for (uint32_t images = 1; images <= 150; images++) {
            const uint32_t all = (images + units[u] - 1) / units[u];
            for (uint32_t ranks = 1; ranks <= 13; ranks++) {
                uint32_t next = 0;
                for (uint32_t r = 0; r < ranks; r++) {
                    const struct share share = shares_of(images, units[u], ranks, r);
                    const uint32_t parts = (share.count + units[u] - 1) / units[u];
                    assert_int_equal(share.first, next);
                    assert_int_equal(share.first % units[u], 0);
                    assert_in_range(parts, all / ranks, (all + ranks - 1) / ranks);
                    next += share.count;
                }
                assert_int_equal(next, images);
            }
        }
    }
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

enum { WIDTH = 7, STRIDE = 11, FLOATS = 701, IMAGES_MOST = 130 };

/* Trees that ranks add, and what they must be. */
struct sums {
    struct recipe recipe;
    uint32_t images;
    const float *rows, *parts[3]; /* parts: of gradients with 2 leaves an image, and a leaf for 1 and for 4 images */
    double expected_rows[WIDTH];
    float expected[3][FLOATS];
    bool good[THREADED_RANKS_MAX];
};

static const struct {
    uint32_t images, leaves;
} GRADIENTS[3] = { { 1, 2 }, { 1, 1 }, { 4, 1 } };

static uint32_t leaves_before(int gradient, uint32_t images)
{
    return (images * GRADIENTS[gradient].leaves + GRADIENTS[gradient].images - 1) / GRADIENTS[gradient].images;
}

/* Numbers of many magnitudes, and zeros of both signs, so that every other order of a sum shows. */
static float *numbers(size_t count, uint32_t seed)
{
    float *list = malloc(count * sizeof *list);
    assert_non_null(list);
    for (size_t i = 0; i < count; i++) {
        uint32_t words[4];
        random_block(5, RANDOM_WEIGHTS, seed, (uint32_t)i, words);
        list[i] = words[1] % 8 == 0 ? -0.0f : (float)random_normal(words[0]) * (float)(1u << words[1] % 24);
    }
    return list;
}

static void add_shares(void *context, struct ranks *ranks)
{
    struct sums *sums = context;
    struct error error;
    struct shares *shares;
    struct team *team;
    double rows[WIDTH];
    float sum[FLOATS];
    const uint32_t own = ranks_own(ranks);
    bool good = team_open(&team, 1 + own % 2, &error) == STATUS_OK &&
                shares_open(&shares, ranks, &sums->recipe, 1000, &error) == STATUS_OK;
    for (int g = 0; g < 3; g++)
        shares_declare(shares, GRADIENTS[g].images, GRADIENTS[g].leaves, FLOATS);
    good = good && shares_allocate(shares, &error) == STATUS_OK;
    const struct share share = shares_begin(shares, sums->images);
    shares_sum_images(shares, sums->rows + share.first * STRIDE, STRIDE, WIDTH, rows);
    good = good && memcmp(rows, sums->expected_rows, sizeof rows) == 0;
    for (int g = 0; g < 3; g++) {
        const size_t first = leaves_before(g, share.first), end = leaves_before(g, share.first + share.count),
                     bytes = (end - first) * FLOATS * sizeof(float);
        float *parts = malloc(bytes + 1);
        memcpy(parts, sums->parts[g] + first * FLOATS, bytes);
        shares_add(shares, (uint32_t)g, parts, team);
        free(parts);
    }
    shares_exchange(shares, team);
    for (int g = 0; g < 3; g++) {
        shares_take(shares, (uint32_t)g, sum);
        good = good && memcmp(sum, sums->expected[g], sizeof sum) == 0;
    }
    shares_close(shares);
    team_close(team);
    sums->good[own] = good;
}

static void expect_sums(struct sums *sums, uint32_t ranks)
{
    double column[IMAGES_MOST];
    float part[2 * IMAGES_MOST];
    for (uint32_t k = 0; k < WIDTH; k++) {
        for (uint32_t n = 0; n < sums->images; n++)
            column[n] = (double)sums->rows[n * STRIDE + k];
        sums->expected_rows[k] = exact_tree64(column, sums->images, 1);
    }
    for (int g = 0; g < 3; g++) {
        const uint32_t leaves = leaves_before(g, sums->images);
        for (size_t i = 0; i < FLOATS; i++) {
            for (uint32_t leaf = 0; leaf < leaves; leaf++)
                part[leaf] = sums->parts[g][leaf * FLOATS + i];
            sums->expected[g][i] = exact_tree32(part, leaves, 1);
        }
    }
    threaded_ranks_run(ranks, add_shares, sums);
    for (uint32_t r = 0; r < ranks; r++) {
        if (!sums->good[r])
            fail_msg("%u images, %u ranks: rank %u has other sums", sums->images, ranks, r);
    }
}

/* Batches that fill no tree, and short ones in which some ranks have nothing. */
static void test_sums_are_those_of_one_process(void **state)
{
    static const uint32_t images[] = { 128, 130, 96, 61, 33, 20, 7, 1 };
    struct sums *sums = calloc(1, sizeof *sums);
    float *rows = numbers((size_t)IMAGES_MOST * STRIDE, 1), *parts[3];
    (void)state;
    assert_non_null(sums);
    sums->rows = rows;
    for (int g = 0; g < 3; g++)
        sums->parts[g] = parts[g] = numbers((size_t)2 * IMAGES_MOST * FLOATS, 2 + (uint32_t)g);
    for (size_t i = 0; i < sizeof images / sizeof *images; i++) {
        for (uint32_t ranks = 1; ranks <= 9; ranks++) {
            sums->images = images[i];
            /* The largest batch; and the same as a short last one of a larger. */
            for (int shorter = 0; shorter < 2; shorter++) {
                const uint32_t largest = shorter ? IMAGES_MOST : images[i];
                if ((largest + 3) / 4 < ranks || (shorter && 1000 % largest != images[i]))
                    continue;
                sums->recipe = (struct recipe){ .arithmetic = ARITHMETIC_EXACT_1 };
                sums->recipe.training.batch_size = largest;
                sums->recipe.training.last_batch = LAST_BATCH_SHORT;
                expect_sums(sums, ranks);
            }
        }
    }
    for (int g = 0; g < 3; g++)
        free(parts[g]);
    free(rows);
    free(sums);
}

static void try_to_open(void *context, struct ranks *ranks)
{
    struct error *errors = context;
    struct shares *shares;
    struct recipe recipe = { .arithmetic = ARITHMETIC_EXACT_2 };
    recipe.training.batch_size = 40;
    if (shares_open(&shares, ranks, &recipe, 400, &errors[ranks_own(ranks)]) == STATUS_OK)
        abort();
}

static void test_too_many_ranks(void **state)
{
    struct error errors[4];
    (void)state;
    threaded_ranks_run(4, try_to_open, errors);
    assert_int_equal(errors[0].status, STATUS_INPUT);
    assert_non_null(strstr(errors[0].message, "a batch of 40 images has 3 units of 16 images"));
    assert_non_null(strstr(errors[0].message, "start at most 3 ranks"));
}

/* ---- agreement --------------------------------------------------------------------------------------------------- */

struct agreement {
    enum status given[3], got[3], later[3];
    bool flag, flags[3];
    struct error errors[3];
};

static void agree(void *context, struct ranks *ranks)
{
    struct agreement *agreement = context;
    const uint32_t own = ranks_own(ranks);
    struct error *error = &agreement->errors[own];
    *error = (struct error){ STATUS_OK, "" };
    if (agreement->given[own] != STATUS_OK)
        error_set(error, agreement->given[own], "error of %u", own);
    agreement->flags[own] = agreement->flag && own == 1;
    agreement->got[own] = ranks_agree(ranks, agreement->given[own], &agreement->flags[own], error);
    if (ranks_agreed(ranks) != STATUS_OK) /* no exchange: rank 2 alone would wait for ever */
        agreement->later[own] = own == 2 ? ranks_agree(ranks, STATUS_OK, NULL, &(struct error){ 0 }) : STATUS_OK;
}

static void test_agreement(void **state)
{
    static const struct {
        enum status given[3], expected;
        const char *begins, *ends;
    } cases[] = {
        { { STATUS_OK, STATUS_OK, STATUS_OK }, STATUS_OK, "", "" },
        { { STATUS_ENVIRONMENT, STATUS_OK, STATUS_OK }, STATUS_ENVIRONMENT, "error of 0", "" },
        { { STATUS_OK, STATUS_INPUT, STATUS_ENVIRONMENT }, STATUS_INPUT, "rank 1 on ", ": error of 1" },
        { { STATUS_INTERRUPTED, STATUS_OK, STATUS_NO }, STATUS_NO, "rank 2 on ", ": error of 2" },
        { { STATUS_INTERRUPTED, STATUS_INTERRUPTED, STATUS_OK }, STATUS_INTERRUPTED, "error of 0", "" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct agreement agreement = { .flag = i % 2 == 0 };
        memcpy(agreement.given, cases[i].given, sizeof agreement.given);
        threaded_ranks_run(3, agree, &agreement);
        for (uint32_t r = 0; r < 3; r++) {
            assert_int_equal(agreement.got[r], cases[i].expected);
            assert_int_equal(agreement.flags[r], agreement.flag);
            assert_true(r == 0 || agreement.errors[r].message[0] == '\0');
        }
        const char *message = agreement.errors[0].message;
        assert_int_equal(strncmp(message, cases[i].begins, strlen(cases[i].begins)), 0);
        assert_non_null(strstr(message, cases[i].ends));
        assert_int_equal(agreement.later[2], cases[i].expected);
    }
    bool flag = true;
    struct error error;
    assert_int_equal(ranks_agree(NULL, STATUS_NO, &flag, &error), STATUS_NO); /* a single process */
}

struct texts {
    const char *given[3], *found[3];
};

static void compare_texts(void *context, struct ranks *ranks)
{
    struct texts *texts = context;
    const uint32_t own = ranks_own(ranks);
    const char *found = ranks_find_other(ranks, texts->given[own], "same");
    for (uint32_t r = 0; r < 3; r++) {
        if (found != NULL && strcmp(found, texts->given[r]) == 0)
            texts->found[own] = texts->given[r];
    }
}

/* All ranks get the text of the first one that is not as expected. */
static void test_texts(void **state)
{
    static const char a[] = "a", b[] = "b";
    static const struct {
        const char *given[3], *found;
    } cases[] = {
        { { "same", "same", "same" }, NULL },
        { { a, "same", "same" }, a },
        { { "same", a, b }, a },
        { { "same", "same", b }, b },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct texts texts = { .given = { cases[i].given[0], cases[i].given[1], cases[i].given[2] } };
        threaded_ranks_run(3, compare_texts, &texts);
        for (uint32_t r = 0; r < 3; r++)
            assert_ptr_equal(texts.found[r], cases[i].found);
    }
    assert_null(ranks_find_other(NULL, "same", "same")); /* a single process */
    assert_string_equal(ranks_find_other(NULL, "a", "same"), "a");
}

/* ---- engines ----------------------------------------------------------------------------------------------------- */

enum { TRAINING_IMAGES = 69, VALIDATION_IMAGES = 21, STEPS = 4 };

/* A training of an engine, and what it leaves. */
struct training {
    struct recipe recipe;
    const char *isa;
    uint32_t threads;
    struct network *network;
    struct dataset images, validation;
    struct left {
        enum status status;
        char message[256];
        struct step_result results[STEPS];
        float *values, *momentum;
        uint8_t predictions[VALIDATION_IMAGES];
        double loss;
        struct ranks_traffic traffic; /* of the steps */
    } outcomes[THREADED_RANKS_MAX];
};

static bool keep_results(void *context, uint64_t first, const struct step_result *results, uint64_t count)
{
    memcpy((struct step_result *)context + first, results, count * sizeof *results);
    return true;
}

static void train_engine(void *context, struct ranks *ranks)
{
    struct training *training = context;
    struct left *outcome = &training->outcomes[ranks_own(ranks)];
    const struct engine_options options = { .threads = training->threads, .isa = training->isa, .ranks = ranks };
    const struct step_listener listener = { .context = outcome->results, .steps = keep_results };
    struct engine *engine;
    struct error error = { STATUS_OK, "" };
    uint64_t done;
    const size_t count = training->network->value_count;
    memset(outcome, 0, sizeof *outcome);
    outcome->values = calloc(count, sizeof *outcome->values);
    outcome->momentum = calloc(count, sizeof *outcome->momentum);
    network_initialize(training->network, 3, outcome->values);
    enum status status = engine_cpu.open(&engine, &training->recipe, training->network, &training->images,
                                         &training->validation, &options, &error);
    if (status == STATUS_OK)
        status = engine_cpu.set_state(engine, outcome->values, outcome->momentum, &error);
    if (status == STATUS_OK)
        status = engine_cpu.run_steps(engine, 0, STEPS, &listener, &done, &error);
    outcome->traffic = ranks_traffic(ranks);
    if (status == STATUS_OK)
        status = engine_cpu.evaluate(engine, outcome->predictions, &outcome->loss, &error);
    (void)engine_cpu.get_state(engine, outcome->values, outcome->momentum, &error);
    engine_cpu.close(engine);
    outcome->status = status;
    snprintf(outcome->message, sizeof outcome->message, "%s", status == STATUS_OK ? "" : error.message);
}

static void free_left(struct left *outcome)
{
    free(outcome->values);
    free(outcome->momentum);
}

static void train_alone(struct training *training, struct left *outcome)
{
    train_engine(training, NULL);
    *outcome = training->outcomes[0];
}

/* NULL, or what differs first. */
static const char *difference(const struct left *got, const struct left *expected, size_t count)
{
    if (got->status != expected->status || strcmp(got->message, expected->message) != 0)
        return "its end";
    for (int step = 0; step < STEPS; step++) {
        const struct step_result *a = &got->results[step], *b = &expected->results[step];
        if (a->images != b->images || a->errors != b->errors || memcmp(&a->loss, &b->loss, sizeof a->loss) != 0)
            return "a step's loss";
        if (memcmp(a->digest, b->digest, sizeof a->digest) != 0)
            return "the state after a step";
    }
    if (got->status != STATUS_OK)
        return NULL; /* the state is undefined */
    if (memcmp(got->values, expected->values, count * sizeof *got->values) != 0)
        return "the weights";
    if (memcmp(got->momentum, expected->momentum, count * sizeof *got->momentum) != 0)
        return "the momentum";
    if (memcmp(got->predictions, expected->predictions, VALIDATION_IMAGES) != 0 ||
        memcmp(&got->loss, &expected->loss, sizeof got->loss) != 0)
        return "the evaluation";
    return NULL;
}

static void expect_same(const struct training *training, const struct left *expected, uint32_t ranks)
{
    for (uint32_t r = 0; r < ranks; r++) {
        const char *what = difference(&training->outcomes[r], expected, training->network->value_count);
        if (what != NULL)
            fail_msg("%s, %s, depth %u, batch %u: rank %u of %u differs in %s",
                     arithmetic_version(training->recipe.arithmetic),
                     training->isa != NULL ? training->isa : "the best instruction set", training->recipe.model.depth,
                     training->recipe.training.batch_size, r, ranks, what);
    }
}

/* Trains alone and with each number of ranks. */
static void expect_same_training(struct training *training, const uint32_t *ranks, size_t count)
{
    struct error error;
    struct left expected;
    assert_int_equal(network_open(&training->network, &training->recipe.model, &error), STATUS_OK);
    assert_int_equal(
        embedded_make(&training->images, TRAINING_IMAGES, &training->validation, VALIDATION_IMAGES, &error), STATUS_OK);
    training->threads = 2;
    train_alone(training, &expected);
    for (size_t i = 0; i < count; i++) {
        training->threads = 1 + (uint32_t)i % 2;
        threaded_ranks_run(ranks[i], train_engine, training);
        expect_same(training, &expected, ranks[i]);
        for (uint32_t r = 0; r < ranks[i]; r++)
            free_left(&training->outcomes[r]);
    }
    free_left(&expected);
    dataset_free(&training->images);
    dataset_free(&training->validation);
    network_close(training->network);
}

/* All shortcuts, or every `apart`-th. Where the last batch is short, most ranks have nothing to do in it. */
static void expect_same_trainings(enum arithmetic arithmetic, const char *isa, uint32_t batch, uint32_t apart,
                                  const uint32_t *ranks, size_t count)
{
    for (uint32_t variant = 0; variant < VARIANT_COUNT; variant += apart) {
        const struct trial trial = { .arithmetic = arithmetic,
                                     .depth = 8,
                                     .variant = variant,
                                     .batch = batch,
                                     .momentum = variant % 2 == 0 ? MOMENTUM_NEON : MOMENTUM_PYTORCH };
        struct training training = { .recipe = trial_recipe(&trial), .isa = isa };
        training.recipe.training.last_batch = variant % 2 == 0 ? LAST_BATCH_SHORT : LAST_BATCH_CONTINUE;
        expect_same_training(&training, ranks, count);
    }
}

/* Batches of 32 images are 8 units. */
static void test_engines_exact_1(void **state)
{
    static const uint32_t ranks[] = { 2, 3, 5, 8 };
    (void)state;
    expect_same_trainings(ARITHMETIC_EXACT_1, NULL, 32, 1, ranks, sizeof ranks / sizeof *ranks);
}

/* Batches of 40 images are 3 units, the last of which is not full. */
static void test_engines_exact_2(void **state)
{
    static const uint32_t ranks[] = { 2, 3 };
    (void)state;
    expect_same_trainings(ARITHMETIC_EXACT_2, NULL, 40, 1, ranks, sizeof ranks / sizeof *ranks);
}

/* The reference, which is slow. */
static void test_reference(void **state)
{
    static const uint32_t three[] = { 3 }, two[] = { 2 };
    (void)state;
    expect_same_trainings(ARITHMETIC_EXACT_1, "scalar", 12, VARIANT_COUNT - 1, three, 1);
    const struct trial trial = { .arithmetic = ARITHMETIC_EXACT_2, .depth = 8, .batch = 18 };
    struct training training = { .recipe = trial_recipe(&trial), .isa = "scalar" };
    expect_same_training(&training, two, 1);
}

/* Blocks of a stage that are alike: their gradients lie one behind the other in an exchange. */
static void test_a_deeper_network(void **state)
{
    static const uint32_t ranks[] = { 3 };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct trial trial = { .arithmetic = i == 0 ? ARITHMETIC_EXACT_1 : ARITHMETIC_EXACT_2,
                                     .depth = 20,
                                     .batch = 40 };
        struct training training = { .recipe = trial_recipe(&trial), .isa = NULL };
        expect_same_training(&training, ranks, 1);
    }
}

/* Every rank stops at the same step, and names the same number. */
static void test_non_finite(void **state)
{
    static const uint32_t ranks[] = { 3 };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct trial trial = { .depth = 8, .batch = 12, .adversity = ADVERSITY_DIVERGING };
        struct training training = { .recipe = trial_recipe(&trial), .isa = i == 0 ? NULL : "scalar" };
        expect_same_training(&training, ranks, 1);
    }
}

/* What trainer/cpu/RANKS.md counts: exchanges of a step, without that of the agreement, and bytes that rank 0 gets. */
static void test_traffic(void **state)
{
    static const struct {
        enum arithmetic arithmetic;
        uint32_t batch, ranks;
        uint64_t bytes;
    } cases[] = { { ARITHMETIC_EXACT_1, 32, 2, 318656 },
                  { ARITHMETIC_EXACT_1, 44, 3, 872592 },
                  { ARITHMETIC_EXACT_2, 32, 2, 926912 } };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct trial trial = { .arithmetic = cases[i].arithmetic, .depth = 8, .batch = cases[i].batch };
        struct training training = { .recipe = trial_recipe(&trial), .threads = 1 };
        struct error error;
        training.recipe.training.last_batch = LAST_BATCH_CONTINUE;
        assert_int_equal(network_open(&training.network, &training.recipe.model, &error), STATUS_OK);
        assert_int_equal(
            embedded_make(&training.images, TRAINING_IMAGES, &training.validation, VALIDATION_IMAGES, &error),
            STATUS_OK);
        threaded_ranks_run(cases[i].ranks, train_engine, &training);
        /* The first exchange names the hosts. */
        assert_int_equal(training.outcomes[0].traffic.exchanges, 1 + STEPS * (2 * 7 + 3));
        assert_int_equal(training.outcomes[0].traffic.bytes, 64 * (cases[i].ranks - 1) + STEPS * cases[i].bytes);
        for (uint32_t r = 0; r < cases[i].ranks; r++)
            free_left(&training.outcomes[r]);
        dataset_free(&training.images);
        dataset_free(&training.validation);
        network_close(training.network);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares_cover_a_batch),
        cmocka_unit_test(test_sums_are_those_of_one_process),
        cmocka_unit_test(test_too_many_ranks),
        cmocka_unit_test(test_agreement),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_engines_exact_1),
        cmocka_unit_test(test_engines_exact_2),
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_a_deeper_network),
        cmocka_unit_test(test_non_finite),
        cmocka_unit_test(test_traffic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

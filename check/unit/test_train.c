/* The training loop with an engine that computes nothing and records its calls: the steps of each epoch, the means in
 * the order of steps, the listener's calls and their order, a stop at any step, continuing after it, and every way in
 * which engine and listener can fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fenv.h>
#include <stdio.h>
#include <string.h>

#include "base/float_environment.h"
#include "trainer/train.h"

/* Ten images in batches of four: 2.5 steps an epoch, so that epochs have 3, 2, 3, ... steps. */
enum { IMAGES = 10, BATCH = 4, EPOCHS = 4, STEPS = 10, VALIDATION = 5, SERIES = 2 };

static const struct recipe recipe = {
    .training = { .batch_size = BATCH,
                  .last_batch = LAST_BATCH_CONTINUE,
                  .length_unit = UNIT_EPOCH,
                  .length = EPOCHS,
                  .schedule = { .learning_rate = 0.1,
                                .drop_factor = 0.5,
                                .drop_unit = UNIT_EPOCH,
                                .drop_count = 1,
                                .drops = { 2 } } },
};

/* The fake: its values count the steps that it has done, its momentum is their negative. */
struct engine {
    float value, momentum;
    uint64_t fail_at; /* the step that becomes non-finite; UINT64_MAX: none */
    bool fail_set, fail_get, fail_evaluate;
    bool rounds_upward; /* from its first step on */
    char log[2048];
};

static struct engine engine_none(void)
{
    return (struct engine){ .fail_at = UINT64_MAX };
}

static void __attribute__((format(printf, 2, 3))) note(char log[2048], const char *format, ...)
{
    size_t used = strlen(log);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(log + used, 2048 - used, format, arguments);
    va_end(arguments);
}

static enum status fake_set_state(struct engine *engine, const float *values, const float *momentum,
                                  struct error *error)
{
    if (engine->fail_set)
        return error_set(error, STATUS_ENVIRONMENT, "set_state failed");
    engine->value = values[0];
    engine->momentum = momentum[0];
    return STATUS_OK;
}

static enum status fake_get_state(struct engine *engine, float *values, float *momentum, struct error *error)
{
    if (engine->fail_get)
        return error_set(error, STATUS_ENVIRONMENT, "get_state failed");
    values[0] = engine->value;
    momentum[0] = engine->momentum;
    return STATUS_OK;
}

/* Step s: loss 1/(s + 1), s errors of the batch's images, a digest that is the step. */
static struct step_result result_of(uint64_t step)
{
    return (struct step_result){ .loss = 1.0f / (float)(step + 1),
                                 .errors = (uint32_t)(step % (BATCH + 1)),
                                 .images = BATCH,
                                 .digest = { step, ~step } };
}

/* In series of two, as an engine that runs ahead reports them. */
static enum status fake_run_steps(struct engine *engine, uint64_t first, uint64_t last,
                                  const struct step_listener *listener, uint64_t *done, struct error *error)
{
    note(engine->log, "run %d-%d\n", (int)first, (int)last);
    *done = 0;
    if (engine->rounds_upward)
        (void)fesetround(FE_UPWARD);
    for (uint64_t step = first; step < last;) {
        struct step_result results[SERIES];
        uint64_t count = 0;
        for (; count < SERIES && step + count < last && step + count != engine->fail_at; count++) {
            results[count] = result_of(step + count);
            engine->value += 1.0f;
            engine->momentum -= 1.0f;
        }
        bool go_on = count == 0 || listener->steps(listener->context, step, results, count);
        step += count;
        *done += count;
        if (step == engine->fail_at)
            return error_set(error, STATUS_NO, "step %d is not finite", (int)step);
        if (!go_on)
            break;
    }
    return STATUS_OK;
}

static enum status fake_evaluate(struct engine *engine, uint8_t *predictions, double *loss, struct error *error)
{
    if (engine->fail_evaluate)
        return error_set(error, STATUS_ENVIRONMENT, "evaluate failed");
    memset(predictions, 1, VALIDATION);
    *loss = 7.0;
    note(engine->log, "evaluate\n");
    return STATUS_OK;
}

static const struct engine_operations fake = {
    .name = "fake",
    .set_state = fake_set_state,
    .get_state = fake_get_state,
    .run_steps = fake_run_steps,
    .evaluate = fake_evaluate,
};

/* The calls of the listener, and its answers. */
struct audience {
    struct engine *engine;
    uint64_t heard;   /* steps, which must come in order */
    uint64_t stop_at; /* asks for a stop once so many steps were heard */
    bool fail_steps, fail_epoch, fail_interrupted;
    size_t epochs;
    struct epoch_report reports[EPOCHS];
    uint64_t interrupted_at;
};

static enum status hear_steps(void *context, uint64_t first, const struct step_result *results, uint64_t count,
                              struct error *error)
{
    struct audience *audience = context;
    if (audience->fail_steps)
        return error_set(error, STATUS_ENVIRONMENT, "no room for the ledger");
    assert_int_equal(first, audience->heard);
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(results[i].digest[0], first + i);
    audience->heard += count;
    note(audience->engine->log, "heard %d\n", (int)audience->heard);
    return STATUS_OK;
}

static enum status hear_epoch(void *context, const struct epoch_report *report, const struct training_state *state,
                              struct error *error)
{
    struct audience *audience = context;
    if (audience->fail_epoch)
        return error_set(error, STATUS_ENVIRONMENT, "no room for the checkpoint");
    assert_int_equal(report->end_step, audience->heard);
    assert_int_equal(state->step, audience->heard);
    assert_float_equal(state->values[0], (float)state->step, 0);
    assert_float_equal(state->momentum[0], -(float)state->step, 0);
    assert_true(state->loss_sum == 0.0 && state->error_sum == 0 && state->image_sum == 0);
    audience->reports[audience->epochs++] = *report;
    note(audience->engine->log, "epoch %d\n", (int)report->epoch);
    return STATUS_OK;
}

static enum status hear_interruption(void *context, const struct training_state *state, struct error *error)
{
    struct audience *audience = context;
    if (audience->fail_interrupted)
        return error_set(error, STATUS_ENVIRONMENT, "no room for the state");
    assert_float_equal(state->values[0], (float)state->step, 0);
    audience->interrupted_at = state->step;
    return STATUS_OK;
}

static bool wants_stop(void *context)
{
    struct audience *audience = context;
    return audience->heard >= audience->stop_at;
}

static uint8_t labels[VALIDATION] = { 1, 1, 1, 0, 2 }; /* of which the fake finds three */
static const struct dataset validation = { .count = VALIDATION, .labels = labels };

static enum status go(struct engine *engine, struct audience *audience, struct training_state *state, uint64_t epochs,
                      struct error *error)
{
    const struct train_listener listener = { audience, hear_steps, hear_epoch, hear_interruption, wants_stop };
    audience->engine = engine;
    return train(&fake, engine, &recipe, IMAGES, &validation, epochs, state, &listener, error);
}

#define START(engine_name, audience_name, state_name)                       \
    struct engine engine_name = engine_none();                              \
    struct audience audience_name = { .stop_at = UINT64_MAX };              \
    float state_name##_values[1] = { 0 }, state_name##_momentum[1] = { 0 }; \
    struct training_state state_name = { .values = state_name##_values, .momentum = state_name##_momentum }

static void test_whole_training(void **test_state)
{
    (void)test_state;
    START(engine, audience, state);
    struct error error;
    assert_int_equal(go(&engine, &audience, &state, 0, &error), STATUS_OK);
    assert_string_equal(engine.log, "run 0-3\nheard 2\nheard 3\nevaluate\nepoch 0\n"
                                    "run 3-5\nheard 5\nevaluate\nepoch 1\n"
                                    "run 5-8\nheard 7\nheard 8\nevaluate\nepoch 2\n"
                                    "run 8-10\nheard 10\nevaluate\nepoch 3\n");
    assert_int_equal(state.step, STEPS);
    static const uint64_t ends[EPOCHS] = { 3, 5, 8, 10 };
    uint64_t step = 0;
    for (size_t e = 0; e < EPOCHS; e++) {
        double loss_sum = 0.0;
        uint64_t errors = 0;
        const uint64_t first = step;
        for (; step < ends[e]; step++) {
            loss_sum += (double)result_of(step).loss * BATCH;
            errors += result_of(step).errors;
        }
        const double images = (double)((ends[e] - first) * BATCH);
        const struct epoch_report *report = &audience.reports[e];
        assert_int_equal(report->epoch, e);
        assert_int_equal(report->last, e == EPOCHS - 1);
        assert_true(report->training_loss == loss_sum / images);
        assert_true(report->training_error == 100.0 * (double)errors / images);
        assert_true(report->learning_rate == (e < 2 ? 0.1f : 0.05f));
        assert_true(report->validation_loss == 7.0);
        assert_int_equal(report->validation_errors, 2);
        assert_int_equal(report->validation_images, VALIDATION);
        assert_true(report->validation_error == 40.0);
        assert_int_equal(report->trained_images, (ends[e] - first) * BATCH);
        assert_true(report->training_seconds >= 0 && report->validation_seconds >= 0);
    }
}

static void test_some_epochs(void **test_state)
{
    (void)test_state;
    START(engine, audience, state);
    struct error error;
    assert_int_equal(go(&engine, &audience, &state, 2, &error), STATUS_OK);
    assert_int_equal(state.step, 5);
    assert_false(audience.reports[1].last);
    /* The same call again has nothing to do; more than the recipe has is all that it has. */
    assert_int_equal(go(&engine, &audience, &state, 2, &error), STATUS_OK);
    assert_int_equal(audience.epochs, 2);
    assert_int_equal(go(&engine, &audience, &state, 1000, &error), STATUS_OK);
    assert_int_equal(audience.epochs, EPOCHS);
    assert_true(audience.reports[EPOCHS - 1].last);
}

/* Stopped after any step, which with series of two is that step or the next, and resumed: the same reports. */
static void test_stop_and_resume(void **test_state)
{
    (void)test_state;
    START(engine, whole, state);
    struct error error;
    assert_int_equal(go(&engine, &whole, &state, 0, &error), STATUS_OK);
    for (uint64_t stop = 0; stop < STEPS - 1; stop++) {
        START(other, audience, resumed);
        audience.stop_at = stop;
        assert_int_equal(go(&other, &audience, &resumed, 0, &error), STATUS_INTERRUPTED);
        assert_int_equal(audience.interrupted_at, audience.heard);
        assert_in_range(audience.heard, stop, stop + SERIES - 1);
        char message[64];
        snprintf(message, sizeof message, "after step %d", (int)resumed.step);
        assert_non_null(strstr(error.message, message));
        audience.stop_at = UINT64_MAX;
        assert_int_equal(go(&other, &audience, &resumed, 0, &error), STATUS_OK);
        assert_int_equal(audience.epochs, EPOCHS);
        for (size_t e = 0; e < EPOCHS; e++) {
            assert_true(audience.reports[e].training_loss == whole.reports[e].training_loss);
            assert_true(audience.reports[e].training_error == whole.reports[e].training_error);
            assert_int_equal(audience.reports[e].end_step, whole.reports[e].end_step);
        }
    }
}

/* A stop that comes with the last step finds the training finished. */
static void test_stop_at_the_end(void **test_state)
{
    (void)test_state;
    START(engine, audience, state);
    struct error error;
    audience.stop_at = STEPS - 1;
    assert_int_equal(go(&engine, &audience, &state, 0, &error), STATUS_OK);
    assert_int_equal(audience.epochs, EPOCHS);
    assert_int_equal(audience.interrupted_at, 0);
}

/* The state after all good steps is there for the message; nothing was evaluated or reported of the epoch. */
static void test_a_step_that_is_not_finite(void **test_state)
{
    (void)test_state;
    for (uint64_t step = 0; step < STEPS; step++) {
        START(engine, audience, state);
        struct error error;
        engine.fail_at = step;
        assert_int_equal(go(&engine, &audience, &state, 0, &error), STATUS_NO);
        assert_non_null(strstr(error.message, "not finite"));
        assert_int_equal(audience.heard, step);
        assert_int_equal(state.step, step);
    }
}

static void test_failures(void **test_state)
{
    (void)test_state;
    static const char *const messages[] = { "set_state", "get_state", "evaluate", "ledger", "checkpoint", "the state" };
    for (int kind = 0; kind < 6; kind++) {
        START(engine, audience, state);
        struct error error;
        engine.fail_set = kind == 0;
        engine.fail_get = kind == 1;
        engine.fail_evaluate = kind == 2;
        audience.fail_steps = kind == 3;
        audience.fail_epoch = kind == 4;
        audience.fail_interrupted = kind == 5;
        if (kind == 5)
            audience.stop_at = 2;
        assert_int_equal(go(&engine, &audience, &state, 0, &error), STATUS_ENVIRONMENT);
        assert_non_null(strstr(error.message, messages[kind]));
        assert_int_equal(audience.epochs, 0);
    }
}

/* What was computed in another floating-point environment is neither an epoch nor a checkpoint. */
static void test_float_environment(void **test_state)
{
    (void)test_state;
    for (int stops = 0; stops < 2; stops++) {
        START(engine, audience, state);
        struct error error;
        engine.rounds_upward = true;
        if (stops)
            audience.stop_at = 2;
        const struct float_environment saved = float_environment_enter();
        enum status status = go(&engine, &audience, &state, 0, &error);
        float_environment_leave(saved);
        assert_int_equal(status, STATUS_ENVIRONMENT);
        assert_non_null(strstr(error.message, stops ? "step 2 cannot be trusted" : "epoch 1 cannot be trusted"));
        assert_int_equal(audience.epochs, 0);
        assert_int_equal(audience.interrupted_at, 0);
    }
}

static void test_nobody_listens(void **test_state)
{
    (void)test_state;
    START(engine, unused, state);
    (void)unused;
    struct error error;
    const struct train_listener nobody = { .context = NULL };
    assert_int_equal(train(&fake, &engine, &recipe, IMAGES, &validation, 0, &state, &nobody, &error), STATUS_OK);
    assert_int_equal(state.step, STEPS);
    assert_float_equal(state.values[0], STEPS, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_training),
        cmocka_unit_test(test_some_epochs),
        cmocka_unit_test(test_stop_and_resume),
        cmocka_unit_test(test_stop_at_the_end),
        cmocka_unit_test(test_a_step_that_is_not_finite),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_float_environment),
        cmocka_unit_test(test_nobody_listens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

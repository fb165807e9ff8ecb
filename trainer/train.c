#include "trainer/train.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/float_environment.h"
#include "trainer/schedule.h"

/* What one call of train needs at hand. */
struct training {
    const struct engine_operations *operations;
    struct engine *engine;
    const struct training_config *config;
    uint32_t images;
    const struct dataset *validation;
    struct training_state *state;
    const struct train_listener *listener;
    uint8_t *predictions;
    enum status heard; /* what the listener said of the steps */
    struct error heard_error;
};

static enum status fetch_state(struct training *training, struct error *error)
{
    return training->operations->get_state(training->engine, training->state->values, training->state->momentum, error);
}

/* Handles the engine's reports, also after a stop or a failure. The state is the one after all reported steps. */
static bool hear_steps(void *context, uint64_t first, const struct step_result *results, uint64_t count)
{
    struct training *training = context;
    struct training_state *state = training->state;
    const struct train_listener *listener = training->listener;
    for (uint64_t i = 0; i < count; i++) {
        state->loss_sum += (double)results[i].loss * (double)results[i].images;
        state->error_sum += results[i].errors;
        state->image_sum += results[i].images;
    }
    state->step = first + count;
    if (training->heard == STATUS_OK && listener->steps != NULL)
        training->heard = listener->steps(listener->context, first, results, count, &training->heard_error);
    return training->heard == STATUS_OK &&
           !(listener->stop_requested != NULL && listener->stop_requested(listener->context));
}

/* Runs the steps up to `end`, or to where a stop was requested. */
static enum status run_steps(struct training *training, uint64_t end, struct error *error)
{
    const struct step_listener listener = { .context = training, .steps = hear_steps };
    uint64_t done;
    enum status status =
        training->operations->run_steps(training->engine, training->state->step, end, &listener, &done, error);
    if (status == STATUS_OK && training->heard != STATUS_OK) {
        *error = training->heard_error;
        status = training->heard;
    }
    return status;
}

static enum status stop(struct training *training, struct error *error)
{
    char what[48];
    snprintf(what, sizeof what, "step %" PRIu64, training->state->step);
    enum status status = fetch_state(training, error);
    if (status == STATUS_OK)
        status = float_environment_check(what, error);
    if (status == STATUS_OK && training->listener->interrupted != NULL)
        status = training->listener->interrupted(training->listener->context, training->state, error);
    if (status != STATUS_OK)
        return status;
    return error_set(error, STATUS_INTERRUPTED, "stopped on request after step %" PRIu64, training->state->step);
}

static enum status finish_epoch(struct training *training, uint64_t epoch, uint64_t epochs, double train_seconds,
                                uint64_t trained_images, struct error *error)
{
    struct training_state *state = training->state;
    const struct dataset *validation = training->validation;
    struct epoch_report report = {
        .epoch = epoch,
        .end_step = state->step,
        .last = epoch + 1 == epochs,
        .learning_rate = schedule_learning_rate(training->config, training->images, state->step - 1),
        .training_loss = state->loss_sum / (double)state->image_sum,
        .training_error = 100.0 * (double)state->error_sum / (double)state->image_sum,
        .validation_images = validation->count,
        .training_seconds = train_seconds,
        .trained_images = trained_images,
    };
    double began = clock_seconds();
    enum status status =
        training->operations->evaluate(training->engine, training->predictions, &report.validation_loss, error);
    if (status != STATUS_OK)
        return status;
    for (uint32_t i = 0; i < validation->count; i++)
        report.validation_errors += training->predictions[i] != validation->labels[i];
    report.validation_error = 100.0 * (double)report.validation_errors / (double)validation->count;
    report.validation_seconds = clock_seconds() - began;
    state->loss_sum = 0.0;
    state->error_sum = state->image_sum = 0;
    status = fetch_state(training, error);
    if (status == STATUS_OK) {
        char what[32];
        snprintf(what, sizeof what, "epoch %" PRIu64, epoch + 1);
        status = float_environment_check(what, error);
    }
    if (status == STATUS_OK && training->listener->epoch != NULL)
        status = training->listener->epoch(training->listener->context, &report, state, error);
    return status;
}

static enum status run(struct training *training, uint64_t stop_epoch, struct error *error)
{
    const struct train_listener *listener = training->listener;
    struct training_state *state = training->state;
    uint64_t epochs = schedule_epochs(training->config, training->images);
    enum status status = training->operations->set_state(training->engine, state->values, state->momentum, error);
    if (stop_epoch == 0 || stop_epoch > epochs)
        stop_epoch = epochs;
    uint64_t steps = schedule_steps(training->config, training->images);
    while (status == STATUS_OK && state->step < steps) {
        /* A checkpoint may be in the middle of an epoch, or at the end of one that has been reported. */
        uint64_t epoch = schedule_epoch_of(training->config, training->images, state->step);
        if (epoch >= stop_epoch)
            break;
        uint64_t end = schedule_epoch_end(training->config, training->images, epoch), began_at = state->image_sum;
        double began = clock_seconds();
        if (listener->stop_requested != NULL && listener->stop_requested(listener->context))
            return stop(training, error);
        status = run_steps(training, end, error);
        if (status == STATUS_OK && state->step < end)
            return stop(training, error);
        if (status == STATUS_OK)
            status = finish_epoch(training, epoch, epochs, clock_seconds() - began, state->image_sum - began_at, error);
    }
    return status;
}

enum status train(const struct engine_operations *operations, struct engine *engine, const struct recipe *recipe,
                  uint32_t training_images, const struct dataset *validation, uint64_t epochs,
                  struct training_state *state, const struct train_listener *listener, struct error *error)
{
    struct training *training = calloc(1, sizeof *training);
    if (training == NULL)
        return error_out_of_memory(error, "the training");
    *training = (struct training){ .operations = operations,
                                   .engine = engine,
                                   .config = &recipe->training,
                                   .images = training_images,
                                   .validation = validation,
                                   .state = state,
                                   .listener = listener };
    training->predictions = malloc(validation->count);
    enum status status = STATUS_ENVIRONMENT;
    if (training->predictions == NULL)
        error_out_of_memory(error, "%u predictions", validation->count);
    else
        status = run(training, epochs, error);
    free(training->predictions);
    free(training);
    return status;
}

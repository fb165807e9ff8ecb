/* The CPU engine: chooses a backend for this processor, keeps the data sets and the order of images, and runs steps. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/float_environment.h"
#include "base/machine.h"
#include "trainer/cpu/backend.h"
#include "trainer/cpu/shares.h"
#include "trainer/cpu/team.h"
#include "trainer/engine.h"
#include "trainer/exact.h"
#include "trainer/sampler.h"
#include "trainer/schedule.h"

const struct backend_operations *const backends[] = {
#ifdef HAVE_X86_64
    &backend_avx512,          &backend_avx2,
#endif
#ifdef HAVE_PORTABLE_VECTOR
    &backend_portable,
#endif
#ifdef HAVE_X86_64
    &backend_reference_fma,
#endif
    &backend_reference_plain, NULL,
};

enum { THREADS_MAX = 1024 };

struct engine {
    const struct backend_operations *operations;
    struct backend *backend;
    struct recipe recipe;
    const struct network *network;
    const struct dataset *training, *validation;
    struct input *input;
    struct sampler *sampler;
    struct sample *samples;     /* [batch_size]; neither without steps to run */
    struct ranks *ranks;        /* NULL: this process alone */
    struct shares *shares;      /* of the ranks, in a step's batch; NULL without ranks or steps */
    struct backend_batch whole; /* the step's, of all ranks */
    size_t *bytes;              /* [ranks] of an evaluation's exchange */
    float *losses;              /* [validation images] */
    double *tree;               /* [validation images] */
    char description[96];
};

/* A name counts once. */
static const char *cpu_isa(size_t index)
{
    for (size_t i = 0; backends[i] != NULL; i++) {
        if (i > 0 && strcmp(backends[i]->isa, backends[i - 1]->isa) == 0)
            continue;
        if (index-- == 0)
            return backends[i]->isa;
    }
    return NULL;
}

/* Known names, for messages. */
static void list_isas(char *text, size_t size)
{
    text[0] = '\0';
    for (size_t i = 0; cpu_isa(i) != NULL; i++) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, "%s%s", i == 0 ? "" : ", ", cpu_isa(i));
    }
}

static enum status choose_backend(const char *isa, const struct backend_operations **chosen, struct error *error)
{
    const char *origin = "--isa";
    if (isa == NULL) {
        isa = getenv("SELFSAME_ISA");
        origin = "SELFSAME_ISA";
        if (isa != NULL && isa[0] == '\0')
            isa = NULL;
    }
    bool known = false;
    for (size_t i = 0; backends[i] != NULL; i++) {
        if (isa != NULL && strcmp(isa, backends[i]->isa) != 0)
            continue;
        known = true;
        if (backends[i]->supported()) {
            *chosen = backends[i];
            return STATUS_OK;
        }
    }
    if (known)
        return error_set(error, STATUS_ENVIRONMENT,
                         "this processor does not have the instruction set %s, which %s names; leave it out to use "
                         "the best that there is",
                         isa, origin);
    char names[64];
    list_isas(names, sizeof names);
    return error_set(error, STATUS_INPUT, "%s: unknown instruction set '%s'; this build knows %s", origin, isa, names);
}

static void cpu_close(struct engine *engine)
{
    if (engine == NULL)
        return;
    if (engine->backend != NULL)
        engine->operations->close(engine->backend);
    shares_close(engine->shares);
    free(engine->bytes);
    input_close(engine->input);
    sampler_close(engine->sampler);
    free(engine->samples);
    free(engine->losses);
    free(engine->tree);
    free(engine);
}

static void describe(struct engine *engine, uint32_t threads, bool pinned)
{
    const uint32_t ranks = ranks_count(engine->ranks);
    int length = snprintf(engine->description, sizeof engine->description, "%s, ", engine->operations->variant);
    if (ranks > 1)
        length +=
            snprintf(engine->description + length, sizeof engine->description - (size_t)length, "%u ranks of ", ranks);
    snprintf(engine->description + length, sizeof engine->description - (size_t)length, "%u thread%s%s", threads,
             threads == 1 ? "" : "s", pinned ? ", pinned" : "");
}

/* One processor a thread, in an order that gives each a core of its own while there are enough. */
static enum status pin_threads(struct engine *engine, uint32_t threads, struct error *error)
{
    uint32_t processors[THREADS_MAX];
    const uint32_t usable = machine_processors_usable(), count = machine_processor_numbers(processors, THREADS_MAX);
    if (threads > usable || threads > count)
        return error_set(error, STATUS_ENVIRONMENT,
                         "--pin keeps each thread on a processor of its own, but there are %u threads and only %u "
                         "processor%s that this process may use (its affinity mask, or the limit of its control "
                         "group); pass --threads %u, or leave out --pin",
                         threads, usable, usable == 1 ? "" : "s", usable);
    machine_cores_first(MACHINE_PROCESSORS, processors, count);
    return engine->operations->pin(engine->backend, processors, error);
}

static enum status set_up(struct engine *engine, const struct engine_options *options, struct error *error)
{
    enum status status = backend_check_arithmetic("the engine", error);
    if (status == STATUS_OK)
        status = choose_backend(options->isa, &engine->operations, error);
    if (status != STATUS_OK)
        return status;
    uint32_t threads = options->threads != 0 ? options->threads : machine_processors_usable();
    if (threads > THREADS_MAX)
        return error_set(error, STATUS_INPUT, "%u threads are more than the %d that this program can run", threads,
                         THREADS_MAX);
    status = input_open(&engine->input, &engine->recipe.input, engine->training, error);
    if (status != STATUS_OK)
        return status;
    const bool steps = engine->training != NULL && !options->inference;
    if (steps) {
        status = sampler_open(&engine->sampler, &engine->recipe, engine->training->count, error);
        if (status != STATUS_OK)
            return status;
    }
    size_t validated = engine->validation == NULL ? 1 : engine->validation->count;
    engine->samples = calloc(steps ? engine->recipe.training.batch_size : 1, sizeof *engine->samples);
    engine->losses = calloc(validated, sizeof *engine->losses);
    engine->ranks = options->ranks;
    engine->bytes = calloc(ranks_count(engine->ranks), sizeof *engine->bytes);
    engine->tree = calloc(validated, sizeof *engine->tree);
    if (engine->samples == NULL || engine->losses == NULL || engine->tree == NULL || engine->bytes == NULL)
        return error_out_of_memory(error, "%zu images", validated);
    describe(engine, threads, options->pin);
    if (engine->ranks != NULL && steps)
        status = shares_open(&engine->shares, engine->ranks, &engine->recipe, engine->training->count, error);
    if (status == STATUS_OK)
        status = engine->operations->open(&engine->backend, &engine->recipe, engine->network, threads,
                                          options->inference, engine->shares, error);
    if (status == STATUS_OK && options->pin)
        status = pin_threads(engine, threads, error);
    if (status == STATUS_OK && engine->shares != NULL)
        status = shares_allocate(engine->shares, error);
    return status;
}

static enum status cpu_open(struct engine **out, const struct recipe *recipe, const struct network *network,
                            const struct dataset *training, const struct dataset *validation,
                            const struct engine_options *options, struct error *error)
{
    *out = NULL;
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return error_out_of_memory(error, "the engine");
    engine->recipe = *recipe;
    engine->network = network;
    engine->training = training;
    engine->validation = validation;
    const struct float_environment saved = float_environment_enter();
    enum status status = set_up(engine, options, error);
    float_environment_leave(saved);
    if (status != STATUS_OK)
        cpu_close(engine);
    else
        *out = engine;
    return status;
}

static enum status cpu_set_state(struct engine *engine, const float *values, const float *momentum, struct error *error)
{
    (void)error;
    engine->operations->set_state(engine->backend, values, momentum);
    return STATUS_OK;
}

static enum status cpu_get_state(struct engine *engine, float *values, float *momentum, struct error *error)
{
    (void)error;
    engine->operations->get_state(engine->backend, values, momentum);
    return STATUS_OK;
}

static struct backend_batch draw_batch(struct engine *engine, uint64_t step)
{
    sampler_batch(engine->sampler, step, engine->samples);
    engine->whole =
        (struct backend_batch){ .count = schedule_batch(&engine->recipe.training, engine->training->count, step),
                                .data = engine->training,
                                .input = engine->input,
                                .samples = engine->samples };
    if (engine->shares == NULL)
        return engine->whole;
    const struct share share = shares_begin(engine->shares, engine->whole.count);
    return (struct backend_batch){ .count = share.count,
                                   .data = engine->training,
                                   .input = engine->input,
                                   .samples = engine->samples + share.first,
                                   .first = share.first,
                                   .whole = &engine->whole };
}

static struct step_result result_of(const struct backend_batch *batch, const struct backend_outcome *outcome)
{
    return (struct step_result){ .loss = outcome->loss,
                                 .errors = outcome->errors,
                                 .images = backend_whole(batch)->count,
                                 .digest = { outcome->digest[0], outcome->digest[1] } };
}

static float learning_rate_of(const struct engine *engine, uint64_t step)
{
    return schedule_learning_rate(&engine->recipe.training, engine->training->count, step);
}

static enum status run_steps(struct engine *engine, uint64_t first, uint64_t last, const struct step_listener *listener,
                             uint64_t *done, struct error *error)
{
    bool wanted = true;
    *done = 0;
    for (uint64_t step = first; step < last && wanted; step++) {
        const struct backend_batch batch = draw_batch(engine, step);
        struct backend_outcome outcome;
        engine->operations->step(engine->backend, &batch, learning_rate_of(engine, step), &outcome);
        if (outcome.non_finite[0] != '\0')
            return non_finite_error(error, step, outcome.non_finite);
        const struct step_result result = result_of(&batch, &outcome);
        (*done)++;
        wanted = listener->steps(listener->context, step, &result, 1);
    }
    return STATUS_OK;
}

static enum status cpu_run_steps(struct engine *engine, uint64_t first, uint64_t last,
                                 const struct step_listener *listener, uint64_t *done, struct error *error)
{
    assert(engine->sampler != NULL); /* opened with training data, and not for inference */
    const struct float_environment saved = float_environment_enter();
    enum status status = run_steps(engine, first, last, listener, done, error);
    float_environment_leave(saved);
    return status;
}

static enum status cpu_trace(struct engine *engine, uint64_t step, struct step_trace *trace, struct step_result *result,
                             struct error *error)
{
    assert(engine->sampler != NULL);
    (void)error;
    struct backend_outcome outcome;
    const struct float_environment saved = float_environment_enter();
    const struct backend_batch batch = draw_batch(engine, step);
    const float learning_rate = learning_rate_of(engine, step);
    step_trace_batch(trace, engine->samples, engine->training->labels, learning_rate);
    engine->operations->get_state(engine->backend, trace->values, trace->momentum);
    step_trace_state(trace, false, trace->values, trace->momentum);
    engine->operations->trace(engine->backend, &batch, learning_rate, trace, &outcome);
    engine->operations->get_state(engine->backend, trace->values, trace->momentum);
    step_trace_state(trace, true, trace->values, trace->momentum);
    float_environment_leave(saved);
    step_trace_finish(trace);
    memcpy(trace->non_finite, outcome.non_finite, sizeof trace->non_finite);
    *result = result_of(&batch, &outcome);
    return STATUS_OK;
}

/* Each rank has evaluated its share. */
static void gather_evaluation(struct engine *engine, uint8_t *predictions, uint32_t count)
{
    const size_t sizes[] = { sizeof *predictions, sizeof *engine->losses };
    void *const lists[] = { predictions, engine->losses };
    const uint32_t ranks = ranks_count(engine->ranks);
    for (int i = 0; i < 2 && ranks > 1; i++) {
        for (uint32_t r = 0; r < ranks; r++)
            engine->bytes[r] = sizes[i] * shares_of(count, 1, ranks, r).count;
        ranks_gather(engine->ranks, lists[i], engine->bytes);
    }
}

static enum status cpu_evaluate(struct engine *engine, uint8_t *predictions, double *loss, struct error *error)
{
    const uint32_t count = engine->validation->count;
    const struct share share = shares_of(count, 1, ranks_count(engine->ranks), ranks_own(engine->ranks));
    const struct backend_batch batch = {
        .count = share.count, .data = engine->validation, .input = engine->input, .first = share.first
    };
    const struct float_environment saved = float_environment_enter();
    engine->operations->evaluate(engine->backend, &batch, predictions + share.first, engine->losses + share.first);
    gather_evaluation(engine, predictions, count);
    for (uint32_t i = 0; i < count; i++)
        engine->tree[i] = (double)engine->losses[i];
    *loss = exact_tree64(engine->tree, count, 1) / (double)count;
    float_environment_leave(saved);
    if (!exact_finite(*loss))
        return error_set(error, STATUS_NO,
                         "a number that is not finite (NaN or infinity) in the loss of the evaluation");
    return STATUS_OK;
}

static bool hear_nothing(void *context, uint64_t first, const struct step_result *results, uint64_t count)
{
    (void)context, (void)first, (void)results, (void)count;
    return true;
}

/* Runs steps as cpu_run_steps does and says where their time went. */
static enum status cpu_profile(struct engine *engine, uint64_t first, uint64_t last, struct engine_profile *profile,
                               struct error *error)
{
    struct backend_profile times = { .forward_s = profile->forward_s, .backward_s = profile->backward_s };
    enum status status = STATUS_OK;
    engine->operations->set_profile(engine->backend, &times);
    for (uint64_t step = first; status == STATUS_OK && step < last; step++) {
        const struct step_listener nobody = { .steps = hear_nothing };
        uint64_t done;
        double began = clock_seconds();
        status = cpu_run_steps(engine, step, step + 1, &nobody, &done, error);
        profile->step_s[step - first] = clock_seconds() - began;
    }
    engine->operations->set_profile(engine->backend, NULL);
    profile->head_s = times.head_s;
    profile->update_s = times.update_s;
    return status;
}

static double cpu_peak_flops(struct engine *engine)
{
    return engine->operations->peak_flops(engine->backend);
}

static uint32_t cpu_exercise(struct engine *engine, float *values, size_t count, uint32_t passes)
{
    const struct float_environment saved = float_environment_enter();
    const uint32_t lanes = engine->operations->exercise(values, count, passes);
    float_environment_leave(saved);
    return lanes;
}

static const char *cpu_describe(const struct engine *engine)
{
    return engine->description;
}

static const char *cpu_used_isa(const struct engine *engine)
{
    return engine->operations->isa;
}

static const char *const *cpu_facts(const struct engine *engine)
{
    (void)engine;
    return NULL;
}

static size_t cpu_memory_bytes(const struct engine *engine)
{
    return engine->operations->memory_bytes(engine->backend) + shares_memory_bytes(engine->shares);
}

static size_t cpu_predict_memory(const struct recipe *recipe, const struct network *network, uint32_t training_images,
                                 uint32_t validation_images, const struct engine_options *options)
{
    const struct backend_operations *operations;
    struct error ignored;
    const uint32_t threads = options->threads != 0 ? options->threads : machine_processors_usable();
    (void)training_images, (void)validation_images;
    if (options->ranks != NULL || threads > THREADS_MAX ||
        choose_backend(options->isa, &operations, &ignored) != STATUS_OK)
        return 0;
    return operations->predict_memory(recipe, network, threads, options->inference);
}

const struct engine_operations engine_cpu = {
    .name = "cpu",
    .exact = true,
    .takes_ranks = true,
    .isa = cpu_isa,
    .open = cpu_open,
    .set_state = cpu_set_state,
    .get_state = cpu_get_state,
    .run_steps = cpu_run_steps,
    .trace = cpu_trace,
    .evaluate = cpu_evaluate,
    .describe = cpu_describe,
    .used_isa = cpu_used_isa,
    .facts = cpu_facts,
    .memory_bytes = cpu_memory_bytes,
    .predict_memory = cpu_predict_memory,
    .profile = cpu_profile,
    .peak_flops = cpu_peak_flops,
    .exercise = cpu_exercise,
    .close = cpu_close,
};

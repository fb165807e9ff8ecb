/* The exact engine on an NVIDIA GPU: opens the device, keeps data and state there, queues steps as CUDA graphs and
 * hears their results while later ones run. NOTES.md says what was counted. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/cuda/engine_state.h"
#include "trainer/cuda/upload.h"
#include "trainer/non_finite.h"
#include "trainer/sampler.h"

enum { INFERENCE_BATCH = 256 };

/* Returns from the caller if a call of the runtime fails. */
#define TRY(error, function, ...)                              \
    do {                                                       \
        const cudaError_t code_ = function(__VA_ARGS__);       \
        if (code_ != cudaSuccess)                              \
            return cuda_error((error), (int)code_, #function); \
    } while (0)

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

static struct layout_sizes sizes_of(const struct recipe *recipe, const struct network *network, uint32_t training,
                                    uint32_t validation, bool inference)
{
    return (struct layout_sizes){
        .network = network,
        .batch =
            inference ? (validation < INFERENCE_BATCH ? validation : INFERENCE_BATCH) : recipe->training.batch_size,
        .steps = !inference,
        .training = inference ? 0 : training,
        .validation = validation,
        .piece_count = layout_pieces(network, NULL),
        .pixel_mean = recipe->input.normalization == NORMALIZE_PIXEL_MEAN,
    };
}

static enum status allocate_host(struct layout *layout, const struct network *network, struct error *error)
{
    layout->y = calloc(network->conv_count, sizeof *layout->y);
    layout->outputs = calloc((size_t)network->block_count + 1, sizeof *layout->outputs);
    layout->kept = calloc((size_t)network->block_count + 1, sizeof *layout->kept);
    if (layout->y == NULL || layout->outputs == NULL || layout->kept == NULL)
        return error_out_of_memory(error, "the layout of depth %u", network->model.depth);
    return STATUS_OK;
}

static void free_host(struct layout *layout)
{
    free(layout->y);
    free(layout->outputs);
    free(layout->kept);
}

static size_t cuda_predict_memory(const struct recipe *recipe, const struct network *network, uint32_t training_images,
                                  uint32_t validation_images, const struct engine_options *options)
{
    const struct layout_sizes sizes = sizes_of(recipe, network, training_images, validation_images, options->inference);
    struct layout layout = { .bytes = 0 };
    struct error error;
    if (allocate_host(&layout, network, &error) == STATUS_OK)
        layout_make(&layout, &sizes, NULL);
    free_host(&layout);
    return layout.bytes;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

static enum status blame(const void *context, uint64_t step, uint32_t number, struct error *error)
{
    const struct engine *engine = context;
    const struct network *network = engine->network;
    const struct culprits *culprits = &engine->culprits;
    char text[NON_FINITE_BYTES];
    if (number >= culprits->update)
        non_finite_describe(text, sizeof text, NON_FINITE_UPDATE, network->tensors[number - culprits->update].name);
    else if (number >= culprits->backward)
        non_finite_describe(
            text, sizeof text, NON_FINITE_BACKWARD,
            network->tensors[network->convs[network->conv_count - 1 - (number - culprits->backward)].weight].name);
    else if (number == culprits->loss)
        non_finite_describe(text, sizeof text, NON_FINITE_LOSS, "");
    else if (number == culprits->logits)
        non_finite_describe(text, sizeof text, NON_FINITE_LOGITS, "");
    else
        non_finite_describe(text, sizeof text, NON_FINITE_FORWARD,
                            network->tensors[network->convs[number].weight].name);
    return non_finite_error(error, step, text);
}

static enum status launch_step(void *context, uint32_t images, struct queue_marks *marks, struct error *error)
{
    const char *call = NULL;
    const cudaError_t launched = step_launch(context, images, marks, &call);
    return launched == cudaSuccess ? STATUS_OK : cuda_error(error, (int)launched, call);
}

static enum status open_queue(struct engine *engine, struct error *error)
{
    const struct layout *layout = &engine->layout;
    engine->queue = (struct step_queue){
        .training = &engine->recipe.training,
        .images = engine->sizes.training,
        .stream = engine->main,
        .device_plans = layout->plans,
        .device_results = layout->results,
        .current = layout->current,
        .keys = layout->keys,
        .orders = { layout->orders[0], layout->orders[1] },
        .launch = launch_step,
        .blame = blame,
        .context = engine,
    };
    return queue_open(&engine->queue, error);
}

static enum status cuda_run_steps(struct engine *engine, uint64_t first, uint64_t last,
                                  const struct step_listener *listener, uint64_t *done, struct error *error)
{
    assert(engine->sizes.steps);
    return queue_run(&engine->queue, first, last, listener, done, error);
}

static enum status cuda_profile(struct engine *engine, uint64_t first, uint64_t last, struct engine_profile *profile,
                                struct error *error)
{
    return queue_profile(&engine->queue, engine->network->conv_count, first, last, profile, error);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static void cuda_close(struct engine *engine)
{
    if (engine == NULL)
        return;
    /* Whatever the device says: it may be lost, and then there is nothing more to give back. */
    queue_close(&engine->queue);
    if (engine->fork != NULL)
        (void)cudaEventDestroy(engine->fork);
    if (engine->join != NULL)
        (void)cudaEventDestroy(engine->join);
    if (engine->side != NULL)
        (void)cudaStreamDestroy(engine->side);
    if (engine->main != NULL)
        (void)cudaStreamDestroy(engine->main);
    (void)cudaFree(engine->training_images);
    (void)cudaFree(engine->training_labels);
    (void)cudaFree(engine->validation_images);
    (void)cudaFree(engine->validation_labels);
    (void)cudaFree(engine->memory);
    free_host(&engine->layout);
    free(engine);
}

static enum status upload_tables(struct engine *engine, struct error *error)
{
    const struct network *network = engine->network;
    const struct layout *layout = &engine->layout;
    struct cuda_piece *pieces = calloc(engine->sizes.piece_count, sizeof *pieces);
    if (pieces == NULL)
        return error_out_of_memory(error, "the tables of the weights");
    layout_pieces(network, pieces);
    enum status status = cuda_upload(layout->pieces, pieces, engine->sizes.piece_count * sizeof *pieces, error);
    free(pieces);
    if (status == STATUS_OK)
        status = cuda_upload_norms(network, layout->places, error);
    if (status == STATUS_OK)
        status =
            cuda_upload_input(&engine->recipe.input, engine->training, layout->byte_values, layout->pixel_mean, error);
    return status;
}

static enum status make_streams(struct engine *engine, struct error *error)
{
    TRY(error, cudaStreamCreateWithFlags, &engine->main, cudaStreamNonBlocking);
    TRY(error, cudaStreamCreateWithFlags, &engine->side, cudaStreamNonBlocking);
    TRY(error, cudaEventCreateWithFlags, &engine->fork, cudaEventDisableTiming);
    TRY(error, cudaEventCreateWithFlags, &engine->join, cudaEventDisableTiming);
    return STATUS_OK;
}

static void describe(struct engine *engine)
{
    const struct device *device = &engine->device;
    snprintf(engine->description, sizeof engine->description, "%s, capability %d.%d", device->name, device->major,
             device->minor);
    device_facts(device, engine->fact_texts);
    for (int i = 0; i < DEVICE_FACTS; i++)
        engine->facts[i] = engine->fact_texts[i];
}

static enum status set_up(struct engine *engine, const struct engine_options *options, struct error *error)
{
    const bool steps = engine->training != NULL && !options->inference;
    char what[64];
    if (steps) { /* for what it refuses */
        struct sampler *sampler;
        enum status status = sampler_open(&sampler, &engine->recipe, engine->training->count, error);
        if (status != STATUS_OK)
            return status;
        sampler_close(sampler);
    }
    engine->sizes = sizes_of(&engine->recipe, engine->network, steps ? engine->training->count : 0,
                             engine->validation == NULL ? 0 : engine->validation->count, !steps);
    const uint32_t layers = engine->network->conv_count;
    engine->culprits = (struct culprits){ 0, layers, layers + 1, layers + 2, 2 * layers + 2 };
    enum status status = allocate_host(&engine->layout, engine->network, error);
    if (status != STATUS_OK)
        return status;
    layout_make(&engine->layout, &engine->sizes, NULL);
    status = device_open(&engine->device, error);
    if (status != STATUS_OK)
        return status;
    snprintf(what, sizeof what, "batch %u at depth %u", engine->sizes.batch, engine->network->model.depth);
    status = device_check_memory(&engine->device,
                                 engine->layout.bytes + (steps ? cuda_data_bytes(engine->training) : 0) +
                                     cuda_data_bytes(engine->validation),
                                 what, error);
    if (status != STATUS_OK)
        return status;
    TRY(error, cudaMalloc, &engine->memory, engine->layout.bytes);
    layout_make(&engine->layout, &engine->sizes, engine->memory);
    TRY(error, cudaMemset, engine->memory, 0, engine->layout.bytes);
    if (steps)
        status = cuda_upload_data(engine->training, &engine->training_images, &engine->training_labels, error);
    if (status == STATUS_OK)
        status = cuda_upload_data(engine->validation, &engine->validation_images, &engine->validation_labels, error);
    if (status == STATUS_OK)
        status = upload_tables(engine, error);
    if (status == STATUS_OK)
        status = make_streams(engine, error);
    if (status != STATUS_OK)
        return status;
    TRY(error, cudaDeviceSynchronize); /* the uploads, before other streams read them */
    describe(engine);
    return steps ? open_queue(engine, error) : STATUS_OK;
}

static enum status cuda_open(struct engine **out, const struct recipe *recipe, const struct network *network,
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
    enum status status = set_up(engine, options, error);
    (void)float_environment_enter(); /* whatever the libraries that were opened left */
    if (status != STATUS_OK)
        cuda_close(engine);
    else
        *out = engine;
    return status;
}

/* ---- state ------------------------------------------------------------------------------------------------------- */

static enum status cuda_set_state(struct engine *engine, const float *values, const float *momentum,
                                  struct error *error)
{
    const size_t bytes = engine->network->value_count * sizeof(float);
    const char *call;
    TRY(error, cudaMemcpy, engine->layout.values, values, bytes, cudaMemcpyHostToDevice);
    if (engine->sizes.steps)
        TRY(error, cudaMemcpy, engine->layout.momentum, momentum, bytes, cudaMemcpyHostToDevice);
    TRY(error, cudaDeviceSynchronize);
    const cudaError_t packed = pack_launch(engine, &call);
    if (packed != cudaSuccess)
        return cuda_error(error, (int)packed, call);
    TRY(error, cudaStreamSynchronize, engine->main);
    return STATUS_OK;
}

static enum status cuda_get_state(struct engine *engine, float *values, float *momentum, struct error *error)
{
    const size_t bytes = engine->network->value_count * sizeof(float);
    TRY(error, cudaStreamSynchronize, engine->main);
    TRY(error, cudaMemcpy, values, engine->layout.values, bytes, cudaMemcpyDeviceToHost);
    if (engine->sizes.steps)
        TRY(error, cudaMemcpy, momentum, engine->layout.momentum, bytes, cudaMemcpyDeviceToHost);
    return STATUS_OK;
}

/* ---- evaluation -------------------------------------------------------------------------------------------------- */

static enum status cuda_evaluate(struct engine *engine, uint8_t *predictions, double *loss, struct error *error)
{
    const struct layout *layout = &engine->layout;
    const struct network *network = engine->network;
    const uint32_t count = engine->validation->count, batch = engine->sizes.batch;
    const struct cuda_running_norms_arguments norms = { .values = layout->values,
                                                        .places = layout->places,
                                                        .count = network->conv_count + (network->logits_gamma >= 0),
                                                        .epsilon = engine->recipe.model.batch_norm_epsilon,
                                                        .norm = layout->norms };
    const struct cuda_mean_loss_arguments mean = { .losses = layout->losses,
                                                   .count = count,
                                                   .loss = layout->mean_loss };
    const char *call;
    TRY(error, cuda_running_norms, &norms, engine->main);
    for (uint32_t first = 0; first < count; first += batch) {
        const cudaError_t launched =
            evaluation_launch(engine, first, count - first < batch ? count - first : batch, &call);
        if (launched != cudaSuccess)
            return cuda_error(error, (int)launched, call);
    }
    TRY(error, cuda_mean_loss, &mean, engine->main);
    TRY(error, cudaStreamSynchronize, engine->main);
    TRY(error, cudaMemcpy, predictions, layout->predictions, count, cudaMemcpyDeviceToHost);
    TRY(error, cudaMemcpy, loss, layout->mean_loss, sizeof *loss, cudaMemcpyDeviceToHost);
    if (!exact_finite(*loss))
        return error_set(error, STATUS_NO,
                         "a number that is not finite (NaN or infinity) in the loss of the evaluation");
    return STATUS_OK;
}

static double cuda_peak_flops(struct engine *engine)
{
    double flops = 0.0;
    struct error error;
    (void)engine;
    return device_peak_flops(&flops, &error) == STATUS_OK ? flops : 0.0;
}

static const char *cuda_describe(const struct engine *engine)
{
    return engine->description;
}

static const char *const *cuda_facts(const struct engine *engine)
{
    return engine->facts;
}

static size_t cuda_memory_bytes(const struct engine *engine)
{
    return engine->layout.bytes;
}

const struct engine_operations engine_cuda = {
    .name = "cuda",
    .exact = true,
    .open = cuda_open,
    .set_state = cuda_set_state,
    .get_state = cuda_get_state,
    .run_steps = cuda_run_steps,
    .evaluate = cuda_evaluate,
    .describe = cuda_describe,
    .facts = cuda_facts,
    .memory_bytes = cuda_memory_bytes,
    .predict_memory = cuda_predict_memory,
    .profile = cuda_profile,
    .peak_flops = cuda_peak_flops,
    .close = cuda_close,
};

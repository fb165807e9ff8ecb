/* The fast engine on an NVIDIA GPU: cuDNN's convolutions and batch norms, cuBLAS's products, the exact engine's data
 * order and update. Opens the device and the libraries, plans, keeps data and state there. NOTES.md says what was
 * counted. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/float_environment.h"
#include "trainer/cuda/upload.h"
#include "trainer/cudnn/engine_state.h"
#include "trainer/non_finite.h"
#include "trainer/sampler.h"

enum { INFERENCE_BATCH = 256, FACTS_MAX = 160 };

/* Returns from the caller if a call of the runtime fails. */
#define TRY(error, function, ...)                              \
    do {                                                       \
        const cudaError_t code_ = function(__VA_ARGS__);       \
        if (code_ != cudaSuccess)                              \
            return cuda_error((error), (int)code_, #function); \
    } while (0)

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

static enum cudnn_precision precision_of(const struct recipe *recipe)
{
    switch (recipe->precision) {
    case PRECISION_TF32:
        return CUDNN_PRECISION_TF32;
    case PRECISION_BF16:
        return CUDNN_PRECISION_BF16;
    default:
        return CUDNN_PRECISION_FP32;
    }
}

static struct layout_sizes sizes_of(const struct recipe *recipe, const struct network *network, uint32_t training,
                                    uint32_t validation, bool inference)
{
    uint32_t step_images[2] = { INFERENCE_BATCH, 0 };
    if (!inference)
        queue_step_images(&recipe->training, training, step_images);
    else if (validation < INFERENCE_BATCH)
        step_images[0] = validation;
    struct layout_sizes sizes = {
        .network = network,
        .precision = precision_of(recipe),
        .batch = step_images[0],
        .evaluation = validation < step_images[0] ? validation : step_images[0],
        .steps = !inference,
        .training = inference ? 0 : training,
        .validation = validation,
        .pixel_mean = recipe->input.normalization == NORMALIZE_PIXEL_MEAN,
    };
    cudnn_layout_tables(&sizes, NULL, NULL);
    return sizes;
}

static enum status allocate_host(struct layout *layout, const struct network *network, struct error *error)
{
    layout->y = calloc(network->conv_count, sizeof *layout->y);
    layout->outputs = calloc(network->conv_count, sizeof *layout->outputs);
    layout->masks = calloc(network->conv_count, sizeof *layout->masks);
    if (layout->y == NULL || layout->outputs == NULL || layout->masks == NULL)
        return error_out_of_memory(error, "the layout of depth %u", network->model.depth);
    return STATUS_OK;
}

static void free_host(struct layout *layout)
{
    free(layout->y);
    free(layout->outputs);
    free(layout->masks);
}

static size_t fast_predict_memory(const struct recipe *recipe, const struct network *network, uint32_t training_images,
                                  uint32_t validation_images, const struct engine_options *options)
{
    const struct layout_sizes sizes = sizes_of(recipe, network, training_images, validation_images, options->inference);
    struct layout layout = { .bytes = 0 };
    struct error error;
    if (allocate_host(&layout, network, &error) == STATUS_OK)
        cudnn_layout_make(&layout, &sizes, NULL);
    free_host(&layout);
    return layout.bytes;
}

/* ---- closing ----------------------------------------------------------------------------------------------------- */

static void fast_close(struct engine *engine)
{
    if (engine == NULL)
        return;
    /* Whatever the device says: it may be lost, and then there is nothing more to give back. */
    if (engine->stream != NULL)
        (void)cudaStreamSynchronize(engine->stream);
    queue_close(&engine->queue);
    for (int i = 0; i < PLAN_SETS; i++)
        cudnn_plans_close(&engine->plans[i]);
    if (engine->cublas != NULL)
        (void)engine->library.cublasDestroy_v2(engine->cublas);
    if (engine->cudnn != NULL)
        (void)engine->library.cudnnDestroy(engine->cudnn);
    cudnn_library_close(&engine->library);
    if (engine->stream != NULL)
        (void)cudaStreamDestroy(engine->stream);
    (void)cudaFree(engine->training_images);
    (void)cudaFree(engine->training_labels);
    (void)cudaFree(engine->validation_images);
    (void)cudaFree(engine->validation_labels);
    (void)cudaFree(engine->memory);
    for (size_t i = 0; i < engine->fact_count; i++)
        free(engine->facts[i]);
    free(engine->facts);
    free(engine->weights);
    free(engine->weight_of);
    free_host(&engine->layout);
    free(engine);
}

/* ---- facts ------------------------------------------------------------------------------------------------------- */

/* A fact that there is no memory for is left out. */
__attribute__((format(printf, 2, 3))) static void add_fact(struct engine *engine, const char *format, ...)
{
    char text[384];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (engine->fact_count + 1 < FACTS_MAX && (engine->facts[engine->fact_count] = strdup(text)) != NULL)
        engine->fact_count++;
}

/* A set of plans, as the facts name it. */
struct plan_listing {
    struct engine *engine;
    uint32_t images;
};

static void add_plan(void *context, const char *name, const struct cudnn_plan *plan)
{
    const struct plan_listing *listing = context;
    add_fact(listing->engine, "plan, %u images: %s: engine %s", listing->images, name, plan->engine);
}

static enum status state_facts(struct engine *engine, struct error *error)
{
    const struct device *device = &engine->device;
    const struct cudnn_library *library = &engine->library;
    const unsigned *cublas = library->cublas_version, cudnn = library->cudnn_version;
    const char *precision = cudnn_precision_name(engine->sizes.precision);
    char of_device[DEVICE_FACTS][DEVICE_FACT_BYTES];
    engine->facts = calloc(FACTS_MAX, sizeof *engine->facts);
    if (engine->facts == NULL)
        return error_out_of_memory(error, "the facts of the engine");
    snprintf(engine->description, sizeof engine->description, "%s, cuDNN %u.%u.%u, %s, channels-last", device->name,
             cudnn / 10000, cudnn / 100 % 100, cudnn % 100, precision);
    device_facts(device, of_device);
    for (int i = 0; i < DEVICE_FACTS; i++)
        add_fact(engine, "%s", of_device[i]);
    add_fact(engine, "cuDNN: %u.%u.%u", cudnn / 10000, cudnn / 100 % 100, cudnn % 100);
    add_fact(engine, "cuBLAS: %u.%u.%u", cublas[0], cublas[1], cublas[2]);
    add_fact(engine, "precision: %s", precision);
    for (int i = 0; i < PLAN_SETS; i++) {
        struct plan_listing listing = { engine, engine->plans[i].images };
        if (engine->plans[i].images > 0)
            cudnn_plans_list(&engine->plans[i], add_plan, &listing);
    }
    return STATUS_OK;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static enum status open_libraries(struct engine *engine, struct error *error)
{
    struct cudnn_library *library = &engine->library;
    const bool fma = engine->sizes.precision == CUDNN_PRECISION_FP32;
    enum status status = cudnn_check(library, library->cudnnCreate(&engine->cudnn), "cudnnCreate", error);
    if (status == STATUS_OK)
        status = cudnn_check(library, library->cudnnSetStream(engine->cudnn, engine->stream), "cudnnSetStream", error);
    if (status == STATUS_OK)
        status = cublas_check(library, library->cublasCreate_v2(&engine->cublas), "cublasCreate", error);
    if (status == STATUS_OK)
        status = cublas_check(library, library->cublasSetStream_v2(engine->cublas, engine->stream), "cublasSetStream",
                              error);
    /* After the stream, which takes the workspace away; with one of its own a product repeats itself. */
    if (status == STATUS_OK)
        status = cublas_check(
            library,
            library->cublasSetWorkspace_v2(engine->cublas, engine->layout.blas_workspace, CUBLAS_WORKSPACE_BYTES),
            "cublasSetWorkspace", error);
    if (status == STATUS_OK)
        status = cublas_check(
            library,
            library->cublasSetMathMode(engine->cublas, fma ? CUBLAS_PEDANTIC_MATH : CUBLAS_TF32_TENSOR_OP_MATH),
            "cublasSetMathMode", error);
    return status;
}

static enum status make_plans(struct engine *engine, struct error *error)
{
    const struct cudnn_planner planner = { .library = &engine->library,
                                           .handle = engine->cudnn,
                                           .workspace_bytes = CUDNN_WORKSPACE_BYTES };
    uint32_t images[PLAN_SETS] = { 0, 0, engine->sizes.evaluation };
    enum status status = STATUS_OK;
    if (engine->sizes.steps)
        queue_step_images(&engine->recipe.training, engine->sizes.training, images);
    for (int i = 0; status == STATUS_OK && i < PLAN_SETS; i++) {
        if (images[i] > 0)
            status = cudnn_plans_open(&engine->plans[i], &planner, engine->network, engine->sizes.precision, images[i],
                                      i < PLANS_EVALUATION, error);
    }
    return status;
}

static enum status upload_tables(struct engine *engine, struct error *error)
{
    const struct network *network = engine->network;
    const struct layout *layout = &engine->layout;
    struct cuda_piece *pieces = calloc(engine->sizes.piece_count, sizeof *pieces);
    engine->weights = calloc(engine->sizes.weight_count, sizeof *engine->weights);
    engine->weight_of = calloc(network->tensor_count, sizeof *engine->weight_of);
    if (pieces == NULL || engine->weights == NULL || engine->weight_of == NULL) {
        free(pieces);
        return error_out_of_memory(error, "the tables of the weights");
    }
    cudnn_layout_tables(&engine->sizes, pieces, engine->weights);
    for (uint32_t t = 0, next = 0; t < network->tensor_count; t++)
        engine->weight_of[t] = network->tensors[t].rank == 4 ? next++ : 0;
    enum status status = cuda_upload(layout->pieces, pieces, engine->sizes.piece_count * sizeof *pieces, error);
    if (status == STATUS_OK)
        status =
            cuda_upload(layout->weights, engine->weights, engine->sizes.weight_count * sizeof *engine->weights, error);
    if (status == STATUS_OK)
        status = cuda_upload_norms(network, layout->places, error);
    if (status == STATUS_OK)
        status =
            cuda_upload_input(&engine->recipe.input, engine->training, layout->byte_values, layout->pixel_mean, error);
    free(pieces);
    return status;
}

static enum status blame(const void *context, uint64_t step, uint32_t number, struct error *error)
{
    const struct engine *engine = context;
    char text[NON_FINITE_BYTES];
    if (number == NON_FINITE_NUMBER_LOGITS)
        non_finite_describe(text, sizeof text, NON_FINITE_LOGITS, "");
    else if (number == NON_FINITE_NUMBER_LOSS)
        non_finite_describe(text, sizeof text, NON_FINITE_LOSS, "");
    else
        non_finite_describe(text, sizeof text, NON_FINITE_UPDATE,
                            engine->network->tensors[number - NON_FINITE_NUMBER_TENSOR].name);
    return non_finite_error(error, step, text);
}

/* Libraries load what they have while a plan runs first, which a capture would not let them: so each step runs once,
 * on whatever is there. The state is set only after open. */
static enum status prepare_steps(struct engine *engine, struct error *error)
{
    const struct layout *layout = &engine->layout;
    engine->queue = (struct step_queue){ .training = &engine->recipe.training,
                                         .images = engine->sizes.training,
                                         .stream = engine->stream,
                                         .device_plans = layout->plans,
                                         .device_results = layout->results,
                                         .current = layout->current,
                                         .keys = layout->keys,
                                         .orders = { layout->orders[0], layout->orders[1] },
                                         .launch = cudnn_step_launch,
                                         .blame = blame,
                                         .context = engine };
    for (int i = 0; i < PLANS_EVALUATION; i++) {
        if (engine->plans[i].images == 0)
            continue;
        enum status status = cudnn_step_launch(engine, engine->plans[i].images, NULL, error);
        if (status != STATUS_OK)
            return status;
    }
    TRY(error, cudaStreamSynchronize, engine->stream);
    return queue_open(&engine->queue, error);
}

static enum status open_device(struct engine *engine, struct error *error)
{
    const struct device *device = &engine->device;
    char what[64];
    enum status status = device_open(&engine->device, error);
    if (status == STATUS_OK && 10 * device->major + device->minor < CUDNN_CAPABILITY_NEEDED)
        return error_set(error, STATUS_ENVIRONMENT,
                         "the engine cudnn needs compute capability %d.%d, and %s has %d.%d; take --engine cuda",
                         CUDNN_CAPABILITY_NEEDED / 10, CUDNN_CAPABILITY_NEEDED % 10, device->name, device->major,
                         device->minor);
    if (status == STATUS_OK)
        status = cudnn_library_open(&engine->library, error);
    if (status != STATUS_OK)
        return status;
    snprintf(what, sizeof what, "batch %u at depth %u", engine->sizes.batch, engine->network->model.depth);
    return device_check_memory(device,
                               engine->layout.bytes + (engine->sizes.steps ? cuda_data_bytes(engine->training) : 0) +
                                   cuda_data_bytes(engine->validation),
                               what, error);
}

static enum status set_up(struct engine *engine, const struct engine_options *options, struct error *error)
{
    const bool steps = engine->training != NULL && !options->inference;
    if (steps) { /* for what it refuses */
        struct sampler *sampler;
        enum status status = sampler_open(&sampler, &engine->recipe, engine->training->count, error);
        if (status != STATUS_OK)
            return status;
        sampler_close(sampler);
    }
    engine->epsilon = (float)engine->recipe.model.batch_norm_epsilon;
    engine->sizes = sizes_of(&engine->recipe, engine->network, steps ? engine->training->count : 0,
                             engine->validation == NULL ? 0 : engine->validation->count, !steps);
    enum status status = allocate_host(&engine->layout, engine->network, error);
    if (status != STATUS_OK)
        return status;
    cudnn_layout_make(&engine->layout, &engine->sizes, NULL);
    status = open_device(engine, error);
    if (status != STATUS_OK)
        return status;
    TRY(error, cudaMalloc, &engine->memory, engine->layout.bytes);
    cudnn_layout_make(&engine->layout, &engine->sizes, engine->memory);
    TRY(error, cudaMemset, engine->memory, 0, engine->layout.bytes);
    TRY(error, cudaStreamCreateWithFlags, &engine->stream, cudaStreamNonBlocking);
    if (steps)
        status = cuda_upload_data(engine->training, &engine->training_images, &engine->training_labels, error);
    if (status == STATUS_OK)
        status = cuda_upload_data(engine->validation, &engine->validation_images, &engine->validation_labels, error);
    if (status == STATUS_OK)
        status = upload_tables(engine, error);
    if (status == STATUS_OK)
        status = open_libraries(engine, error);
    if (status == STATUS_OK)
        status = make_plans(engine, error);
    if (status == STATUS_OK)
        status = state_facts(engine, error);
    if (status != STATUS_OK)
        return status;
    TRY(error, cudaDeviceSynchronize); /* the uploads, before the stream reads them */
    return steps ? prepare_steps(engine, error) : STATUS_OK;
}

static enum status fast_open(struct engine **out, const struct recipe *recipe, const struct network *network,
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
        fast_close(engine);
    else
        *out = engine;
    return status;
}

/* ---- state ------------------------------------------------------------------------------------------------------- */

static enum status fast_set_state(struct engine *engine, const float *values, const float *momentum,
                                  struct error *error)
{
    const size_t bytes = engine->network->value_count * sizeof(float);
    enum status status = cuda_upload(engine->layout.values, values, bytes, error);
    if (status == STATUS_OK && engine->sizes.steps)
        status = cuda_upload(engine->layout.momentum, momentum, bytes, error);
    if (status != STATUS_OK)
        return status;
    TRY(error, cudaDeviceSynchronize);
    status = cudnn_pack_launch(engine, error);
    if (status == STATUS_OK)
        TRY(error, cudaStreamSynchronize, engine->stream);
    return status;
}

static enum status fast_get_state(struct engine *engine, float *values, float *momentum, struct error *error)
{
    const size_t bytes = engine->network->value_count * sizeof(float);
    TRY(error, cudaStreamSynchronize, engine->stream);
    TRY(error, cudaMemcpy, values, engine->layout.values, bytes, cudaMemcpyDeviceToHost);
    if (engine->sizes.steps)
        TRY(error, cudaMemcpy, momentum, engine->layout.momentum, bytes, cudaMemcpyDeviceToHost);
    return STATUS_OK;
}

/* ---- steps and evaluations --------------------------------------------------------------------------------------- */

static enum status fast_run_steps(struct engine *engine, uint64_t first, uint64_t last,
                                  const struct step_listener *listener, uint64_t *done, struct error *error)
{
    assert(engine->sizes.steps);
    return queue_run(&engine->queue, first, last, listener, done, error);
}

static enum status fast_profile(struct engine *engine, uint64_t first, uint64_t last, struct engine_profile *profile,
                                struct error *error)
{
    assert(engine->sizes.steps);
    return queue_profile(&engine->queue, engine->network->conv_count, first, last, profile, error);
}

/* All at a time are as many as there are plans for: the last ones begin before the end of those before them, and
 * overwrite what these found. */
static enum status fast_evaluate(struct engine *engine, uint8_t *predictions, double *loss, struct error *error)
{
    const struct layout *layout = &engine->layout;
    const uint32_t count = engine->sizes.validation, at_a_time = engine->sizes.evaluation;
    const struct cuda_mean_loss_arguments mean = { .losses = layout->losses,
                                                   .count = count,
                                                   .loss = layout->mean_loss };
    enum status status = cudnn_constants_launch(engine, error);
    for (uint32_t first = 0; status == STATUS_OK && first < count; first += at_a_time)
        status = cudnn_evaluation_launch(engine, first < count - at_a_time ? first : count - at_a_time, error);
    if (status != STATUS_OK)
        return status;
    TRY(error, cuda_mean_loss, &mean, engine->stream);
    TRY(error, cudaStreamSynchronize, engine->stream);
    TRY(error, cudaMemcpy, predictions, layout->predictions, count, cudaMemcpyDeviceToHost);
    TRY(error, cudaMemcpy, loss, layout->mean_loss, sizeof *loss, cudaMemcpyDeviceToHost);
    if (!exact_finite(*loss))
        return error_set(error, STATUS_NO,
                         "a number that is not finite (NaN or infinity) in the loss of the evaluation");
    return STATUS_OK;
}

static double fast_peak_flops(struct engine *engine)
{
    double flops = 0.0;
    struct error error;
    (void)engine;
    return device_peak_flops(&flops, &error) == STATUS_OK ? flops : 0.0;
}

static const char *fast_describe(const struct engine *engine)
{
    return engine->description;
}

static const char *const *fast_facts(const struct engine *engine)
{
    return (const char *const *)engine->facts;
}

static size_t fast_memory_bytes(const struct engine *engine)
{
    return engine->layout.bytes;
}

const struct engine_operations engine_cudnn = {
    .name = "cudnn",
    .exact = false,
    .open = fast_open,
    .set_state = fast_set_state,
    .get_state = fast_get_state,
    .run_steps = fast_run_steps,
    .evaluate = fast_evaluate,
    .describe = fast_describe,
    .facts = fast_facts,
    .memory_bytes = fast_memory_bytes,
    .predict_memory = fast_predict_memory,
    .profile = fast_profile,
    .peak_flops = fast_peak_flops,
    .close = fast_close,
};

#include "trainer/gpu/session.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/gpu/upload.h"
#include "trainer/non_finite.h"
#include "trainer/sampler.h"

static struct gpu_session *session_of(struct engine *engine)
{
    return (struct gpu_session *)engine;
}

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

uint32_t gpu_session_pieces(const struct network *network, struct gpu_piece *pieces)
{
    uint32_t count = 0;
    for (uint32_t t = 0; t < network->tensor_count; t++) {
        const struct tensor *tensor = &network->tensors[t];
        for (size_t begin = 0; begin < tensor->count; begin += GPU_PIECE, count++) {
            const size_t left = tensor->count - begin;
            if (pieces != NULL)
                pieces[count] = (struct gpu_piece){
                    .tensor = t,
                    .running = tensor->role == TENSOR_RUNNING,
                    .at = (uint32_t)(tensor->offset + begin),
                    .count = (uint32_t)(left < GPU_PIECE ? left : GPU_PIECE),
                    .within = (uint32_t)begin,
                };
        }
    }
    return count;
}

static void fill_in(struct gpu_session *session, const struct gpu_engine *engine, const struct recipe *recipe,
                    const struct network *network, uint32_t training_images, uint32_t validation_images, bool inference)
{
    uint32_t step_images[2] = { GPU_INFERENCE_BATCH, 0 };
    session->engine = engine;
    session->recipe = *recipe;
    session->network = network;
    if (!inference)
        queue_step_images(&recipe->training, training_images, step_images);
    else if (validation_images < GPU_INFERENCE_BATCH)
        step_images[0] = validation_images;
    session->sizes = (struct gpu_sizes){
        .network = network,
        .batch = step_images[0],
        .steps = !inference,
        .training = inference ? 0 : training_images,
        .validation = validation_images,
        .piece_count = gpu_session_pieces(network, NULL),
        .pixel_mean = recipe->input.normalization == NORMALIZE_PIXEL_MEAN,
    };
    session->evaluation = validation_images < step_images[0] ? validation_images : step_images[0];
}

void gpu_session_lay_out(struct gpu_session *session, struct arena *arena)
{
    const struct gpu_sizes *sizes = &session->sizes;
    const struct network *network = sizes->network;
    struct gpu_buffers *buffers = &session->buffers;
    const size_t batch = sizes->batch, norms = (size_t)network->conv_count + 1;
    *buffers = (struct gpu_buffers){ .values = NULL };
    buffers->values = arena_floats(arena, network->value_count);
    buffers->pieces = arena_take(arena, sizes->piece_count * sizeof *buffers->pieces);
    buffers->places = arena_take(arena, norms * sizeof *buffers->places);
    buffers->norms = arena_take(arena, norms * GPU_FEATURES * sizeof *buffers->norms);
    buffers->byte_values = arena_floats(arena, 3 * 256);
    buffers->pixel_mean = sizes->pixel_mean ? arena_floats(arena, DATASET_IMAGE_BYTES) : NULL;
    buffers->current = arena_take(arena, sizeof *buffers->current);
    buffers->x = arena_floats(arena, batch * DATASET_IMAGE_BYTES);
    buffers->pool = arena_floats(arena, batch * GPU_FEATURES);
    buffers->logits = arena_floats(arena, batch * GPU_CLASSES);
    buffers->predictions = arena_take(arena, sizes->validation);
    buffers->losses = arena_floats(arena, sizes->validation);
    buffers->mean_loss = arena_take(arena, sizeof *buffers->mean_loss);
    if (!sizes->steps)
        return;
    buffers->momentum = arena_floats(arena, network->value_count);
    buffers->gradients = arena_floats(arena, network->value_count);
    buffers->dz = arena_floats(arena, batch * GPU_CLASSES);
    buffers->head = arena_take(arena, batch * GPU_HEAD_SCRATCH * sizeof *buffers->head);
    buffers->samples = arena_take(arena, batch * sizeof *buffers->samples);
    buffers->labels = arena_take(arena, batch);
    buffers->schedules = arena_take(arena, QUEUE_SLOTS * sizeof *buffers->schedules);
    buffers->results = arena_take(arena, QUEUE_SLOTS * sizeof *buffers->results);
    buffers->keys = arena_take(arena, sizes->training * sizeof *buffers->keys);
    for (int i = 0; i < 2; i++)
        buffers->orders[i] = arena_take(arena, sizes->training * sizeof *buffers->orders[i]);
}

/* The tests' imitation of a card watches the pieces. */
#ifdef GPU_ARENA_WATCH
size_t GPU_ARENA_WATCH(const void *piece, size_t bytes);
#else
#define GPU_ARENA_WATCH NULL
#endif

/* Returns how many bytes that takes. */
static size_t lay_out(struct gpu_session *session, void *memory)
{
    struct arena arena = { .memory = memory, .alignment = GPU_ALIGNMENT, .watch = GPU_ARENA_WATCH };
    session->engine->lay_out((struct engine *)session, &arena);
    return arena.bytes;
}

size_t gpu_predict_memory(struct engine *engine, const struct gpu_engine *parts, const struct recipe *recipe,
                          const struct network *network, uint32_t training_images, uint32_t validation_images,
                          const struct engine_options *options)
{
    struct gpu_session *session = session_of(engine);
    struct error error;
    fill_in(session, parts, recipe, network, training_images, validation_images, options->inference);
    const size_t bytes = parts->prepare(engine, &error) == STATUS_OK ? lay_out(session, NULL) : 0;
    parts->discard(engine);
    return bytes;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

enum status gpu_session_begin(struct gpu_session *session, const struct gpu_engine *engine, const struct recipe *recipe,
                              const struct network *network, const struct dataset *training,
                              const struct dataset *validation, const struct engine_options *options,
                              struct error *error)
{
    const bool steps = training != NULL && !options->inference;
    session->training = training;
    session->validation = validation;
    if (steps) { /* for what it refuses */
        struct sampler *sampler;
        const enum status status = sampler_open(&sampler, recipe, training->count, error);
        if (status != STATUS_OK)
            return status;
        sampler_close(sampler);
    }
    fill_in(session, engine, recipe, network, steps ? training->count : 0, validation == NULL ? 0 : validation->count,
            !steps);
    return engine->prepare((struct engine *)session, error);
}

enum status gpu_session_open_device(struct gpu_session *session, struct error *error)
{
    return device_open(&session->device, error);
}

enum status gpu_session_allocate(struct gpu_session *session, struct error *error)
{
    const struct gpu_sizes *sizes = &session->sizes;
    char what[64];
    int lowest = 0, highest = 0;
    snprintf(what, sizeof what, "batch %u at depth %u", sizes->batch, session->network->model.depth);
    session->bytes = lay_out(session, NULL);
    const enum status status = device_check_memory(
        &session->device,
        session->bytes + (sizes->steps ? gpu_data_bytes(session->training) : 0) + gpu_data_bytes(session->validation),
        what, error);
    if (status != STATUS_OK)
        return status;
    TRY(error, cudaMalloc, &session->memory, session->bytes);
    (void)lay_out(session, session->memory);
    TRY(error, cudaMemset, session->memory, 0, session->bytes);
    /* Other streams of a step have a lower priority than the main stream. */
    TRY(error, cudaDeviceGetStreamPriorityRange, &lowest, &highest);
    TRY(error, cudaStreamCreateWithPriority, &session->stream, cudaStreamNonBlocking, highest);
    return STATUS_OK;
}

enum status gpu_session_upload(struct gpu_session *session, const struct gpu_piece *pieces, struct error *error)
{
    const struct gpu_buffers *buffers = &session->buffers;
    enum status status = STATUS_OK;
    if (session->sizes.steps)
        status = gpu_upload_data(session->training, &session->training_images, &session->training_labels, error);
    if (status == STATUS_OK)
        status = gpu_upload_data(session->validation, &session->validation_images, &session->validation_labels, error);
    if (status == STATUS_OK)
        status = gpu_upload(buffers->pieces, pieces, session->sizes.piece_count * sizeof *pieces, error);
    if (status == STATUS_OK)
        status = gpu_upload_norms(session->network, buffers->places, error);
    if (status == STATUS_OK)
        status = gpu_upload_input(&session->recipe.input, session->training, buffers->byte_values, buffers->pixel_mean,
                                  error);
    return status;
}

void gpu_session_fact(struct gpu_session *session, const char *format, ...)
{
    char text[DEVICE_FACT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (session->facts == NULL)
        session->facts = calloc(GPU_FACTS_MAX, sizeof *session->facts);
    if (session->facts != NULL && session->fact_count + 1 < GPU_FACTS_MAX &&
        (session->facts[session->fact_count] = strdup(text)) != NULL)
        session->fact_count++;
}

void gpu_session_device_facts(struct gpu_session *session)
{
    char texts[DEVICE_FACTS][DEVICE_FACT_BYTES];
    device_facts(&session->device, texts);
    for (int i = 0; i < DEVICE_FACTS; i++)
        gpu_session_fact(session, "%s", texts[i]);
}

/* step_queue.blame. */
static void blame(const void *context, uint32_t number, char text[NON_FINITE_BYTES])
{
    const struct gpu_session *session = context;
    const struct network *network = session->network;
    const struct gpu_culprits *culprits = &session->culprits;
    enum non_finite what = NON_FINITE_FORWARD;
    const char *name = "";
    if (number >= culprits->update) {
        what = NON_FINITE_UPDATE;
        name = network->tensors[number - culprits->update].name;
    } else if (number >= culprits->backward) {
        const uint32_t l = network->conv_count - 1 - (number - culprits->backward);
        what = NON_FINITE_BACKWARD;
        name = network->tensors[network->convs[l].weight].name;
    } else if (number == culprits->loss) {
        what = NON_FINITE_LOSS;
    } else if (number == culprits->logits) {
        what = NON_FINITE_LOGITS;
    } else {
        name = network->tensors[network->convs[number].weight].name;
    }
    non_finite_describe(text, NON_FINITE_BYTES, what, name);
}

enum status gpu_session_ready(struct gpu_session *session, struct error *error)
{
    const struct gpu_buffers *buffers = &session->buffers;
    const enum status status = gpu_upload_finish(error);
    if (status != STATUS_OK || !session->sizes.steps)
        return status;
    session->queue = (struct step_queue){
        .training = &session->recipe.training,
        .images = session->sizes.training,
        .stream = session->stream,
        .device_schedules = buffers->schedules,
        .device_results = buffers->results,
        .current = buffers->current,
        .keys = buffers->keys,
        .orders = { buffers->orders[0], buffers->orders[1] },
        .launch = session->engine->step,
        .first_images = session->engine->first_images,
        .blame = blame,
        .context = session,
    };
    return queue_open(&session->queue, error);
}

/* Whatever the device says: it may be lost, and then there is nothing more to give back. */
void gpu_session_close(struct gpu_session *session)
{
    queue_close(&session->queue);
    if (session->stream != NULL)
        (void)cudaStreamDestroy(session->stream);
    (void)cudaFree(session->training_images);
    (void)cudaFree(session->training_labels);
    (void)cudaFree(session->validation_images);
    (void)cudaFree(session->validation_labels);
    (void)cudaFree(session->memory);
    for (size_t i = 0; i < session->fact_count; i++)
        free(session->facts[i]);
    free(session->facts);
    if (session->engine != NULL)
        session->engine->discard((struct engine *)session);
}

/* ---- state ------------------------------------------------------------------------------------------------------- */

enum status gpu_set_state(struct engine *engine, const float *values, const float *momentum, struct error *error)
{
    struct gpu_session *session = session_of(engine);
    const size_t bytes = session->network->value_count * sizeof(float);
    enum status status = gpu_upload(session->buffers.values, values, bytes, error);
    if (status == STATUS_OK && session->sizes.steps)
        status = gpu_upload(session->buffers.momentum, momentum, bytes, error);
    if (status == STATUS_OK)
        status = gpu_upload_finish(error);
    if (status == STATUS_OK)
        status = session->engine->pack(engine, error);
    if (status != STATUS_OK)
        return status;
    TRY(error, cudaStreamSynchronize, session->stream);
    return STATUS_OK;
}

enum status gpu_get_state(struct engine *engine, float *values, float *momentum, struct error *error)
{
    const struct gpu_session *session = session_of(engine);
    const size_t bytes = session->network->value_count * sizeof(float);
    TRY(error, cudaStreamSynchronize, session->stream);
    TRY(error, cudaMemcpy, values, session->buffers.values, bytes, cudaMemcpyDeviceToHost);
    if (session->sizes.steps)
        TRY(error, cudaMemcpy, momentum, session->buffers.momentum, bytes, cudaMemcpyDeviceToHost);
    return STATUS_OK;
}

/* ---- steps and evaluations --------------------------------------------------------------------------------------- */

enum status gpu_run_steps(struct engine *engine, uint64_t first, uint64_t last, const struct step_listener *listener,
                          uint64_t *done, struct error *error)
{
    assert(session_of(engine)->sizes.steps);
    return queue_run(&session_of(engine)->queue, first, last, listener, done, error);
}

enum status gpu_profile(struct engine *engine, uint64_t first, uint64_t last, struct engine_profile *profile,
                        struct error *error)
{
    struct gpu_session *session = session_of(engine);
    assert(session->sizes.steps);
    return queue_profile(&session->queue, session->network->conv_count, first, last, profile, error);
}

/* Each image of the data set, a number of them at a time. */
static enum status evaluate_all(struct engine *engine, struct error *error)
{
    const struct gpu_session *session = session_of(engine);
    const uint32_t count = session->sizes.validation, most = session->evaluation;
    enum status status = session->engine->constants(engine, error);
    for (uint32_t at = 0; status == STATUS_OK && at < count; at += most) {
        const uint32_t left = count - at;
        if (left >= most)
            status = session->engine->evaluation(engine, at, most, error);
        else if (session->engine->even_evaluations)
            status = session->engine->evaluation(engine, count - most, most, error);
        else
            status = session->engine->evaluation(engine, at, left, error);
    }
    return status;
}

enum status gpu_evaluate(struct engine *engine, uint8_t *predictions, double *loss, struct error *error)
{
    const struct gpu_session *session = session_of(engine);
    const struct gpu_buffers *buffers = &session->buffers;
    const uint32_t count = session->sizes.validation;
    const struct gpu_mean_loss_arguments mean = { .losses = buffers->losses,
                                                  .count = count,
                                                  .loss = buffers->mean_loss };
    const enum status status = evaluate_all(engine, error);
    if (status != STATUS_OK)
        return status;
    TRY(error, gpu_mean_loss, &mean, session->stream);
    TRY(error, cudaStreamSynchronize, session->stream);
    TRY(error, cudaMemcpy, predictions, buffers->predictions, count, cudaMemcpyDeviceToHost);
    TRY(error, cudaMemcpy, loss, buffers->mean_loss, sizeof *loss, cudaMemcpyDeviceToHost);
    if (!exact_finite(*loss))
        return error_set(error, STATUS_NO,
                         "a number that is not finite (NaN or infinity) in the loss of the evaluation");
    return STATUS_OK;
}

/* ---- what is known ----------------------------------------------------------------------------------------------- */

double gpu_peak_flops(struct engine *engine)
{
    double flops = 0.0;
    struct error error;
    (void)engine;
    return device_peak_flops(&flops, &error) == STATUS_OK ? flops : 0.0;
}

const char *gpu_describe(const struct engine *engine)
{
    return ((const struct gpu_session *)engine)->description;
}

const char *const *gpu_facts(const struct engine *engine)
{
    return (const char *const *)((const struct gpu_session *)engine)->facts;
}

const char *gpu_pci_address(const struct engine *engine)
{
    return ((const struct gpu_session *)engine)->device.pci_address;
}

size_t gpu_memory_bytes(const struct engine *engine)
{
    return ((const struct gpu_session *)engine)->bytes;
}

/* The exact engine on an NVIDIA GPU: the session's device, data and state, and steps of this engine's own kernels,
 * which are queued as CUDA graphs. NOTES.md says what was counted. */
#include <stdio.h>
#include <stdlib.h>

#include "base/float_environment.h"
#include "trainer/cuda/engine_state.h"

static const struct gpu_engine parts = {
    .prepare = layout_prepare,
    .discard = layout_discard,
    .lay_out = layout_make,
    .pack = pack_launch,
    .step = step_launch,
    .constants = constants_launch,
    .evaluation = evaluation_launch,
    .first_images = 1, /* the kernels are those of any number */
};

static size_t cuda_predict_memory(const struct recipe *recipe, const struct network *network, uint32_t training_images,
                                  uint32_t validation_images, const struct engine_options *options)
{
    struct engine engine = { .side = NULL };
    return gpu_predict_memory(&engine, &parts, recipe, network, training_images, validation_images, options);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static void cuda_close(struct engine *engine)
{
    if (engine == NULL)
        return;
    if (engine->session.stream != NULL)
        (void)cudaStreamSynchronize(engine->session.stream);
    if (engine->fork != NULL)
        (void)cudaEventDestroy(engine->fork);
    if (engine->join != NULL)
        (void)cudaEventDestroy(engine->join);
    if (engine->side != NULL)
        (void)cudaStreamDestroy(engine->side);
    gpu_session_close(&engine->session);
    free(engine);
}

static enum status make_streams(struct engine *engine, struct error *error)
{
    TRY(error, cudaStreamCreateWithFlags, &engine->side, cudaStreamNonBlocking);
    TRY(error, cudaEventCreateWithFlags, &engine->fork, cudaEventDisableTiming);
    TRY(error, cudaEventCreateWithFlags, &engine->join, cudaEventDisableTiming);
    return STATUS_OK;
}

static enum status upload(struct engine *engine, struct error *error)
{
    struct gpu_session *session = &engine->session;
    struct gpu_piece *pieces = calloc(session->sizes.piece_count, sizeof *pieces);
    if (pieces == NULL)
        return error_out_of_memory(error, "the tables of the weights");
    layout_pieces(session->network, pieces);
    const enum status status = gpu_session_upload(session, pieces, error);
    free(pieces);
    return status;
}

static void describe(struct gpu_session *session)
{
    const struct device *device = &session->device;
    snprintf(session->description, sizeof session->description, "%s, capability %d.%d", device->name, device->major,
             device->minor);
    gpu_session_device_facts(session);
}

static enum status set_up(struct engine *engine, struct error *error)
{
    struct gpu_session *session = &engine->session;
    const uint32_t layers = session->network->conv_count;
    session->culprits = (struct gpu_culprits){
        .forward = 0, .logits = layers, .loss = layers + 1, .backward = layers + 2, .update = 2 * layers + 2
    };
    enum status status = gpu_session_open_device(session, error);
    if (status == STATUS_OK)
        status = gpu_session_allocate(session, error);
    if (status == STATUS_OK)
        status = upload(engine, error);
    if (status == STATUS_OK)
        status = make_streams(engine, error);
    if (status != STATUS_OK)
        return status;
    describe(session);
    return gpu_session_ready(session, error);
}

static enum status cuda_open(struct engine **out, const struct recipe *recipe, const struct network *network,
                             const struct dataset *training, const struct dataset *validation,
                             const struct engine_options *options, struct error *error)
{
    *out = NULL;
    if (recipe->model.shortcut == SHORTCUT_PROJECTION_BN)
        return error_set(error, STATUS_INPUT,
                         "the engine cuda does not compute model.shortcut: projection-bn; pass --engine cpu");
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return error_out_of_memory(error, "the engine");
    enum status status =
        gpu_session_begin(&engine->session, &parts, recipe, network, training, validation, options, error);
    if (status == STATUS_OK)
        status = set_up(engine, error);
    (void)float_environment_enter(); /* whatever the libraries that were opened left */
    if (status != STATUS_OK)
        cuda_close(engine);
    else
        *out = engine;
    return status;
}

const struct engine_operations engine_cuda = {
    .name = "cuda",
    .exact = true,
    .open = cuda_open,
    .set_state = gpu_set_state,
    .get_state = gpu_get_state,
    .run_steps = gpu_run_steps,
    .trace = cuda_trace,
    .evaluate = gpu_evaluate,
    .describe = gpu_describe,
    .facts = gpu_facts,
    .pci_address = gpu_pci_address,
    .memory_bytes = gpu_memory_bytes,
    .predict_memory = cuda_predict_memory,
    .profile = gpu_profile,
    .peak_flops = gpu_peak_flops,
    .close = cuda_close,
};

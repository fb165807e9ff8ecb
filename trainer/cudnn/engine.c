/* The fast engine on an NVIDIA GPU: cuDNN's convolutions and batch norms, cuBLAS's products, and the session's data
 * order, head and update. Opens the libraries and plans. NOTES.md says what was counted. */
#include <stdio.h>
#include <stdlib.h>

#include "base/float_environment.h"
#include "trainer/cudnn/engine_state.h"
#include "trainer/gpu/upload.h"

static const struct gpu_engine parts = {
    .prepare = cudnn_layout_prepare,
    .discard = cudnn_layout_discard,
    .lay_out = cudnn_layout_make,
    .pack = cudnn_pack_launch,
    .step = cudnn_step_launch,
    .constants = cudnn_constants_launch,
    .evaluation = cudnn_evaluation_launch,
    .even_evaluations = true, /* there are plans for one number of images */
    .first_images = 0,        /* and other plans for each number that a step can have */
};

static size_t fast_predict_memory(const struct recipe *recipe, const struct network *network, uint32_t training_images,
                                  uint32_t validation_images, const struct engine_options *options)
{
    struct engine engine = { .cudnn = NULL };
    return gpu_predict_memory(&engine, &parts, recipe, network, training_images, validation_images, options);
}

/* ---- closing ----------------------------------------------------------------------------------------------------- */

static void fast_close(struct engine *engine)
{
    if (engine == NULL)
        return;
    /* Whatever the device says: it may be lost, and then there is nothing more to give back. */
    if (engine->session.stream != NULL)
        (void)cudaStreamSynchronize(engine->session.stream);
    queue_close(&engine->session.queue);
    for (int i = 0; i < PLAN_SETS; i++)
        cudnn_plans_close(&engine->plans[i]);
    if (engine->cublas != NULL)
        (void)engine->library.cublasDestroy_v2(engine->cublas);
    if (engine->cudnn != NULL)
        (void)engine->library.cudnnDestroy(engine->cudnn);
    cudnn_library_close(&engine->library);
    gpu_session_close(&engine->session);
    free(engine->weights);
    free(engine->weight_of);
    free(engine);
}

/* ---- facts ------------------------------------------------------------------------------------------------------- */

/* A set of plans, as the facts name it. */
struct plan_listing {
    struct gpu_session *session;
    uint32_t images;
};

static void add_plan(void *context, const char *name, const struct cudnn_plan *plan)
{
    const struct plan_listing *listing = context;
    gpu_session_fact(listing->session, "plan, %u images: %s: engine %s", listing->images, name, plan->engine);
}

static void describe(struct engine *engine)
{
    struct gpu_session *session = &engine->session;
    const struct cudnn_library *library = &engine->library;
    const unsigned *cublas = library->cublas_version, cudnn = library->cudnn_version;
    const char *precision = cudnn_precision_name(engine->precision);
    snprintf(session->description, sizeof session->description, "%s, cuDNN %u.%u.%u, %s, channels-last",
             session->device.name, cudnn / 10000, cudnn / 100 % 100, cudnn % 100, precision);
    gpu_session_device_facts(session);
    gpu_session_fact(session, "cuDNN: %u.%u.%u", cudnn / 10000, cudnn / 100 % 100, cudnn % 100);
    gpu_session_fact(session, "cuBLAS: %u.%u.%u", cublas[0], cublas[1], cublas[2]);
    gpu_session_fact(session, "precision: %s", precision);
    for (int i = 0; i < PLAN_SETS; i++) {
        struct plan_listing listing = { session, engine->plans[i].images };
        if (engine->plans[i].images > 0)
            cudnn_plans_list(&engine->plans[i], add_plan, &listing);
    }
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static enum status open_libraries(struct engine *engine, struct error *error)
{
    struct cudnn_library *library = &engine->library;
    const bool fma = engine->precision == CUDNN_PRECISION_FP32;
    enum status status = cudnn_check(library, library->cudnnCreate(&engine->cudnn), "cudnnCreate", error);
    if (status == STATUS_OK)
        status = cudnn_check(library, library->cudnnSetStream(engine->cudnn, engine->session.stream), "cudnnSetStream",
                             error);
    if (status == STATUS_OK)
        status = cublas_check(library, library->cublasCreate_v2(&engine->cublas), "cublasCreate", error);
    if (status == STATUS_OK)
        status = cublas_check(library, library->cublasSetStream_v2(engine->cublas, engine->session.stream),
                              "cublasSetStream", error);
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
    uint32_t images[PLAN_SETS] = { 0, 0, engine->session.evaluation };
    enum status status = STATUS_OK;
    if (engine->session.sizes.steps)
        queue_step_images(&engine->session.recipe.training, engine->session.sizes.training, images);
    for (int i = 0; status == STATUS_OK && i < PLAN_SETS; i++) {
        if (images[i] > 0)
            status = cudnn_plans_open(&engine->plans[i], &planner, engine->session.network, engine->precision,
                                      images[i], i < PLANS_EVALUATION, error);
    }
    return status;
}

static enum status upload(struct engine *engine, struct error *error)
{
    struct gpu_session *session = &engine->session;
    const struct network *network = session->network;
    struct gpu_piece *pieces = calloc(session->sizes.piece_count, sizeof *pieces);
    enum status status = STATUS_OK;
    engine->weights = calloc(engine->weight_count, sizeof *engine->weights);
    engine->weight_of = calloc(network->tensor_count, sizeof *engine->weight_of);
    if (pieces == NULL || engine->weights == NULL || engine->weight_of == NULL) {
        status = error_out_of_memory(error, "the tables of the weights");
        goto out;
    }
    gpu_session_pieces(network, pieces);
    cudnn_layout_weights(network, engine->precision, engine->weights, &engine->packed);
    for (uint32_t t = 0, next = 0; t < network->tensor_count; t++)
        engine->weight_of[t] = network->tensors[t].rank == 4 ? next++ : 0;
    status = gpu_session_upload(session, pieces, error);
    if (status == STATUS_OK)
        status =
            gpu_upload(engine->layout.weights, engine->weights, engine->weight_count * sizeof *engine->weights, error);
out:
    free(pieces);
    return status;
}

static enum status open_device(struct engine *engine, struct error *error)
{
    const struct device *device = &engine->session.device;
    const enum status status = gpu_session_open_device(&engine->session, error);
    if (status == STATUS_OK && 10 * device->major + device->minor < CUDNN_CAPABILITY_NEEDED)
        return error_set(
            error, STATUS_ENVIRONMENT,
            "the engine cudnn needs compute capability %d.%d, but %s has %d.%d; choose another experiment with "
            "--arithmetic exact-1",
            CUDNN_CAPABILITY_NEEDED / 10, CUDNN_CAPABILITY_NEEDED % 10, device->name, device->major, device->minor);
    return status == STATUS_OK ? cudnn_library_open(&engine->library, error) : status;
}

static enum status set_up(struct engine *engine, struct error *error)
{
    struct gpu_session *session = &engine->session;
    engine->epsilon = (float)session->recipe.model.batch_norm_epsilon;
    session->culprits = (struct gpu_culprits){ .logits = NON_FINITE_NUMBER_LOGITS,
                                               .loss = NON_FINITE_NUMBER_LOSS,
                                               .backward = NON_FINITE_NUMBER_TENSOR,
                                               .update = NON_FINITE_NUMBER_TENSOR };
    enum status status = open_device(engine, error);
    if (status == STATUS_OK)
        status = gpu_session_allocate(session, error);
    if (status == STATUS_OK)
        status = upload(engine, error);
    if (status == STATUS_OK)
        status = open_libraries(engine, error);
    if (status == STATUS_OK)
        status = make_plans(engine, error);
    if (status != STATUS_OK)
        return status;
    describe(engine);
    return gpu_session_ready(session, error);
}

static enum status fast_open(struct engine **out, const struct recipe *recipe, const struct network *network,
                             const struct dataset *training, const struct dataset *validation,
                             const struct engine_options *options, struct error *error)
{
    *out = NULL;
    if (recipe->model.shortcut == SHORTCUT_PROJECTION_BN)
        return error_set(
            error, STATUS_INPUT,
            "the engine cudnn does not compute model.shortcut: projection-bn; choose another experiment with "
            "--arithmetic exact-1 --engine cpu");
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return error_out_of_memory(error, "the engine");
    enum status status =
        gpu_session_begin(&engine->session, &parts, recipe, network, training, validation, options, error);
    if (status == STATUS_OK)
        status = set_up(engine, error);
    (void)float_environment_enter(); /* whatever the libraries that were opened left */
    if (status != STATUS_OK)
        fast_close(engine);
    else
        *out = engine;
    return status;
}

const struct engine_operations engine_cudnn = {
    .name = "cudnn",
    .exact = false,
    .open = fast_open,
    .set_state = gpu_set_state,
    .get_state = gpu_get_state,
    .run_steps = gpu_run_steps,
    .evaluate = gpu_evaluate,
    .describe = gpu_describe,
    .facts = gpu_facts,
    .pci_address = gpu_pci_address,
    .memory_bytes = gpu_memory_bytes,
    .predict_memory = fast_predict_memory,
    .profile = gpu_profile,
    .peak_flops = gpu_peak_flops,
    .close = fast_close,
};

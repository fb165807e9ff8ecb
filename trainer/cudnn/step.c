/* A step and an evaluation as launches on one stream: plans of cuDNN's, products of cuBLAS's, and kernels of ours. */
#include <assert.h>

#include "trainer/cudnn/engine_state.h"

/* A series of launches; after a failure nothing more is launched. */
struct launches {
    struct engine *engine;
    const struct cudnn_plans *plans;
    uint32_t images;
    bool training;
    enum status status;
    struct error *error;
    struct queue_marks *marks;
};

static void check(struct launches *run, cudaError_t code, const char *call)
{
    if (run->status == STATUS_OK && code != cudaSuccess)
        run->status = cuda_error(run->error, (int)code, call);
}

#define LAUNCH(run, function, ...)                                                 \
    do {                                                                           \
        const struct function##_arguments arguments_ = __VA_ARGS__;                \
        if ((run)->status == STATUS_OK)                                            \
            check((run), function(&arguments_, (run)->engine->stream), #function); \
    } while (0)

#define RUN(run, plan, ...)                                                          \
    do {                                                                             \
        const struct plan_argument arguments_[] = { __VA_ARGS__ };                   \
        run_plan((run), (plan), arguments_, sizeof arguments_ / sizeof *arguments_); \
    } while (0)

static void run_plan(struct launches *run, const struct cudnn_plan *plan, const struct plan_argument *arguments,
                     size_t count)
{
    struct engine *engine = run->engine;
    assert(plan->plan != NULL);
    if (run->status == STATUS_OK)
        run->status =
            plan_run(&engine->library, engine->cudnn, plan, arguments, count, engine->layout.workspace, run->error);
}

static void mark(struct launches *run)
{
    struct queue_marks *marks = run->marks;
    if (marks != NULL && marks->events != NULL && marks->count < marks->room)
        check(run, cudaEventRecord(marks->events[marks->count++], run->engine->stream), "cudaEventRecord");
}

/* ---- what arguments are made of ---------------------------------------------------------------------------------- */

static float *value(const struct engine *engine, int64_t tensor)
{
    return tensor < 0 ? NULL : engine->layout.values + engine->network->tensors[tensor].offset;
}

static float *gradient(const struct engine *engine, int64_t tensor)
{
    return tensor < 0 ? NULL : engine->layout.gradients + engine->network->tensors[tensor].offset;
}

/* A convolution's weights, or their gradient, in the packed array. */
static void *packed(const struct engine *engine, void *array, int64_t tensor)
{
    const size_t at = engine->weights[engine->weight_of[tensor]].packed_at;
    return (char *)array + at * cudnn_activation_bytes(engine->sizes.precision);
}

static float *channels(float *array, uint32_t l)
{
    return array + (size_t)l * CUDA_FEATURES;
}

static bool changes_shape(const struct engine *engine, uint32_t block)
{
    return engine->network->convs[1 + 2 * block].stride == 2;
}

static bool narrow(const struct engine *engine)
{
    return engine->sizes.precision == CUDNN_PRECISION_BF16;
}

static struct cuda_report report_of(const struct engine *engine, uint32_t culprit)
{
    return (struct cuda_report){ engine->layout.current, engine->layout.results, culprit };
}

/* C (n rows of m) = alpha-less product, all in cuBLAS's column-major terms. */
static void multiply(struct launches *run, cublasOperation_t a_operation, cublasOperation_t b_operation, uint32_t m,
                     uint32_t n, uint32_t k, const float *a, uint32_t a_stride, const float *b, uint32_t b_stride,
                     float beta, float *c)
{
    const struct cudnn_library *library = &run->engine->library;
    const float alpha = 1.0f;
    if (run->status == STATUS_OK)
        run->status =
            cublas_check(library,
                         library->cublasSgemm_v2(run->engine->cublas, a_operation, b_operation, (int)m, (int)n, (int)k,
                                                 &alpha, a, (int)a_stride, b, (int)b_stride, &beta, c, (int)m),
                         "cublasSgemm", run->error);
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

/* Layer l from its input to its ReLU; shortcut: NULL, or what is added before. */
static void layer_forward(struct launches *run, uint32_t l, const void *input, const void *shortcut)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const struct conv_layer *layer = &engine->network->convs[l];
    const uint32_t stage = cudnn_stage_of(layer);
    const bool add = shortcut != NULL;
    RUN(run, &run->plans->convolution[cudnn_convolution_of(layer)][CUDNN_FORWARD], { CUDNN_X, input },
        { CUDNN_W, packed(engine, layout->packed, layer->weight) }, { CUDNN_Y, layout->y[l] });
    if (run->training) {
        const struct plan_argument arguments[] = { { CUDNN_X, layout->y[l] },
                                                   { CUDNN_GAMMA, value(engine, layer->gamma) },
                                                   { CUDNN_BETA, value(engine, layer->beta) },
                                                   { CUDNN_EPSILON, &engine->epsilon },
                                                   { CUDNN_ZERO, &engine->zero },
                                                   { CUDNN_MEAN, channels(layout->mean, l) },
                                                   { CUDNN_INVERSE, channels(layout->inverse, l) },
                                                   { CUDNN_OUTPUT, layout->outputs[l] },
                                                   { CUDNN_MASK, layout->masks[l] },
                                                   { CUDNN_SHORTCUT, shortcut } };
        run_plan(run, &run->plans->norm[stage][add ? CUDNN_NORM_ADD_RELU : CUDNN_NORM_RELU], arguments, add ? 10 : 9);
    } else {
        const struct plan_argument arguments[] = { { CUDNN_X, layout->y[l] },
                                                   { CUDNN_SCALE, channels(layout->scale, l) },
                                                   { CUDNN_SHIFT, channels(layout->shift, l) },
                                                   { CUDNN_OUTPUT, layout->outputs[l] },
                                                   { CUDNN_SHORTCUT, shortcut } };
        run_plan(run, &run->plans->activate[stage][add ? CUDNN_ACTIVATE_ADD : CUDNN_ACTIVATE], arguments, add ? 5 : 4);
    }
    mark(run);
}

static struct cudnn_subsample_arguments subsample_of(const struct launches *run, uint32_t block, void *x, void *z)
{
    const struct conv_layer *first = &run->engine->network->convs[1 + 2 * block];
    return (struct cudnn_subsample_arguments){ .count = run->images,
                                               .C = first->channels,
                                               .P = first->side / first->stride,
                                               .first = first->option_a_first,
                                               .narrow = narrow(run->engine),
                                               .x = x,
                                               .z = z };
}

/* A block's shortcut, as it is added. */
static const void *shortcut_forward(struct launches *run, uint32_t block, void *input)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const struct conv_layer *second = &engine->network->convs[2 + 2 * block];
    if (!changes_shape(engine, block))
        return input;
    if (second->projection < 0)
        LAUNCH(run, cudnn_subsample, subsample_of(run, block, input, layout->z));
    else
        RUN(run, &run->plans->convolution[cudnn_projection_of(second)][CUDNN_FORWARD], { CUDNN_X, input },
            { CUDNN_W, packed(engine, layout->packed, second->projection) }, { CUDNN_Y, layout->z });
    return layout->z;
}

/* From x to the logits. */
static void forward(struct launches *run)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const struct network *network = engine->network;
    const float *bias = value(engine, network->linear_bias);
    LAUNCH(run, cudnn_pad,
           { .count = run->images,
             .channels = cudnn_input_channels(engine->sizes.precision),
             .narrow = narrow(engine),
             .x = layout->x,
             .input = layout->input });
    layer_forward(run, 0, layout->input, NULL);
    for (uint32_t b = 0; b < network->block_count; b++) {
        const void *shortcut = shortcut_forward(run, b, layout->outputs[2 * b]);
        layer_forward(run, 2 * b + 1, layout->outputs[2 * b], NULL);
        layer_forward(run, 2 * b + 2, layout->outputs[2 * b + 1], shortcut);
    }
    RUN(run, &run->plans->pool[CUDNN_POOL], { CUDNN_X, layout->outputs[network->conv_count - 1] },
        { CUDNN_Y, layout->pool });
    if (bias != NULL)
        LAUNCH(run, cudnn_bias, { .count = run->images, .bias = bias, .z = layout->logits });
    multiply(run, CUBLAS_OP_T, CUBLAS_OP_N, CUDA_CLASSES, run->images, CUDA_FEATURES,
             value(engine, network->linear_weight), CUDA_FEATURES, layout->pool, CUDA_FEATURES,
             bias != NULL ? 1.0f : 0.0f, layout->logits);
}

/* ---- head -------------------------------------------------------------------------------------------------------- */

static void head(struct launches *run)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const struct network *network = engine->network;
    const struct model_config *model = &engine->recipe.model;
    const float *w = value(engine, network->linear_weight);
    LAUNCH(run, cudnn_running,
           { .values = layout->values,
             .places = layout->places,
             .layers = network->conv_count,
             .count = run->images,
             .unbiased = model->batch_norm_unbiased,
             .epsilon = model->batch_norm_epsilon,
             .rate = model->batch_norm_rate,
             .mean = layout->mean,
             .inverse = layout->inverse });
    LAUNCH(run, cuda_head,
           { .count = run->images,
             .z = layout->logits,
             .labels = layout->labels,
             .dz = layout->dz,
             .scratch = layout->head,
             .has_norm = network->logits_gamma >= 0,
             .norm = { .gamma = value(engine, network->logits_gamma),
                       .beta = value(engine, network->logits_beta),
                       .running_mean = value(engine, network->logits_mean),
                       .running_variance = value(engine, network->logits_variance),
                       .norm = layout->norms + (size_t)network->conv_count * CUDA_FEATURES,
                       .epsilon = model->batch_norm_epsilon,
                       .rate = model->batch_norm_rate,
                       .unbiased = model->batch_norm_unbiased,
                       .report = report_of(engine, NON_FINITE_NUMBER_LOGITS) },
             .dgamma = gradient(engine, network->logits_gamma),
             .dbeta = gradient(engine, network->logits_beta),
             .dbias = gradient(engine, network->linear_bias),
             .loss = report_of(engine, NON_FINITE_NUMBER_LOSS) });
    multiply(run, CUBLAS_OP_N, CUBLAS_OP_T, CUDA_FEATURES, CUDA_CLASSES, run->images, layout->pool, CUDA_FEATURES,
             layout->dz, CUDA_CLASSES, 0.0f, gradient(engine, network->linear_weight));
    multiply(run, CUBLAS_OP_N, CUBLAS_OP_N, CUDA_FEATURES, run->images, CUDA_CLASSES, w, CUDA_FEATURES, layout->dz,
             CUDA_CLASSES, 0.0f, layout->dpool);
    RUN(run, &run->plans->pool[CUDNN_POOL_BACKWARD], { CUDNN_X, layout->large[0] }, { CUDNN_Y, layout->dpool });
    mark(run);
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

/* From the gradient dy of layer l's ReLU to that of its convolution's output, dx, leaving that of the sum before the
 * ReLU in g; and the gradient of its weights. */
static void layer_backward(struct launches *run, uint32_t l, const void *input, const void *dy, void *g, void *dx)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const struct conv_layer *layer = &engine->network->convs[l];
    RUN(run, &run->plans->norm[cudnn_stage_of(layer)][CUDNN_NORM_BACKWARD], { CUDNN_X, layout->y[l] }, { CUDNN_DY, dy },
        { CUDNN_MASK, layout->masks[l] }, { CUDNN_MEAN, channels(layout->mean, l) },
        { CUDNN_INVERSE, channels(layout->inverse, l) }, { CUDNN_GAMMA, value(engine, layer->gamma) }, { CUDNN_G, g },
        { CUDNN_DX, dx }, { CUDNN_DGAMMA, gradient(engine, layer->gamma) },
        { CUDNN_DBETA, gradient(engine, layer->beta) });
    RUN(run, &run->plans->convolution[cudnn_convolution_of(layer)][CUDNN_BACKWARD_WEIGHT], { CUDNN_X, input },
        { CUDNN_W, packed(engine, layout->packed_gradients, layer->weight) }, { CUDNN_Y, dx });
}

/* Through layer l's convolution: `input` takes the gradient, or has it added. */
static void descend(struct launches *run, uint32_t l, const void *dx, enum cudnn_pass pass, void *input)
{
    const struct engine *engine = run->engine;
    const struct conv_layer *layer = &engine->network->convs[l];
    RUN(run, &run->plans->convolution[cudnn_convolution_of(layer)][pass], { CUDNN_X, input },
        { CUDNN_W, packed(engine, engine->layout.packed, layer->weight) }, { CUDNN_Y, dx });
    mark(run);
}

/* A projection's gradients: of its weights, and added to that of the block's input. */
static void project_backward(struct launches *run, uint32_t block, const void *g, void *input)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const struct conv_layer *second = &engine->network->convs[2 + 2 * block];
    const struct cudnn_plan *plans = run->plans->convolution[cudnn_projection_of(second)];
    RUN(run, &plans[CUDNN_BACKWARD_WEIGHT], { CUDNN_X, layout->outputs[2 * block] },
        { CUDNN_W, packed(engine, layout->packed_gradients, second->projection) }, { CUDNN_Y, g });
    RUN(run, &plans[CUDNN_BACKWARD_DATA_ADD], { CUDNN_X, input },
        { CUDNN_W, packed(engine, layout->packed, second->projection) }, { CUDNN_Y, g });
}

/* The gradient of block b's output is in large[*at], 0 or 1, and leaves as that of its input; *at says where. */
static void backward_block(struct launches *run, uint32_t b, uint32_t *at)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const uint32_t first = 1 + 2 * b, second = first + 1;
    void *dy = layout->large[*at], *g = layout->large[1 - *at], *dx = layout->large[2], *unused = layout->large[3];
    layer_backward(run, second, layout->outputs[first], dy, g, dx);
    descend(run, second, dx, CUDNN_BACKWARD_DATA, dy);
    layer_backward(run, first, layout->outputs[2 * b], dy, unused, dx);
    if (!changes_shape(engine, b)) { /* the shortcut's gradient is g, and the block's is added to it */
        descend(run, first, dx, CUDNN_BACKWARD_DATA_ADD, g);
        *at = 1 - *at;
        return;
    }
    descend(run, first, dx, CUDNN_BACKWARD_DATA, dy);
    if (engine->network->convs[second].projection >= 0) {
        project_backward(run, b, g, dy);
    } else {
        struct cudnn_subsample_arguments arguments = subsample_of(run, b, dy, g);
        arguments.back = 1;
        LAUNCH(run, cudnn_subsample, arguments);
    }
}

static struct cudnn_pack_arguments pack_of(const struct engine *engine)
{
    const struct layout *layout = &engine->layout;
    return (struct cudnn_pack_arguments){ .places = layout->weights,
                                          .place_count = engine->sizes.weight_count,
                                          .narrow = narrow(engine),
                                          .values = layout->values,
                                          .packed = layout->packed };
}

static void backward(struct launches *run)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    uint32_t at = 0;
    for (uint32_t b = engine->network->block_count; b-- > 0;)
        backward_block(run, b, &at);
    layer_backward(run, 0, layout->input, layout->large[at], layout->large[3], layout->large[2]);
    struct cudnn_pack_arguments gradients = pack_of(engine);
    gradients.back = 1;
    gradients.values = layout->gradients;
    gradients.packed = layout->packed_gradients;
    LAUNCH(run, cudnn_pack, gradients);
    mark(run);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static struct cuda_load_arguments load_of(const struct engine *engine, uint32_t images)
{
    return (struct cuda_load_arguments){
        .count = images,
        .value = engine->layout.byte_values,
        .pixel_mean = engine->layout.pixel_mean,
        .padding = engine->recipe.input.padding,
        .padding_pixels = engine->recipe.input.padding_pixels,
        .x = engine->layout.x,
    };
}

static void update(struct launches *run)
{
    const struct engine *engine = run->engine;
    const struct training_config *training = &engine->recipe.training;
    const struct layout *layout = &engine->layout;
    LAUNCH(run, cuda_update,
           { .pieces = layout->pieces,
             .piece_count = engine->sizes.piece_count,
             .update = 1,
             .form = training->momentum_form,
             .momentum_factor = (float)training->momentum,
             .decay = (float)training->weight_decay,
             .values = layout->values,
             .momentum = layout->momentum,
             .gradients = layout->gradients,
             .report = report_of(engine, NON_FINITE_NUMBER_TENSOR) });
    LAUNCH(run, cudnn_pack, pack_of(engine));
    mark(run);
}

enum status cudnn_step_launch(void *context, uint32_t images, struct queue_marks *marks, struct error *error)
{
    struct engine *engine = context;
    const struct layout *layout = &engine->layout;
    const struct input_config *input = &engine->recipe.input;
    struct launches run = { .engine = engine,
                            .plans = &engine->plans[engine->plans[0].images == images ? 0 : 1],
                            .images = images,
                            .training = true,
                            .error = error,
                            .marks = marks };
    assert(run.plans->images == images);
    mark(&run);
    LAUNCH(&run, cuda_begin,
           { .plans = layout->plans,
             .current = layout->current,
             .results = layout->results,
             .orders = { layout->orders[0], layout->orders[1] },
             .labels = engine->training_labels,
             .images = engine->sizes.training,
             .count = images,
             .seed = engine->recipe.training.seed,
             .padding_pixels = input->padding_pixels,
             .crop = input->random_crop,
             .flip = input->random_flip,
             .samples = layout->samples,
             .batch_labels = layout->labels });
    struct cuda_load_arguments load = load_of(engine, images);
    load.images = engine->training_images;
    load.samples = layout->samples;
    LAUNCH(&run, cuda_load, load);
    forward(&run);
    head(&run);
    backward(&run);
    update(&run);
    return run.status;
}

enum status cudnn_pack_launch(struct engine *engine, struct error *error)
{
    struct launches run = { .engine = engine, .error = error };
    LAUNCH(&run, cudnn_pack, pack_of(engine));
    return run.status;
}

enum status cudnn_constants_launch(struct engine *engine, struct error *error)
{
    const struct layout *layout = &engine->layout;
    const struct network *network = engine->network;
    struct launches run = { .engine = engine, .error = error };
    LAUNCH(&run, cuda_running_norms,
           { .values = layout->values,
             .places = layout->places,
             .count = network->conv_count + (network->logits_gamma >= 0),
             .epsilon = engine->recipe.model.batch_norm_epsilon,
             .norm = layout->norms });
    LAUNCH(&run, cudnn_constants,
           { .layers = network->conv_count, .norms = layout->norms, .scale = layout->scale, .shift = layout->shift });
    return run.status;
}

enum status cudnn_evaluation_launch(struct engine *engine, uint32_t first, struct error *error)
{
    const struct layout *layout = &engine->layout;
    const uint32_t images = engine->sizes.evaluation;
    struct launches run = {
        .engine = engine, .plans = &engine->plans[PLANS_EVALUATION], .images = images, .error = error
    };
    struct cuda_load_arguments load = load_of(engine, images);
    load.images = engine->validation_images;
    load.first = first;
    LAUNCH(&run, cuda_load, load);
    forward(&run);
    LAUNCH(&run, cuda_predict,
           { .first = first,
             .count = images,
             .z = layout->logits,
             .norm = engine->network->logits_gamma >= 0
                         ? layout->norms + (size_t)engine->network->conv_count * CUDA_FEATURES
                         : NULL,
             .labels = engine->validation_labels,
             .predictions = layout->predictions,
             .losses = layout->losses });
    return run.status;
}

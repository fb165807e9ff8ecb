/* A step and an evaluation as launches on one stream: plans of cuDNN's, products of cuBLAS's, and kernels of ours. */
#include <assert.h>

#include "trainer/cudnn/engine_state.h"
#include "trainer/gpu/launches.h"

/* The plans for the images at hand. */
static const struct cudnn_plans *plans_of(const struct launches *run)
{
    const struct cudnn_plans *sets = run->engine->plans;
    const struct cudnn_plans *plans =
        run->training ? &sets[sets[0].images == run->images ? 0 : 1] : &sets[PLANS_EVALUATION];
    assert(plans->images == run->images);
    return plans;
}

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

/* A convolution's weights, or their gradient, in the packed array. */
static void *packed(const struct engine *engine, void *array, int64_t tensor)
{
    const size_t at = engine->weights[engine->weight_of[tensor]].packed_at;
    return (char *)array + at * cudnn_activation_bytes(engine->precision);
}

static float *channels(float *array, uint32_t l)
{
    return array + (size_t)l * GPU_FEATURES;
}

/* Of layer l's stage. */
static const struct scratch *scratch_of(const struct engine *engine, uint32_t l)
{
    return &engine->layout.scratch[cudnn_stage_of(&engine->session.network->convs[l])];
}

static bool narrow(const struct engine *engine)
{
    return engine->precision == CUDNN_PRECISION_BF16;
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

/* Layer l from its input to its ReLU's output; shortcut: NULL, or what is added before. */
static void layer_forward(struct launches *run, uint32_t l, const void *input, const void *shortcut, void *output)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const struct conv_layer *layer = &engine->session.network->convs[l];
    const uint32_t stage = cudnn_stage_of(layer);
    const bool add = shortcut != NULL;
    RUN(run, &plans_of(run)->convolution[cudnn_convolution_of(layer)][CUDNN_FORWARD], { CUDNN_X, input },
        { CUDNN_W, packed(engine, layout->packed, layer->weight) }, { CUDNN_Y, layout->y[l] });
    if (run->training) {
        const struct plan_argument arguments[] = { { CUDNN_X, layout->y[l] },
                                                   { CUDNN_GAMMA, value_of(&engine->session, layer->gamma) },
                                                   { CUDNN_BETA, value_of(&engine->session, layer->beta) },
                                                   { CUDNN_EPSILON, &engine->epsilon },
                                                   { CUDNN_MEAN, channels(layout->mean, l) },
                                                   { CUDNN_INVERSE, channels(layout->inverse, l) },
                                                   { CUDNN_OUTPUT, output },
                                                   { CUDNN_SHORTCUT, shortcut } };
        run_plan(run, &plans_of(run)->norm[stage][add ? CUDNN_NORM_ADD_RELU : CUDNN_NORM_RELU], arguments, add ? 8 : 7);
    } else {
        const struct plan_argument arguments[] = { { CUDNN_X, layout->y[l] },
                                                   { CUDNN_SCALE, channels(layout->scale, l) },
                                                   { CUDNN_SHIFT, channels(layout->shift, l) },
                                                   { CUDNN_OUTPUT, output },
                                                   { CUDNN_SHORTCUT, shortcut } };
        run_plan(run, &plans_of(run)->activate[stage][add ? CUDNN_ACTIVATE_ADD : CUDNN_ACTIVATE], arguments,
                 add ? 5 : 4);
    }
    launch_mark(run);
}

static struct cudnn_subsample_arguments subsample_of(const struct launches *run, uint32_t block, void *x, void *z)
{
    const struct conv_layer *first = &run->engine->session.network->convs[1 + 2 * block];
    return (struct cudnn_subsample_arguments){ .count = run->images,
                                               .C = first->channels,
                                               .P = first->side / first->stride,
                                               .first = first->option_a_first,
                                               .narrow = narrow(run->engine),
                                               .x = x,
                                               .z = z };
}

/* A block's shortcut, as it is added. */
static const void *shortcut_forward(struct launches *run, uint32_t block)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    void *input = layout->outputs[block];
    const struct conv_layer *second = &engine->session.network->convs[2 + 2 * block];
    if (!block_changes_shape(&engine->session, block))
        return input;
    if (second->projection < 0)
        LAUNCH(run, engine->session.stream, cudnn_subsample, subsample_of(run, block, input, layout->z));
    else
        RUN(run, &plans_of(run)->convolution[cudnn_projection_of(second)][CUDNN_FORWARD], { CUDNN_X, input },
            { CUDNN_W, packed(engine, layout->packed, second->projection) }, { CUDNN_Y, layout->z });
    return layout->z;
}

/* From x to the logits. */
static void forward(struct launches *run)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const struct gpu_buffers *buffers = &engine->session.buffers;
    const struct network *network = engine->session.network;
    const float *bias = value_of(&engine->session, network->linear_bias);
    LAUNCH(run, engine->session.stream, cudnn_pad,
           { .count = run->images,
             .channels = cudnn_input_channels(engine->precision),
             .narrow = narrow(engine),
             .x = buffers->x,
             .input = layout->input });
    layer_forward(run, 0, layout->input, NULL, layout->outputs[0]);
    for (uint32_t b = 0; b < network->block_count; b++) {
        const uint32_t first = 1 + 2 * b, second = first + 1;
        const void *shortcut = shortcut_forward(run, b);
        void *inner = scratch_of(engine, first)->inner;
        layer_forward(run, first, layout->outputs[b], NULL, inner);
        layer_forward(run, second, inner, shortcut, layout->outputs[b + 1]);
    }
    RUN(run, &plans_of(run)->pool[CUDNN_POOL], { CUDNN_X, layout->outputs[network->block_count] },
        { CUDNN_Y, buffers->pool });
    if (bias != NULL)
        LAUNCH(run, engine->session.stream, cudnn_bias, { .count = run->images, .bias = bias, .z = buffers->logits });
    multiply(run, CUBLAS_OP_T, CUBLAS_OP_N, GPU_CLASSES, run->images, GPU_FEATURES,
             value_of(&engine->session, network->linear_weight), GPU_FEATURES, buffers->pool, GPU_FEATURES,
             bias != NULL ? 1.0f : 0.0f, buffers->logits);
}

/* ---- head -------------------------------------------------------------------------------------------------------- */

static void head(struct launches *run)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const struct gpu_buffers *buffers = &engine->session.buffers;
    const struct network *network = engine->session.network;
    const struct model_config *model = &engine->session.recipe.model;
    const float *w = value_of(&engine->session, network->linear_weight);
    LAUNCH(run, engine->session.stream, cudnn_running,
           { .values = buffers->values,
             .places = buffers->places,
             .layers = network->conv_count,
             .count = run->images,
             .unbiased = model->batch_norm_unbiased,
             .epsilon = model->batch_norm_epsilon,
             .rate = model->batch_norm_rate,
             .mean = layout->mean,
             .inverse = layout->inverse });
    launch_head(run, NON_FINITE_NUMBER_LOGITS, NON_FINITE_NUMBER_LOSS);
    multiply(run, CUBLAS_OP_N, CUBLAS_OP_T, GPU_FEATURES, GPU_CLASSES, run->images, buffers->pool, GPU_FEATURES,
             buffers->dz, GPU_CLASSES, 0.0f, gradient_of(&engine->session, network->linear_weight));
    multiply(run, CUBLAS_OP_N, CUBLAS_OP_N, GPU_FEATURES, run->images, GPU_CLASSES, w, GPU_FEATURES, buffers->dz,
             GPU_CLASSES, 0.0f, layout->dpool);
    RUN(run, &plans_of(run)->pool[CUDNN_POOL_BACKWARD],
        { CUDNN_X, scratch_of(engine, network->conv_count - 1)->gradients[0] }, { CUDNN_Y, layout->dpool });
    launch_mark(run);
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

/* Layer l's activation, or its mask, or both, from what is kept of it. */
static void activate_again(struct launches *run, uint32_t l, const void *shortcut, void *output, uint8_t *mask)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const struct conv_layer *layer = &engine->session.network->convs[l];
    const uint32_t side = layer->side / layer->stride;
    LAUNCH(run, engine->session.stream, cudnn_activate,
           { .numbers = run->images * layer->filters * side * side,
             .channels = layer->filters,
             .narrow = narrow(engine),
             .y = layout->y[l],
             .shortcut = shortcut,
             .mean = channels(layout->mean, l),
             .inverse = channels(layout->inverse, l),
             .gamma = value_of(&engine->session, layer->gamma),
             .beta = value_of(&engine->session, layer->beta),
             .output = output,
             .mask = mask });
}

/* Makes the outputs from the last one kept before block b's input up to that one again. */
static void remake(struct launches *run, uint32_t b)
{
    const struct layout *layout = &run->engine->layout;
    uint32_t first = b;
    while (first > 0 && !layout->kept[first])
        first--;
    if (!layout->kept[first])
        activate_again(run, 0, NULL, layout->outputs[0], NULL);
    for (uint32_t i = first; i < b; i++)
        activate_again(run, 2 + 2 * i, shortcut_forward(run, i), layout->outputs[i + 1], NULL);
}

/* From the gradient dy of layer l's ReLU, with the mask in its scratch, to that of its convolution's output, leaving
 * that of the sum before the ReLU in g. Returns where it is. */
static const void *norm_backward(struct launches *run, uint32_t l, const void *dy, void *g)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const struct conv_layer *layer = &engine->session.network->convs[l];
    const struct scratch *scratch = scratch_of(engine, l);
    void *dx = scratch->gradients[2];
    RUN(run, &plans_of(run)->norm[cudnn_stage_of(layer)][CUDNN_NORM_BACKWARD], { CUDNN_X, layout->y[l] },
        { CUDNN_DY, dy }, { CUDNN_MASK, scratch->mask }, { CUDNN_MEAN, channels(layout->mean, l) },
        { CUDNN_INVERSE, channels(layout->inverse, l) }, { CUDNN_GAMMA, value_of(&engine->session, layer->gamma) },
        { CUDNN_G, g }, { CUDNN_DX, dx }, { CUDNN_DGAMMA, gradient_of(&engine->session, layer->gamma) },
        { CUDNN_DBETA, gradient_of(&engine->session, layer->beta) });
    return dx;
}

/* The gradient of layer l's weights. */
static void weigh(struct launches *run, uint32_t l, const void *input, const void *dx)
{
    const struct engine *engine = run->engine;
    const struct conv_layer *layer = &engine->session.network->convs[l];
    RUN(run, &plans_of(run)->convolution[cudnn_convolution_of(layer)][CUDNN_BACKWARD_WEIGHT], { CUDNN_X, input },
        { CUDNN_W, packed(engine, engine->layout.packed_gradients, layer->weight) }, { CUDNN_Y, dx });
}

/* Through layer l's convolution: `input` takes the gradient, or has it added. */
static void descend(struct launches *run, uint32_t l, const void *dx, enum cudnn_pass pass, void *input)
{
    const struct engine *engine = run->engine;
    const struct conv_layer *layer = &engine->session.network->convs[l];
    RUN(run, &plans_of(run)->convolution[cudnn_convolution_of(layer)][pass], { CUDNN_X, input },
        { CUDNN_W, packed(engine, engine->layout.packed, layer->weight) }, { CUDNN_Y, dx });
    launch_mark(run);
}

/* A projection's gradients: of its weights, and added to that of the block's input. */
static void project_backward(struct launches *run, uint32_t block, const void *g, void *input)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const struct conv_layer *second = &engine->session.network->convs[2 + 2 * block];
    const struct cudnn_plan *plans = plans_of(run)->convolution[cudnn_projection_of(second)];
    RUN(run, &plans[CUDNN_BACKWARD_WEIGHT], { CUDNN_X, layout->outputs[block] },
        { CUDNN_W, packed(engine, layout->packed_gradients, second->projection) }, { CUDNN_Y, g });
    RUN(run, &plans[CUDNN_BACKWARD_DATA_ADD], { CUDNN_X, input },
        { CUDNN_W, packed(engine, layout->packed, second->projection) }, { CUDNN_Y, g });
}

/* The gradient of block b's output is in gradients[*at], 0 or 1, of its stage, and leaves as that of its input, in the
 * stage of that; *at says where. */
static void backward_block(struct launches *run, uint32_t b, uint32_t *at)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const uint32_t first = 1 + 2 * b, second = first + 1;
    const struct scratch *scratch = scratch_of(engine, second);
    void *dy = scratch->gradients[*at], *g = scratch->gradients[1 - *at];
    if (!layout->kept[b] && (b + 1 == engine->session.network->block_count || layout->kept[b + 1]))
        remake(run, b);
    activate_again(run, second, shortcut_forward(run, b), NULL, scratch->mask);
    const void *dx = norm_backward(run, second, dy, g);
    activate_again(run, first, NULL, scratch->inner, scratch->mask);
    weigh(run, second, scratch->inner, dx);
    descend(run, second, dx, CUDNN_BACKWARD_DATA, dy);
    dx = norm_backward(run, first, dy, scratch->inner); /* that is not needed any more */
    weigh(run, first, layout->outputs[b], dx);
    if (!block_changes_shape(&engine->session, b)) { /* the shortcut's gradient is g, and the block's is added to it */
        descend(run, first, dx, CUDNN_BACKWARD_DATA_ADD, g);
        *at = 1 - *at;
        return;
    }
    void *below = scratch_of(engine, 2 * b)->gradients[*at];
    descend(run, first, dx, CUDNN_BACKWARD_DATA, below);
    if (engine->session.network->convs[second].projection >= 0) {
        project_backward(run, b, g, below);
    } else {
        struct cudnn_subsample_arguments arguments = subsample_of(run, b, below, g);
        arguments.back = 1;
        LAUNCH(run, engine->session.stream, cudnn_subsample, arguments);
    }
}

static struct cudnn_pack_arguments pack_of(const struct engine *engine)
{
    const struct layout *layout = &engine->layout;
    return (struct cudnn_pack_arguments){ .places = layout->weights,
                                          .place_count = engine->weight_count,
                                          .narrow = narrow(engine),
                                          .values = engine->session.buffers.values,
                                          .packed = layout->packed };
}

static void backward(struct launches *run)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    uint32_t at = 0;
    for (uint32_t b = engine->session.network->block_count; b-- > 0;)
        backward_block(run, b, &at);
    const struct scratch *scratch = scratch_of(engine, 0);
    activate_again(run, 0, NULL, NULL, scratch->mask);
    weigh(run, 0, layout->input, norm_backward(run, 0, scratch->gradients[at], scratch->inner));
    struct cudnn_pack_arguments gradients = pack_of(engine);
    gradients.back = 1;
    gradients.values = engine->session.buffers.gradients;
    gradients.packed = layout->packed_gradients;
    LAUNCH(run, engine->session.stream, cudnn_pack, gradients);
    launch_mark(run);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static struct launches launches_of(struct engine *engine, uint32_t images, bool training, struct error *error)
{
    return (struct launches){
        .engine = engine, .session = &engine->session, .images = images, .training = training, .error = error
    };
}

enum status cudnn_step_launch(void *context, uint32_t images, struct queue_marks *marks, struct error *error)
{
    struct engine *engine = context;
    struct launches run = launches_of(engine, images, true, error);
    run.marks = marks;
    launch_mark(&run);
    launch_begin(&run);
    forward(&run);
    head(&run);
    backward(&run);
    launch_update(&run, NULL, NON_FINITE_NUMBER_TENSOR);
    LAUNCH(&run, engine->session.stream, cudnn_pack, pack_of(engine));
    launch_mark(&run);
    return run.status;
}

enum status cudnn_pack_launch(struct engine *engine, struct error *error)
{
    struct launches run = launches_of(engine, 0, false, error);
    LAUNCH(&run, engine->session.stream, cudnn_pack, pack_of(engine));
    return run.status;
}

enum status cudnn_constants_launch(struct engine *engine, struct error *error)
{
    const struct layout *layout = &engine->layout;
    struct launches run = launches_of(engine, 0, false, error);
    launch_running_norms(&run);
    LAUNCH(&run, engine->session.stream, cudnn_constants,
           { .layers = engine->session.network->conv_count,
             .norms = engine->session.buffers.norms,
             .scale = layout->scale,
             .shift = layout->shift });
    return run.status;
}

enum status cudnn_evaluation_launch(struct engine *engine, uint32_t first, uint32_t images, struct error *error)
{
    struct launches run = launches_of(engine, images, false, error);
    launch_load(&run, first);
    forward(&run);
    launch_predict(&run, first);
    return run.status;
}

/* A step and an evaluation as launches. The main stream, which is the session's, goes forward and back. At the same
 * time, the weight gradients run on the side stream. Each starts when its layer's gradient is ready, and ends before
 * that gradient is overwritten. */
#include "trainer/cuda/engine_state.h"
#include "trainer/gpu/launches.h"

/* From here on the side stream may run what the main stream has left. */
static void fork_side(struct launches *run)
{
    check(run, cudaEventRecord(run->engine->fork, run->engine->session.stream), "cudaEventRecord");
    check(run, cudaStreamWaitEvent(run->engine->side, run->engine->fork, 0), "cudaStreamWaitEvent");
}

/* On the side stream: what was launched last has read what the main stream will overwrite. */
static void leave_side(struct launches *run)
{
    check(run, cudaEventRecord(run->engine->join, run->engine->side), "cudaEventRecord");
}

/* From here on the main stream may overwrite what the side stream has left. */
static void join_side(struct launches *run)
{
    check(run, cudaStreamWaitEvent(run->session->stream, run->engine->join, 0), "cudaStreamWaitEvent");
}

/* ---- what arguments are made of ---------------------------------------------------------------------------------- */

static struct cuda_shape shape_of(const struct engine *engine, uint32_t l)
{
    const struct conv_layer *layer = &engine->session.network->convs[l];
    return (struct cuda_shape){ layer->channels, layer->filters, layer->side, layer->stride };
}

/* The gradients of a norm's constants: two sets, since a layer's is read while the one below is written. */
static struct exact_norm_gradient *norm_gradients(const struct engine *engine, uint32_t l)
{
    return engine->layout.norm_gradients + (size_t)(l % 2) * GPU_FEATURES;
}

static struct gpu_sums sums_of(const struct engine *engine, uint32_t l)
{
    return (struct gpu_sums){ engine->layout.sums, engine->layout.arrived + (size_t)l * GPU_ARRIVALS };
}

static struct gpu_statistics statistics_of(const struct engine *engine, uint32_t l)
{
    const struct conv_layer *layer = &engine->session.network->convs[l];
    const struct model_config *model = &engine->session.recipe.model;
    return (struct gpu_statistics){
        .sums = sums_of(engine, l),
        .gamma = value_of(&engine->session, layer->gamma),
        .beta = value_of(&engine->session, layer->beta),
        .running_mean = value_of(&engine->session, layer->running_mean),
        .running_variance = value_of(&engine->session, layer->running_variance),
        .norm = norms_of(&engine->session, l),
        .epsilon = model->batch_norm_epsilon,
        .rate = model->batch_norm_rate,
        .unbiased = model->batch_norm_unbiased,
        .report = report_of(&engine->session, engine->session.culprits.forward + l),
    };
}

static struct cuda_gradient_statistics gradient_statistics_of(const struct engine *engine, uint32_t l)
{
    const struct conv_layer *layer = &engine->session.network->convs[l];
    return (struct cuda_gradient_statistics){
        .sums = sums_of(engine, l),
        .norm = norms_of(&engine->session, l),
        .gradient = norm_gradients(engine, l),
        .dgamma = gradient_of(&engine->session, layer->gamma),
        .dbeta = gradient_of(&engine->session, layer->beta),
        .report = report_of(&engine->session,
                            engine->session.culprits.backward + (engine->session.network->conv_count - 1 - l)),
    };
}

static bool projects(const struct engine *engine, uint32_t block)
{
    return block_changes_shape(&engine->session, block) && engine->session.recipe.model.shortcut == SHORTCUT_PROJECTION;
}

/* outputs[b], as what comes next reads it: from the convolution that ends block b - 1 and that block's shortcut. */
static struct cuda_activation output_of(const struct engine *engine, uint32_t b)
{
    const struct layout *layout = &engine->layout;
    const uint32_t l = 2 * b;
    struct cuda_activation output = { .y = layout->y[l], .norm = norms_of(&engine->session, l) };
    if (b == 0)
        return output;
    output.shortcut.array = layout->outputs[b - 1];
    if (!block_changes_shape(&engine->session, b - 1)) {
        output.shortcut.kind = CUDA_SHORTCUT_SAME;
    } else if (projects(engine, b - 1)) {
        output.shortcut.kind = CUDA_SHORTCUT_SAME;
        output.shortcut.array = layout->z;
    } else {
        const struct conv_layer *first = &engine->session.network->convs[l - 1];
        output.shortcut.kind = CUDA_SHORTCUT_SUBSAMPLED;
        output.shortcut.channels = first->channels;
        output.shortcut.first = first->option_a_first;
    }
    return output;
}

/* ---- forward ----------------------------------------------------------------------------------------------------- */

static void convolve(struct launches *run, uint32_t l, struct cuda_activation input, float *kept)
{
    struct engine *engine = run->engine;
    size_t forward, backward;
    layout_packed(engine->session.network, l, &forward, &backward);
    struct cuda_forward_arguments arguments = {
        .shape = shape_of(engine, l),
        .count = run->images,
        .input = input,
        .activation = kept,
        .weights = engine->layout.packed + forward,
        .y = engine->layout.y[l],
        .training = run->training,
    };
    if (run->training)
        arguments.statistics = statistics_of(engine, l);
    if (run->status == STATUS_OK)
        check(run, cuda_forward(&arguments, engine->session.stream), "cuda_forward");
    launch_mark(run);
    if (run->training && l > 0)
        traced_activation(run, l - 1);
    if (run->training)
        traced_convolution(run, l);
}

/* A block's projection, once the block's input is kept. */
static void project(struct launches *run, uint32_t block)
{
    const struct engine *engine = run->engine;
    if (projects(engine, block))
        LAUNCH(run, engine->session.stream, cuda_projection,
               { .shape = shape_of(engine, 1 + 2 * block),
                 .count = run->images,
                 .x = engine->layout.outputs[block],
                 .w = value_of(&engine->session, engine->session.network->convs[2 + 2 * block].projection),
                 .z = engine->layout.z });
}

/* From x to the logits. */
static void forward(struct launches *run)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const struct gpu_buffers *buffers = &engine->session.buffers;
    const struct network *network = engine->session.network;
    convolve(run, 0, (struct cuda_activation){ .y = buffers->x }, NULL);
    for (uint32_t b = 0; b < network->block_count; b++) {
        const uint32_t l = 1 + 2 * b;
        convolve(run, l, output_of(engine, b), layout->outputs[b]);
        project(run, b);
        convolve(run, l + 1, (struct cuda_activation){ .y = layout->y[l], .norm = norms_of(&engine->session, l) },
                 NULL);
    }
    LAUNCH(run, engine->session.stream, cuda_pool,
           { .count = run->images,
             .input = output_of(engine, network->block_count),
             .activation = layout->outputs[network->block_count],
             .w = value_of(&engine->session, network->linear_weight),
             .bias = value_of(&engine->session, network->linear_bias),
             .pool = buffers->pool,
             .z = buffers->logits });
    if (run->training) {
        traced_activation(run, network->conv_count - 1);
        traced_logits(run);
    }
}

/* ---- head -------------------------------------------------------------------------------------------------------- */

static void head(struct launches *run)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const struct gpu_buffers *buffers = &engine->session.buffers;
    const struct network *network = engine->session.network;
    const uint32_t last = network->conv_count - 1;
    launch_head(run, engine->session.culprits.logits, engine->session.culprits.loss);
    traced_head(run);
    fork_side(run);
    LAUNCH(run, engine->side, cuda_linear_weight,
           { .count = run->images,
             .pool = buffers->pool,
             .dz = buffers->dz,
             .dw = gradient_of(&engine->session, network->linear_weight) });
    leave_side(run);
    LAUNCH(run, engine->session.stream, cuda_pool_backward,
           { .count = run->images,
             .dz = buffers->dz,
             .w = value_of(&engine->session, network->linear_weight),
             .activation = layout->outputs[network->block_count],
             .y = layout->y[last],
             .g = layout->g,
             .statistics = gradient_statistics_of(engine, last) });
    launch_mark(run);
    traced_gradient(run, last, layout->g, norm_gradients(engine, last));
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

static struct cuda_output_gradient output_gradient(const struct engine *engine, uint32_t l, const float *g)
{
    return (struct cuda_output_gradient){ g, engine->layout.y[l], norms_of(&engine->session, l),
                                          norm_gradients(engine, l) };
}

/* On the side stream: layer l's weight gradient. */
static void weigh(struct launches *run, uint32_t l, struct cuda_activation input, const float *g)
{
    const struct engine *engine = run->engine;
    const struct conv_layer *layer = &engine->session.network->convs[l];
    LAUNCH(run, engine->side, cuda_backward_weight,
           { .shape = shape_of(engine, l),
             .count = run->images,
             .input = input,
             .output = output_gradient(engine, l, g),
             .parts = engine->layout.parts });
    leave_side(run); /* the tree reads parts alone */
    LAUNCH(run, engine->side, cuda_tree,
           { .parts = engine->layout.parts,
             .groups = layout_groups(layer, run->images),
             .size = layer->filters * layer->channels * 9,
             .result = gradient_of(&engine->session, layer->weight) });
}

static void weigh_projection(struct launches *run, uint32_t block)
{
    const struct engine *engine = run->engine;
    const struct conv_layer *first = &engine->session.network->convs[1 + 2 * block];
    LAUNCH(run, engine->side, cuda_projection_weight,
           { .shape = shape_of(engine, 1 + 2 * block),
             .count = run->images,
             .x = engine->layout.outputs[block],
             .g = engine->layout.g,
             .parts = engine->layout.parts });
    leave_side(run); /* the tree reads parts alone */
    LAUNCH(run, engine->side, cuda_tree,
           { .parts = engine->layout.parts,
             .groups = layout_groups(first, run->images),
             .size = first->filters * first->channels,
             .result = gradient_of(&engine->session, engine->session.network->convs[2 + 2 * block].projection) });
}

/* The gradient that a block's shortcut carries to its input. */
static struct cuda_shortcut_source carry(struct launches *run, uint32_t block)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const uint32_t l = 1 + 2 * block;
    const struct conv_layer *first = &engine->session.network->convs[l];
    if (!block_changes_shape(&engine->session, block))
        return (struct cuda_shortcut_source){ .kind = CUDA_SHORTCUT_SAME, .array = layout->g };
    if (projects(engine, block)) {
        LAUNCH(run, engine->session.stream, cuda_projection_data,
               { .shape = shape_of(engine, l),
                 .count = run->images,
                 .g = layout->g,
                 .w = value_of(&engine->session, engine->session.network->convs[l + 1].projection),
                 .dx = layout->spread });
        return (struct cuda_shortcut_source){ .kind = CUDA_SHORTCUT_SUBSAMPLED,
                                              .channels = first->channels,
                                              .array = layout->spread };
    }
    /* Out of g, which the block's input is to have. */
    const uint32_t side = first->side / first->stride;
    check(run,
          cudaMemcpyAsync(layout->spread, layout->g, (size_t)run->images * first->filters * side * side * sizeof(float),
                          cudaMemcpyDeviceToDevice, engine->session.stream),
          "cudaMemcpyAsync");
    return (struct cuda_shortcut_source){ .kind = CUDA_SHORTCUT_SUBSAMPLED,
                                          .channels = first->filters,
                                          .first = first->option_a_first,
                                          .array = layout->spread };
}

/* Through convolution l, of which g is the gradient of its batch norm's output, to that of the batch norm below. */
static void descend(struct launches *run, uint32_t l, const float *g, struct cuda_shortcut_source shortcut,
                    const float *mask, float *result)
{
    const struct engine *engine = run->engine;
    size_t forward, backward;
    layout_packed(engine->session.network, l, &forward, &backward);
    LAUNCH(run, engine->session.stream, cuda_backward_data,
           { .shape = shape_of(engine, l),
             .count = run->images,
             .output = output_gradient(engine, l, g),
             .weights = engine->layout.packed + backward,
             .shortcut = shortcut,
             .mask = mask,
             .below = engine->layout.y[l - 1],
             .g = result,
             .statistics = gradient_statistics_of(engine, l - 1) });
    traced_gradient(run, l - 1, result, norm_gradients(engine, l - 1));
}

/* Makes the outputs from the last one kept before block b's input up to that one again. */
static void remake(struct launches *run, uint32_t b)
{
    const struct engine *engine = run->engine;
    uint32_t first = b;
    while (!engine->layout.kept[first])
        first--;
    join_side(run); /* what lies there may still be read */
    for (uint32_t i = first + 1; i <= b; i++) {
        const struct conv_layer *layer = &engine->session.network->convs[2 * i];
        const uint32_t side = layer->side / layer->stride;
        LAUNCH(run, engine->session.stream, cuda_activate,
               { .shape = { layer->filters, layer->filters, side, 1 },
                 .count = run->images,
                 .input = output_of(engine, i),
                 .activation = engine->layout.outputs[i] });
    }
}

static void backward_block(struct launches *run, uint32_t b)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const uint32_t first = 1 + 2 * b, second = first + 1;
    if (!layout->kept[b] && (b + 1 == engine->session.network->block_count || layout->kept[b + 1]))
        remake(run, b);
    /* The inner gradient's reader on the side is the last block's first layer. */
    join_side(run);
    fork_side(run);
    weigh(run, second, (struct cuda_activation){ .y = layout->y[first], .norm = norms_of(&engine->session, first) },
          layout->g);
    if (projects(engine, b))
        weigh_projection(run, b);
    descend(run, second, layout->g, (struct cuda_shortcut_source){ .kind = CUDA_SHORTCUT_NONE }, NULL, layout->inner);
    launch_mark(run);
    const struct cuda_shortcut_source shortcut = carry(run, b);
    join_side(run);
    fork_side(run);
    weigh(run, first, (struct cuda_activation){ .y = layout->outputs[b] }, layout->inner);
    descend(run, first, layout->inner, shortcut, layout->outputs[b], layout->g);
    launch_mark(run);
}

static void backward(struct launches *run)
{
    const struct engine *engine = run->engine;
    for (uint32_t b = engine->session.network->block_count; b-- > 0;)
        backward_block(run, b);
    fork_side(run);
    weigh(run, 0, (struct cuda_activation){ .y = engine->session.buffers.x }, engine->layout.g);
    leave_side(run); /* the last tree, and with it all gradients */
    join_side(run);
    launch_mark(run);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static struct launches launches_of(struct engine *engine, uint32_t images, bool training, struct error *error)
{
    return (struct launches){
        .engine = engine, .session = &engine->session, .images = images, .training = training, .error = error
    };
}

enum status step_launch(void *context, uint32_t images, struct queue_marks *marks, struct error *error)
{
    struct engine *engine = context;
    struct launches run = launches_of(engine, images, true, error);
    run.marks = marks;
    launch_mark(&run);
    launch_begin(&run);
    traced_begin(&run);
    forward(&run);
    head(&run);
    backward(&run);
    traced_gradients(&run);
    launch_update(&run, engine->layout.packed, engine->session.culprits.update);
    launch_mark(&run);
    return run.status;
}

enum status pack_launch(struct engine *engine, struct error *error)
{
    struct launches run = launches_of(engine, 0, false, error);
    launch_update(&run, engine->layout.packed, engine->session.culprits.update);
    return run.status;
}

enum status constants_launch(struct engine *engine, struct error *error)
{
    struct launches run = launches_of(engine, 0, false, error);
    launch_running_norms(&run);
    return run.status;
}

enum status evaluation_launch(struct engine *engine, uint32_t first, uint32_t images, struct error *error)
{
    struct launches run = launches_of(engine, images, false, error);
    launch_load(&run, first);
    forward(&run);
    launch_predict(&run, first);
    return run.status;
}

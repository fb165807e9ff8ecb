/* A step and an evaluation as launches. The main stream goes forward and back; beside it, on the side stream, run the
 * weight gradients, each from when its layer's gradient is there to before that is overwritten. */
#include <string.h>

#include "trainer/cuda/engine_state.h"

/* A series of launches; after a failure nothing more is launched. */
struct launches {
    struct engine *engine;
    uint32_t images;
    bool training;
    cudaError_t failed;
    const char *call;
    struct queue_marks *marks;
};

static void check(struct launches *run, cudaError_t status, const char *call)
{
    if (run->failed == cudaSuccess && status != cudaSuccess) {
        run->failed = status;
        run->call = call;
    }
}

#define LAUNCH(run, function, stream, ...)                                                              \
    do {                                                                                                \
        if ((run)->failed == cudaSuccess)                                                               \
            check((run), function(&(const struct function##_arguments)__VA_ARGS__, stream), #function); \
    } while (0)

static void mark(struct launches *run)
{
    struct queue_marks *marks = run->marks;
    if (marks != NULL && marks->events != NULL && marks->count < marks->room)
        check(run, cudaEventRecord(marks->events[marks->count++], run->engine->main), "cudaEventRecord");
}

/* From here on the side stream may run what the main stream has left. */
static void fork_side(struct launches *run)
{
    check(run, cudaEventRecord(run->engine->fork, run->engine->main), "cudaEventRecord");
    check(run, cudaStreamWaitEvent(run->engine->side, run->engine->fork, 0), "cudaStreamWaitEvent");
}

/* From here on the main stream may overwrite what the side stream has read. */
static void join_side(struct launches *run)
{
    check(run, cudaEventRecord(run->engine->join, run->engine->side), "cudaEventRecord");
    check(run, cudaStreamWaitEvent(run->engine->main, run->engine->join, 0), "cudaStreamWaitEvent");
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

static struct cuda_shape shape_of(const struct engine *engine, uint32_t l)
{
    const struct conv_layer *layer = &engine->network->convs[l];
    return (struct cuda_shape){ layer->channels, layer->filters, layer->side, layer->stride };
}

static struct exact_norm *norms(const struct engine *engine, uint32_t l)
{
    return engine->layout.norms + (size_t)l * CUDA_FEATURES;
}

/* The gradients of a norm's constants: two sets, since a layer's is read while the one below is written. */
static struct exact_norm_gradient *norm_gradients(const struct engine *engine, uint32_t l)
{
    return engine->layout.norm_gradients + (size_t)(l % 2) * CUDA_FEATURES;
}

static struct cuda_report report_of(const struct engine *engine, uint32_t culprit)
{
    return (struct cuda_report){ engine->layout.current, engine->layout.results, culprit };
}

static struct cuda_sums sums_of(const struct engine *engine, uint32_t l)
{
    return (struct cuda_sums){ engine->layout.sums, engine->layout.arrived + (size_t)l * CUDA_ARRIVALS };
}

static struct cuda_statistics statistics_of(const struct engine *engine, uint32_t l)
{
    const struct conv_layer *layer = &engine->network->convs[l];
    const struct model_config *model = &engine->recipe.model;
    return (struct cuda_statistics){
        .sums = sums_of(engine, l),
        .gamma = value(engine, layer->gamma),
        .beta = value(engine, layer->beta),
        .running_mean = value(engine, layer->running_mean),
        .running_variance = value(engine, layer->running_variance),
        .norm = norms(engine, l),
        .epsilon = model->batch_norm_epsilon,
        .rate = model->batch_norm_rate,
        .unbiased = model->batch_norm_unbiased,
        .report = report_of(engine, engine->culprits.forward + l),
    };
}

static struct cuda_gradient_statistics gradient_statistics_of(const struct engine *engine, uint32_t l)
{
    const struct conv_layer *layer = &engine->network->convs[l];
    return (struct cuda_gradient_statistics){
        .sums = sums_of(engine, l),
        .norm = norms(engine, l),
        .gradient = norm_gradients(engine, l),
        .dgamma = gradient(engine, layer->gamma),
        .dbeta = gradient(engine, layer->beta),
        .report = report_of(engine, engine->culprits.backward + (engine->network->conv_count - 1 - l)),
    };
}

static bool changes_shape(const struct engine *engine, uint32_t block)
{
    return engine->network->convs[1 + 2 * block].stride == 2;
}

static bool projects(const struct engine *engine, uint32_t block)
{
    return changes_shape(engine, block) && engine->recipe.model.shortcut == SHORTCUT_PROJECTION;
}

/* outputs[b], as what comes next reads it: from the convolution that ends block b - 1 and that block's shortcut. */
static struct cuda_activation output_of(const struct engine *engine, uint32_t b)
{
    const struct layout *layout = &engine->layout;
    const uint32_t l = 2 * b;
    struct cuda_activation output = { .y = layout->y[l], .norm = norms(engine, l) };
    if (b == 0)
        return output;
    output.shortcut.array = layout->outputs[b - 1];
    if (!changes_shape(engine, b - 1)) {
        output.shortcut.kind = CUDA_SHORTCUT_SAME;
    } else if (projects(engine, b - 1)) {
        output.shortcut.kind = CUDA_SHORTCUT_SAME;
        output.shortcut.array = layout->z;
    } else {
        const struct conv_layer *first = &engine->network->convs[l - 1];
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
    layout_packed(engine->network, l, &forward, &backward);
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
    if (run->failed == cudaSuccess)
        check(run, cuda_forward(&arguments, engine->main), "cuda_forward");
    mark(run);
}

/* A block's projection, once the block's input is kept. */
static void project(struct launches *run, uint32_t block)
{
    const struct engine *engine = run->engine;
    if (projects(engine, block))
        LAUNCH(run, cuda_projection, engine->main,
               { .shape = shape_of(engine, 1 + 2 * block),
                 .count = run->images,
                 .x = engine->layout.outputs[block],
                 .w = value(engine, engine->network->convs[2 + 2 * block].projection),
                 .z = engine->layout.z });
}

/* From x to the logits. */
static void forward(struct launches *run)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const struct network *network = engine->network;
    convolve(run, 0, (struct cuda_activation){ .y = layout->x }, NULL);
    for (uint32_t b = 0; b < network->block_count; b++) {
        const uint32_t l = 1 + 2 * b;
        convolve(run, l, output_of(engine, b), layout->outputs[b]);
        project(run, b);
        convolve(run, l + 1, (struct cuda_activation){ .y = layout->y[l], .norm = norms(engine, l) }, NULL);
    }
    LAUNCH(run, cuda_pool, engine->main,
           { .count = run->images,
             .input = output_of(engine, network->block_count),
             .activation = layout->outputs[network->block_count],
             .w = value(engine, network->linear_weight),
             .bias = value(engine, network->linear_bias),
             .pool = layout->pool,
             .z = layout->logits });
}

/* ---- head -------------------------------------------------------------------------------------------------------- */

static void head(struct launches *run)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const struct network *network = engine->network;
    const struct model_config *model = &engine->recipe.model;
    const uint32_t last = network->conv_count - 1;
    const bool has_norm = network->logits_gamma >= 0;
    LAUNCH(run, cuda_head, engine->main,
           { .count = run->images,
             .z = layout->logits,
             .labels = layout->labels,
             .dz = layout->dz,
             .scratch = layout->head,
             .has_norm = has_norm,
             .norm = { .gamma = value(engine, network->logits_gamma),
                       .beta = value(engine, network->logits_beta),
                       .running_mean = value(engine, network->logits_mean),
                       .running_variance = value(engine, network->logits_variance),
                       .norm = norms(engine, network->conv_count),
                       .epsilon = model->batch_norm_epsilon,
                       .rate = model->batch_norm_rate,
                       .unbiased = model->batch_norm_unbiased,
                       .report = report_of(engine, engine->culprits.logits) },
             .dgamma = gradient(engine, network->logits_gamma),
             .dbeta = gradient(engine, network->logits_beta),
             .dbias = gradient(engine, network->linear_bias),
             .loss = report_of(engine, engine->culprits.loss) });
    fork_side(run);
    LAUNCH(run, cuda_linear_weight, engine->side,
           { .count = run->images,
             .pool = layout->pool,
             .dz = layout->dz,
             .dw = gradient(engine, network->linear_weight) });
    LAUNCH(run, cuda_pool_backward, engine->main,
           { .count = run->images,
             .dz = layout->dz,
             .w = value(engine, network->linear_weight),
             .activation = layout->outputs[network->block_count],
             .y = layout->y[last],
             .g = layout->g,
             .statistics = gradient_statistics_of(engine, last) });
    mark(run);
}

/* ---- backward ---------------------------------------------------------------------------------------------------- */

static struct cuda_output_gradient output_gradient(const struct engine *engine, uint32_t l, const float *g)
{
    return (struct cuda_output_gradient){ g, engine->layout.y[l], norms(engine, l), norm_gradients(engine, l) };
}

/* On the side stream: layer l's weight gradient. */
static void weigh(struct launches *run, uint32_t l, struct cuda_activation input, const float *g)
{
    const struct engine *engine = run->engine;
    const struct conv_layer *layer = &engine->network->convs[l];
    LAUNCH(run, cuda_backward_weight, engine->side,
           { .shape = shape_of(engine, l),
             .count = run->images,
             .input = input,
             .output = output_gradient(engine, l, g),
             .parts = engine->layout.parts });
    LAUNCH(run, cuda_tree, engine->side,
           { .parts = engine->layout.parts,
             .groups = layout_groups(layer, run->images),
             .size = layer->filters * layer->channels * 9,
             .result = gradient(engine, layer->weight) });
}

static void weigh_projection(struct launches *run, uint32_t block)
{
    const struct engine *engine = run->engine;
    const struct conv_layer *first = &engine->network->convs[1 + 2 * block];
    LAUNCH(run, cuda_projection_weight, engine->side,
           { .shape = shape_of(engine, 1 + 2 * block),
             .count = run->images,
             .x = engine->layout.outputs[block],
             .g = engine->layout.g,
             .parts = engine->layout.parts });
    LAUNCH(run, cuda_tree, engine->side,
           { .parts = engine->layout.parts,
             .groups = layout_groups(first, run->images),
             .size = first->filters * first->channels,
             .result = gradient(engine, engine->network->convs[2 + 2 * block].projection) });
}

/* The gradient that a block's shortcut carries to its input. */
static struct cuda_shortcut_source carry(struct launches *run, uint32_t block)
{
    const struct engine *engine = run->engine;
    const struct layout *layout = &engine->layout;
    const uint32_t l = 1 + 2 * block;
    const struct conv_layer *first = &engine->network->convs[l];
    if (!changes_shape(engine, block))
        return (struct cuda_shortcut_source){ .kind = CUDA_SHORTCUT_SAME, .array = layout->g };
    if (projects(engine, block)) {
        LAUNCH(run, cuda_projection_data, engine->main,
               { .shape = shape_of(engine, l),
                 .count = run->images,
                 .g = layout->g,
                 .w = value(engine, engine->network->convs[l + 1].projection),
                 .dx = layout->spread });
        return (struct cuda_shortcut_source){ .kind = CUDA_SHORTCUT_SUBSAMPLED,
                                              .channels = first->channels,
                                              .array = layout->spread };
    }
    /* Out of g, which the block's input is to have. */
    const uint32_t side = first->side / first->stride;
    check(run,
          cudaMemcpyAsync(layout->spread, layout->g, (size_t)run->images * first->filters * side * side * sizeof(float),
                          cudaMemcpyDeviceToDevice, engine->main),
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
    layout_packed(engine->network, l, &forward, &backward);
    LAUNCH(run, cuda_backward_data, engine->main,
           { .shape = shape_of(engine, l),
             .count = run->images,
             .output = output_gradient(engine, l, g),
             .weights = engine->layout.packed + backward,
             .shortcut = shortcut,
             .mask = mask,
             .below = engine->layout.y[l - 1],
             .g = result,
             .statistics = gradient_statistics_of(engine, l - 1) });
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
        const struct conv_layer *layer = &engine->network->convs[2 * i];
        const uint32_t side = layer->side / layer->stride;
        LAUNCH(run, cuda_activate, engine->main,
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
    if (!layout->kept[b] && (b + 1 == engine->network->block_count || layout->kept[b + 1]))
        remake(run, b);
    /* The inner gradient's reader on the side is the last block's first layer. */
    join_side(run);
    fork_side(run);
    weigh(run, second, (struct cuda_activation){ .y = layout->y[first], .norm = norms(engine, first) }, layout->g);
    if (projects(engine, b))
        weigh_projection(run, b);
    descend(run, second, layout->g, (struct cuda_shortcut_source){ .kind = CUDA_SHORTCUT_NONE }, NULL, layout->inner);
    mark(run);
    const struct cuda_shortcut_source shortcut = carry(run, b);
    join_side(run);
    fork_side(run);
    weigh(run, first, (struct cuda_activation){ .y = layout->outputs[b] }, layout->inner);
    descend(run, first, layout->inner, shortcut, layout->outputs[b], layout->g);
    mark(run);
}

static void backward(struct launches *run)
{
    const struct engine *engine = run->engine;
    for (uint32_t b = engine->network->block_count; b-- > 0;)
        backward_block(run, b);
    fork_side(run);
    weigh(run, 0, (struct cuda_activation){ .y = engine->layout.x }, engine->layout.g);
    join_side(run);
    mark(run);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static struct cuda_update_arguments update_of(const struct engine *engine, bool update)
{
    const struct training_config *training = &engine->recipe.training;
    const struct layout *layout = &engine->layout;
    return (struct cuda_update_arguments){
        .pieces = layout->pieces,
        .piece_count = engine->sizes.piece_count,
        .update = update,
        .form = training->momentum_form,
        .momentum_factor = (float)training->momentum,
        .decay = (float)training->weight_decay,
        .values = layout->values,
        .momentum = layout->momentum,
        .gradients = layout->gradients,
        .packed = layout->packed,
        .report = report_of(engine, engine->culprits.update),
    };
}

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

cudaError_t step_launch(struct engine *engine, uint32_t images, struct queue_marks *marks, const char **call)
{
    const struct layout *layout = &engine->layout;
    const struct input_config *input = &engine->recipe.input;
    struct launches run = { .engine = engine, .images = images, .training = true, .marks = marks };
    mark(&run);
    LAUNCH(&run, cuda_begin, engine->main,
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
    if (run.failed == cudaSuccess)
        check(&run, cuda_load(&load, engine->main), "cuda_load");
    forward(&run);
    head(&run);
    backward(&run);
    const struct cuda_update_arguments update = update_of(engine, true);
    if (run.failed == cudaSuccess)
        check(&run, cuda_update(&update, engine->main), "cuda_update");
    mark(&run);
    *call = run.call;
    return run.failed;
}

cudaError_t pack_launch(struct engine *engine, const char **call)
{
    const struct cuda_update_arguments pack = update_of(engine, false);
    *call = "cuda_update";
    return cuda_update(&pack, engine->main);
}

cudaError_t evaluation_launch(struct engine *engine, uint32_t first, uint32_t images, const char **call)
{
    const struct layout *layout = &engine->layout;
    struct launches run = { .engine = engine, .images = images, .training = false };
    struct cuda_load_arguments load = load_of(engine, images);
    load.images = engine->validation_images;
    load.first = first;
    check(&run, cuda_load(&load, engine->main), "cuda_load");
    forward(&run);
    LAUNCH(&run, cuda_predict, engine->main,
           { .first = first,
             .count = images,
             .z = layout->logits,
             .norm = engine->network->logits_gamma >= 0 ? norms(engine, engine->network->conv_count) : NULL,
             .labels = engine->validation_labels,
             .predictions = layout->predictions,
             .losses = layout->losses });
    *call = run.call;
    return run.failed;
}

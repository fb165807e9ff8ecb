/* The list of a step's tensors: their names and shapes, and what each is computed from. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "trainer/dataset.h"
#include "trainer/step_trace.h"

/* ---- lines ------------------------------------------------------------------------------------------------------- */

/* A convolution or projection and the norm behind it; only the norm of the logits has no weight. -1: not there. */
struct layer {
    uint32_t index, K, P;
    int64_t weight, gamma, beta, mean, variance;
};

static struct layer layer_of(const struct network *network, uint32_t l)
{
    const struct conv_layer *layer = &network->convs[l];
    return (struct layer){ .index = l,
                           .K = layer->filters,
                           .P = layer->side / layer->stride,
                           .weight = layer->weight,
                           .gamma = layer->gamma,
                           .beta = layer->beta,
                           .mean = layer->running_mean,
                           .variance = layer->running_variance };
}

static struct layer projection_of(const struct network *network, uint32_t l)
{
    const struct conv_layer *layer = &network->convs[l];
    struct layer projection = layer_of(network, l);
    projection.index = step_trace_projection(network, l);
    projection.weight = layer->projection;
    projection.gamma = layer->projection_gamma;
    projection.beta = layer->projection_beta;
    projection.mean = layer->projection_mean;
    projection.variance = layer->projection_variance;
    return projection;
}

static struct layer logits_of(const struct network *network)
{
    return (struct layer){ .index = step_trace_logits(network),
                           .K = NETWORK_CLASSES,
                           .weight = -1,
                           .gamma = network->logits_gamma,
                           .beta = network->logits_beta,
                           .mean = network->logits_mean,
                           .variance = network->logits_variance };
}

/* A new line, without a shape yet: the format has one %s for the name of the tensor, without its last word where that
 * is "weight" and `layer` is true. */
static struct trace_line *add(struct step_trace *trace, enum trace_tensor what, uint32_t index,
                              enum trace_number number, const char *format, int64_t tensor, bool layer)
{
    const char *name = tensor < 0 ? "" : trace->network->tensors[tensor].name;
    const size_t length = strlen(name), end = strlen(".weight");
    struct trace_line *line = &trace->list.lines[trace->list.count];
    *step_trace_place(trace, what, index) = trace->list.count++;
    char text[TENSOR_NAME_BYTES];
    snprintf(text, sizeof text, "%.*s", (int)(layer && length > end ? length - end : length), name);
    const char *at = strstr(format, "%s");
    snprintf(line->name, sizeof line->name, "%.*s%s%s", at == NULL ? (int)strlen(format) : (int)(at - format), format,
             at == NULL ? "" : text, at == NULL ? "" : at + 2);
    line->number = number;
    line->first_input = trace->list.input_count;
    return line;
}

static void set_shape(struct trace_line *line, uint32_t rank, const uint32_t *shape)
{
    line->rank = rank;
    for (uint32_t i = 0; i < rank; i++)
        line->shape[i] = shape[i];
}

/* The line that was added last is computed from that one, too. */
static void from(struct step_trace *trace, enum trace_tensor what, int64_t index)
{
    struct trace_line *line = &trace->list.lines[trace->list.count - 1];
    if (index < 0)
        return;
    const uint32_t place = *step_trace_place(trace, what, (uint32_t)index);
    assert(place < trace->list.count - 1);
    trace->list.inputs[trace->list.input_count++] = place;
    line->input_count++;
}

static void add_images(struct step_trace *trace, enum trace_tensor what, const struct layer *layer, const char *format,
                       int64_t tensor)
{
    set_shape(add(trace, what, layer->index, TRACE_F32, format, tensor, true), 4,
              (uint32_t[]){ trace->images, layer->K, layer->P, layer->P });
}

static void add_channels(struct step_trace *trace, enum trace_tensor what, const struct layer *layer,
                         enum trace_number number, const char *format)
{
    set_shape(add(trace, what, layer->index, number, format, layer->gamma, true), 1, &layer->K);
}

static void add_sums(struct step_trace *trace, enum trace_tensor what, const struct layer *layer, const char *format)
{
    set_shape(add(trace, what, layer->index, TRACE_F32, format, layer->gamma, true), 3,
              (uint32_t[]){ trace->images, 2, layer->K });
}

static void add_tensor(struct step_trace *trace, enum trace_tensor what, uint32_t i, const char *format)
{
    const struct tensor *tensor = &trace->network->tensors[i];
    set_shape(add(trace, what, i, TRACE_F32, format, i, false), tensor->rank, tensor->shape);
}

static void add_given(struct step_trace *trace)
{
    const struct network *network = trace->network;
    const uint32_t N = trace->images;
    for (uint32_t i = 0; i < network->tensor_count; i++)
        add_tensor(trace, TRACE_BEFORE, i, "before/%s");
    for (uint32_t i = 0; i < network->tensor_count; i++) {
        if (network->tensors[i].role == TENSOR_PARAMETER)
            add_tensor(trace, TRACE_MOMENTUM_BEFORE, i, "before/momentum/%s");
    }
    set_shape(add(trace, TRACE_ORDER, 0, TRACE_U32, "batch/images", -1, false), 1, &N);
    set_shape(add(trace, TRACE_CROPS, 0, TRACE_U32, "batch/crops", -1, false), 2, (uint32_t[]){ N, 3 });
    set_shape(add(trace, TRACE_LABELS, 0, TRACE_U32, "batch/labels", -1, false), 1, &N);
    from(trace, TRACE_ORDER, 0);
    set_shape(add(trace, TRACE_RATE, 0, TRACE_F32, "batch/learning_rate", -1, false), 0, NULL);
    set_shape(add(trace, TRACE_INPUT, 0, TRACE_F32, "forward/input", -1, false), 4,
              (uint32_t[]){ N, 3, DATASET_SIDE, DATASET_SIDE });
    from(trace, TRACE_ORDER, 0);
    from(trace, TRACE_CROPS, 0);
}

/* What layer l reads: the images, or the activation of the layer below. */
static void from_input_of(struct step_trace *trace, uint32_t l)
{
    if (l == 0)
        from(trace, TRACE_INPUT, 0);
    else
        from(trace, TRACE_ACTIVATION, l - 1);
}

/* The constants of a norm, from `what`. */
static void add_norm(struct step_trace *trace, const struct layer *layer, enum trace_tensor what, uint32_t index)
{
    add_channels(trace, TRACE_MEAN, layer, TRACE_F64, "forward/%s/mean");
    from(trace, what, index);
    add_channels(trace, TRACE_VARIANCE, layer, TRACE_F64, "forward/%s/variance");
    from(trace, what, index);
    from(trace, TRACE_MEAN, layer->index);
    add_channels(trace, TRACE_INVERSE, layer, TRACE_F64, "forward/%s/inverse");
    from(trace, TRACE_VARIANCE, layer->index);
    add_channels(trace, TRACE_SCALE, layer, TRACE_F32, "forward/%s/scale");
    from(trace, TRACE_BEFORE, layer->gamma);
    from(trace, TRACE_INVERSE, layer->index);
    add_channels(trace, TRACE_SHIFT, layer, TRACE_F32, "forward/%s/shift");
    from(trace, TRACE_BEFORE, layer->beta);
    from(trace, TRACE_MEAN, layer->index);
    from(trace, TRACE_SCALE, layer->index);
}

static void add_output(struct step_trace *trace, const struct layer *layer, uint32_t reads)
{
    add_images(trace, TRACE_OUTPUT, layer, "forward/%s/output", layer->weight);
    from(trace, TRACE_BEFORE, layer->weight);
    from_input_of(trace, reads);
    add_sums(trace, TRACE_SUMS, layer, "forward/%s/sums");
    from(trace, TRACE_OUTPUT, layer->index);
    add_norm(trace, layer, TRACE_SUMS, layer->index);
}

static void from_normed(struct step_trace *trace, uint32_t norm)
{
    from(trace, TRACE_OUTPUT, norm);
    from(trace, TRACE_SCALE, norm);
    from(trace, TRACE_SHIFT, norm);
}

static bool is_second(uint32_t l)
{
    return l > 0 && l % 2 == 0;
}

static void add_forward(struct step_trace *trace, uint32_t l)
{
    const struct network *network = trace->network;
    const struct layer layer = layer_of(network, l), projection = projection_of(network, l);
    add_output(trace, &layer, l);
    if (projection.gamma >= 0)
        add_output(trace, &projection, l - 1);
    add_images(trace, TRACE_ACTIVATION, &layer, "forward/%s/activation", layer.gamma);
    from_normed(trace, l);
    if (projection.gamma >= 0) {
        from_normed(trace, projection.index);
    } else if (is_second(l)) {
        from(trace, TRACE_BEFORE, projection.weight);
        from_input_of(trace, l - 1);
    }
}

static void add_rows(struct step_trace *trace, enum trace_tensor what, uint32_t width, const char *name)
{
    set_shape(add(trace, what, 0, TRACE_F32, name, -1, false), 2, (uint32_t[]){ trace->images, width });
}

/* From the labels and what the softmax reads; its gradient by the logits reads more of their norm. */
static void from_softmax(struct step_trace *trace, bool gradient)
{
    const struct layer logits = logits_of(trace->network);
    from(trace, TRACE_LABELS, 0);
    from(trace, TRACE_LOGITS, 0);
    if (logits.gamma < 0)
        return;
    from(trace, TRACE_SCALE, logits.index);
    from(trace, TRACE_SHIFT, logits.index);
    if (gradient) {
        from(trace, TRACE_INVERSE, logits.index);
        from(trace, TRACE_MEAN, logits.index);
    }
}

static void add_gradient(struct step_trace *trace, int64_t tensor)
{
    add_tensor(trace, TRACE_GRADIENT, (uint32_t)tensor, "gradient/%s");
}

static void add_head(struct step_trace *trace)
{
    const struct network *network = trace->network;
    const struct layer logits = logits_of(network);
    add_rows(trace, TRACE_POOL, NETWORK_FEATURES, "forward/pool");
    from(trace, TRACE_ACTIVATION, network->conv_count - 1);
    add_rows(trace, TRACE_LOGITS, NETWORK_CLASSES, "forward/linear/output");
    from(trace, TRACE_BEFORE, network->linear_weight);
    from(trace, TRACE_BEFORE, network->linear_bias);
    from(trace, TRACE_POOL, 0);
    if (logits.gamma >= 0)
        add_norm(trace, &logits, TRACE_LOGITS, 0);
    set_shape(add(trace, TRACE_LOSS, 0, TRACE_F32, "forward/loss", -1, false), 0, NULL);
    from_softmax(trace, false);
    for (int i = 0; i < 2 && logits.gamma >= 0; i++) {
        add_gradient(trace, i == 0 ? logits.gamma : logits.beta);
        from_softmax(trace, true);
    }
    add_rows(trace, TRACE_LOGITS_GRADIENT, NETWORK_CLASSES, "backward/linear/output");
    from_softmax(trace, true);
    add_gradient(trace, network->linear_weight);
    from(trace, TRACE_POOL, 0);
    from(trace, TRACE_LOGITS_GRADIENT, 0);
    if (network->linear_bias >= 0) {
        add_gradient(trace, network->linear_bias);
        from(trace, TRACE_LOGITS_GRADIENT, 0);
    }
    add_rows(trace, TRACE_POOL_GRADIENT, NETWORK_FEATURES, "backward/pool");
    from(trace, TRACE_BEFORE, network->linear_weight);
    from(trace, TRACE_LOGITS_GRADIENT, 0);
}

/* From the gradient g of a norm's output, that of layer l's ReLU, to that of its input. */
static void add_norm_backward(struct step_trace *trace, const struct layer *layer, uint32_t l)
{
    add_sums(trace, TRACE_GRADIENT_SUMS, layer, "backward/%s/sums");
    from(trace, TRACE_OUTPUT, layer->index);
    from(trace, TRACE_MEAN, layer->index);
    from(trace, TRACE_ACTIVATION_GRADIENT, l);
    add_gradient(trace, layer->gamma);
    from(trace, TRACE_INVERSE, layer->index);
    from(trace, TRACE_GRADIENT_SUMS, layer->index);
    add_gradient(trace, layer->beta);
    from(trace, TRACE_GRADIENT_SUMS, layer->index);
    add_channels(trace, TRACE_SLOPE, layer, TRACE_F32, "backward/%s/slope");
    from(trace, TRACE_INVERSE, layer->index);
    from(trace, TRACE_SCALE, layer->index);
    from(trace, TRACE_GRADIENT_SUMS, layer->index);
    add_channels(trace, TRACE_CONSTANT, layer, TRACE_F32, "backward/%s/constant");
    from(trace, TRACE_MEAN, layer->index);
    from(trace, TRACE_SCALE, layer->index);
    from(trace, TRACE_GRADIENT_SUMS, layer->index);
    from(trace, TRACE_SLOPE, layer->index);
    add_images(trace, TRACE_OUTPUT_GRADIENT, layer, "backward/%s/output", layer->weight);
    from(trace, TRACE_OUTPUT, layer->index);
    from(trace, TRACE_SCALE, layer->index);
    from(trace, TRACE_ACTIVATION_GRADIENT, l);
    from(trace, TRACE_SLOPE, layer->index);
    from(trace, TRACE_CONSTANT, layer->index);
}

/* The gradient of the shortcut's output in the block whose second convolution is l. */
static void from_shortcut_gradient(struct step_trace *trace, uint32_t l)
{
    if (trace->network->convs[l].projection_gamma >= 0)
        from(trace, TRACE_OUTPUT_GRADIENT, step_trace_projection(trace->network, l));
    else
        from(trace, TRACE_ACTIVATION_GRADIENT, l);
}

static void add_backward(struct step_trace *trace, uint32_t l)
{
    const struct network *network = trace->network;
    const struct layer layer = layer_of(network, l), projection = projection_of(network, l);
    add_images(trace, TRACE_ACTIVATION_GRADIENT, &layer, "backward/%s/activation", layer.gamma);
    from(trace, TRACE_ACTIVATION, l);
    if (l + 1 == network->conv_count) {
        from(trace, TRACE_POOL_GRADIENT, 0);
    } else {
        from(trace, TRACE_BEFORE, network->convs[l + 1].weight);
        from(trace, TRACE_OUTPUT_GRADIENT, l + 1);
        if (l % 2 == 0) {
            from(trace, TRACE_BEFORE, network->convs[l + 2].projection);
            from_shortcut_gradient(trace, l + 2);
        }
    }
    add_norm_backward(trace, &layer, l);
    add_gradient(trace, layer.weight);
    from_input_of(trace, l);
    from(trace, TRACE_OUTPUT_GRADIENT, l);
    if (projection.gamma >= 0)
        add_norm_backward(trace, &projection, l);
    if (projection.weight >= 0) {
        add_gradient(trace, projection.weight);
        from_input_of(trace, l - 1);
        from_shortcut_gradient(trace, l);
    }
}

/* The running statistics of a norm. */
static void add_running(struct step_trace *trace, const struct layer *layer)
{
    if (layer->gamma < 0)
        return;
    add_tensor(trace, TRACE_AFTER, (uint32_t)layer->mean, "after/%s");
    from(trace, TRACE_BEFORE, layer->mean);
    from(trace, TRACE_MEAN, layer->index);
    add_tensor(trace, TRACE_AFTER, (uint32_t)layer->variance, "after/%s");
    from(trace, TRACE_BEFORE, layer->variance);
    from(trace, TRACE_VARIANCE, layer->index);
}

static void add_after(struct step_trace *trace, const struct recipe *recipe)
{
    const struct network *network = trace->network;
    const bool neon = recipe->training.momentum_form == MOMENTUM_NEON;
    for (uint32_t l = 0; l < network->conv_count; l++) {
        const struct layer layer = layer_of(network, l), projection = projection_of(network, l);
        add_running(trace, &layer);
        add_running(trace, &projection);
    }
    const struct layer logits = logits_of(network);
    add_running(trace, &logits);
    for (uint32_t i = 0; i < network->tensor_count; i++) {
        if (network->tensors[i].role != TENSOR_PARAMETER)
            continue;
        add_tensor(trace, TRACE_MOMENTUM_AFTER, i, "after/momentum/%s");
        from(trace, TRACE_BEFORE, i);
        from(trace, TRACE_MOMENTUM_BEFORE, i);
        if (neon)
            from(trace, TRACE_RATE, 0);
        from(trace, TRACE_GRADIENT, i);
        add_tensor(trace, TRACE_AFTER, i, "after/%s");
        from(trace, TRACE_BEFORE, i);
        if (!neon)
            from(trace, TRACE_RATE, 0);
        from(trace, TRACE_MOMENTUM_AFTER, i);
    }
}

void step_trace_list(struct step_trace *trace, const struct recipe *recipe)
{
    const struct network *network = trace->network;
    add_given(trace);
    for (uint32_t l = 0; l < network->conv_count; l++)
        add_forward(trace, l);
    add_head(trace);
    for (uint32_t l = network->conv_count; l-- > 0;)
        add_backward(trace, l);
    add_after(trace, recipe);
}

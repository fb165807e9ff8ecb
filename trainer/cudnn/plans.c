#include "trainer/cudnn/plans.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define PASS(pass) (1u << (pass))

static const struct convolution_shape {
    uint32_t C, K, H, stride, R;
    unsigned passes; /* which a step needs */
} shapes[CUDNN_CONVOLUTIONS] = {
    [CUDNN_CONVOLUTION_FIRST] = { 0, 16, 32, 1, 3, PASS(CUDNN_FORWARD) | PASS(CUDNN_BACKWARD_WEIGHT) },
    [CUDNN_CONVOLUTION_16] = { 16, 16, 32, 1, 3, PASS(CUDNN_PASSES) - 1 },
    [CUDNN_CONVOLUTION_32_DOWN] = { 16, 32, 32, 2, 3, (PASS(CUDNN_PASSES) - 1) & ~PASS(CUDNN_BACKWARD_DATA_ADD) },
    [CUDNN_CONVOLUTION_32] = { 32, 32, 16, 1, 3, PASS(CUDNN_PASSES) - 1 },
    [CUDNN_CONVOLUTION_64_DOWN] = { 32, 64, 16, 2, 3, (PASS(CUDNN_PASSES) - 1) & ~PASS(CUDNN_BACKWARD_DATA_ADD) },
    [CUDNN_CONVOLUTION_64] = { 64, 64, 8, 1, 3, PASS(CUDNN_PASSES) - 1 },
    [CUDNN_CONVOLUTION_32_PROJECT] = { 16, 32, 32, 2, 1, (PASS(CUDNN_PASSES) - 1) & ~PASS(CUDNN_BACKWARD_DATA) },
    [CUDNN_CONVOLUTION_64_PROJECT] = { 32, 64, 16, 2, 1, (PASS(CUDNN_PASSES) - 1) & ~PASS(CUDNN_BACKWARD_DATA) },
};

static const char *const pass_names[] = { "forward", "backward data", "backward data, added", "backward weights" };
static const char *const norm_names[] = { "batch norm, ReLU", "batch norm, add, ReLU", "ReLU and batch norm backward" };
static const char *const activation_names[] = { "scale, shift, ReLU", "scale, shift, add, ReLU" };
static const char *const pool_names[] = { "pooling", "pooling backward" };

enum { NAME_BYTES = 80 };

const char *cudnn_precision_name(enum cudnn_precision precision)
{
    static const char *const names[] = { "fp32", "tf32", "bf16" };
    return names[precision];
}

/* Vectors of 16 bytes. */
uint32_t cudnn_input_channels(enum cudnn_precision precision)
{
    return precision == CUDNN_PRECISION_BF16 ? 8 : 4;
}

size_t cudnn_activation_bytes(enum cudnn_precision precision)
{
    return precision == CUDNN_PRECISION_BF16 ? 2 : sizeof(float);
}

uint32_t cudnn_stage_of(const struct conv_layer *layer)
{
    return layer->filters == 16 ? 0 : layer->filters == 32 ? 1 : 2;
}

enum cudnn_convolution cudnn_convolution_of(const struct conv_layer *layer)
{
    if (layer->channels == 3)
        return CUDNN_CONVOLUTION_FIRST;
    static const enum cudnn_convolution same[] = { CUDNN_CONVOLUTION_16, CUDNN_CONVOLUTION_32, CUDNN_CONVOLUTION_64 };
    static const enum cudnn_convolution down[] = { CUDNN_CONVOLUTIONS, CUDNN_CONVOLUTION_32_DOWN,
                                                   CUDNN_CONVOLUTION_64_DOWN };
    return (layer->stride == 1 ? same : down)[cudnn_stage_of(layer)];
}

enum cudnn_convolution cudnn_projection_of(const struct conv_layer *layer)
{
    assert(layer->projection >= 0);
    return cudnn_stage_of(layer) == 1 ? CUDNN_CONVOLUTION_32_PROJECT : CUDNN_CONVOLUTION_64_PROJECT;
}

static uint32_t channels_of(const struct cudnn_plans *plans, enum cudnn_convolution convolution)
{
    return shapes[convolution].C == 0 ? cudnn_input_channels(plans->precision) : shapes[convolution].C;
}

static cudnnDataType_t type_of(const struct cudnn_plans *plans)
{
    return plans->precision == CUDNN_PRECISION_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

/* ---- graphs ------------------------------------------------------------------------------------------------------ */

static void describe_convolution(const struct cudnn_plans *plans, enum cudnn_convolution convolution,
                                 enum cudnn_pass pass, struct cudnn_graph *graph)
{
    static const enum graph_direction directions[] = { GRAPH_FORWARD, GRAPH_BACKWARD_DATA, GRAPH_BACKWARD_DATA,
                                                       GRAPH_BACKWARD_WEIGHT };
    const struct convolution_shape *shape = &shapes[convolution];
    const cudnnDataType_t type = type_of(plans);
    const uint32_t C = channels_of(plans, convolution), P = shape->H / shape->stride;
    graph_convolution(graph, directions[pass], shape->R / 2, shape->stride,
                      graph_tensor(graph, CUDNN_X, type, plans->images, C, shape->H, shape->H, GRAPH_MEMORY),
                      graph_tensor(graph, CUDNN_W, type, shape->K, C, shape->R, shape->R, GRAPH_MEMORY),
                      graph_tensor(graph, CUDNN_Y, type, plans->images, shape->K, P, P, GRAPH_MEMORY),
                      pass == CUDNN_BACKWARD_DATA_ADD ? 1.0f : 0.0f);
}

/* A stage's activation. */
static cudnnBackendDescriptor_t activation(const struct cudnn_plans *plans, uint32_t stage, struct cudnn_graph *graph,
                                           int64_t uid)
{
    return graph_tensor(graph, uid, type_of(plans), plans->images, 16u << stage, 32u >> stage, 32u >> stage,
                        GRAPH_MEMORY);
}

static cudnnBackendDescriptor_t mask(const struct cudnn_plans *plans, uint32_t stage, struct cudnn_graph *graph)
{
    return graph_tensor(graph, CUDNN_MASK, CUDNN_DATA_BOOLEAN, plans->images, 16u << stage, 32u >> stage, 32u >> stage,
                        GRAPH_MEMORY);
}

/* One within the graph, in float32. */
static cudnnBackendDescriptor_t inner(const struct cudnn_plans *plans, uint32_t stage, struct cudnn_graph *graph,
                                      int64_t uid)
{
    return graph_tensor(graph, uid, CUDNN_DATA_FLOAT, plans->images, 16u << stage, 32u >> stage, 32u >> stage,
                        GRAPH_VIRTUAL);
}

static cudnnBackendDescriptor_t per_channel(uint32_t stage, struct cudnn_graph *graph, int64_t uid)
{
    return graph_tensor(graph, uid, CUDNN_DATA_FLOAT, 1, 16u << stage, 1, 1, GRAPH_MEMORY);
}

static void describe_norm(const struct cudnn_plans *plans, uint32_t stage, enum cudnn_norm kind,
                          struct cudnn_graph *graph)
{
    struct graph_norm norm = { .x = activation(plans, stage, graph, CUDNN_X),
                               .mean = per_channel(stage, graph, CUDNN_MEAN),
                               .inverse = per_channel(stage, graph, CUDNN_INVERSE),
                               .gamma = per_channel(stage, graph, CUDNN_GAMMA) };
    if (kind == CUDNN_NORM_BACKWARD) {
        norm.dy = activation(plans, stage, graph, CUDNN_G);
        norm.dx = activation(plans, stage, graph, CUDNN_DX);
        norm.dgamma = per_channel(stage, graph, CUDNN_DGAMMA);
        norm.dbeta = per_channel(stage, graph, CUDNN_DBETA);
        graph_pointwise(graph, CUDNN_POINTWISE_MUL, activation(plans, stage, graph, CUDNN_DY),
                        mask(plans, stage, graph), norm.dy);
        graph_norm_backward(graph, &norm);
        return;
    }
    norm.beta = per_channel(stage, graph, CUDNN_BETA);
    norm.epsilon = graph_scalar(graph, CUDNN_EPSILON);
    norm.y = inner(plans, stage, graph, CUDNN_INNER);
    graph_norm_forward(graph, &norm);
    cudnnBackendDescriptor_t sum = norm.y;
    if (kind == CUDNN_NORM_ADD_RELU) {
        sum = inner(plans, stage, graph, CUDNN_INNER + 1);
        graph_pointwise(graph, CUDNN_POINTWISE_ADD, norm.y, activation(plans, stage, graph, CUDNN_SHORTCUT), sum);
    }
    graph_pointwise(graph, CUDNN_POINTWISE_RELU_FWD, sum, NULL, activation(plans, stage, graph, CUDNN_OUTPUT));
}

static void describe_activation(const struct cudnn_plans *plans, uint32_t stage, enum cudnn_activation kind,
                                struct cudnn_graph *graph)
{
    cudnnBackendDescriptor_t scaled = inner(plans, stage, graph, CUDNN_INNER),
                             sum = inner(plans, stage, graph, CUDNN_INNER + 1);
    graph_pointwise(graph, CUDNN_POINTWISE_MUL, activation(plans, stage, graph, CUDNN_X),
                    per_channel(stage, graph, CUDNN_SCALE), scaled);
    graph_pointwise(graph, CUDNN_POINTWISE_ADD, scaled, per_channel(stage, graph, CUDNN_SHIFT), sum);
    if (kind == CUDNN_ACTIVATE_ADD) {
        cudnnBackendDescriptor_t added = inner(plans, stage, graph, CUDNN_INNER + 2);
        graph_pointwise(graph, CUDNN_POINTWISE_ADD, sum, activation(plans, stage, graph, CUDNN_SHORTCUT), added);
        sum = added;
    }
    graph_pointwise(graph, CUDNN_POINTWISE_RELU_FWD, sum, NULL, activation(plans, stage, graph, CUDNN_OUTPUT));
}

static void describe_pool(const struct cudnn_plans *plans, enum cudnn_pool kind, struct cudnn_graph *graph)
{
    graph_average(graph, kind == CUDNN_POOL ? GRAPH_FORWARD : GRAPH_BACKWARD_DATA, 8,
                  activation(plans, CUDNN_STAGES - 1, graph, CUDNN_X),
                  graph_tensor(graph, CUDNN_Y, CUDNN_DATA_FLOAT, plans->images, NETWORK_FEATURES, 1, 1, GRAPH_MEMORY));
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

/* Of which group a plan is, and which of it. */
enum group { GROUP_CONVOLUTION, GROUP_NORM, GROUP_ACTIVATE, GROUP_POOL };

struct entry {
    enum group group;
    uint32_t index, kind;
};

enum { ENTRIES = CUDNN_CONVOLUTIONS * CUDNN_PASSES + CUDNN_STAGES * (CUDNN_NORMS + CUDNN_ACTIVATIONS) + CUDNN_POOLS };

static struct entry entry_at(uint32_t i)
{
    if (i < CUDNN_CONVOLUTIONS * CUDNN_PASSES)
        return (struct entry){ GROUP_CONVOLUTION, i / CUDNN_PASSES, i % CUDNN_PASSES };
    i -= CUDNN_CONVOLUTIONS * CUDNN_PASSES;
    if (i < CUDNN_STAGES * CUDNN_NORMS)
        return (struct entry){ GROUP_NORM, i / CUDNN_NORMS, i % CUDNN_NORMS };
    i -= CUDNN_STAGES * CUDNN_NORMS;
    if (i < CUDNN_STAGES * CUDNN_ACTIVATIONS)
        return (struct entry){ GROUP_ACTIVATE, i / CUDNN_ACTIVATIONS, i % CUDNN_ACTIVATIONS };
    return (struct entry){ GROUP_POOL, 0, i - CUDNN_STAGES * CUDNN_ACTIVATIONS };
}

static const struct cudnn_plan *plan_at(const struct cudnn_plans *plans, struct entry entry)
{
    switch (entry.group) {
    case GROUP_CONVOLUTION:
        return &plans->convolution[entry.index][entry.kind];
    case GROUP_NORM:
        return &plans->norm[entry.index][entry.kind];
    case GROUP_ACTIVATE:
        return &plans->activate[entry.index][entry.kind];
    default:
        return &plans->pool[entry.kind];
    }
}

static bool needed(struct entry entry, const struct network *network, bool training)
{
    switch (entry.group) {
    case GROUP_CONVOLUTION:
        if (shapes[entry.index].R == 1 && network->model.shortcut != SHORTCUT_PROJECTION)
            return false;
        return entry.kind == CUDNN_FORWARD || (training && (shapes[entry.index].passes & PASS(entry.kind)) != 0);
    case GROUP_NORM:
        return training;
    case GROUP_ACTIVATE:
        return !training;
    default:
        return training || entry.kind == CUDNN_POOL;
    }
}

static void name_entry(const struct cudnn_plans *plans, struct entry entry, char name[NAME_BYTES])
{
    const struct convolution_shape *shape = &shapes[entry.group == GROUP_CONVOLUTION ? entry.index : 0];
    const uint32_t channels = 16u << entry.index % CUDNN_STAGES, side = 32u >> entry.index % CUDNN_STAGES;
    switch (entry.group) {
    case GROUP_CONVOLUTION:
        snprintf(name, NAME_BYTES, "convolution %ux%u, %u to %u channels, side %u, stride %u, %s", shape->R, shape->R,
                 channels_of(plans, (enum cudnn_convolution)entry.index), shape->K, shape->H, shape->stride,
                 pass_names[entry.kind]);
        break;
    case GROUP_NORM:
        snprintf(name, NAME_BYTES, "%s, %u channels, side %u", norm_names[entry.kind], channels, side);
        break;
    case GROUP_ACTIVATE:
        snprintf(name, NAME_BYTES, "%s, %u channels, side %u", activation_names[entry.kind], channels, side);
        break;
    case GROUP_POOL:
        snprintf(name, NAME_BYTES, "%s", pool_names[entry.kind]);
        break;
    }
}

static void describe(const struct cudnn_plans *plans, struct entry entry, struct cudnn_graph *graph)
{
    switch (entry.group) {
    case GROUP_CONVOLUTION:
        describe_convolution(plans, (enum cudnn_convolution)entry.index, (enum cudnn_pass)entry.kind, graph);
        break;
    case GROUP_NORM:
        describe_norm(plans, entry.index, (enum cudnn_norm)entry.kind, graph);
        break;
    case GROUP_ACTIVATE:
        describe_activation(plans, entry.index, (enum cudnn_activation)entry.kind, graph);
        break;
    case GROUP_POOL:
        describe_pool(plans, (enum cudnn_pool)entry.kind, graph);
        break;
    }
}

enum status cudnn_plans_open(struct cudnn_plans *plans, const struct cudnn_planner *planner,
                             const struct network *network, enum cudnn_precision precision, uint32_t images,
                             bool training, struct error *error)
{
    memset(plans, 0, sizeof *plans);
    plans->planner = *planner;
    plans->planner.fma_only = precision == CUDNN_PRECISION_FP32;
    plans->precision = precision;
    plans->images = images;
    enum status status = STATUS_OK;
    for (uint32_t i = 0; status == STATUS_OK && i < ENTRIES; i++) {
        const struct entry entry = entry_at(i);
        if (!needed(entry, network, training))
            continue;
        char name[NAME_BYTES];
        struct cudnn_graph graph;
        name_entry(plans, entry, name);
        graph_open(&graph, &plans->planner);
        describe(plans, entry, &graph);
        status = graph_plan(&graph, name, (struct cudnn_plan *)plan_at(plans, entry), error);
        graph_close(&graph);
    }
    if (status != STATUS_OK)
        cudnn_plans_close(plans);
    return status;
}

void cudnn_plans_close(struct cudnn_plans *plans)
{
    for (uint32_t i = 0; plans->planner.library != NULL && i < ENTRIES; i++)
        plan_close(plans->planner.library, (struct cudnn_plan *)plan_at(plans, entry_at(i)));
    memset(plans, 0, sizeof *plans);
}

void cudnn_plans_list(const struct cudnn_plans *plans,
                      void (*each)(void *context, const char *name, const struct cudnn_plan *plan), void *context)
{
    for (uint32_t i = 0; i < ENTRIES; i++) {
        const struct entry entry = entry_at(i);
        const struct cudnn_plan *plan = plan_at(plans, entry);
        char name[NAME_BYTES];
        if (plan->plan == NULL)
            continue;
        name_entry(plans, entry, name);
        each(context, name, plan);
    }
}

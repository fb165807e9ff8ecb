#include "trainer/cudnn/graph.h"

#include <inttypes.h>
#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { CONFIGS_MAX = 64, NOTES_MAX = CUDNN_NUMERICAL_NOTE_TYPE_COUNT, KNOBS_MAX = 32 };

/* ---- descriptors ------------------------------------------------------------------------------------------------- */

void graph_open(struct cudnn_graph *graph, const struct cudnn_planner *planner)
{
    memset(graph, 0, sizeof *graph);
    graph->planner = planner;
}

void graph_close(struct cudnn_graph *graph)
{
    while (graph->descriptor_count > 0)
        graph->planner->library->cudnnBackendDestroyDescriptor(graph->descriptors[--graph->descriptor_count]);
}

/* Keeps the first failure. */
static void check(struct cudnn_graph *graph, cudnnStatus_t status, const char *what)
{
    if (graph->status == STATUS_OK)
        graph->status = cudnn_check(graph->planner->library, status, what, &graph->error);
}

static cudnnBackendDescriptor_t create(struct cudnn_graph *graph, cudnnBackendDescriptorType_t type, const char *what)
{
    cudnnBackendDescriptor_t descriptor = NULL;
    assert(graph->descriptor_count < GRAPH_DESCRIPTORS);
    if (graph->status != STATUS_OK)
        return NULL;
    check(graph, graph->planner->library->cudnnBackendCreateDescriptor(type, &descriptor), what);
    if (graph->status == STATUS_OK)
        graph->descriptors[graph->descriptor_count++] = descriptor;
    return descriptor;
}

static void set(struct cudnn_graph *graph, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    if (graph->status != STATUS_OK)
        return;
    char what[64];
    snprintf(what, sizeof what, "cudnnBackendSetAttribute %d", (int)name);
    check(graph, graph->planner->library->cudnnBackendSetAttribute(descriptor, name, type, count, values), what);
}

static void set_integer(struct cudnn_graph *graph, cudnnBackendDescriptor_t descriptor,
                        cudnnBackendAttributeName_t name, int64_t value)
{
    set(graph, descriptor, name, CUDNN_TYPE_INT64, 1, &value);
}

/* The same for rows and columns. */
static void set_pair(struct cudnn_graph *graph, cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t name,
                     int64_t value)
{
    const int64_t both[2] = { value, value };
    set(graph, descriptor, name, CUDNN_TYPE_INT64, 2, both);
}

static void set_descriptor(struct cudnn_graph *graph, cudnnBackendDescriptor_t descriptor,
                           cudnnBackendAttributeName_t name, cudnnBackendDescriptor_t value)
{
    set(graph, descriptor, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void set_float_type(struct cudnn_graph *graph, cudnnBackendDescriptor_t descriptor,
                           cudnnBackendAttributeName_t name)
{
    const cudnnDataType_t type = CUDNN_DATA_FLOAT;
    set(graph, descriptor, name, CUDNN_TYPE_DATA_TYPE, 1, &type);
}

static void finalize(struct cudnn_graph *graph, cudnnBackendDescriptor_t descriptor, const char *what)
{
    if (graph->status == STATUS_OK)
        check(graph, graph->planner->library->cudnnBackendFinalize(descriptor), what);
}

static void finalize_operation(struct cudnn_graph *graph, cudnnBackendDescriptor_t operation, const char *what)
{
    assert(graph->operation_count < GRAPH_OPERATIONS);
    finalize(graph, operation, what);
    if (graph->status == STATUS_OK)
        graph->operations[graph->operation_count++] = operation;
}

enum status cudnn_describe_device(const struct cudnn_library *library, const char *json,
                                  cudnnBackendDescriptor_t *device, struct error *error)
{
    *device = NULL;
    cudnnStatus_t status = library->cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, device);
    if (status == CUDNN_STATUS_SUCCESS)
        status = library->cudnnBackendSetAttribute(*device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                                   (int64_t)strlen(json) + 1, json);
    if (status == CUDNN_STATUS_SUCCESS)
        status = library->cudnnBackendFinalize(*device);
    return cudnn_check(library, status, "the description of a device", error);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static cudnnBackendDescriptor_t start_tensor(struct cudnn_graph *graph, int64_t uid, cudnnDataType_t type,
                                             const int64_t shape[4], int64_t alignment)
{
    cudnnBackendDescriptor_t tensor = create(graph, CUDNN_BACKEND_TENSOR_DESCRIPTOR, "a tensor");
    const int64_t strides[4] = { shape[1] * shape[2] * shape[3], 1, shape[3] * shape[1], shape[1] };
    set(graph, tensor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(graph, tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, shape);
    set(graph, tensor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    set_integer(graph, tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, uid);
    set_integer(graph, tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, alignment);
    return tensor;
}

cudnnBackendDescriptor_t graph_tensor(struct cudnn_graph *graph, int64_t uid, cudnnDataType_t type, int64_t N,
                                      int64_t C, int64_t H, int64_t W, enum graph_place place)
{
    const int64_t shape[4] = { N, C, H, W };
    const bool is_virtual = place == GRAPH_VIRTUAL;
    cudnnBackendDescriptor_t tensor = start_tensor(graph, uid, type, shape, 16);
    set(graph, tensor, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    finalize(graph, tensor, "a tensor");
    return tensor;
}

cudnnBackendDescriptor_t graph_scalar(struct cudnn_graph *graph, int64_t uid)
{
    const int64_t shape[4] = { 1, 1, 1, 1 };
    const bool by_value = true;
    cudnnBackendDescriptor_t tensor = start_tensor(graph, uid, CUDNN_DATA_FLOAT, shape, sizeof(float));
    set(graph, tensor, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value);
    finalize(graph, tensor, "a number");
    return tensor;
}

/* ---- operations -------------------------------------------------------------------------------------------------- */

void graph_convolution(struct cudnn_graph *graph, enum graph_direction direction, int64_t padding, int64_t stride,
                       cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t w, cudnnBackendDescriptor_t y, float beta)
{
    static const struct {
        cudnnBackendDescriptorType_t operation;
        cudnnBackendAttributeName_t description, x, w, y, alpha, beta;
        const char *what;
    } kinds[] = {
        [GRAPH_FORWARD] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, "a convolution" },
        [GRAPH_BACKWARD_DATA] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                  CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, "a convolution's backward data" },
        [GRAPH_BACKWARD_WEIGHT] = { CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA,
                                    "a convolution's backward weights" },
    };
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const float alpha = 1.0f;
    cudnnBackendDescriptor_t shape = create(graph, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, kinds[direction].what);
    set_float_type(graph, shape, CUDNN_ATTR_CONVOLUTION_COMP_TYPE);
    set(graph, shape, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    set_pair(graph, shape, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, padding);
    set_pair(graph, shape, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, padding);
    set_pair(graph, shape, CUDNN_ATTR_CONVOLUTION_DILATIONS, 1);
    set_pair(graph, shape, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, stride);
    set_integer(graph, shape, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 2);
    finalize(graph, shape, kinds[direction].what);
    cudnnBackendDescriptor_t operation = create(graph, kinds[direction].operation, kinds[direction].what);
    set_descriptor(graph, operation, kinds[direction].description, shape);
    set_descriptor(graph, operation, kinds[direction].x, x);
    set_descriptor(graph, operation, kinds[direction].w, w);
    set_descriptor(graph, operation, kinds[direction].y, y);
    set(graph, operation, kinds[direction].alpha, CUDNN_TYPE_FLOAT, 1, &alpha);
    set(graph, operation, kinds[direction].beta, CUDNN_TYPE_FLOAT, 1, &beta);
    finalize_operation(graph, operation, kinds[direction].what);
    graph->convolution = true;
}

void graph_pointwise(struct cudnn_graph *graph, cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t a,
                     cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t y)
{
    static const char what[] = "a pointwise operation";
    cudnnBackendDescriptor_t kind = create(graph, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, what);
    set(graph, kind, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set_float_type(graph, kind, CUDNN_ATTR_POINTWISE_MATH_PREC);
    finalize(graph, kind, what);
    cudnnBackendDescriptor_t operation = create(graph, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, what);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kind);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, a);
    if (b != NULL)
        set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
    finalize_operation(graph, operation, what);
}

void graph_norm_forward(struct cudnn_graph *graph, const struct graph_norm *norm)
{
    static const char what[] = "a batch norm";
    const cudnnBackendNormMode_t mode = CUDNN_BATCH_NORM;
    const cudnnBackendNormFwdPhase_t phase = CUDNN_NORM_FWD_TRAINING;
    cudnnBackendDescriptor_t operation = create(graph, CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR, what);
    set(graph, operation, CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_TYPE_NORM_MODE, 1, &mode);
    set(graph, operation, CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, CUDNN_TYPE_NORM_FWD_PHASE, 1, &phase);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, norm->x);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, norm->y);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, norm->mean);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, norm->inverse);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, norm->gamma);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC, norm->beta);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC, norm->epsilon);
    finalize_operation(graph, operation, what);
}

void graph_norm_backward(struct cudnn_graph *graph, const struct graph_norm *norm)
{
    static const char what[] = "a batch norm's backward";
    const cudnnBackendNormMode_t mode = CUDNN_BATCH_NORM;
    cudnnBackendDescriptor_t operation = create(graph, CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR, what);
    set(graph, operation, CUDNN_ATTR_OPERATION_NORM_BWD_MODE, CUDNN_TYPE_NORM_MODE, 1, &mode);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_NORM_BWD_XDESC, norm->x);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC, norm->mean);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC, norm->inverse);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC, norm->dy);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, norm->gamma);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC, norm->dgamma);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC, norm->dbeta);
    set_descriptor(graph, operation, CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, norm->dx);
    finalize_operation(graph, operation, what);
}

void graph_average(struct cudnn_graph *graph, enum graph_direction direction, int64_t side, cudnnBackendDescriptor_t x,
                   cudnnBackendDescriptor_t y)
{
    static const char what[] = "a mean over windows";
    const cudnnResampleMode_t mode = CUDNN_RESAMPLE_AVGPOOL_INCLUDE_PADDING;
    const cudnnPaddingMode_t padding = CUDNN_ZERO_PAD;
    const bool forward = direction == GRAPH_FORWARD;
    cudnnBackendDescriptor_t window = create(graph, CUDNN_BACKEND_RESAMPLE_DESCRIPTOR, what);
    set(graph, window, CUDNN_ATTR_RESAMPLE_MODE, CUDNN_TYPE_RESAMPLE_MODE, 1, &mode);
    set_float_type(graph, window, CUDNN_ATTR_RESAMPLE_COMP_TYPE);
    set(graph, window, CUDNN_ATTR_RESAMPLE_PADDING_MODE, CUDNN_TYPE_PADDING_MODE, 1, &padding);
    set_integer(graph, window, CUDNN_ATTR_RESAMPLE_SPATIAL_DIMS, 2);
    set_pair(graph, window, CUDNN_ATTR_RESAMPLE_WINDOW_DIMS, side);
    set_pair(graph, window, CUDNN_ATTR_RESAMPLE_STRIDES, side);
    set_pair(graph, window, CUDNN_ATTR_RESAMPLE_PRE_PADDINGS, 0);
    set_pair(graph, window, CUDNN_ATTR_RESAMPLE_POST_PADDINGS, 0);
    finalize(graph, window, what);
    cudnnBackendDescriptor_t operation = create(graph,
                                                forward ? CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR
                                                        : CUDNN_BACKEND_OPERATION_RESAMPLE_BWD_DESCRIPTOR,
                                                what);
    set_descriptor(graph, operation,
                   forward ? CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC : CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DESC, window);
    set_descriptor(graph, operation,
                   forward ? CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC : CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DXDESC, x);
    set_descriptor(graph, operation,
                   forward ? CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC : CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DYDESC, y);
    finalize_operation(graph, operation, what);
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

/* Whether the engine of a configuration may be taken; writes its number and knobs. */
static bool allowed(const struct cudnn_graph *graph, cudnnBackendDescriptor_t config, char text[PLAN_ENGINE_BYTES])
{
    const struct cudnn_library *library = graph->planner->library;
    cudnnBackendDescriptor_t engine = NULL, knobs[KNOBS_MAX] = { NULL };
    cudnnBackendNumericalNote_t notes[NOTES_MAX];
    int64_t count = 0, number = -1, knob_count = 0;
    bool may = false;
    if (library->cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine) != CUDNN_STATUS_SUCCESS)
        return false;
    if (library->cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count,
                                          &engine) != CUDNN_STATUS_SUCCESS ||
        library->cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count,
                                          &number) != CUDNN_STATUS_SUCCESS ||
        library->cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                          NOTES_MAX, &count, notes) != CUDNN_STATUS_SUCCESS)
        goto out;
    may = true;
    for (int64_t i = 0; i < count && i < NOTES_MAX; i++) {
        const bool narrow = notes[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE ||
                            notes[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
                            notes[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION;
        /* The fusion of pointwise operations has the note about tensor cores, too, but cannot use them. */
        if (notes[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC ||
            (narrow && graph->convolution && graph->planner->fma_only))
            may = false;
    }
    int used = snprintf(text, PLAN_ENGINE_BYTES, "%" PRId64, number);
    for (int i = 0; i < KNOBS_MAX; i++)
        library->cudnnBackendCreateDescriptor(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &knobs[i]);
    if (library->cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                          KNOBS_MAX, &knob_count, knobs) != CUDNN_STATUS_SUCCESS)
        knob_count = 0;
    for (int64_t i = 0; i < knob_count && i < KNOBS_MAX && used < PLAN_ENGINE_BYTES; i++) {
        cudnnBackendKnobType_t knob = CUDNN_KNOB_TYPE_COUNTS;
        int64_t value = -1;
        library->cudnnBackendGetAttribute(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &count,
                                          &knob);
        library->cudnnBackendGetAttribute(knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &count,
                                          &value);
        used += snprintf(text + used, (size_t)(PLAN_ENGINE_BYTES - used), " %d=%" PRId64, (int)knob, value);
    }
    for (int i = 0; i < KNOBS_MAX; i++) {
        if (knobs[i] != NULL)
            library->cudnnBackendDestroyDescriptor(knobs[i]);
    }
out:
    library->cudnnBackendDestroyDescriptor(engine);
    return may;
}

/* Makes a plan of a configuration, if it can be one within the workspace. */
static bool try_plan(const struct cudnn_planner *planner, cudnnBackendDescriptor_t config, struct cudnn_plan *plan)
{
    const struct cudnn_library *library = planner->library;
    cudnnBackendDescriptor_t made = NULL;
    int64_t count = 0, bytes = -1;
    if (library->cudnnBackendCreateDescriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &made) != CUDNN_STATUS_SUCCESS)
        return false;
    cudnnStatus_t status = library->cudnnBackendSetAttribute(made, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG,
                                                             CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &config);
    if (status == CUDNN_STATUS_SUCCESS)
        status = planner->device != NULL
                     ? library->cudnnBackendSetAttribute(made, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP,
                                                         CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &planner->device)
                     : library->cudnnBackendSetAttribute(made, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1,
                                                         &planner->handle);
    if (status == CUDNN_STATUS_SUCCESS)
        status = library->cudnnBackendFinalize(made);
    if (status == CUDNN_STATUS_SUCCESS)
        status = library->cudnnBackendGetAttribute(made, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                                                   &count, &bytes);
    if (status != CUDNN_STATUS_SUCCESS || bytes < 0 || (uint64_t)bytes > planner->workspace_bytes) {
        library->cudnnBackendDestroyDescriptor(made);
        return false;
    }
    plan->plan = made;
    plan->workspace_bytes = (size_t)bytes;
    return true;
}

/* Looks through one mode's configurations, in their order, for the first that will do. */
static bool search(struct cudnn_graph *graph, cudnnBackendDescriptor_t whole, cudnnBackendHeurMode_t mode,
                   struct cudnn_plan *plan)
{
    const struct cudnn_planner *planner = graph->planner;
    const struct cudnn_library *library = planner->library;
    cudnnBackendDescriptor_t heuristic = NULL, configs[CONFIGS_MAX] = { NULL };
    int64_t count = 0;
    bool found = false;
    if (library->cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristic) != CUDNN_STATUS_SUCCESS)
        return false;
    library->cudnnBackendSetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                      1, &whole);
    library->cudnnBackendSetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    if (planner->device != NULL)
        library->cudnnBackendSetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                          &planner->device);
    if (library->cudnnBackendFinalize(heuristic) != CUDNN_STATUS_SUCCESS)
        goto out;
    for (int i = 0; i < CONFIGS_MAX; i++)
        library->cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[i]);
    if (library->cudnnBackendGetAttribute(heuristic, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                          CONFIGS_MAX, &count, configs) != CUDNN_STATUS_SUCCESS)
        count = 0;
    for (int64_t i = 0; !found && i < count && i < CONFIGS_MAX; i++) {
        found = allowed(graph, configs[i], plan->engine) && try_plan(planner, configs[i], plan);
        if (found) {
            plan->config = configs[i];
            configs[i] = NULL;
        }
    }
out:
    for (int i = 0; i < CONFIGS_MAX; i++) {
        if (configs[i] != NULL)
            library->cudnnBackendDestroyDescriptor(configs[i]);
    }
    library->cudnnBackendDestroyDescriptor(heuristic);
    return found;
}

enum status graph_plan(struct cudnn_graph *graph, const char *what, struct cudnn_plan *plan, struct error *error)
{
    static const cudnnBackendHeurMode_t modes[] = { CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK };
    const struct cudnn_planner *planner = graph->planner;
    *plan = (struct cudnn_plan){ .plan = NULL };
    cudnnBackendDescriptor_t whole = create(graph, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "a graph");
    set(graph, whole, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, (int64_t)graph->operation_count,
        graph->operations);
    if (planner->handle != NULL)
        set(graph, whole, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &planner->handle);
    finalize(graph, whole, "a graph");
    if (graph->status != STATUS_OK) {
        *error = graph->error;
        return error_prefix(error, "%s", what);
    }
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        if (search(graph, whole, modes[i], plan))
            return STATUS_OK;
    }
    return error_set(error, STATUS_ENVIRONMENT,
                     "%s: cuDNN %u has no deterministic engine for it on this device%s that needs at most %zu MiB of "
                     "workspace; choose another experiment with --arithmetic exact-1, which needs no cuDNN",
                     what, planner->library->cudnn_version, planner->fma_only ? ", without tensor cores," : "",
                     planner->workspace_bytes >> 20);
}

void plan_close(const struct cudnn_library *library, struct cudnn_plan *plan)
{
    if (plan->plan != NULL)
        library->cudnnBackendDestroyDescriptor(plan->plan);
    if (plan->config != NULL)
        library->cudnnBackendDestroyDescriptor(plan->config);
    *plan = (struct cudnn_plan){ .plan = NULL };
}

enum status plan_run(const struct cudnn_library *library, cudnnHandle_t handle, const struct cudnn_plan *plan,
                     const struct plan_argument *arguments, size_t count, void *workspace, struct error *error)
{
    cudnnBackendDescriptor_t pack = NULL;
    int64_t uids[PLAN_TENSORS];
    const void *pointers[PLAN_TENSORS];
    assert(count <= PLAN_TENSORS);
    for (size_t i = 0; i < count; i++) {
        uids[i] = arguments[i].uid;
        pointers[i] = arguments[i].pointer;
    }
    cudnnStatus_t status = library->cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack);
    if (status == CUDNN_STATUS_SUCCESS)
        status = library->cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64,
                                                   (int64_t)count, uids);
    if (status == CUDNN_STATUS_SUCCESS)
        status = library->cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
                                                   (int64_t)count, pointers);
    if (status == CUDNN_STATUS_SUCCESS)
        status = library->cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1,
                                                   &workspace);
    if (status == CUDNN_STATUS_SUCCESS)
        status = library->cudnnBackendFinalize(pack);
    if (status == CUDNN_STATUS_SUCCESS)
        status = library->cudnnBackendExecute(handle, plan->plan, pack);
    enum status result = cudnn_check(library, status, "cudnnBackendExecute", error);
    if (pack != NULL)
        library->cudnnBackendDestroyDescriptor(pack);
    return result;
}

/* Operation graphs of cuDNN, built, planned and run: the part of its backend interface that the engine uses.
 *
 * A graph is described tensor by tensor and operation by operation; graph_plan then takes, in the order of cuDNN's own
 * heuristic (mode A, then its fallback), the first engine that is allowed here:
 *   - none that cuDNN notes as not deterministic;
 *   - with `fma_only`, for a graph with a convolution, none on tensor cores, none that narrows its inputs or sums;
 *   - none that wants more workspace than `workspace_bytes`.
 * Nothing is timed, so the choice is a function of the device's properties, the library's version and the shapes.
 *
 * shapes   (N,C,H,W) by name; memory is channels-last. Tensors of one value a channel are (1,C,1,1), float32.
 * errors   a failed description is kept in the graph and returned by graph_plan, as STATUS_ENVIRONMENT. */
#ifndef SELFSAME_CUDNN_GRAPH_H
#define SELFSAME_CUDNN_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "trainer/cudnn/library.h"

/* The device that plans are made for. Either handle or device is NULL. A description of a device makes plans without
 * the device, and such plans cannot be run. */
struct cudnn_planner {
    const struct cudnn_library *library;
    cudnnHandle_t handle;
    cudnnBackendDescriptor_t device;
    bool fma_only;
    size_t workspace_bytes;
};

/* Describes a device to plan for, by the JSON that cuDNN itself writes of one. */
enum status cudnn_describe_device(const struct cudnn_library *library, const char *json,
                                  cudnnBackendDescriptor_t *device, struct error *error) MUST_USE;

enum { GRAPH_DESCRIPTORS = 48, GRAPH_OPERATIONS = 8, PLAN_ENGINE_BYTES = 96 };

struct cudnn_graph {
    const struct cudnn_planner *planner;
    cudnnBackendDescriptor_t descriptors[GRAPH_DESCRIPTORS];
    size_t descriptor_count;
    cudnnBackendDescriptor_t operations[GRAPH_OPERATIONS];
    size_t operation_count;
    bool convolution;
    enum status status;
    struct error error;
};

struct cudnn_plan {
    cudnnBackendDescriptor_t plan, config; /* NULL: none */
    size_t workspace_bytes;
    char engine[PLAN_ENGINE_BYTES]; /* cuDNN's number of the engine and its knobs, such as "22 2=8 3=5" */
};

/* A zeroed graph of the planner's; graph_close releases all descriptors. */
void graph_open(struct cudnn_graph *graph, const struct cudnn_planner *planner);
void graph_close(struct cudnn_graph *graph);

enum graph_place { GRAPH_MEMORY, GRAPH_VIRTUAL }; /* virtual: within the graph only */

/* uid names the tensor to plan_run. */
cudnnBackendDescriptor_t graph_tensor(struct cudnn_graph *graph, int64_t uid, cudnnDataType_t type, int64_t N,
                                      int64_t C, int64_t H, int64_t W, enum graph_place place);
/* A float32 that plan_run takes by a host pointer. */
cudnnBackendDescriptor_t graph_scalar(struct cudnn_graph *graph, int64_t uid);

enum graph_direction { GRAPH_FORWARD, GRAPH_BACKWARD_DATA, GRAPH_BACKWARD_WEIGHT };

/* Of x, w and y one is written: y forward, x backward data, w backward weights. It becomes the result + beta times what
 * it was. Cross-correlation, sums in float32. */
void graph_convolution(struct cudnn_graph *graph, enum graph_direction direction, int64_t padding, int64_t stride,
                       cudnnBackendDescriptor_t x, cudnnBackendDescriptor_t w, cudnnBackendDescriptor_t y, float beta);
/* y = a op b, or op a where b is NULL. */
void graph_pointwise(struct cudnn_graph *graph, cudnnPointwiseMode_t mode, cudnnBackendDescriptor_t a,
                     cudnnBackendDescriptor_t b, cudnnBackendDescriptor_t y);

/* Batch norm over the batch's statistics, which are left in mean and inverse (deviation). Running statistics are not
 * touched: what cuDNN makes of them is not the same for all of the recipe's variants. */
struct graph_norm {
    cudnnBackendDescriptor_t x, y, mean, inverse, gamma;
    cudnnBackendDescriptor_t beta, epsilon;         /* forward */
    cudnnBackendDescriptor_t dy, dx, dgamma, dbeta; /* backward; y is not looked at */
};
void graph_norm_forward(struct cudnn_graph *graph, const struct graph_norm *norm);
void graph_norm_backward(struct cudnn_graph *graph, const struct graph_norm *norm);

/* Mean over windows of side x side: x (N,C,H,H), y (N,C,H/side,H/side); backward writes x from y. */
void graph_average(struct cudnn_graph *graph, enum graph_direction direction, int64_t side, cudnnBackendDescriptor_t x,
                   cudnnBackendDescriptor_t y);

/* `what` names the graph in errors. */
enum status graph_plan(struct cudnn_graph *graph, const char *what, struct cudnn_plan *plan,
                       struct error *error) MUST_USE;
void plan_close(const struct cudnn_library *library, struct cudnn_plan *plan);

enum { PLAN_TENSORS = 16 };

/* A tensor of a plan to be run: device memory, 16-byte aligned, or the host pointer of a scalar. */
struct plan_argument {
    int64_t uid;
    const void *pointer;
};

/* Enqueues the plan on the handle's stream. */
enum status plan_run(const struct cudnn_library *library, cudnnHandle_t handle, const struct cudnn_plan *plan,
                     const struct plan_argument *arguments, size_t count, void *workspace,
                     struct error *error) MUST_USE;

#endif

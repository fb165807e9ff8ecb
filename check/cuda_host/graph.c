/* Stream capture, and graphs. A captured stream has no work: its tails are nodes of the graph. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/cuda_host/host.h"
#include "check/cuda_host/work.h"

static struct CUgraph_st *graphs, *captures; /* finished ones, and those that are being captured */
static struct CUgraphExec_st *executables;
static uint64_t graph_number;

/* Empties a graph. */
static void clear(struct CUgraph_st *graph)
{
    for (size_t i = 0; i < graph->count; i++) {
        task_drop(graph->nodes[i]->task);
        indices_clear(&graph->nodes[i]->before);
        free(graph->nodes[i]);
    }
    free(graph->nodes);
    graph->nodes = NULL;
    graph->count = graph->room = 0;
}

static struct CUgraphNode_st *add_node(struct CUgraph_st *graph, struct task *task)
{
    if (graph->count == graph->room) {
        graph->room = graph->room ? 2 * graph->room : 16;
        struct CUgraphNode_st **larger = realloc(graph->nodes, graph->room * sizeof *larger);
        if (!larger)
            host_fatal("out of the host's memory for a graph");
        graph->nodes = larger;
    }
    struct CUgraphNode_st *node = host_allocate_zeroed(1, sizeof *node);
    node->task = task;
    task->holders++;
    graph->nodes[graph->count++] = node;
    return node;
}

static void unlink_graph(struct CUgraph_st **list, struct CUgraph_st *graph)
{
    while (*list != graph)
        list = &(*list)->next;
    *list = graph->next;
    graph->next = NULL;
}

/* ---- capture ----------------------------------------------------------------------------------------------------- */

int graph_capturing(void)
{
    for (const struct CUgraph_st *c = captures; c; c = c->next) {
        if (c->mode == cudaStreamCaptureModeGlobal ||
            (c->mode == cudaStreamCaptureModeThreadLocal && pthread_equal(c->owner, pthread_self())))
            return 1;
    }
    return 0;
}

cudaError_t graph_capture(struct CUstream_st *stream, struct task *task)
{
    struct CUgraph_st *graph = stream->capture;
    if (graph->broken)
        return cudaErrorStreamCaptureInvalidated;
    struct CUgraphNode_st *node = add_node(graph, task);
    for (size_t i = 0; i < stream->capture_tails.count; i++)
        indices_add(&node->before, stream->capture_tails.items[i]);
    indices_clear(&stream->capture_tails);
    indices_add(&stream->capture_tails, graph->count - 1);
    return cudaSuccess;
}

cudaError_t graph_record(struct CUevent_st *event, struct CUstream_st *stream)
{
    if (stream->capture->broken)
        return cudaErrorStreamCaptureInvalidated;
    event->capture = stream->capture->number;
    for (size_t i = 0; i < stream->capture_tails.count; i++)
        indices_add(&event->capture_tails, stream->capture_tails.items[i]);
    return cudaSuccess;
}

cudaError_t graph_wait(struct CUstream_st *stream, struct CUevent_st *event)
{
    struct CUgraph_st *graph = captures;
    while (graph && graph->number != event->capture)
        graph = graph->next;
    if (stream->capture && stream->capture->broken)
        return cudaErrorStreamCaptureInvalidated;
    if (!event->capture || !graph) {
        /* A captured stream waits for work outside; or any stream for an event of a capture that is over. */
        if (!stream->capture)
            return cudaErrorInvalidValue;
        stream->capture->broken = 1;
        return cudaErrorStreamCaptureIsolation;
    }
    if (graph->broken)
        return cudaErrorStreamCaptureInvalidated;
    if (stream->capture && stream->capture != graph) {
        stream->capture->broken = graph->broken = 1;
        return cudaErrorStreamCaptureMerge;
    }
    stream->capture = graph;
    for (size_t i = 0; i < event->capture_tails.count; i++)
        indices_add(&stream->capture_tails, event->capture_tails.items[i]);
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    cudaError_t error = call_enter(CALL_cudaStreamBeginCapture);
    if (error == cudaSuccess && !stream_exists(stream))
        error = stream ? cudaErrorInvalidResourceHandle : cudaErrorStreamCaptureUnsupported;
    if (error == cudaSuccess && mode > cudaStreamCaptureModeRelaxed)
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess && stream->capture) {
        stream->capture->broken = 1;
        error = cudaErrorIllegalState;
    }
    if (error == cudaSuccess) {
        struct CUgraph_st *graph = host_allocate_zeroed(1, sizeof *graph);
        graph->number = ++graph_number;
        graph->origin = stream;
        graph->owner = pthread_self();
        graph->mode = mode;
        graph->next = captures;
        captures = graph;
        stream->capture = graph;
    }
    return call_leave(error);
}

/* Whether every node is one of `ends` or comes before one. Nodes come after those that they wait for. */
static int all_joined(const struct CUgraph_st *graph, const struct indices *ends)
{
    unsigned char *joined = host_allocate_zeroed(graph->count, 1);
    int all = 1;
    for (size_t i = 0; i < ends->count; i++)
        joined[ends->items[i]] = 1;
    for (size_t i = graph->count; i > 0; i--) {
        const struct indices *before = &graph->nodes[i - 1]->before;
        all &= joined[i - 1];
        for (size_t j = 0; joined[i - 1] && j < before->count; j++)
            joined[before->items[j]] = 1;
    }
    free(joined);
    return all;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *result)
{
    cudaError_t error = call_enter(CALL_cudaStreamEndCapture);
    if (error != cudaSuccess)
        return call_leave(error);
    if (!stream_exists(stream))
        return call_leave(cudaErrorInvalidResourceHandle);
    struct CUgraph_st *graph = stream->capture;
    if (!graph)
        return call_leave(cudaErrorIllegalState);
    if (result)
        *result = NULL;
    if (graph->origin != stream) {
        graph->broken = 1;
        return call_leave(cudaErrorStreamCaptureUnmatched);
    }
    if (graph->mode != cudaStreamCaptureModeRelaxed && !pthread_equal(graph->owner, pthread_self())) {
        graph->broken = 1;
        return call_leave(cudaErrorStreamCaptureWrongThread);
    }
    if (!result)
        error = cudaErrorInvalidValue;
    else if (graph->broken)
        error = cudaErrorStreamCaptureInvalidated;
    else if (!all_joined(graph, &stream->capture_tails))
        error = cudaErrorStreamCaptureUnjoined;
    for (struct CUstream_st *s = streams_first(); s; s = s->next) {
        if (s->capture == graph) {
            s->capture = NULL;
            indices_clear(&s->capture_tails);
        }
    }
    unlink_graph(&captures, graph);
    graph->origin = NULL;
    if (error == cudaSuccess) {
        graph->next = graphs;
        graphs = graph;
        *result = graph;
    } else {
        clear(graph);
        free(graph);
    }
    return call_leave(error);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status)
{
    cudaError_t error = call_enter(CALL_cudaStreamIsCapturing);
    if (error == cudaSuccess && !stream_exists(stream))
        error = cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess && !status)
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess)
        *status = !stream->capture          ? cudaStreamCaptureStatusNone
                  : stream->capture->broken ? cudaStreamCaptureStatusInvalidated
                                            : cudaStreamCaptureStatusActive;
    return call_leave(error);
}

/* ---- graphs ------------------------------------------------------------------------------------------------------ */

static int graph_exists(const struct CUgraph_st *graph)
{
    const struct CUgraph_st *at = graphs;
    while (at && at != graph)
        at = at->next;
    return graph && at;
}

static int executable_exists(const struct CUgraphExec_st *executable)
{
    const struct CUgraphExec_st *at = executables;
    while (at && at != executable)
        at = at->next;
    return executable && at;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count)
{
    cudaError_t error = call_enter(CALL_cudaGraphGetNodes);
    if (error == cudaSuccess && (!graph_exists(graph) || !count))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess) {
        for (size_t i = 0; nodes && i < *count; i++)
            nodes[i] = i < graph->count ? graph->nodes[i] : NULL;
        *count = nodes && *count < graph->count ? *count : graph->count;
    }
    return call_leave(error);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long flags)
{
    cudaError_t error = call_enter(CALL_cudaGraphInstantiate);
    if (error == cudaSuccess && (!executable || !graph_exists(graph) || flags != 0))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess) {
        struct CUgraphExec_st *copy = host_allocate_zeroed(1, sizeof *copy);
        for (size_t i = 0; i < graph->count; i++) {
            struct CUgraphNode_st *node = add_node(&copy->graph, graph->nodes[i]->task);
            for (size_t j = 0; j < graph->nodes[i]->before.count; j++)
                indices_add(&node->before, graph->nodes[i]->before.items[j]);
        }
        copy->next = executables;
        executables = *executable = copy;
    }
    return call_leave(error);
}

static cudaError_t check_executable(const struct CUgraphExec_st *executable, const struct CUstream_st *stream)
{
    if (!executable_exists(executable))
        return cudaErrorInvalidValue;
    if (!stream_exists(stream))
        return cudaErrorInvalidResourceHandle;
    return stream->capture ? cudaErrorNotSupported : cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t stream)
{
    cudaError_t error = call_enter(CALL_cudaGraphUpload);
    return call_leave(error != cudaSuccess ? error : check_executable(executable, stream));
}

/* Every node becomes a work, which waits for those before it; the first ones for the stream, and for the executable's
 * last launch; the stream, for a work that waits for all of them. */
static void launch(struct CUgraphExec_st *executable, struct CUstream_st *stream)
{
    const struct CUgraph_st *graph = &executable->graph;
    struct work **works = host_allocate(graph->count * sizeof(struct work *));
    struct task *nothing = task_create(TASK_NOTHING);
    for (size_t i = 0; i < graph->count; i++) {
        const struct indices *before = &graph->nodes[i]->before;
        works[i] = work_create(graph->nodes[i]->task);
        for (size_t j = 0; j < before->count; j++)
            work_after(works[i], works[before->items[j]]);
        if (before->count > 0)
            continue;
        for (size_t j = 0; j < stream->tails.count; j++)
            work_after(works[i], stream->tails.items[j]);
        if (executable->last)
            work_after(works[i], executable->last);
    }
    struct work *join = work_create(nothing);
    for (size_t i = 0; i < graph->count; i++)
        work_after(join, works[i]);
    for (size_t j = 0; graph->count == 0 && j < stream->tails.count; j++)
        work_after(join, stream->tails.items[j]);
    works_clear(&stream->tails);
    works_add(&stream->tails, join);
    if (executable->last)
        work_drop(executable->last);
    executable->last = join;
    for (size_t i = 0; i < graph->count; i++) {
        work_submit(works[i]);
        work_drop(works[i]);
    }
    work_submit(join);
    task_drop(nothing);
    free(works);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream)
{
    cudaError_t error = call_enter(CALL_cudaGraphLaunch);
    if (error == cudaSuccess)
        error = check_executable(executable, stream);
    if (error == cudaSuccess)
        launch(executable, stream);
    return call_leave(error);
}

static void release_executable(struct CUgraphExec_st **link)
{
    struct CUgraphExec_st *executable = *link;
    *link = executable->next;
    clear(&executable->graph);
    if (executable->last)
        work_drop(executable->last);
    free(executable);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable)
{
    cudaError_t error = call_enter(CALL_cudaGraphExecDestroy);
    if (error == cudaSuccess && !executable_exists(executable))
        error = cudaErrorInvalidValue;
    for (struct CUgraphExec_st **link = &executables; error == cudaSuccess && *link; link = &(*link)->next) {
        if (*link == executable) {
            release_executable(link);
            break;
        }
    }
    return call_leave(error);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    cudaError_t error = call_enter(CALL_cudaGraphDestroy);
    if (error == cudaSuccess && !graph_exists(graph))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess) {
        unlink_graph(&graphs, graph);
        clear(graph);
        free(graph);
    }
    return call_leave(error);
}

size_t graph_objects(void)
{
    size_t objects = 0;
    for (const struct CUgraph_st *g = graphs; g; g = g->next)
        objects++;
    for (const struct CUgraphExec_st *e = executables; e; e = e->next)
        objects++;
    return objects;
}

void graph_report(void)
{
    for (const struct CUgraph_st *g = graphs; g; g = g->next)
        fprintf(stderr, "cuda_host: not destroyed: a graph of %zu nodes\n", g->count);
    for (const struct CUgraphExec_st *e = executables; e; e = e->next)
        fprintf(stderr, "cuda_host: not destroyed: an executable graph of %zu nodes\n", e->graph.count);
}

/* Streams are about to go, too. */
void graph_reset(void)
{
    while (executables)
        release_executable(&executables);
    while (captures) {
        struct CUgraph_st *graph = captures;
        captures = graph->next;
        clear(graph);
        free(graph);
    }
    while (graphs) {
        struct CUgraph_st *graph = graphs;
        graphs = graph->next;
        clear(graph);
        free(graph);
    }
}

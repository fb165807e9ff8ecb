/* Streams, events, and what is queued in streams: kernels, copies, fills. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check/cuda_host/host.h"
#include "check/cuda_host/work.h"

enum { GRID_YZ_MOST = 65535, BLOCK_Z_MOST = 64, REFUSALS_MOST = 3 };

/* cudaStreamLegacy and cudaStreamPerThread are not streams here, nor is 0. */
static struct CUstream_st *streams;
static struct CUevent_st *events;

struct CUstream_st *streams_first(void)
{
    return streams;
}

int stream_exists(const struct CUstream_st *stream)
{
    const struct CUstream_st *at = streams;
    while (at && at != stream)
        at = at->next;
    return stream && at;
}

static int event_exists(const struct CUevent_st *event)
{
    const struct CUevent_st *at = events;
    while (at && at != event)
        at = at->next;
    return event && at;
}

size_t stream_objects(void)
{
    size_t objects = 0;
    for (const struct CUstream_st *s = streams; s; s = s->next)
        objects++;
    for (const struct CUevent_st *e = events; e; e = e->next)
        objects++;
    return objects;
}

void stream_report(void)
{
    for (const struct CUstream_st *s = streams; s; s = s->next)
        fprintf(stderr, "cuda_host: not destroyed: stream %p\n", (const void *)s);
    for (const struct CUevent_st *e = events; e; e = e->next)
        fprintf(stderr, "cuda_host: not destroyed: event %p\n", (const void *)e);
}

/* Unlinks and frees *link. */
static void release_stream(struct CUstream_st **link)
{
    struct CUstream_st *stream = *link;
    *link = stream->next;
    works_clear(&stream->tails);
    free(stream->tails.items);
    indices_clear(&stream->capture_tails);
    free(stream);
}

static void forget_record(struct CUevent_st *event)
{
    if (event->work)
        work_drop(event->work);
    event->work = NULL;
    event->capture = 0;
    event->refusals = 0;
    indices_clear(&event->capture_tails);
}

static void release_event(struct CUevent_st **link)
{
    struct CUevent_st *event = *link;
    *link = event->next;
    forget_record(event);
    free(event);
}

/* Kernels that a launch outside a capture has loaded. */
static struct loaded {
    const void *kernel;
    struct loaded *next;
} * loaded;

static void forget_loaded(void)
{
    while (loaded) {
        struct loaded *next = loaded->next;
        free(loaded);
        loaded = next;
    }
}

void stream_reset(void)
{
    forget_loaded();
    while (streams)
        release_stream(&streams);
    while (events)
        release_event(&events);
}

/* ---- issuing ----------------------------------------------------------------------------------------------------- */

cudaError_t stream_issue(struct CUstream_st *stream, struct task *task)
{
    cudaError_t error = cudaSuccess;
    if (!stream_exists(stream))
        error = cudaErrorInvalidResourceHandle;
    else if (stream->capture)
        error = graph_capture(stream, task);
    else {
        struct work *work = work_create(task);
        for (size_t i = 0; i < stream->tails.count; i++)
            work_after(work, stream->tails.items[i]);
        works_clear(&stream->tails);
        works_add(&stream->tails, work);
        work_submit(work);
        work_drop(work);
    }
    task_drop(task);
    return error;
}

static cudaError_t check_launch(const struct block_kernel *kernel)
{
    dim3 grid = kernel->grid, block = kernel->block;
    if (!kernel->kernel || !kernel->argument)
        return cudaErrorInvalidDeviceFunction;
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > INT32_MAX || grid.y > GRID_YZ_MOST ||
        grid.z > GRID_YZ_MOST)
        return cudaErrorInvalidConfiguration;
    if (block.x == 0 || block.y == 0 || block.z == 0 || block.z > BLOCK_Z_MOST || block.x > BLOCK_THREADS ||
        block.y > BLOCK_THREADS || (size_t)block.x * block.y * block.z > BLOCK_THREADS)
        return cudaErrorInvalidConfiguration;
    if (shared_static_bytes(kernel->kernel) > BLOCK_SHARED_DEFAULT ||
        kernel->shared_bytes > device_dynamic_limit(kernel->kernel))
        return cudaErrorInvalidValue;
    return cudaSuccess;
}

/* Whether a capture may have this launch, where a kernel is loaded when it is first launched; notes one that loads. */
static int may_capture(const void *kernel, int captures)
{
    const struct loaded *at = loaded;
    while (at && at->kernel != kernel)
        at = at->next;
    if (!at && !captures) {
        struct loaded *first = host_allocate(sizeof *first);
        *first = (struct loaded){ kernel, loaded };
        loaded = first;
    }
    return at || !captures;
}

cudaError_t cuda_host_launch(const struct block_kernel *kernel, size_t bytes, size_t alignment, cudaStream_t stream);
cudaError_t cuda_host_launch(const struct block_kernel *kernel, size_t bytes, size_t alignment, cudaStream_t stream)
{
    cudaError_t error = call_enter(CALL_cudaLaunchKernel);
    if (error == cudaSuccess)
        error = check_launch(kernel);
    if (error == cudaSuccess && settings()->lazy && stream_exists(stream) &&
        !may_capture(kernel->kernel, stream->capture != 0))
        error = cudaErrorStreamCaptureUnsupported;
    if (error == cudaSuccess) {
        struct task *task = task_create(TASK_KERNEL);
        task->kernel = *kernel;
        alignment = alignment < 16 ? 16 : alignment;
        task->kernel.argument = aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
        if (!task->kernel.argument)
            host_fatal("out of the host's memory for a kernel's argument");
        memcpy(task->kernel.argument, kernel->argument, bytes);
        error = stream_issue(stream, task);
    }
    return call_leave(error);
}

static cudaError_t check_copy(const void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    enum memory_place target = memory_place(to, bytes), source = memory_place(from, bytes);
    if (kind > cudaMemcpyDefault)
        return cudaErrorInvalidMemcpyDirection;
    if (!to || !from || target == MEMORY_BEYOND || source == MEMORY_BEYOND)
        return cudaErrorInvalidValue;
    if (kind == cudaMemcpyDefault)
        return cudaSuccess;
    int target_is_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    int source_is_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    return target_is_device == (target == MEMORY_DEVICE) && source_is_device == (source == MEMORY_DEVICE)
               ? cudaSuccess
               : cudaErrorInvalidValue;
}

static struct task *copy_task(void *to, const void *from, size_t bytes)
{
    struct task *task = task_create(TASK_COPY);
    task->to = to;
    task->from = from;
    task->bytes = bytes;
    return task;
}

static struct task *fill_task(void *to, int value, size_t bytes)
{
    struct task *task = task_create(TASK_FILL);
    task->to = to;
    task->value = value;
    task->bytes = bytes;
    return task;
}

/* As the legacy default stream does: waits for the streams that wait for it, and for no other. */
static cudaError_t finish_blocking(void)
{
    for (const struct CUstream_st *s = streams; s; s = s->next) {
        if (s->capture && !(s->flags & cudaStreamNonBlocking))
            return cudaErrorStreamCaptureImplicit;
    }
    if (graph_capturing())
        return cudaErrorStreamCaptureUnsupported;
    work_run_some(order_random(4));
    for (const struct CUstream_st *s = streams; s; s = s->next) {
        for (size_t i = 0; !(s->flags & cudaStreamNonBlocking) && i < s->tails.count; i++)
            work_run_until(s->tails.items[i]);
    }
    return cudaSuccess;
}

static cudaError_t run_blocking(struct task *task)
{
    cudaError_t error = finish_blocking();
    if (error == cudaSuccess) {
        memory_open();
        task_run(task);
        memory_close();
    }
    task_drop(task);
    return error;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
    cudaError_t error = call_enter(CALL_cudaMemcpy);
    if (error == cudaSuccess && bytes > 0) {
        error = check_copy(to, from, bytes, kind);
        if (error == cudaSuccess)
            error = run_blocking(copy_task(to, from, bytes));
    }
    return call_leave(error);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    cudaError_t error = call_enter(CALL_cudaMemcpyAsync);
    if (error == cudaSuccess && bytes > 0) {
        error = check_copy(to, from, bytes, kind);
        if (error == cudaSuccess)
            error = stream_issue(stream, copy_task(to, from, bytes));
    }
    return call_leave(error);
}

cudaError_t cudaMemset(void *to, int value, size_t bytes)
{
    cudaError_t error = call_enter(CALL_cudaMemset);
    if (error == cudaSuccess && bytes > 0)
        error = memory_place(to, bytes) == MEMORY_DEVICE ? run_blocking(fill_task(to, value, bytes))
                                                         : cudaErrorInvalidValue;
    return call_leave(error);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    cudaError_t error = call_enter(CALL_cudaMemsetAsync);
    if (error == cudaSuccess && bytes > 0)
        error = memory_place(to, bytes) == MEMORY_DEVICE ? stream_issue(stream, fill_task(to, value, bytes))
                                                         : cudaErrorInvalidValue;
    return call_leave(error);
}

cudaError_t cudaDeviceSynchronize(void)
{
    cudaError_t error = call_enter(CALL_cudaDeviceSynchronize);
    for (const struct CUstream_st *s = streams; error == cudaSuccess && s; s = s->next) {
        if (s->capture) {
            s->capture->broken = 1;
            error = cudaErrorStreamCaptureUnsupported;
        }
    }
    if (error == cudaSuccess)
        work_finish();
    return call_leave(error);
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

static cudaError_t create_stream(enum call call, cudaStream_t *stream, unsigned flags)
{
    cudaError_t error = call_enter(call);
    if (error == cudaSuccess && (!stream || flags & ~(unsigned)cudaStreamNonBlocking))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess) {
        *stream = host_allocate_zeroed(1, sizeof **stream);
        (*stream)->flags = flags;
        (*stream)->next = streams;
        streams = *stream;
    }
    return call_leave(error);
}

cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return create_stream(CALL_cudaStreamCreate, stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    return create_stream(CALL_cudaStreamCreateWithFlags, stream, flags);
}

/* As devices have it: the greatest is the least number. Nothing is run by priority here. */
cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    const cudaError_t error = call_enter(CALL_cudaDeviceGetStreamPriorityRange);
    if (error == cudaSuccess && least)
        *least = 0;
    if (error == cudaSuccess && greatest)
        *greatest = -5;
    return call_leave(error);
}

/* What is outside the range is taken to its nearer end. */
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority)
{
    (void)priority;
    return create_stream(CALL_cudaStreamCreateWithPriority, stream, flags);
}

/* What is queued still runs. */
cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    cudaError_t error = call_enter(CALL_cudaStreamDestroy);
    if (error == cudaSuccess && !stream_exists(stream))
        error = cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess && stream->capture)
        error = cudaErrorStreamCaptureUnsupported;
    for (struct CUstream_st **link = &streams; error == cudaSuccess && *link; link = &(*link)->next) {
        if (*link == stream) {
            release_stream(link);
            break;
        }
    }
    return call_leave(error);
}

/* A stream that may be waited for. */
static cudaError_t check_waiting(struct CUstream_st *stream)
{
    if (!stream_exists(stream))
        return cudaErrorInvalidResourceHandle;
    if (!stream->capture)
        return cudaSuccess;
    stream->capture->broken = 1;
    return cudaErrorStreamCaptureUnsupported;
}

static void finish_tails(const struct CUstream_st *stream)
{
    for (size_t i = 0; i < stream->tails.count; i++)
        work_run_until(stream->tails.items[i]);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    cudaError_t error = call_enter(CALL_cudaStreamSynchronize);
    if (error == cudaSuccess)
        error = stream ? check_waiting(stream) : finish_blocking();
    if (error == cudaSuccess && stream)
        finish_tails(stream);
    return call_leave(error);
}

/* Whether a query says that it is not ready: at least once, and a few times at random, while some work runs. */
static int refuse(unsigned *refusals)
{
    work_run_some(order_random(3));
    if (*refusals < 1 + order_random(REFUSALS_MOST)) {
        ++*refusals;
        return 1;
    }
    *refusals = 0;
    return 0;
}

static int tails_done(const struct CUstream_st *stream)
{
    for (size_t i = 0; i < stream->tails.count; i++) {
        if (!stream->tails.items[i]->done)
            return 0;
    }
    return 1;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    cudaError_t error = call_enter(CALL_cudaStreamQuery);
    if (error == cudaSuccess)
        error = check_waiting(stream);
    if (error == cudaSuccess && !tails_done(stream)) {
        if (refuse(&stream->refusals))
            error = tails_done(stream) ? cudaSuccess : cudaErrorNotReady;
        else
            finish_tails(stream);
    }
    return call_leave(error);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags)
{
    cudaError_t error = call_enter(CALL_cudaStreamWaitEvent);
    if (error == cudaSuccess && (!stream_exists(stream) || !event_exists(event)))
        error = cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess && flags != cudaEventWaitDefault)
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess && (event->capture || stream->capture))
        error = graph_wait(stream, event);
    else if (error == cudaSuccess && event->work && !event->work->done)
        works_add(&stream->tails, event->work);
    return call_leave(error);
}

/* ---- events ------------------------------------------------------------------------------------------------------ */

static cudaError_t create_event(enum call call, cudaEvent_t *event, unsigned flags)
{
    cudaError_t error = call_enter(call);
    if (error == cudaSuccess && (!event || flags & ~(unsigned)(cudaEventBlockingSync | cudaEventDisableTiming)))
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess) {
        *event = host_allocate_zeroed(1, sizeof **event);
        (*event)->flags = flags;
        (*event)->next = events;
        events = *event;
    }
    return call_leave(error);
}

cudaError_t cudaEventCreate(cudaEvent_t *event)
{
    return create_event(CALL_cudaEventCreate, event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    return create_event(CALL_cudaEventCreateWithFlags, event, flags);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    cudaError_t error = call_enter(CALL_cudaEventRecord);
    if (error == cudaSuccess && (!event_exists(event) || !stream_exists(stream)))
        error = cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess) {
        forget_record(event);
        if (stream->capture)
            error = graph_record(event, stream);
        else {
            error = stream_issue(stream, task_create(TASK_NOTHING));
            event->work = stream->tails.items[0];
            event->work->holders++;
        }
    }
    return call_leave(error);
}

/* An event that may be waited for. */
static cudaError_t check_event(const struct CUevent_st *event)
{
    if (!event_exists(event))
        return cudaErrorInvalidResourceHandle;
    return event->capture ? cudaErrorCapturedEvent : cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    cudaError_t error = call_enter(CALL_cudaEventSynchronize);
    if (error == cudaSuccess)
        error = check_event(event);
    if (error == cudaSuccess && event->work)
        work_run_until(event->work);
    return call_leave(error);
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    cudaError_t error = call_enter(CALL_cudaEventQuery);
    if (error == cudaSuccess)
        error = check_event(event);
    if (error == cudaSuccess && event->work && !event->work->done) {
        if (refuse(&event->refusals))
            error = event->work->done ? cudaSuccess : cudaErrorNotReady;
        else
            work_run_until(event->work);
    }
    return call_leave(error);
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end)
{
    cudaError_t error = call_enter(CALL_cudaEventElapsedTime);
    if (error == cudaSuccess)
        error = check_event(start);
    if (error == cudaSuccess)
        error = check_event(end);
    if (error == cudaSuccess && !milliseconds)
        error = cudaErrorInvalidValue;
    if (error == cudaSuccess && (!start->work || !end->work || (start->flags | end->flags) & cudaEventDisableTiming))
        error = cudaErrorInvalidResourceHandle;
    if (error == cudaSuccess && (!start->work->done || !end->work->done))
        error = cudaErrorNotReady;
    if (error == cudaSuccess)
        *milliseconds = (float)(1e3 * (end->work->done_s - start->work->done_s));
    return call_leave(error);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    cudaError_t error = call_enter(CALL_cudaEventDestroy);
    if (error == cudaSuccess && !event_exists(event))
        error = cudaErrorInvalidResourceHandle;
    for (struct CUevent_st **link = &events; error == cudaSuccess && *link; link = &(*link)->next) {
        if (*link == event) {
            release_event(link);
            break;
        }
    }
    return call_leave(error);
}

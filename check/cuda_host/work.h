/* Queued work: tasks that stream.c and graph.c build and work.c runs, under the runtime's lock. */
#ifndef CUDA_HOST_WORK_H
#define CUDA_HOST_WORK_H

#include <pthread.h>

#include "check/cuda_host/block.h"
#include "check/cuda_host/cuda_runtime_api.h"

/* ---- what there is to do: shared by a graph, its executables and their launches ---------------------------------- */

enum task_kind { TASK_NOTHING, TASK_KERNEL, TASK_COPY, TASK_FILL };

struct task {
    enum task_kind kind;
    unsigned holders;
    struct block_kernel kernel; /* its argument is the task's own */
    unsigned char *to;
    const unsigned char *from;
    size_t bytes;
    int value;
};

/* A new task has one holder. */
struct task *task_create(enum task_kind kind);
void task_drop(struct task *task);
void task_run(const struct task *task);

/* ---- a task that is queued --------------------------------------------------------------------------------------- */

struct work {
    struct task *task;
    uint64_t sequence; /* in the order of issue */
    size_t waiting;    /* for how many others, and for its submission */
    struct work **followers;
    size_t follower_count, follower_room;
    unsigned holders;
    int done;
    double done_s;
};

struct works {
    struct work **items;
    size_t count, room;
};

/* A new work holds the task, and has the queue and the caller as holders; work_after says what it waits for, then
 * work_submit queues it. */
struct work *work_create(struct task *task);
void work_after(struct work *work, struct work *before);
void work_submit(struct work *work);
void work_drop(struct work *work);

void works_add(struct works *works, struct work *work); /* becomes a holder */
void works_clear(struct works *works);

/* Runs what is queued, in the seed's order, until `work` is done. */
void work_run_until(struct work *work);

/* Runs at most `most` works. */
void work_run_some(uint64_t most);

/* ---- streams, events, captures ----------------------------------------------------------------------------------- */

struct indices {
    size_t *items;
    size_t count, room;
};

void indices_add(struct indices *indices, size_t index); /* once */
void indices_clear(struct indices *indices);

struct CUstream_st {
    struct CUstream_st *next;
    unsigned flags, refusals;
    struct works tails;           /* what new work waits for */
    struct CUgraph_st *capture;   /* the graph that it is captured to, or NULL */
    struct indices capture_tails; /* nodes of it */
};

struct CUevent_st {
    struct CUevent_st *next;
    unsigned flags, refusals;
    struct work *work; /* NULL: never recorded, or in a capture */
    uint64_t capture;  /* number of the graph it was last recorded in; 0: in none */
    struct indices capture_tails;
};

struct CUgraphNode_st {
    struct task *task;
    struct indices before;
};

struct CUgraph_st {
    struct CUgraph_st *next;
    uint64_t number;
    struct CUgraphNode_st **nodes;
    size_t count, room;
    struct CUstream_st *origin; /* while it is captured */
    pthread_t owner;
    enum cudaStreamCaptureMode mode;
    int broken;
};

struct CUgraphExec_st {
    struct CUgraphExec_st *next;
    struct CUgraph_st graph; /* a copy */
    struct work *last;       /* of its launches: they do not overlap */
};

/* Queues or captures the task, and is its holder from now on; refuses what is no stream, 0 among them. */
cudaError_t stream_issue(struct CUstream_st *stream, struct task *task);

int stream_exists(const struct CUstream_st *stream);
struct CUstream_st *streams_first(void);

/* Adds a node to the graph that the stream is captured to. */
cudaError_t graph_capture(struct CUstream_st *stream, struct task *task);

/* In a captured stream, or into one: as cudaEventRecord and cudaStreamWaitEvent. */
cudaError_t graph_record(struct CUevent_st *event, struct CUstream_st *stream);
cudaError_t graph_wait(struct CUstream_st *stream, struct CUevent_st *event);

/* Of the calling thread: whether it captures in a mode that refuses calls which might wait. */
int graph_capturing(void);
size_t graph_objects(void);
void graph_report(void);
void graph_reset(void);

#endif

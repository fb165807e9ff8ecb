#include "check/cuda_host/work.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "check/cuda_host/cuda_host.h"
#include "check/cuda_host/host.h"

/* As a device's queue, which a launch waits for when it is full. */
enum { QUEUE_MOST = 16384 };

static struct works ready; /* by sequence; each is held by the queue */
static size_t queued;
static uint64_t issued, kernels_run;
static int abandoning;

/* ---- tasks ------------------------------------------------------------------------------------------------------- */

struct task *task_create(enum task_kind kind)
{
    struct task *task = host_allocate_zeroed(1, sizeof *task);
    task->kind = kind;
    task->holders = 1;
    return task;
}

void task_drop(struct task *task)
{
    if (--task->holders > 0)
        return;
    free(task->kernel.argument);
    free(task);
}

void task_run(const struct task *task)
{
    switch (task->kind) {
    case TASK_NOTHING:
        break;
    case TASK_KERNEL:
        kernels_run++;
        block_run_kernel(&task->kernel);
        break;
    case TASK_COPY:
        memmove(task->to, task->from, task->bytes);
        break;
    case TASK_FILL:
        memset(task->to, task->value, task->bytes);
    }
}

uint64_t cuda_host_kernels(void)
{
    return kernels_run;
}

/* ---- works ------------------------------------------------------------------------------------------------------- */

/* Room for one more of `bytes` each. */
static void *grow(void *items, size_t count, size_t *room, size_t bytes)
{
    if (count < *room)
        return items;
    *room = *room ? 2 * *room : 4;
    void *larger = realloc(items, *room * bytes);
    if (!larger)
        host_fatal("out of the host's memory for queued work");
    return larger;
}

void indices_add(struct indices *indices, size_t index)
{
    for (size_t i = 0; i < indices->count; i++) {
        if (indices->items[i] == index)
            return;
    }
    indices->items = grow(indices->items, indices->count, &indices->room, sizeof *indices->items);
    indices->items[indices->count++] = index;
}

void indices_clear(struct indices *indices)
{
    free(indices->items);
    *indices = (struct indices){ NULL, 0, 0 };
}

struct work *work_create(struct task *task)
{
    struct work *work = host_allocate_zeroed(1, sizeof *work);
    work->task = task;
    task->holders++;
    work->sequence = issued++;
    work->holders = 2;
    work->waiting = 1; /* for its submission */
    return work;
}

void work_drop(struct work *work)
{
    if (--work->holders > 0)
        return;
    task_drop(work->task);
    free(work->followers);
    free(work);
}

void work_after(struct work *work, struct work *before)
{
    if (before->done)
        return;
    before->followers = grow(before->followers, before->follower_count, &before->follower_room, sizeof(struct work *));
    before->followers[before->follower_count++] = work;
    work->waiting++;
}

static void make_ready(struct work *work)
{
    ready.items = grow(ready.items, ready.count, &ready.room, sizeof *ready.items);
    size_t at = ready.count++;
    for (; at > 0 && ready.items[at - 1]->sequence > work->sequence; at--)
        ready.items[at] = ready.items[at - 1];
    ready.items[at] = work;
}

void works_add(struct works *works, struct work *work)
{
    works->items = grow(works->items, works->count, &works->room, sizeof *works->items);
    works->items[works->count++] = work;
    work->holders++;
}

void works_clear(struct works *works)
{
    for (size_t i = 0; i < works->count; i++)
        work_drop(works->items[i]);
    works->count = 0;
}

static void run_one(void)
{
    size_t at = order_pick(ready.count);
    struct work *work = ready.items[at];
    memmove(ready.items + at, ready.items + at + 1, (--ready.count - at) * sizeof *ready.items);
    if (!abandoning)
        task_run(work->task);
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    work->done_s = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    work->done = 1;
    queued--;
    for (size_t i = 0; i < work->follower_count; i++) {
        if (--work->followers[i]->waiting == 0)
            make_ready(work->followers[i]);
    }
    work_drop(work);
}

void work_submit(struct work *work)
{
    queued++;
    if (--work->waiting == 0)
        make_ready(work);
    if (queued > QUEUE_MOST)
        work_run_some(QUEUE_MOST / 2);
}

void work_run_until(struct work *work)
{
    memory_open();
    while (!work->done)
        run_one();
    memory_close();
}

void work_run_some(uint64_t most)
{
    if (most == 0 || ready.count == 0)
        return;
    memory_open();
    for (; most > 0 && ready.count > 0; most--)
        run_one();
    memory_close();
}

void work_finish(void)
{
    work_run_some(UINT64_MAX);
}

void work_abandon(void)
{
    abandoning = 1;
    while (ready.count > 0)
        run_one();
    abandoning = 0;
}

int work_capturing(void)
{
    return graph_capturing();
}

size_t work_objects(void)
{
    return stream_objects() + graph_objects();
}

void work_report(void)
{
    stream_report();
    graph_report();
}

void work_reset(void)
{
    work_abandon();
    graph_reset();
    stream_reset();
    free(ready.items);
    ready = (struct works){ NULL, 0, 0 };
    kernels_run = 0;
}

#include "trainer/gpu/queue.h"

#include <assert.h>
#include <stdlib.h>

#include "trainer/gpu/runtime.h"
#include "trainer/schedule.h"

/* ---- graphs ------------------------------------------------------------------------------------------------------ */

static enum status capture(struct step_queue *queue, uint32_t images, cudaGraphExec_t *graph, struct error *error)
{
    cudaGraph_t captured = NULL;
    TRY(error, cudaStreamBeginCapture, queue->stream, cudaStreamCaptureModeThreadLocal);
    enum status status = queue->launch(queue->context, images, NULL, error);
    const cudaError_t ended = cudaStreamEndCapture(queue->stream, &captured);
    if (status == STATUS_OK && ended != cudaSuccess)
        status = cuda_error(error, (int)ended, "cudaStreamEndCapture");
    if (status == STATUS_OK) {
        const cudaError_t made = cudaGraphInstantiate(graph, captured, 0);
        if (made != cudaSuccess)
            status = cuda_error(error, (int)made, "cudaGraphInstantiate");
    }
    if (captured != NULL)
        (void)cudaGraphDestroy(captured);
    return status;
}

void queue_step_images(const struct training_config *training, uint32_t images, uint32_t step_images[2])
{
    const uint32_t rest = images % training->batch_size;
    const bool few = images < training->batch_size && training->last_batch == LAST_BATCH_SHORT;
    step_images[0] = few ? images : training->batch_size;
    step_images[1] = !few && training->last_batch == LAST_BATCH_SHORT ? rest : 0;
}

/* What must have run before a capture. */
static enum status run_uncaptured(struct step_queue *queue, struct error *error)
{
    enum status status = STATUS_OK;
    if (queue->first_images > 0)
        status = queue->launch(queue->context, queue->first_images, NULL, error);
    for (int i = 0; status == STATUS_OK && i < 2 && queue->first_images == 0; i++)
        if (queue->graph_images[i] > 0)
            status = queue->launch(queue->context, queue->graph_images[i], NULL, error);
    if (status == STATUS_OK)
        TRY(error, cudaStreamSynchronize, queue->stream);
    return status;
}

enum status queue_open(struct step_queue *queue, struct error *error)
{
    for (int i = 0; i < QUEUE_SERIES; i++)
        TRY(error, cudaEventCreateWithFlags, &queue->done[i], cudaEventDisableTiming);
    TRY(error, cudaMallocHost, (void **)&queue->schedules, QUEUE_SLOTS * sizeof *queue->schedules);
    TRY(error, cudaMallocHost, (void **)&queue->results, QUEUE_SLOTS * sizeof *queue->results);
    TRY(error, cudaMallocHost, (void **)&queue->bases, QUEUE_SERIES * sizeof *queue->bases);
    queue_step_images(queue->training, queue->images, queue->graph_images);
    enum status status = run_uncaptured(queue, error);
    for (int i = 0; status == STATUS_OK && i < 2; i++) {
        if (queue->graph_images[i] > 0)
            status = capture(queue, queue->graph_images[i], &queue->graphs[i], error);
    }
    return status;
}

void queue_close(struct step_queue *queue)
{
    /* Whatever the device says: it may be lost, and then there is nothing more to give back. */
    for (int i = 0; i < 2; i++)
        if (queue->graphs[i] != NULL)
            (void)cudaGraphExecDestroy(queue->graphs[i]);
    for (int i = 0; i < QUEUE_SERIES; i++)
        if (queue->done[i] != NULL)
            (void)cudaEventDestroy(queue->done[i]);
    (void)cudaFreeHost(queue->schedules);
    (void)cudaFreeHost(queue->results);
    (void)cudaFreeHost(queue->bases);
    *queue = (struct step_queue){ .training = NULL };
}

/* ---- series ------------------------------------------------------------------------------------------------------ */

/* Steps first .. first+count-1, queued with the schedules and results of one of the series. */
struct series {
    uint64_t first;
    uint32_t count, place; /* place: which of QUEUE_SERIES */
};

/* Has the order of a pass made, unless it is there. The stream keeps that apart from the steps before. */
static enum status order_pass(struct step_queue *queue, uint64_t pass, struct error *error)
{
    const uint32_t place = pass % 2;
    if (queue->have_order[place] && queue->passes[place] == pass)
        return STATUS_OK;
    const struct gpu_shuffle_arguments arguments = { .seed = queue->training->seed,
                                                     .pass = pass,
                                                     .images = queue->images,
                                                     .keys = queue->keys,
                                                     .order = queue->orders[place] };
    TRY(error, gpu_shuffle, &arguments, queue->stream);
    queue->have_order[place] = true;
    queue->passes[place] = pass;
    return STATUS_OK;
}

/* Both orders that a step draws from. */
static enum status order_step(struct step_queue *queue, uint64_t step, const struct gpu_step_schedule *schedule,
                              struct error *error)
{
    const uint32_t in_step = schedule_batch(queue->training, queue->images, step);
    enum status status = order_pass(queue, schedule->pass, error);
    if (status == STATUS_OK && (uint64_t)schedule->place + in_step > queue->images)
        status = order_pass(queue, schedule->pass + 1, error);
    return status;
}

/* Sends the schedules of a series ahead. */
static enum status send_schedules(struct step_queue *queue, const struct series *series, struct error *error)
{
    const uint32_t base = series->place * QUEUE_SERIES_STEPS;
    struct gpu_step_schedule *schedules = queue->schedules + base;
    for (uint32_t i = 0; i < series->count; i++) {
        schedule_place(queue->training, queue->images, series->first + i, &schedules[i].pass, &schedules[i].place);
        schedules[i].rate = schedule_learning_rate(queue->training, queue->images, series->first + i);
    }
    queue->bases[series->place] = base;
    TRY(error, cudaMemcpyAsync, queue->device_schedules + base, schedules, series->count * sizeof *schedules,
        cudaMemcpyHostToDevice, queue->stream);
    TRY(error, cudaMemcpyAsync, &queue->current->next, &queue->bases[series->place], sizeof(uint32_t),
        cudaMemcpyHostToDevice, queue->stream);
    return STATUS_OK;
}

static enum status launch_graph(struct step_queue *queue, uint64_t step, struct error *error)
{
    const uint32_t in_step = schedule_batch(queue->training, queue->images, step);
    assert(in_step == queue->graph_images[0] || in_step == queue->graph_images[1]);
    TRY(error, cudaGraphLaunch, queue->graphs[in_step == queue->graph_images[0] ? 0 : 1], queue->stream);
    return STATUS_OK;
}

static enum status launch_graphs(struct step_queue *queue, const struct series *series, struct error *error)
{
    enum status status = STATUS_OK;
    for (uint32_t i = 0; status == STATUS_OK && i < series->count; i++)
        status = launch_graph(queue, series->first + i, error);
    return status;
}

static enum status send(struct step_queue *queue, const struct series *series, struct error *error)
{
    const uint32_t base = series->place * QUEUE_SERIES_STEPS;
    enum status status = send_schedules(queue, series, error);
    for (uint32_t i = 0; status == STATUS_OK && i < series->count; i++) {
        status = order_step(queue, series->first + i, &queue->schedules[base + i], error);
        if (status == STATUS_OK)
            status = launch_graph(queue, series->first + i, error);
    }
    if (status != STATUS_OK)
        return status;
    TRY(error, cudaMemcpyAsync, queue->results + base, queue->device_results + base,
        series->count * sizeof *queue->results, cudaMemcpyDeviceToHost, queue->stream);
    TRY(error, cudaEventRecord, queue->done[series->place], queue->stream);
    return STATUS_OK;
}

static struct step_result result_of(const struct step_queue *queue, uint64_t step, const struct gpu_step_result *found)
{
    return (struct step_result){ .loss = found->loss,
                                 .errors = found->errors,
                                 .images = schedule_batch(queue->training, queue->images, step),
                                 .digest = { found->digest[0], found->digest[1] } };
}

/* Waits for a series and reports it. */
static enum status hear(struct step_queue *queue, const struct series *series, const struct step_listener *listener,
                        uint64_t *done, bool *wanted, struct error *error)
{
    const struct gpu_step_result *found = queue->results + series->place * QUEUE_SERIES_STEPS;
    struct step_result results[QUEUE_SERIES_STEPS];
    char text[NON_FINITE_BYTES];
    uint32_t good = 0;
    TRY(error, cudaEventSynchronize, queue->done[series->place]);
    for (; good < series->count && found[good].culprit == GPU_NO_CULPRIT; good++)
        results[good] = result_of(queue, series->first + good, &found[good]);
    if (good > 0)
        *wanted = listener->steps(listener->context, series->first, results, good) && *wanted;
    *done += good;
    if (good == series->count)
        return STATUS_OK;
    queue->blame(queue->context, found[good].culprit, text);
    return non_finite_error(error, series->first + good, text);
}

enum status queue_run(struct step_queue *queue, uint64_t first, uint64_t last, const struct step_listener *listener,
                      uint64_t *done, struct error *error)
{
    struct series sent[QUEUE_SERIES];
    uint32_t waiting = 0, place = 0;
    uint64_t next = first;
    bool wanted = true;
    enum status status = STATUS_OK;
    *done = 0;
    while (status == STATUS_OK && ((wanted && next < last) || waiting > 0)) {
        if (wanted && next < last && waiting < QUEUE_SERIES) {
            const uint64_t left = last - next;
            sent[place] =
                (struct series){ next, left < QUEUE_SERIES_STEPS ? (uint32_t)left : QUEUE_SERIES_STEPS, place };
            status = send(queue, &sent[place], error);
            next += sent[place].count;
            place = (place + 1) % QUEUE_SERIES;
            waiting++;
        } else {
            status =
                hear(queue, &sent[(place + QUEUE_SERIES - waiting) % QUEUE_SERIES], listener, done, &wanted, error);
            waiting--;
        }
    }
    if (status != STATUS_OK)
        (void)cudaStreamSynchronize(queue->stream); /* nothing may run on into what comes next */
    return status;
}

/* Launches one step as it is, without a graph. */
static enum status launch_step(struct step_queue *queue, uint64_t step, struct queue_marks *marks, struct error *error)
{
    const struct series one = { step, 1, 0 };
    enum status status = send_schedules(queue, &one, error);
    if (status == STATUS_OK)
        status = order_step(queue, step, queue->schedules, error);
    if (status == STATUS_OK)
        status = queue->launch(queue->context, schedule_batch(queue->training, queue->images, step), marks, error);
    if (status != STATUS_OK)
        return status;
    TRY(error, cudaStreamSynchronize, queue->stream);
    return STATUS_OK;
}

enum status queue_step(struct step_queue *queue, uint64_t step, struct step_result *result,
                       char non_finite[NON_FINITE_BYTES], struct error *error)
{
    enum status status = launch_step(queue, step, NULL, error);
    if (status != STATUS_OK)
        return status;
    TRY(error, cudaMemcpy, queue->results, queue->device_results, sizeof *queue->results, cudaMemcpyDeviceToHost);
    *result = result_of(queue, step, queue->results);
    non_finite[0] = '\0';
    if (queue->results[0].culprit != GPU_NO_CULPRIT)
        queue->blame(queue->context, queue->results[0].culprit, non_finite);
    return STATUS_OK;
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

static enum status seconds_between(cudaEvent_t before, cudaEvent_t after, double *seconds, struct error *error)
{
    float milliseconds;
    TRY(error, cudaEventElapsedTime, &milliseconds, before, after);
    *seconds = 1e-3 * (double)milliseconds;
    return STATUS_OK;
}

/* How many steps from `first` on draw from no more than two passes, whose orders are on the device together. */
static uint32_t steps_of_two_passes(const struct step_queue *queue, uint64_t first, uint32_t most)
{
    uint64_t begin, pass;
    uint32_t place, count = 0;
    schedule_place(queue->training, queue->images, first, &begin, &place);
    for (; count < most; count++) {
        schedule_place(queue->training, queue->images, first + count, &pass, &place);
        const bool runs_on =
            (uint64_t)place + schedule_batch(queue->training, queue->images, first + count) > queue->images;
        if (pass + runs_on > begin + 1)
            break;
    }
    return count;
}

/* Series of steps, each between two events: nothing but graphs is launched there. A step's time is its series' mean. */
static enum status time_steps(struct step_queue *queue, uint64_t first, uint64_t last, cudaEvent_t *events,
                              double *step_s, struct error *error)
{
    for (uint64_t step = first; step < last;) {
        const uint64_t left = last - step;
        const uint32_t most = left < QUEUE_SERIES_STEPS ? (uint32_t)left : QUEUE_SERIES_STEPS;
        const struct series series = { step, steps_of_two_passes(queue, step, most), 0 };
        double seconds = 0.0;
        assert(series.count > 0);
        enum status status = send_schedules(queue, &series, error);
        for (uint32_t i = 0; status == STATUS_OK && i < series.count; i++)
            status = order_step(queue, step + i, &queue->schedules[i], error);
        if (status != STATUS_OK)
            return status;
        TRY(error, cudaEventRecord, events[0], queue->stream);
        status = launch_graphs(queue, &series, error);
        if (status != STATUS_OK)
            return status;
        TRY(error, cudaEventRecord, events[1], queue->stream);
        TRY(error, cudaEventSynchronize, events[1]);
        status = seconds_between(events[0], events[1], &seconds, error);
        if (status != STATUS_OK)
            return status;
        for (uint32_t i = 0; i < series.count; i++, step++)
            step_s[step - first] = seconds / series.count;
    }
    return STATUS_OK;
}

/* One more step runs without a graph and with an event behind every layer. Its times are used for the parts of all
 * steps. */
static enum status time_parts(struct step_queue *queue, uint32_t layers, uint64_t step, double steps,
                              struct queue_marks *marks, struct engine_profile *profile, struct error *error)
{
    double seconds = 0.0;
    enum status status = launch_step(queue, step, marks, error);
    if (status != STATUS_OK)
        return status;
    assert(marks->count == 2 * layers + 3);
    for (uint32_t i = 1; i < marks->count; i++) {
        status = seconds_between(marks->events[i - 1], marks->events[i], &seconds, error);
        if (status != STATUS_OK)
            return status;
        if (i <= layers)
            profile->forward_s[i - 1] += steps * seconds;
        else if (i == layers + 1)
            profile->head_s += steps * seconds;
        else if (i < 2 * layers + 2)
            profile->backward_s[2 * layers + 1 - i] += steps * seconds;
        else
            profile->update_s += steps * seconds;
    }
    return STATUS_OK;
}

enum status queue_profile(struct step_queue *queue, uint32_t layers, uint64_t first, uint64_t last,
                          struct engine_profile *profile, struct error *error)
{
    struct queue_marks marks = { .room = 2 * layers + 3 };
    enum status status = STATUS_OK;
    uint32_t made = 0;
    marks.events = calloc(marks.room, sizeof *marks.events);
    if (marks.events == NULL)
        return error_out_of_memory(error, "the times of %u layers", layers);
    for (; made < marks.room && status == STATUS_OK; made++) {
        const cudaError_t code = cudaEventCreateWithFlags(&marks.events[made], cudaEventDefault);
        if (code != cudaSuccess)
            status = cuda_error(error, (int)code, "cudaEventCreateWithFlags");
    }
    if (status == STATUS_OK)
        status = time_steps(queue, first, last, marks.events, profile->step_s, error);
    if (status == STATUS_OK)
        status = time_parts(queue, layers, last, (double)(last - first), &marks, profile, error);
    for (uint32_t i = 0; i < made; i++)
        if (marks.events[i] != NULL)
            (void)cudaEventDestroy(marks.events[i]);
    free(marks.events);
    return status;
}

/* The exact engine on an NVIDIA GPU: opens the device, keeps data and state there, queues steps as CUDA graphs and hears
 * their results while later ones run. NOTES.md says what was counted. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/cuda/engine_state.h"
#include "trainer/culprit.h"
#include "trainer/input.h"
#include "trainer/sampler.h"
#include "trainer/schedule.h"

enum { INFERENCE_BATCH = 256 };

/* Returns from the caller if a call of the runtime fails. */
#define TRY(error, function, ...)                                   \
    do {                                                            \
        const cudaError_t code_ = function(__VA_ARGS__);            \
        if (code_ != cudaSuccess)                                   \
            return cuda_error((error), (int)code_, #function);      \
    } while (0)

/* ---- sizes ------------------------------------------------------------------------------------------------------- */

static struct layout_sizes sizes_of(const struct recipe *recipe, const struct network *network, uint32_t training,
                                    uint32_t validation, bool inference)
{
    size_t packed;
    return (struct layout_sizes){
        .network = network,
        .shortcut = recipe->model.shortcut,
        .batch = inference ? (validation < INFERENCE_BATCH ? validation : INFERENCE_BATCH) : recipe->training.batch_size,
        .steps = !inference,
        .training = inference ? 0 : training,
        .validation = validation,
        .piece_count = layout_pieces(network, NULL, &packed),
        .pixel_mean = recipe->input.normalization == NORMALIZE_PIXEL_MEAN,
    };
}

static enum status allocate_host(struct layout *layout, const struct network *network, struct error *error)
{
    layout->y = calloc(network->conv_count, sizeof *layout->y);
    layout->outputs = calloc((size_t)network->block_count + 1, sizeof *layout->outputs);
    layout->kept = calloc((size_t)network->block_count + 1, sizeof *layout->kept);
    if (layout->y == NULL || layout->outputs == NULL || layout->kept == NULL)
        return error_set(error, STATUS_ENVIRONMENT, "out of memory for the layout of depth %u", network->model.depth);
    return STATUS_OK;
}

static void free_host(struct layout *layout)
{
    free(layout->y);
    free(layout->outputs);
    free(layout->kept);
}

static size_t cuda_predict_memory(const struct recipe *recipe, const struct network *network, uint32_t training_images,
                                  uint32_t validation_images, const struct engine_options *options)
{
    const struct layout_sizes sizes = sizes_of(recipe, network, training_images, validation_images, options->inference);
    struct layout layout = { .bytes = 0 };
    struct error error;
    if (allocate_host(&layout, network, &error) == STATUS_OK)
        layout_make(&layout, &sizes, NULL);
    free_host(&layout);
    return layout.bytes;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static void cuda_close(struct engine *engine)
{
    if (engine == NULL)
        return;
    /* Whatever the device says: it may be lost, and then there is nothing more to give back. */
    for (int i = 0; i < 2; i++)
        if (engine->graphs[i] != NULL)
            (void)cudaGraphExecDestroy(engine->graphs[i]);
    for (int i = 0; i < SERIES; i++)
        if (engine->done[i] != NULL)
            (void)cudaEventDestroy(engine->done[i]);
    if (engine->fork != NULL)
        (void)cudaEventDestroy(engine->fork);
    if (engine->join != NULL)
        (void)cudaEventDestroy(engine->join);
    if (engine->side != NULL)
        (void)cudaStreamDestroy(engine->side);
    if (engine->main != NULL)
        (void)cudaStreamDestroy(engine->main);
    (void)cudaFreeHost(engine->plans);
    (void)cudaFreeHost(engine->results);
    (void)cudaFreeHost(engine->bases);
    (void)cudaFree(engine->training_images);
    (void)cudaFree(engine->training_labels);
    (void)cudaFree(engine->validation_images);
    (void)cudaFree(engine->validation_labels);
    (void)cudaFree(engine->memory);
    free_host(&engine->layout);
    free(engine);
}

static enum status upload(void *to, const void *from, size_t bytes, struct error *error)
{
    if (bytes > 0)
        TRY(error, cudaMemcpy, to, from, bytes, cudaMemcpyHostToDevice);
    return STATUS_OK;
}

static enum status upload_data(const struct dataset *data, uint8_t **images, uint8_t **labels, struct error *error)
{
    if (data == NULL || data->count == 0)
        return STATUS_OK;
    const size_t bytes = (size_t)data->count * DATASET_IMAGE_BYTES;
    TRY(error, cudaMalloc, (void **)images, bytes);
    TRY(error, cudaMalloc, (void **)labels, data->count);
    enum status status = upload(*images, data->images, bytes, error);
    return status == STATUS_OK ? upload(*labels, data->labels, data->count, error) : status;
}

static enum status upload_tables(struct engine *engine, struct error *error)
{
    const struct network *network = engine->network;
    const struct layout *layout = &engine->layout;
    struct cuda_piece *pieces = calloc(engine->sizes.piece_count, sizeof *pieces);
    struct cuda_norm_place *places = calloc((size_t)network->conv_count + 1, sizeof *places);
    struct input *input = NULL;
    size_t packed;
    enum status status = pieces != NULL && places != NULL
                             ? input_open(&input, &engine->recipe.input, engine->training, error)
                             : error_set(error, STATUS_ENVIRONMENT, "out of memory for the tables of the weights");
    if (status == STATUS_OK) {
        layout_pieces(network, pieces, &packed);
        status = upload(layout->pieces, pieces, engine->sizes.piece_count * sizeof *pieces, error);
    }
    if (status == STATUS_OK) {
        const struct tensor *t = network->tensors;
        for (uint32_t l = 0; l < network->conv_count; l++) {
            const struct conv_layer *layer = &network->convs[l];
            places[l] = (struct cuda_norm_place){ (uint32_t)t[layer->gamma].offset, (uint32_t)t[layer->beta].offset,
                                                  (uint32_t)t[layer->running_mean].offset,
                                                  (uint32_t)t[layer->running_variance].offset, layer->filters };
        }
        if (network->logits_gamma >= 0)
            places[network->conv_count] = (struct cuda_norm_place){
                (uint32_t)t[network->logits_gamma].offset, (uint32_t)t[network->logits_beta].offset,
                (uint32_t)t[network->logits_mean].offset, (uint32_t)t[network->logits_variance].offset, CUDA_CLASSES
            };
        status = upload(layout->places, places, ((size_t)network->conv_count + 1) * sizeof *places, error);
    }
    if (status == STATUS_OK && input_values(input) != NULL)
        status = upload(layout->byte_values, input_values(input), 3 * 256 * sizeof(float), error);
    if (status == STATUS_OK && input_pixel_mean(input) != NULL)
        status = upload(layout->pixel_mean, input_pixel_mean(input), DATASET_IMAGE_BYTES * sizeof(float), error);
    input_close(input);
    free(places);
    free(pieces);
    return status;
}

static enum status make_streams(struct engine *engine, struct error *error)
{
    TRY(error, cudaStreamCreateWithFlags, &engine->main, cudaStreamNonBlocking);
    TRY(error, cudaStreamCreateWithFlags, &engine->side, cudaStreamNonBlocking);
    TRY(error, cudaEventCreateWithFlags, &engine->fork, cudaEventDisableTiming);
    TRY(error, cudaEventCreateWithFlags, &engine->join, cudaEventDisableTiming);
    for (int i = 0; i < SERIES; i++)
        TRY(error, cudaEventCreateWithFlags, &engine->done[i], cudaEventDisableTiming);
    TRY(error, cudaMallocHost, (void **)&engine->plans, SLOTS * sizeof *engine->plans);
    TRY(error, cudaMallocHost, (void **)&engine->results, SLOTS * sizeof *engine->results);
    TRY(error, cudaMallocHost, (void **)&engine->bases, SERIES * sizeof *engine->bases);
    return STATUS_OK;
}

/* The graph of a step of `images` images. */
static enum status capture(struct engine *engine, uint32_t images, cudaGraphExec_t *graph, struct error *error)
{
    cudaGraph_t captured = NULL;
    const char *call = NULL;
    TRY(error, cudaStreamBeginCapture, engine->main, cudaStreamCaptureModeThreadLocal);
    const cudaError_t launched = step_launch(engine, images, NULL, &call);
    const cudaError_t ended = cudaStreamEndCapture(engine->main, &captured);
    if (launched != cudaSuccess)
        return cuda_error(error, (int)launched, call);
    if (ended != cudaSuccess)
        return cuda_error(error, (int)ended, "cudaStreamEndCapture");
    const cudaError_t made = cudaGraphInstantiate(graph, captured, 0);
    (void)cudaGraphDestroy(captured);
    return made == cudaSuccess ? STATUS_OK : cuda_error(error, (int)made, "cudaGraphInstantiate");
}

static enum status capture_steps(struct engine *engine, struct error *error)
{
    const struct training_config *training = &engine->recipe.training;
    const uint32_t rest = engine->sizes.training % training->batch_size;
    engine->graph_images[0] = engine->sizes.training < training->batch_size ? rest : training->batch_size;
    enum status status = capture(engine, engine->graph_images[0], &engine->graphs[0], error);
    if (status != STATUS_OK || training->last_batch != LAST_BATCH_SHORT || rest == 0 || rest == engine->graph_images[0])
        return status;
    engine->graph_images[1] = rest;
    return capture(engine, rest, &engine->graphs[1], error);
}

static void describe(struct engine *engine)
{
    const struct device *device = &engine->device;
    snprintf(engine->description, sizeof engine->description, "%s, capability %d.%d", device->name, device->major,
             device->minor);
    snprintf(engine->fact_texts[0], sizeof engine->fact_texts[0], "card: %s, %u multiprocessors, %zu MiB%s", device->name,
             device->multiprocessors, device->memory_bytes >> 20, device->ecc ? ", ECC" : "");
    snprintf(engine->fact_texts[1], sizeof engine->fact_texts[1], "driver: %s (CUDA %d.%d)",
             device->driver[0] != '\0' ? device->driver : "version unknown", device->driver_version / 1000,
             device->driver_version % 1000 / 10);
    snprintf(engine->fact_texts[2], sizeof engine->fact_texts[2], "CUDA runtime: %d.%d", device->runtime_version / 1000,
             device->runtime_version % 1000 / 10);
    snprintf(engine->fact_texts[3], sizeof engine->fact_texts[3], "kernels compiled for: %s", device_build_architectures);
    for (int i = 0; i < 4; i++)
        engine->facts[i] = engine->fact_texts[i];
}

static size_t data_bytes(const struct dataset *data)
{
    return data == NULL ? 0 : (size_t)data->count * (DATASET_IMAGE_BYTES + 1);
}

static enum status set_up(struct engine *engine, const struct engine_options *options, struct error *error)
{
    const bool steps = engine->training != NULL && !options->inference;
    char what[64];
    if (steps) { /* for what it refuses */
        struct sampler *sampler;
        enum status status = sampler_open(&sampler, &engine->recipe, engine->training->count, error);
        if (status != STATUS_OK)
            return status;
        sampler_close(sampler);
    }
    engine->sizes = sizes_of(&engine->recipe, engine->network, steps ? engine->training->count : 0,
                             engine->validation == NULL ? 0 : engine->validation->count, !steps);
    const uint32_t layers = engine->network->conv_count;
    engine->culprits = (struct culprits){ 0, layers, layers + 1, layers + 2, 2 * layers + 2 };
    enum status status = allocate_host(&engine->layout, engine->network, error);
    if (status != STATUS_OK)
        return status;
    layout_make(&engine->layout, &engine->sizes, NULL);
    status = device_open(&engine->device, error);
    if (status != STATUS_OK)
        return status;
    snprintf(what, sizeof what, "batch %u at depth %u", engine->sizes.batch, engine->network->model.depth);
    status = device_check_memory(
        &engine->device,
        engine->layout.bytes + (steps ? data_bytes(engine->training) : 0) + data_bytes(engine->validation), what, error);
    if (status != STATUS_OK)
        return status;
    TRY(error, cudaMalloc, &engine->memory, engine->layout.bytes);
    layout_make(&engine->layout, &engine->sizes, engine->memory);
    TRY(error, cudaMemset, engine->memory, 0, engine->layout.bytes);
    if (steps)
        status = upload_data(engine->training, &engine->training_images, &engine->training_labels, error);
    if (status == STATUS_OK)
        status = upload_data(engine->validation, &engine->validation_images, &engine->validation_labels, error);
    if (status == STATUS_OK)
        status = upload_tables(engine, error);
    if (status == STATUS_OK)
        status = make_streams(engine, error);
    if (status != STATUS_OK)
        return status;
    TRY(error, cudaDeviceSynchronize); /* the uploads, before other streams read them */
    describe(engine);
    return steps ? capture_steps(engine, error) : STATUS_OK;
}

static enum status cuda_open(struct engine **out, const struct recipe *recipe, const struct network *network,
                             const struct dataset *training, const struct dataset *validation,
                             const struct engine_options *options, struct error *error)
{
    *out = NULL;
    struct engine *engine = calloc(1, sizeof *engine);
    if (engine == NULL)
        return error_set(error, STATUS_ENVIRONMENT, "out of memory");
    engine->recipe = *recipe;
    engine->network = network;
    engine->training = training;
    engine->validation = validation;
    enum status status = set_up(engine, options, error);
    if (status != STATUS_OK)
        cuda_close(engine);
    else
        *out = engine;
    return status;
}

/* ---- state ------------------------------------------------------------------------------------------------------- */

static enum status cuda_set_state(struct engine *engine, const float *values, const float *momentum, struct error *error)
{
    const size_t bytes = engine->network->value_count * sizeof(float);
    const char *call;
    TRY(error, cudaMemcpy, engine->layout.values, values, bytes, cudaMemcpyHostToDevice);
    if (engine->sizes.steps)
        TRY(error, cudaMemcpy, engine->layout.momentum, momentum, bytes, cudaMemcpyHostToDevice);
    TRY(error, cudaDeviceSynchronize);
    const cudaError_t packed = pack_launch(engine, &call);
    if (packed != cudaSuccess)
        return cuda_error(error, (int)packed, call);
    TRY(error, cudaStreamSynchronize, engine->main);
    return STATUS_OK;
}

static enum status cuda_get_state(struct engine *engine, float *values, float *momentum, struct error *error)
{
    const size_t bytes = engine->network->value_count * sizeof(float);
    TRY(error, cudaStreamSynchronize, engine->main);
    TRY(error, cudaMemcpy, values, engine->layout.values, bytes, cudaMemcpyDeviceToHost);
    if (engine->sizes.steps)
        TRY(error, cudaMemcpy, momentum, engine->layout.momentum, bytes, cudaMemcpyDeviceToHost);
    return STATUS_OK;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

/* Steps first .. first+count-1, queued with the plans and results of one of the series. */
struct series {
    uint64_t first;
    uint32_t count, place; /* place: which of SERIES */
};

/* Has the order of a pass made, unless it is there. The stream keeps that apart from the steps before. */
static enum status order_pass(struct engine *engine, uint64_t pass, struct error *error)
{
    const uint32_t place = pass % 2;
    if (engine->have_order[place] && engine->passes[place] == pass)
        return STATUS_OK;
    const struct cuda_shuffle_arguments arguments = { .seed = engine->recipe.training.seed,
                                                      .pass = pass,
                                                      .images = engine->sizes.training,
                                                      .keys = engine->layout.keys,
                                                      .order = engine->layout.orders[place] };
    TRY(error, cuda_shuffle, &arguments, engine->main);
    engine->have_order[place] = true;
    engine->passes[place] = pass;
    return STATUS_OK;
}

static enum status queue(struct engine *engine, const struct series *series, struct error *error)
{
    const struct training_config *training = &engine->recipe.training;
    const uint32_t images = engine->sizes.training, base = series->place * SERIES_STEPS;
    struct cuda_step_plan *plans = engine->plans + base;
    for (uint32_t i = 0; i < series->count; i++) {
        schedule_place(training, images, series->first + i, &plans[i].pass, &plans[i].place);
        plans[i].rate = schedule_learning_rate(training, images, series->first + i);
    }
    engine->bases[series->place] = base;
    TRY(error, cudaMemcpyAsync, engine->layout.plans + base, plans, series->count * sizeof *plans, cudaMemcpyHostToDevice,
        engine->main);
    TRY(error, cudaMemcpyAsync, &engine->layout.current->next, &engine->bases[series->place], sizeof(uint32_t),
        cudaMemcpyHostToDevice, engine->main);
    for (uint32_t i = 0; i < series->count; i++) {
        const uint32_t in_step = schedule_batch(training, images, series->first + i);
        enum status status = order_pass(engine, plans[i].pass, error);
        if (status == STATUS_OK && (uint64_t)plans[i].place + in_step > images)
            status = order_pass(engine, plans[i].pass + 1, error);
        if (status != STATUS_OK)
            return status;
        assert(in_step == engine->graph_images[0] || in_step == engine->graph_images[1]);
        TRY(error, cudaGraphLaunch, engine->graphs[in_step == engine->graph_images[0] ? 0 : 1], engine->main);
    }
    TRY(error, cudaMemcpyAsync, engine->results + base, engine->layout.results + base,
        series->count * sizeof *engine->results, cudaMemcpyDeviceToHost, engine->main);
    TRY(error, cudaEventRecord, engine->done[series->place], engine->main);
    return STATUS_OK;
}

static enum status blame(const struct engine *engine, uint64_t step, uint32_t number, struct error *error)
{
    const struct network *network = engine->network;
    const struct culprits *culprits = &engine->culprits;
    char text[CULPRIT_BYTES];
    if (number >= culprits->update)
        culprit_describe(text, sizeof text, CULPRIT_UPDATE, network->tensors[number - culprits->update].name);
    else if (number >= culprits->backward)
        culprit_describe(
            text, sizeof text, CULPRIT_BACKWARD,
            network->tensors[network->convs[network->conv_count - 1 - (number - culprits->backward)].weight].name);
    else if (number == culprits->loss)
        culprit_describe(text, sizeof text, CULPRIT_LOSS, "");
    else if (number == culprits->logits)
        culprit_describe(text, sizeof text, CULPRIT_LOGITS, "");
    else
        culprit_describe(text, sizeof text, CULPRIT_FORWARD, network->tensors[network->convs[number].weight].name);
    return culprit_error(error, step, text);
}

/* Waits for a series and reports it. */
static enum status hear(struct engine *engine, const struct series *series, const struct step_listener *listener,
                        uint64_t *done, bool *wanted, struct error *error)
{
    const struct cuda_step_result *found = engine->results + series->place * SERIES_STEPS;
    struct step_result results[SERIES_STEPS];
    uint32_t good = 0;
    TRY(error, cudaEventSynchronize, engine->done[series->place]);
    for (; good < series->count && found[good].culprit == CUDA_NO_CULPRIT; good++)
        results[good] = (struct step_result){
            .loss = found[good].loss,
            .errors = found[good].errors,
            .images = schedule_batch(&engine->recipe.training, engine->sizes.training, series->first + good),
            .digest = { found[good].digest[0], found[good].digest[1] },
        };
    if (good > 0)
        *wanted = listener->steps(listener->context, series->first, results, good) && *wanted;
    *done += good;
    return good == series->count ? STATUS_OK : blame(engine, series->first + good, found[good].culprit, error);
}

static enum status cuda_run_steps(struct engine *engine, uint64_t first, uint64_t last,
                                  const struct step_listener *listener, uint64_t *done, struct error *error)
{
    struct series queued[SERIES];
    uint32_t waiting = 0, place = 0;
    uint64_t next = first;
    bool wanted = true;
    enum status status = STATUS_OK;
    assert(engine->sizes.steps);
    *done = 0;
    while (status == STATUS_OK && ((wanted && next < last) || waiting > 0)) {
        if (wanted && next < last && waiting < SERIES) {
            const uint64_t left = last - next;
            queued[place] = (struct series){ next, left < SERIES_STEPS ? (uint32_t)left : SERIES_STEPS, place };
            status = queue(engine, &queued[place], error);
            next += queued[place].count;
            place = (place + 1) % SERIES;
            waiting++;
        } else {
            status = hear(engine, &queued[(place + SERIES - waiting) % SERIES], listener, done, &wanted, error);
            waiting--;
        }
    }
    if (status != STATUS_OK)
        (void)cudaStreamSynchronize(engine->main); /* nothing may run on into what comes next */
    return status;
}

/* ---- evaluation -------------------------------------------------------------------------------------------------- */

static enum status cuda_evaluate(struct engine *engine, uint8_t *predictions, double *loss, struct error *error)
{
    const struct layout *layout = &engine->layout;
    const struct network *network = engine->network;
    const uint32_t count = engine->validation->count, batch = engine->sizes.batch;
    const struct cuda_running_norms_arguments norms = { .values = layout->values,
                                                        .places = layout->places,
                                                        .count = network->conv_count + (network->logits_gamma >= 0),
                                                        .epsilon = engine->recipe.model.batch_norm_epsilon,
                                                        .norm = layout->norms };
    const struct cuda_mean_loss_arguments mean = { .losses = layout->losses, .count = count, .loss = layout->mean_loss };
    const char *call;
    TRY(error, cuda_running_norms, &norms, engine->main);
    for (uint32_t first = 0; first < count; first += batch) {
        const cudaError_t launched =
            evaluation_launch(engine, first, count - first < batch ? count - first : batch, &call);
        if (launched != cudaSuccess)
            return cuda_error(error, (int)launched, call);
    }
    TRY(error, cuda_mean_loss, &mean, engine->main);
    TRY(error, cudaStreamSynchronize, engine->main);
    TRY(error, cudaMemcpy, predictions, layout->predictions, count, cudaMemcpyDeviceToHost);
    TRY(error, cudaMemcpy, loss, layout->mean_loss, sizeof *loss, cudaMemcpyDeviceToHost);
    if (!exact_finite(*loss))
        return error_set(error, STATUS_NO,
                         "a number that is not finite (NaN or infinity) in the loss of the evaluation");
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

static bool hear_nothing(void *context, uint64_t first, const struct step_result *results, uint64_t count)
{
    (void)context, (void)first, (void)results, (void)count;
    return true;
}

/* The steps, each between two events. */
static enum status time_steps(struct engine *engine, uint64_t first, uint64_t last, cudaEvent_t *events, double *step_s,
                              struct error *error)
{
    const struct step_listener nobody = { .steps = hear_nothing };
    for (uint64_t step = first; step < last; step++) {
        uint64_t done;
        TRY(error, cudaEventRecord, events[0], engine->main);
        enum status status = cuda_run_steps(engine, step, step + 1, &nobody, &done, error);
        if (status != STATUS_OK)
            return status;
        TRY(error, cudaEventRecord, events[1], engine->main);
        TRY(error, cudaEventSynchronize, events[1]);
        status = seconds_between(events[0], events[1], &step_s[step - first], error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* One more step, without a graph and with an event behind every layer, stands for the parts of all. */
static enum status time_parts(struct engine *engine, uint64_t step, double steps, struct step_marks *marks,
                              struct engine_profile *profile, struct error *error)
{
    const uint32_t layers = engine->network->conv_count;
    const struct series one = { step, 1, 0 };
    const char *call;
    double seconds = 0.0;
    schedule_place(&engine->recipe.training, engine->sizes.training, one.first, &engine->plans[0].pass,
                   &engine->plans[0].place);
    engine->plans[0].rate = schedule_learning_rate(&engine->recipe.training, engine->sizes.training, one.first);
    engine->bases[0] = 0;
    TRY(error, cudaMemcpyAsync, engine->layout.plans, engine->plans, sizeof *engine->plans, cudaMemcpyHostToDevice,
        engine->main);
    TRY(error, cudaMemcpyAsync, &engine->layout.current->next, engine->bases, sizeof(uint32_t), cudaMemcpyHostToDevice,
        engine->main);
    const cudaError_t launched = step_launch(engine, engine->graph_images[0], marks, &call);
    if (launched != cudaSuccess)
        return cuda_error(error, (int)launched, call);
    TRY(error, cudaStreamSynchronize, engine->main);
    assert(marks->count == 2 * layers + 3);
    for (uint32_t i = 1; i < marks->count; i++) {
        enum status status = seconds_between(marks->events[i - 1], marks->events[i], &seconds, error);
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

static enum status cuda_profile(struct engine *engine, uint64_t first, uint64_t last, struct engine_profile *profile,
                                struct error *error)
{
    struct step_marks marks = { .room = 2 * engine->network->conv_count + 3 };
    enum status status = STATUS_OK;
    marks.events = calloc(marks.room, sizeof *marks.events);
    if (marks.events == NULL)
        return error_set(error, STATUS_ENVIRONMENT, "out of memory for the times of %u layers",
                         engine->network->conv_count);
    uint32_t made = 0;
    for (; made < marks.room && status == STATUS_OK; made++) {
        const cudaError_t code = cudaEventCreateWithFlags(&marks.events[made], cudaEventDefault);
        if (code != cudaSuccess)
            status = cuda_error(error, (int)code, "cudaEventCreateWithFlags");
    }
    if (status == STATUS_OK)
        status = time_steps(engine, first, last, marks.events, profile->step_s, error);
    if (status == STATUS_OK)
        status = time_parts(engine, last, (double)(last - first), &marks, profile, error);
    for (uint32_t i = 0; i < made; i++)
        if (marks.events[i] != NULL)
            (void)cudaEventDestroy(marks.events[i]);
    free(marks.events);
    return status;
}

static double cuda_peak_flops(struct engine *engine)
{
    double flops = 0.0;
    struct error error;
    (void)engine;
    return device_peak_flops(&flops, &error) == STATUS_OK ? flops : 0.0;
}

static const char *cuda_describe(const struct engine *engine)
{
    return engine->description;
}

static const char *const *cuda_facts(const struct engine *engine)
{
    return engine->facts;
}

static size_t cuda_memory_bytes(const struct engine *engine)
{
    return engine->layout.bytes;
}

const struct engine_operations engine_cuda = {
    .name = "cuda",
    .exact = true,
    .open = cuda_open,
    .set_state = cuda_set_state,
    .get_state = cuda_get_state,
    .run_steps = cuda_run_steps,
    .evaluate = cuda_evaluate,
    .describe = cuda_describe,
    .facts = cuda_facts,
    .memory_bytes = cuda_memory_bytes,
    .predict_memory = cuda_predict_memory,
    .profile = cuda_profile,
    .peak_flops = cuda_peak_flops,
    .close = cuda_close,
};

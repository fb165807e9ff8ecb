#include "trainer/gpu/launches.h"

void launch_mark(struct launches *run)
{
    struct queue_marks *marks = run->marks;
    if (marks != NULL && marks->events != NULL && marks->count < marks->room)
        check(run, cudaEventRecord(marks->events[marks->count++], run->session->stream), "cudaEventRecord");
}

/* ---- what arguments are made of ---------------------------------------------------------------------------------- */

float *value_of(const struct gpu_session *session, int64_t tensor)
{
    return tensor < 0 ? NULL : session->buffers.values + session->network->tensors[tensor].offset;
}

float *gradient_of(const struct gpu_session *session, int64_t tensor)
{
    return tensor < 0 ? NULL : session->buffers.gradients + session->network->tensors[tensor].offset;
}

struct exact_norm *norms_of(const struct gpu_session *session, uint32_t l)
{
    return session->buffers.norms + (size_t)l * GPU_FEATURES;
}

struct gpu_report report_of(const struct gpu_session *session, uint32_t culprit)
{
    return (struct gpu_report){ session->buffers.current, session->buffers.results, culprit };
}

bool block_changes_shape(const struct gpu_session *session, uint32_t block)
{
    return session->network->convs[1 + 2 * block].stride == 2;
}

/* ---- launches ---------------------------------------------------------------------------------------------------- */

static struct gpu_load_arguments load_of(const struct launches *run)
{
    const struct gpu_session *session = run->session;
    return (struct gpu_load_arguments){
        .count = run->images,
        .value = session->buffers.byte_values,
        .pixel_mean = session->buffers.pixel_mean,
        .padding = session->recipe.input.padding,
        .padding_pixels = session->recipe.input.padding_pixels,
        .x = session->buffers.x,
    };
}

void launch_begin(struct launches *run)
{
    const struct gpu_session *session = run->session;
    const struct gpu_buffers *buffers = &session->buffers;
    const struct input_config *input = &session->recipe.input;
    LAUNCH(run, session->stream, gpu_begin,
           { .schedules = buffers->schedules,
             .current = buffers->current,
             .results = buffers->results,
             .orders = { buffers->orders[0], buffers->orders[1] },
             .labels = session->training_labels,
             .images = session->sizes.training,
             .count = run->images,
             .seed = session->recipe.training.seed,
             .padding_pixels = input->padding_pixels,
             .crop = input->random_crop,
             .flip = input->random_flip,
             .samples = buffers->samples,
             .batch_labels = buffers->labels });
    struct gpu_load_arguments load = load_of(run);
    load.images = session->training_images;
    load.samples = buffers->samples;
    LAUNCH(run, session->stream, gpu_load, load);
}

void launch_load(struct launches *run, uint32_t first)
{
    struct gpu_load_arguments load = load_of(run);
    load.images = run->session->validation_images;
    load.first = first;
    LAUNCH(run, run->session->stream, gpu_load, load);
}

void launch_head(struct launches *run, uint32_t logits_culprit, uint32_t loss_culprit)
{
    const struct gpu_session *session = run->session;
    const struct gpu_buffers *buffers = &session->buffers;
    const struct network *network = session->network;
    const struct model_config *model = &session->recipe.model;
    LAUNCH(run, session->stream, gpu_head,
           { .count = run->images,
             .z = buffers->logits,
             .labels = buffers->labels,
             .dz = buffers->dz,
             .scratch = buffers->head,
             .has_norm = network->logits_gamma >= 0,
             .norm = { .gamma = value_of(session, network->logits_gamma),
                       .beta = value_of(session, network->logits_beta),
                       .running_mean = value_of(session, network->logits_mean),
                       .running_variance = value_of(session, network->logits_variance),
                       .norm = norms_of(session, network->conv_count),
                       .epsilon = model->batch_norm_epsilon,
                       .rate = model->batch_norm_rate,
                       .unbiased = model->batch_norm_unbiased,
                       .report = report_of(session, logits_culprit) },
             .dgamma = gradient_of(session, network->logits_gamma),
             .dbeta = gradient_of(session, network->logits_beta),
             .dbias = gradient_of(session, network->linear_bias),
             .loss = report_of(session, loss_culprit) });
}

void launch_update(struct launches *run, float *packed, uint32_t culprit)
{
    const struct gpu_session *session = run->session;
    const struct training_config *training = &session->recipe.training;
    LAUNCH(run, session->stream, gpu_update,
           { .pieces = session->buffers.pieces,
             .piece_count = session->sizes.piece_count,
             .update = run->training,
             .form = training->momentum_form,
             .momentum_factor = (float)training->momentum,
             .decay = (float)training->weight_decay,
             .values = session->buffers.values,
             .momentum = session->buffers.momentum,
             .gradients = session->buffers.gradients,
             .packed = packed,
             .report = report_of(session, culprit) });
}

void launch_running_norms(struct launches *run)
{
    const struct gpu_session *session = run->session;
    LAUNCH(run, session->stream, gpu_running_norms,
           { .values = session->buffers.values,
             .places = session->buffers.places,
             .count = session->network->conv_count + (session->network->logits_gamma >= 0),
             .epsilon = session->recipe.model.batch_norm_epsilon,
             .norm = session->buffers.norms });
}

void launch_predict(struct launches *run, uint32_t first)
{
    const struct gpu_session *session = run->session;
    const struct gpu_buffers *buffers = &session->buffers;
    LAUNCH(run, session->stream, gpu_predict,
           { .first = first,
             .count = run->images,
             .z = buffers->logits,
             .norm = session->network->logits_gamma >= 0 ? norms_of(session, session->network->conv_count) : NULL,
             .labels = session->validation_labels,
             .predictions = buffers->predictions,
             .losses = buffers->losses });
}

#include "trainer/step_trace.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

const char *const trace_number_names[TRACE_NUMBERS] = { "u32", "f32", "f64" };

enum {
    NORMS = 3,         /* besides those of the convolutions: two projections', the logits' */
    LINES_A_NORM = 13, /* TRACE_OUTPUT to TRACE_ACTIVATION, TRACE_ACTIVATION_GRADIENT to TRACE_OUTPUT_GRADIENT */
    LINES_A_TENSOR = 5,
    LINES_OTHER = 10,
    INPUTS_A_LINE = 6,
    IMAGE_FLOATS_MAX = 16 * 32 * 32
};

struct trace_digest {
    struct sha256 sha256;
    uint64_t left; /* elements that are not there yet */
};

/* ---- indices ----------------------------------------------------------------------------------------------------- */

uint32_t step_trace_projection(const struct network *network, uint32_t l)
{
    return network->conv_count + (network->convs[l].filters == NETWORK_FEATURES ? 1 : 0);
}

uint32_t step_trace_logits(const struct network *network)
{
    return network->conv_count + 2;
}

uint32_t *step_trace_place(const struct step_trace *trace, enum trace_tensor what, uint32_t index)
{
    assert(index < trace->width);
    return &trace->places[(size_t)what * trace->width + index];
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static uint64_t elements(const struct trace_line *line)
{
    uint64_t count = 1;
    for (uint32_t i = 0; i < line->rank; i++)
        count *= line->shape[i];
    return count;
}

void step_trace_close(struct step_trace *trace)
{
    if (trace == NULL)
        return;
    free(trace->list.lines);
    free(trace->list.inputs);
    free(trace->values);
    free(trace->momentum);
    free(trace->image);
    free(trace->digests);
    free(trace->places);
    free(trace);
}

enum status step_trace_open(struct step_trace **out, const struct network *network, const struct recipe *recipe,
                            uint32_t images, struct error *error)
{
    *out = NULL;
    struct step_trace *trace = calloc(1, sizeof *trace);
    if (trace == NULL)
        return error_out_of_memory(error, "a trace");
    const uint32_t norms = network->conv_count + NORMS, tensors = network->tensor_count;
    const size_t most = (size_t)norms * LINES_A_NORM + (size_t)tensors * LINES_A_TENSOR + LINES_OTHER;
    trace->network = network;
    trace->images = images;
    trace->width = tensors > norms ? tensors : norms;
    trace->list.lines = calloc(most, sizeof *trace->list.lines);
    trace->list.inputs = calloc(most * INPUTS_A_LINE, sizeof *trace->list.inputs);
    trace->values = calloc(network->value_count, sizeof *trace->values);
    trace->momentum = calloc(network->value_count, sizeof *trace->momentum);
    trace->image = calloc(IMAGE_FLOATS_MAX, sizeof *trace->image);
    trace->digests = calloc(most, sizeof *trace->digests);
    trace->places = malloc((size_t)TRACE_TENSORS * trace->width * sizeof *trace->places);
    if (trace->list.lines == NULL || trace->list.inputs == NULL || trace->values == NULL || trace->momentum == NULL ||
        trace->image == NULL || trace->digests == NULL || trace->places == NULL) {
        step_trace_close(trace);
        return error_out_of_memory(error, "a trace");
    }
    memset(trace->places, 0xff, (size_t)TRACE_TENSORS * trace->width * sizeof *trace->places);
    step_trace_list(trace, recipe);
    assert(trace->list.count <= most && trace->list.input_count <= most * INPUTS_A_LINE);
    for (uint32_t i = 0; i < trace->list.count; i++) {
        sha256_start(&trace->digests[i].sha256);
        trace->digests[i].left = elements(&trace->list.lines[i]);
    }
    *out = trace;
    return STATUS_OK;
}

/* ---- digests ----------------------------------------------------------------------------------------------------- */

enum { CHUNK = 1024 };

static struct trace_digest *take(struct step_trace *trace, enum trace_tensor what, uint32_t index,
                                 enum trace_number number, size_t count)
{
    const uint32_t place = *step_trace_place(trace, what, index);
    assert(place < trace->list.count && trace->list.lines[place].number == number &&
           trace->digests[place].left >= count);
    (void)number;
    trace->digests[place].left -= count;
    return &trace->digests[place];
}

void step_trace_integers(struct step_trace *trace, enum trace_tensor what, uint32_t index, const uint32_t *numbers,
                         size_t count)
{
    struct trace_digest *digest = take(trace, what, index, TRACE_U32, count);
    uint8_t bytes[4];
    for (size_t i = 0; i < count; i++) {
        bytes_put_u32(bytes, numbers[i]);
        sha256_add(&digest->sha256, bytes, sizeof bytes);
    }
}

void step_trace_floats(struct step_trace *trace, enum trace_tensor what, uint32_t index, const float *numbers,
                       size_t count)
{
    struct trace_digest *digest = take(trace, what, index, TRACE_F32, count);
    uint8_t bytes[4 * CHUNK];
    for (size_t first = 0; first < count; first += CHUNK) {
        const size_t some = count - first < CHUNK ? count - first : CHUNK;
        bytes_put_floats(bytes, numbers + first, some);
        for (size_t i = 0; i < some; i++) {
            if (numbers[first + i] != numbers[first + i])
                bytes_put_u32(bytes + 4 * i, 0x7fc00000u);
        }
        sha256_add(&digest->sha256, bytes, 4 * some);
    }
}

void step_trace_doubles(struct step_trace *trace, enum trace_tensor what, uint32_t index, const double *numbers,
                        size_t count)
{
    struct trace_digest *digest = take(trace, what, index, TRACE_F64, count);
    for (size_t i = 0; i < count; i++) {
        uint64_t word;
        uint8_t bytes[8];
        memcpy(&word, &numbers[i], sizeof word);
        bytes_put_u64(bytes, numbers[i] != numbers[i] ? 0x7ff8000000000000u : word);
        sha256_add(&digest->sha256, bytes, sizeof bytes);
    }
}

void step_trace_batch(struct step_trace *trace, const struct sample *samples, const uint8_t *labels, float rate)
{
    for (uint32_t n = 0; n < trace->images; n++) {
        const struct sample *sample = &samples[n];
        const uint32_t crop[3] = { sample->row, sample->column, sample->flip }, label = labels[sample->image];
        step_trace_integers(trace, TRACE_ORDER, 0, &sample->image, 1);
        step_trace_integers(trace, TRACE_CROPS, 0, crop, 3);
        step_trace_integers(trace, TRACE_LABELS, 0, &label, 1);
    }
    step_trace_floats(trace, TRACE_RATE, 0, &rate, 1);
}

void step_trace_state(struct step_trace *trace, bool after, const float *values, const float *momentum)
{
    for (uint32_t i = 0; i < trace->network->tensor_count; i++) {
        const struct tensor *tensor = &trace->network->tensors[i];
        step_trace_floats(trace, after ? TRACE_AFTER : TRACE_BEFORE, i, values + tensor->offset, tensor->count);
        if (tensor->role == TENSOR_PARAMETER)
            step_trace_floats(trace, after ? TRACE_MOMENTUM_AFTER : TRACE_MOMENTUM_BEFORE, i, momentum + tensor->offset,
                              tensor->count);
    }
}

void step_trace_gradients(struct step_trace *trace, const float *gradients)
{
    for (uint32_t i = 0; i < trace->network->tensor_count; i++) {
        const struct tensor *tensor = &trace->network->tensors[i];
        if (tensor->role == TENSOR_PARAMETER)
            step_trace_floats(trace, TRACE_GRADIENT, i, gradients + tensor->offset, tensor->count);
    }
}

void step_trace_norm(struct step_trace *trace, uint32_t index, const struct exact_norm *norms, uint32_t count)
{
    for (uint32_t k = 0; k < count; k++) {
        step_trace_doubles(trace, TRACE_MEAN, index, &norms[k].mean, 1);
        step_trace_doubles(trace, TRACE_VARIANCE, index, &norms[k].variance, 1);
        step_trace_doubles(trace, TRACE_INVERSE, index, &norms[k].inverse, 1);
        step_trace_floats(trace, TRACE_SCALE, index, &norms[k].scale, 1);
        step_trace_floats(trace, TRACE_SHIFT, index, &norms[k].shift, 1);
    }
}

void step_trace_norm_gradient(struct step_trace *trace, uint32_t index, const struct exact_norm_gradient *gradients,
                              uint32_t count)
{
    for (uint32_t k = 0; k < count; k++) {
        step_trace_floats(trace, TRACE_SLOPE, index, &gradients[k].slope, 1);
        step_trace_floats(trace, TRACE_CONSTANT, index, &gradients[k].constant, 1);
    }
}

void step_trace_finish(struct step_trace *trace)
{
    for (uint32_t i = 0; i < trace->list.count; i++) {
        assert(trace->digests[i].left == 0);
        sha256_finish(&trace->digests[i].sha256, trace->list.lines[i].digest);
    }
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

static bool same_line(const struct trace_lines *a, const struct trace_lines *b, uint32_t i)
{
    const struct trace_line *one = &a->lines[i], *other = &b->lines[i];
    return strcmp(one->name, other->name) == 0 && one->number == other->number && one->rank == other->rank &&
           memcmp(one->shape, other->shape, one->rank * sizeof *one->shape) == 0 &&
           one->input_count == other->input_count &&
           memcmp(a->inputs + one->first_input, b->inputs + other->first_input, one->input_count * sizeof *a->inputs) ==
               0;
}

uint32_t trace_lines_part(const struct trace_lines *a, const struct trace_lines *b)
{
    uint32_t i = 0;
    while (i < a->count && i < b->count && same_line(a, b, i))
        i++;
    return i;
}

static bool same_digest(const struct trace_lines *a, const struct trace_lines *b, uint32_t i)
{
    return memcmp(a->lines[i].digest, b->lines[i].digest, DIGEST_BYTES) == 0;
}

uint32_t trace_roots(const struct trace_lines *a, const struct trace_lines *b, uint32_t *roots, uint32_t most,
                     uint32_t *differing)
{
    uint32_t count = 0;
    *differing = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        const struct trace_line *line = &a->lines[i];
        if (same_digest(a, b, i))
            continue;
        ++*differing;
        bool agree = true;
        for (uint32_t k = 0; k < line->input_count; k++)
            agree = agree && same_digest(a, b, a->inputs[line->first_input + k]);
        if (agree && count++ < most)
            roots[count - 1] = i;
    }
    return count;
}

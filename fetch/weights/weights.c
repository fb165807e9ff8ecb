#include "fetch/weights/weights.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/file.h"
#include "fetch/weights/neon.h"
#include "fetch/weights/torch.h"
#include "fetch/weights/torch_write.h"
#include "trainer/digests.h"

enum { SHAPE_TEXT_BYTES = 128, DEPTH_MAX = 100000 };
static const size_t WEIGHTS_LIMIT = (size_t)1 << 32;

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static const struct safetensors_pair mark = { "format", "pt" };

enum status weights_write(const char *path, const struct network *network, const float *values, struct error *error)
{
    struct safetensors_source *sources = calloc(network->tensor_count, sizeof *sources);
    if (sources == NULL)
        return error_out_of_memory(error, "the list of tensors of %s", path);
    for (uint32_t i = 0; i < network->tensor_count; i++) {
        const struct tensor *tensor = &network->tensors[i];
        sources[i] = (struct safetensors_source){ tensor->name, tensor->rank, tensor->shape, values + tensor->offset };
    }
    enum status status = safetensors_write(path, sources, network->tensor_count, &mark, 1, false, error);
    free(sources);
    return status;
}

enum status weights_convert(const struct weights *weights, const char *path, enum weights_container container,
                            struct error *error)
{
    const struct tensors *tensors = &weights->tensors;
    struct safetensors_source *sources = calloc(tensors->count + 1, sizeof *sources);
    size_t count = 0;
    if (sources == NULL)
        return error_out_of_memory(error, "the list of tensors of %s", path);
    for (size_t i = 0; i < tensors->count; i++) {
        const struct named_tensor *tensor = &tensors->list[i];
        if (weights_is_weight(tensor))
            sources[count++] = (struct safetensors_source){ tensor->name, tensor->rank, tensor->shape, tensor->values };
    }
    enum status status = container == CONTAINER_TORCH_ZIP
                             ? torch_write(path, sources, count, error)
                             : safetensors_write(path, sources, count, &mark, 1, false, error);
    free(sources);
    return status;
}

/* ---- into a network's values ------------------------------------------------------------------------------------- */

static void shape_text(char text[SHAPE_TEXT_BYTES], uint32_t rank, const uint64_t *shape)
{
    size_t used = (size_t)snprintf(text, SHAPE_TEXT_BYTES, "(");
    for (uint32_t i = 0; i < rank && used < SHAPE_TEXT_BYTES; i++)
        used += (size_t)snprintf(text + used, SHAPE_TEXT_BYTES - used, "%s%" PRIu64, i > 0 ? ", " : "", shape[i]);
    if (used < SHAPE_TEXT_BYTES)
        snprintf(text + used, SHAPE_TEXT_BYTES - used, ")");
}

static enum status take_tensor(const struct safetensor *found, const char *path, const struct tensor *tensor,
                               float *values, struct error *error)
{
    uint64_t shape[4];
    for (uint32_t i = 0; i < tensor->rank; i++)
        shape[i] = tensor->shape[i];
    if (strcmp(found->dtype, "F32") != 0)
        return error_set(error, STATUS_INPUT, "%s: tensor \"%s\" is %s; a checkpoint holds F32", path, found->name,
                         found->dtype);
    if (found->rank != tensor->rank || memcmp(found->shape, shape, tensor->rank * sizeof *shape) != 0) {
        char has[SHAPE_TEXT_BYTES], wants[SHAPE_TEXT_BYTES];
        shape_text(has, found->rank, found->shape);
        shape_text(wants, tensor->rank, shape);
        return error_set(error, STATUS_INPUT,
                         "%s: tensor \"%s\" has the shape %s, but the network's has %s: was it trained with another "
                         "depth or variant?",
                         path, found->name, has, wants);
    }
    bytes_get_floats(values + tensor->offset, found->data, tensor->count);
    return STATUS_OK;
}

enum status weights_take(const struct safetensors *safetensors, const char *path, const char *prefix, unsigned roles,
                         const struct network *network, float *values, struct error *error)
{
    for (uint32_t i = 0; i < network->tensor_count; i++) {
        const struct tensor *tensor = &network->tensors[i];
        char name[2 * TENSOR_NAME_BYTES];
        if ((roles & 1u << tensor->role) == 0)
            continue;
        snprintf(name, sizeof name, "%s%s", prefix, tensor->name);
        const struct safetensor *found = safetensors_find(safetensors, name);
        if (found == NULL)
            return error_set(error, STATUS_INPUT,
                             "%s has no tensor \"%s\", which the network of depth %u has: was it trained with another "
                             "depth or variant?",
                             path, name, network->model.depth);
        enum status status = take_tensor(found, path, tensor, values, error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

static bool ends_with(const char *text, const char *end)
{
    return strlen(text) >= strlen(end) && strcmp(text + strlen(text) - strlen(end), end) == 0;
}

bool weights_is_weight(const struct named_tensor *tensor)
{
    return tensor->values != NULL && !starts_with(tensor->name, "momentum.") &&
           !ends_with(tensor->name, ".num_batches_tracked");
}

static enum status fill_tensor(const struct named_tensor *found, const char *path, const struct tensor *tensor,
                               float *values, struct error *error)
{
    if (found->values == NULL)
        return error_set(error, STATUS_INPUT, "%s: tensor \"%s\" holds %s numbers, not reals", path, found->name,
                         element_name(found->element));
    if (found->rank != tensor->rank || memcmp(found->shape, tensor->shape, tensor->rank * sizeof *tensor->shape) != 0) {
        uint64_t shape[TENSORS_RANK_MAX];
        char has[SHAPE_TEXT_BYTES], wants[SHAPE_TEXT_BYTES];
        for (uint32_t i = 0; i < found->rank; i++)
            shape[i] = found->shape[i];
        shape_text(has, found->rank, shape);
        for (uint32_t i = 0; i < tensor->rank; i++)
            shape[i] = tensor->shape[i];
        shape_text(wants, tensor->rank, shape);
        return error_set(error, STATUS_INPUT,
                         "%s: tensor \"%s\" has the shape %s, but the network's has %s: was it trained with another "
                         "depth or variant?",
                         path, found->name, has, wants);
    }
    memcpy(values + tensor->offset, found->values, tensor->count * sizeof *values);
    return STATUS_OK;
}

enum status weights_fill(const struct weights *weights, const char *path, const struct network *network, float *values,
                         struct error *error)
{
    for (size_t i = 0; i < weights->tensors.count; i++) {
        const struct named_tensor *tensor = &weights->tensors.list[i];
        if (network_find(network, tensor->name) < 0 && !starts_with(tensor->name, "momentum.") &&
            !ends_with(tensor->name, ".num_batches_tracked"))
            return error_set(error, STATUS_INPUT,
                             "%s: tensor \"%s\" is none of the network's, of depth %" PRIu32
                             ": was it trained with another "
                             "depth or variant?",
                             path, tensor->name, network->model.depth);
    }
    for (uint32_t i = 0; i < network->tensor_count; i++) {
        const struct named_tensor *found = tensors_find(&weights->tensors, network->tensors[i].name);
        if (found == NULL)
            return error_set(error, STATUS_INPUT,
                             "%s has no tensor \"%s\", which the network of depth %" PRIu32
                             " has: was it trained with another "
                             "depth or variant?",
                             path, network->tensors[i].name, network->model.depth);
        enum status status = fill_tensor(found, path, &network->tensors[i], values, error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

enum status weights_read(const char *path, const struct network *network, float *values, struct error *error)
{
    struct weights weights;
    enum status status = weights_open(&weights, path, error);
    if (status != STATUS_OK)
        return status;
    status = weights_fill(&weights, path, network, values, error);
    weights_close(&weights);
    return status;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

static enum status read_safetensors(struct tensors *tensors, const char *path, const uint8_t *file, size_t bytes,
                                    struct error *error)
{
    struct safetensors safetensors;
    char *copy = malloc(bytes + 1);
    if (copy == NULL)
        return error_out_of_memory(error, "the %zu bytes of %s", bytes, path);
    memcpy(copy, file, bytes);
    enum status status = safetensors_parse(&safetensors, path, copy, bytes, error); /* which owns the copy now */
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < safetensors.count && status == STATUS_OK; i++) {
        const struct safetensor *from = &safetensors.tensors[i];
        struct named_tensor *to;
        status = tensors_add(tensors, path, from->name, strlen(from->name), element_of(from->dtype), from->rank,
                             from->shape, &to, error);
        if (status == STATUS_OK && to->values != NULL)
            status = tensors_fill(to, path, from->data, error);
    }
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(safetensors.header, "__metadata__"), key, value)
    {
        if (strcmp(key, "format") != 0)
            tensors_claim(tensors, key, strlen(key), json_string_value(value), json_string_length(value));
    }
    safetensors_free(&safetensors);
    return status;
}

static bool is_at(const uint8_t *file, size_t bytes, size_t place, const char *text, size_t length)
{
    return bytes >= place + length && memcmp(file + place, text, length) == 0;
}

/* What else people have in their hands, for the message; NULL for what nothing is known about. */
static const char *foreign_format(const uint8_t *file, size_t bytes)
{
    static const struct {
        size_t place;
        const char *start;
        size_t length;
        const char *what;
    } formats[] = {
        { 0, "\x89HDF", 4,
          "an HDF5 file, such as Keras writes; convert it to safetensors with the program that wrote it" },
        { 257, "ustar", 5, "a tar file, as torch wrote before 0.1.10; load and save it again with a newer torch" },
        { 0, "\x1f\x8b", 2, "compressed by gzip; unpack it first" },
        { 0, "version https://git-lfs", 23, "a pointer of Git LFS, not the file itself; git lfs pull gets that" },
        { 0, "<", 1, "a web page, not the file itself; a download went wrong" },
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (is_at(file, bytes, formats[i].place, formats[i].start, formats[i].length))
            return formats[i].what;
    }
    return NULL;
}

/* A safetensors header has at most 100,000,000 bytes, so the upper half of its length is zero, and begins with a
 * brace. */
static bool is_safetensors(const uint8_t *file, size_t bytes)
{
    return is_at(file, bytes, 4, "\0\0\0\0{", 5);
}

static enum status parse(struct weights *weights, const char *path, const uint8_t *file, size_t bytes,
                         struct error *error)
{
    struct tensors *tensors = &weights->tensors;
    if (is_safetensors(file, bytes)) {
        weights->container = CONTAINER_SAFETENSORS;
        return read_safetensors(tensors, path, file, bytes, error);
    }
    if (is_at(file, bytes, 0, "PK\3\4", 4)) {
        weights->container = CONTAINER_TORCH_ZIP;
        return torch_read_zip(tensors, path, file, bytes, error);
    }
    if (torch_is_legacy(file, bytes)) {
        weights->container = CONTAINER_TORCH_LEGACY;
        return torch_read_legacy(tensors, path, file, bytes, error);
    }
    if (bytes >= 2 && file[0] == 0x80 && file[1] >= 2 && file[1] <= 5) {
        weights->container = CONTAINER_NEON;
        return neon_read(tensors, path, file, bytes, error);
    }
    const char *foreign = foreign_format(file, bytes);
    return error_set(error, STATUS_INPUT,
                     "%s is %s. Weights are read from safetensors files, torch.save's files and neon's pickles", path,
                     foreign != NULL ? foreign : "in no format that is known here");
}

enum status weights_parse(struct weights *weights, const char *path, const uint8_t *file, size_t bytes,
                          struct error *error)
{
    *weights = (struct weights){ .bytes = bytes };
    tensors_open(&weights->tensors, bytes);
    sha256_hex(file, bytes, weights->sha256);
    enum status status = parse(weights, path, file, bytes, error);
    if (status == STATUS_OK)
        status = tensors_sort(&weights->tensors, path, error);
    if (status != STATUS_OK)
        weights_close(weights);
    return status;
}

enum status weights_open(struct weights *weights, const char *path, struct error *error)
{
    char *file;
    size_t bytes;
    *weights = (struct weights){ .bytes = 0 };
    enum status status = file_read(path, WEIGHTS_LIMIT, &file, &bytes, error);
    if (status != STATUS_OK)
        return status;
    status = weights_parse(weights, path, (const uint8_t *)file, bytes, error);
    free(file);
    return status;
}

void weights_close(struct weights *weights)
{
    tensors_free(&weights->tensors);
}

/* ---- what they are ----------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum weights_format format;
} containers[] = {
    [CONTAINER_SAFETENSORS] = { "safetensors", WEIGHTS_SAFETENSORS },
    [CONTAINER_TORCH_LEGACY] = { "torch legacy", WEIGHTS_TORCH },
    [CONTAINER_TORCH_ZIP] = { "torch zip", WEIGHTS_TORCH },
    [CONTAINER_NEON] = { "neon pickle", WEIGHTS_NEON },
};

const char *weights_container_name(enum weights_container container)
{
    return containers[container].name;
}

bool weights_has_format(const struct weights *weights, enum weights_format format)
{
    return format == WEIGHTS_AUTO || format == containers[weights->container].format;
}

size_t weights_parameter_count(const struct weights *weights)
{
    size_t count = 0;
    for (size_t i = 0; i < weights->tensors.count; i++) {
        const struct named_tensor *tensor = &weights->tensors.list[i];
        if (weights_is_weight(tensor) && !ends_with(tensor->name, ".running_mean") &&
            !ends_with(tensor->name, ".running_var"))
            count += tensor->count;
    }
    return count;
}

void weights_content_digest(const struct weights *weights, char hex[DIGEST_HEX_BYTES])
{
    uint8_t digest[DIGEST_BYTES];
    struct sha256 sha256;
    sha256_start(&sha256);
    for (size_t i = 0; i < weights->tensors.count; i++) {
        const struct named_tensor *tensor = &weights->tensors.list[i];
        if (weights_is_weight(tensor))
            digest_tensor(&sha256, tensor->name, tensor->rank, tensor->shape, tensor->values);
    }
    sha256_finish(&sha256, digest);
    digest_to_hex(digest, hex);
}

enum status weights_model(const struct weights *weights, const char *path, struct model_config *model,
                          struct error *error)
{
    const struct tensors *tensors = &weights->tensors;
    struct network *network;
    uint32_t blocks = 0;
    for (char name[64]; blocks < DEPTH_MAX / 6; blocks++) {
        snprintf(name, sizeof name, "layer1.%" PRIu32 ".conv1.weight", blocks);
        if (tensors_find(tensors, name) == NULL)
            break;
    }
    *model = (struct model_config){
        .depth = 6 * blocks + 2, .batch_norm_epsilon = 1e-5, .batch_norm_rate = 0.1, .batch_norm_initial_variance = 1
    };
    if (blocks == 0)
        return error_set(error, STATUS_INPUT,
                         "%s has no tensor \"layer1.0.conv1.weight\": its network is none of depth 6n+2", path);
    model->shortcut =
        tensors_find(tensors, "layer2.0.shortcut.0.weight") != NULL ? SHORTCUT_PROJECTION : SHORTCUT_PAD_END;
    model->linear_bias = tensors_find(tensors, "linear.bias") != NULL ? BIAS_ZERO : BIAS_NONE;
    model->final_batch_norm = tensors_find(tensors, "bn_logits.weight") != NULL;
    enum status status = network_open(&network, model, error);
    if (status != STATUS_OK)
        return status;
    float *values = malloc(network->value_count * sizeof *values);
    status = values != NULL ? weights_fill(weights, path, network, values, error)
                            : error_out_of_memory(error, "%zu weights", network->value_count);
    free(values);
    network_close(network);
    return status;
}

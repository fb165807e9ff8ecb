#include "fetch/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/common/bytes.h"
#include "trainer/common/file.h"

enum { SHAPE_TEXT_BYTES = 128 };
static const size_t WEIGHTS_LIMIT = (size_t)1 << 32;

enum status weights_write(const char *path, const struct network *network, const float *values, struct error *error)
{
    static const struct safetensors_pair mark = { "format", "pt" };
    struct safetensors_source *sources = calloc(network->tensor_count, sizeof *sources);
    if (sources == NULL)
        return error_set(error, STATUS_ENVIRONMENT, "no memory for the list of tensors of %s", path);
    for (uint32_t i = 0; i < network->tensor_count; i++) {
        const struct tensor *tensor = &network->tensors[i];
        sources[i] = (struct safetensors_source){ tensor->name, tensor->rank, tensor->shape, values + tensor->offset };
    }
    enum status status = safetensors_write(path, sources, network->tensor_count, &mark, 1, false, error);
    free(sources);
    return status;
}

static void shape_text(char text[SHAPE_TEXT_BYTES], uint32_t rank, const uint64_t *shape)
{
    size_t used = (size_t)snprintf(text, SHAPE_TEXT_BYTES, "(");
    for (uint32_t i = 0; i < rank && used < SHAPE_TEXT_BYTES; i++)
        used += (size_t)snprintf(text + used, SHAPE_TEXT_BYTES - used, "%s%ju", i > 0 ? ", " : "", (uintmax_t)shape[i]);
    if (used < SHAPE_TEXT_BYTES)
        snprintf(text + used, SHAPE_TEXT_BYTES - used, ")");
}

static enum status take_tensor(const struct safetensor *found, const char *path, const struct tensor *tensor, float *values,
                               struct error *error)
{
    uint64_t shape[4];
    for (uint32_t i = 0; i < tensor->rank; i++)
        shape[i] = tensor->shape[i];
    if (strcmp(found->dtype, "F32") != 0)
        return error_set(error, STATUS_INPUT, "%s: tensor \"%s\" is %s; this build reads F32 weights", path, found->name, found->dtype);
    if (found->rank != tensor->rank || memcmp(found->shape, shape, tensor->rank * sizeof *shape) != 0) {
        char has[SHAPE_TEXT_BYTES], wants[SHAPE_TEXT_BYTES];
        shape_text(has, found->rank, found->shape);
        shape_text(wants, tensor->rank, shape);
        return error_set(error, STATUS_INPUT, "%s: tensor \"%s\" has the shape %s, but the network's has %s: was it trained with another "
                         "depth or variant?", path, found->name, has, wants);
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
            return error_set(error, STATUS_INPUT, "%s has no tensor \"%s\", which the network of depth %u has: was it trained with another "
                             "depth or variant?", path, name, network->model.depth);
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

/* What else the weights of PyTorch users come in, by a file's first bytes; NULL for what is not one of them. */
static const char *foreign_format(const char *file, size_t bytes)
{
    if (bytes > 8 && memcmp(file + 4, "\0\0\0\0{", 5) == 0) /* the length of a safetensors header may begin like anything */
        return NULL;
    if (bytes >= 4 && memcmp(file, "PK\3\4", 4) == 0)
        return "a zip file, such as torch.save writes";
    if (bytes >= 2 && file[0] == '\x80' && file[1] >= 2 && file[1] <= 5)
        return "a pickle, such as old versions of torch.save write";
    if (bytes >= 4 && memcmp(file, "\x89HDF", 4) == 0)
        return "an HDF5 file";
    return NULL;
}

enum status weights_read(const char *path, const struct network *network, float *values, struct error *error)
{
    struct safetensors safetensors;
    char *file;
    size_t bytes;
    enum status status = file_read(path, WEIGHTS_LIMIT, &file, &bytes, error);
    if (status != STATUS_OK)
        return status;
    const char *foreign = foreign_format(file, bytes);
    if (foreign != NULL) {
        free(file);
        return error_set(error, STATUS_INPUT, "%s is %s; this build reads weights from safetensors files alone", path, foreign);
    }
    status = safetensors_parse(&safetensors, path, file, bytes, error);
    if (status != STATUS_OK)
        return status;
    for (size_t i = 0; i < safetensors.count && status == STATUS_OK; i++) {
        const char *name = safetensors.tensors[i].name;
        if (network_find(network, name) < 0 && !starts_with(name, "momentum.") && !ends_with(name, ".num_batches_tracked"))
            status = error_set(error, STATUS_INPUT, "%s: tensor \"%s\" is none of the network's, of depth %u: was it trained with another "
                               "depth or variant?", path, name, network->model.depth);
    }
    if (status == STATUS_OK)
        status = weights_take(&safetensors, path, "", 1u << TENSOR_PARAMETER | 1u << TENSOR_RUNNING, network, values, error);
    safetensors_free(&safetensors);
    return status;
}

/* The stand-in's descriptors: what cuDNN's backend functions are given is kept, and found again. The heuristic knows
 * one engine, number 0, for every graph. */
#include <stdlib.h>
#include <string.h>

#include "check/cudnn/fake_graph.h"

static size_t size_of(cudnnBackendAttributeType_t type)
{
    switch (type) {
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
        return 8;
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
        return 1;
    default:
        return 4;
    }
}

const struct attribute *fake_find(const struct descriptor *descriptor, cudnnBackendAttributeName_t name)
{
    for (size_t i = 0; i < descriptor->count; i++) {
        if (descriptor->attributes[i].name == name)
            return &descriptor->attributes[i];
    }
    return NULL;
}

struct descriptor *fake_named(const struct descriptor *descriptor, cudnnBackendAttributeName_t name)
{
    const struct attribute *attribute = fake_find(descriptor, name);
    return attribute == NULL ? NULL : *(struct descriptor **)attribute->values;
}

int64_t fake_integer(const struct descriptor *descriptor, cudnnBackendAttributeName_t name)
{
    return *(const int64_t *)fake_find(descriptor, name)->values;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *out)
{
    struct descriptor *descriptor = calloc(1, sizeof *descriptor);
    if (descriptor == NULL)
        return CUDNN_STATUS_ALLOC_FAILED;
    descriptor->type = type;
    descriptor->references = 1;
    *out = descriptor;
    return CUDNN_STATUS_SUCCESS;
}

/* What a descriptor was given stays as long as it does. */
cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t out)
{
    struct descriptor *descriptor = out;
    if (descriptor == NULL || --descriptor->references > 0)
        return CUDNN_STATUS_SUCCESS;
    for (size_t i = 0; i < descriptor->count; i++) {
        for (int64_t j = 0; descriptor->described[i] && j < descriptor->attributes[i].count; j++)
            cudnnBackendDestroyDescriptor(((struct descriptor **)descriptor->attributes[i].values)[j]);
        free(descriptor->attributes[i].values);
    }
    free(descriptor);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t in, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, const void *values)
{
    struct descriptor *descriptor = in;
    if (descriptor->count == ATTRIBUTES || count < 1 || fake_find(descriptor, name) != NULL)
        return CUDNN_STATUS_BAD_PARAM;
    void *copy = malloc((size_t)count * size_of(type));
    if (copy == NULL)
        return CUDNN_STATUS_ALLOC_FAILED;
    memcpy(copy, values, (size_t)count * size_of(type));
    for (int64_t i = 0; type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < count; i++)
        ((struct descriptor **)copy)[i]->references++;
    descriptor->described[descriptor->count] = type == CUDNN_TYPE_BACKEND_DESCRIPTOR;
    descriptor->attributes[descriptor->count++] = (struct attribute){ name, count, copy };
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor)
{
    (void)descriptor;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const in, cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count, int64_t *written, void *values)
{
    const struct descriptor *descriptor = in;
    (void)type;
    (void)count;
    *written = 0;
    switch (name) {
    case CUDNN_ATTR_ENGINEHEUR_RESULTS: { /* the first of the caller's configurations learns of the graph */
        struct descriptor *graph = fake_named(descriptor, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
        *written = 1;
        return cudnnBackendSetAttribute(*(struct descriptor **)values, CUDNN_ATTR_ENGINE_OPERATION_GRAPH,
                                        CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph);
    }
    case CUDNN_ATTR_ENGINE_GLOBAL_INDEX:
    case CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE:
        *(int64_t *)values = 0;
        *written = 1;
        break;
    default:
        break; /* no notes, no knobs */
    }
    return CUDNN_STATUS_SUCCESS;
}

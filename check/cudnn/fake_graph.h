/* The stand-in of cuDNN inside: its descriptors, and how a plan is run. */
#ifndef CUDNN_FAKE_GRAPH_H
#define CUDNN_FAKE_GRAPH_H

#include <cudnn.h>
#include <stddef.h>
#include <stdint.h>

enum { ATTRIBUTES = 24 };

struct attribute {
    cudnnBackendAttributeName_t name;
    int64_t count;
    void *values;
};

struct descriptor {
    cudnnBackendDescriptorType_t type;
    unsigned references;
    size_t count;
    struct attribute attributes[ATTRIBUTES];
    unsigned char described[ATTRIBUTES]; /* 1: the attribute holds descriptors */
};

/* NULL if the descriptor was not given it. */
const struct attribute *fake_find(const struct descriptor *descriptor, cudnnBackendAttributeName_t name);
/* The descriptor that an attribute names, or NULL. */
struct descriptor *fake_named(const struct descriptor *descriptor, cudnnBackendAttributeName_t name);
/* Of an attribute that was given. */
int64_t fake_integer(const struct descriptor *descriptor, cudnnBackendAttributeName_t name);

/* Interprets the operations of a plan's graph, one after the other, on the memory that the variant pack names. */
void fake_execute(const struct descriptor *plan, const struct descriptor *pack);

#endif

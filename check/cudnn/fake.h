/* How a test controls the stand-in of cuDNN and cuBLAS (fake.c), which is loaded at run time. */
#ifndef CUDNN_FAKE_H
#define CUDNN_FAKE_H

#include <stdbool.h>
#include <stddef.h>

struct CUstream_st;

/* Has work(argument) called when the stream comes to it, as often as a graph of it is launched; takes `bytes` of the
 * argument, at most FAKE_ARGUMENT_BYTES, now. */
enum { FAKE_ARGUMENT_BYTES = 96 };
typedef bool fake_enqueue(void (*work)(const void *argument), const void *argument, size_t bytes,
                          struct CUstream_st *stream);

/* From now on work is enqueued so; NULL, as at first: it is done at once. */
void fake_defer(fake_enqueue *how);

#endif

/* cuDNN and cuBLAS, loaded when an engine asks for them: one binary serves machines with and without.
 *
 * Which files are tried: what SELFSAME_CUDNN_LIBRARY and SELFSAME_CUBLAS_LIBRARY name, else the names below in their
 * order, where the loader finds them, then in the folder of the toolkit that configure found.
 * memory   one library per process is enough; close only once no descriptor, handle or stream uses it any more. */
#ifndef SELFSAME_CUDNN_LIBRARY_H
#define SELFSAME_CUDNN_LIBRARY_H

#include <cublas_v2.h>
#include <cudnn.h>

#include "base/error.h"

/* Every function that is called. */
#define CUDNN_FUNCTIONS(X)           \
    X(cudnnGetVersion)               \
    X(cudnnGetErrorString)           \
    X(cudnnGetLastErrorString)       \
    X(cudnnCreate)                   \
    X(cudnnDestroy)                  \
    X(cudnnSetStream)                \
    X(cudnnBackendCreateDescriptor)  \
    X(cudnnBackendDestroyDescriptor) \
    X(cudnnBackendSetAttribute)      \
    X(cudnnBackendGetAttribute)      \
    X(cudnnBackendFinalize)          \
    X(cudnnBackendExecute)
#define CUBLAS_FUNCTIONS(X)  \
    X(cublasCreate_v2)       \
    X(cublasDestroy_v2)      \
    X(cublasGetProperty)     \
    X(cublasGetStatusString) \
    X(cublasSetStream_v2)    \
    X(cublasSetWorkspace_v2) \
    X(cublasSetMathMode)     \
    X(cublasSgemm_v2)

enum { CUDNN_COMPILERS = 2 };

struct cudnn_library {
    void *cudnn_file, *cublas_file, *compiler_files[CUDNN_COMPILERS]; /* of dlopen; the last may be NULL */
    unsigned cudnn_version;                                           /* such as 91900 */
    unsigned cublas_version[3];                                       /* such as 13, 1, 0 */
#define X(name) __typeof__(name) *name;
    CUDNN_FUNCTIONS(X)
    CUBLAS_FUNCTIONS(X)
#undef X
};

/* errors   STATUS_ENVIRONMENT, naming the file that is missing, has not every function or is too old, and what to
 *          install. */
enum status cudnn_library_open(struct cudnn_library *library, struct error *error) MUST_USE;
void cudnn_library_close(struct cudnn_library *library); /* a zeroed one is fine */

/* STATUS_OK, or STATUS_ENVIRONMENT with the call's name, the library's word for the status and its last message. */
enum status cudnn_check(const struct cudnn_library *library, cudnnStatus_t status, const char *what,
                        struct error *error) MUST_USE;
enum status cublas_check(const struct cudnn_library *library, cublasStatus_t status, const char *what,
                         struct error *error) MUST_USE;

#endif

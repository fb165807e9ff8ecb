#include "trainer/cudnn/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CUDNN_VERSION_NEEDED = 90800, PATH_BYTES = 1024 }; /* 9.8: heuristics for a described device */

/* cuDNN compiles batch norm's kernels with it, and looks for it by name alone: what is loaded already is found. */
static const char *const compiler_names[CUDNN_COMPILERS] = { "libnvrtc.so.13", "libnvrtc.so.12" };

struct source {
    const char *what, *variable, *install;
    const char *names[3]; /* NULL ends */
};

static const struct source cudnn_source = { "cuDNN 9",
                                            "SELFSAME_CUDNN_LIBRARY",
                                            "NVIDIA's package libcudnn9-cuda-12 or libcudnn9-cuda-13",
                                            { "libcudnn.so.9", NULL } };
static const struct source cublas_source = { "cuBLAS",
                                             "SELFSAME_CUBLAS_LIBRARY",
                                             "the libcublas package of CUDA 12 or 13",
                                             { "libcublas.so.13", "libcublas.so.12", NULL } };

/* Once loaded, a library stays: cuDNN and what it brings keep threads and handlers that outlive a dlclose. */
#define LIBRARY_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)

static enum status load(const struct source *source, void **file, struct error *error)
{
    const char *chosen = getenv(source->variable);
    if (chosen != NULL && chosen[0] != '\0') {
        *file = dlopen(chosen, LIBRARY_FLAGS);
        return *file != NULL ? STATUS_OK
                             : error_set(error, STATUS_ENVIRONMENT, "the library that %s names cannot be loaded: %s",
                                         source->variable, dlerror());
    }
    char reason[PATH_BYTES] = "";
    for (int i = 0; source->names[i] != NULL; i++) {
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "%s/%s", CUDA_LIBRARY_DIR, source->names[i]);
        *file = dlopen(source->names[i], LIBRARY_FLAGS);
        if (*file == NULL)
            *file = dlopen(path, LIBRARY_FLAGS);
        if (*file != NULL)
            return STATUS_OK;
        if (i == 0)
            snprintf(reason, sizeof reason, "%s", dlerror());
    }
    return error_set(
        error, STATUS_ENVIRONMENT,
        "%s is not on this machine (%s); install %s, or name the file in %s, or choose another experiment with "
        "--arithmetic exact-1",
        source->what, reason, source->install, source->variable);
}

static void load_compilers(struct cudnn_library *library)
{
    for (int i = 0; i < CUDNN_COMPILERS; i++) {
        char path[PATH_BYTES];
        snprintf(path, sizeof path, "%s/%s", CUDA_LIBRARY_DIR, compiler_names[i]);
        library->compiler_files[i] = dlopen(compiler_names[i], LIBRARY_FLAGS);
        if (library->compiler_files[i] == NULL)
            library->compiler_files[i] = dlopen(path, LIBRARY_FLAGS);
    }
}

/* Through a union: ISO C has no conversion from an object pointer to a function pointer. */
static enum status find(void *file, const char *name, void (**function)(void), struct error *error)
{
    union {
        void *object;
        void (*function)(void);
    } symbol = { .object = dlsym(file, name) };
    *function = symbol.function;
    if (symbol.object != NULL)
        return STATUS_OK;
    return error_set(error, STATUS_ENVIRONMENT, "the library that was loaded has no %s: %s; install cuDNN 9 and cuBLAS",
                     name, dlerror());
}

static enum status open_files(struct cudnn_library *library, struct error *error)
{
    load_compilers(library);
    enum status status = load(&cudnn_source, &library->cudnn_file, error);
    if (status == STATUS_OK)
        status = load(&cublas_source, &library->cublas_file, error);
#define X(name)              \
    if (status == STATUS_OK) \
        status = find(library->cudnn_file, #name, (void (**)(void))(void *)&library->name, error);
    CUDNN_FUNCTIONS(X)
#undef X
#define X(name)              \
    if (status == STATUS_OK) \
        status = find(library->cublas_file, #name, (void (**)(void))(void *)&library->name, error);
    CUBLAS_FUNCTIONS(X)
#undef X
    return status;
}

enum status cudnn_library_open(struct cudnn_library *library, struct error *error)
{
    *library = (struct cudnn_library){ .cudnn_file = NULL };
    enum status status = open_files(library, error);
    if (status == STATUS_OK) {
        library->cudnn_version = (unsigned)library->cudnnGetVersion();
        if (library->cudnn_version < CUDNN_VERSION_NEEDED)
            status = error_set(error, STATUS_ENVIRONMENT, "cuDNN %u is too old, 9.8 or later is needed; install %s",
                               library->cudnn_version, cudnn_source.install);
    }
    const libraryPropertyType parts[] = { MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL };
    for (int i = 0; status == STATUS_OK && i < 3; i++) {
        int value = 0;
        status = cublas_check(library, library->cublasGetProperty(parts[i], &value), "cublasGetProperty", error);
        library->cublas_version[i] = (unsigned)value;
    }
    if (status != STATUS_OK)
        cudnn_library_close(library);
    return status;
}

void cudnn_library_close(struct cudnn_library *library)
{
    if (library->cublas_file != NULL)
        dlclose(library->cublas_file);
    if (library->cudnn_file != NULL)
        dlclose(library->cudnn_file);
    for (int i = 0; i < CUDNN_COMPILERS; i++) {
        if (library->compiler_files[i] != NULL)
            dlclose(library->compiler_files[i]);
    }
    *library = (struct cudnn_library){ .cudnn_file = NULL };
}

enum status cudnn_check(const struct cudnn_library *library, cudnnStatus_t status, const char *what,
                        struct error *error)
{
    if (status == CUDNN_STATUS_SUCCESS)
        return STATUS_OK;
    char message[512] = "";
    library->cudnnGetLastErrorString(message, sizeof message);
    message[sizeof message - 1] = '\0';
    message[strcspn(message, "\n")] = '\0';
    return error_set(error, STATUS_ENVIRONMENT, "cuDNN: %s: %s%s%s", what, library->cudnnGetErrorString(status),
                     message[0] == '\0' ? "" : ": ", message);
}

enum status cublas_check(const struct cudnn_library *library, cublasStatus_t status, const char *what,
                         struct error *error)
{
    if (status == CUBLAS_STATUS_SUCCESS)
        return STATUS_OK;
    return error_set(error, STATUS_ENVIRONMENT, "cuBLAS: %s: %s", what, library->cublasGetStatusString(status));
}

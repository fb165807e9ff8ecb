/* The engines by name, those that this build lacks included. */
#include <string.h>

#include "trainer/dataset.h"
#include "trainer/engine.h"
#include "trainer/exact.h"

#ifdef HAVE_CUDA
#define CUDA_ENGINE &engine_cuda
#else
#define CUDA_ENGINE NULL
#endif
#ifdef HAVE_CUDNN_ENGINE
#define CUDNN_ENGINE &engine_cudnn
#else
#define CUDNN_ENGINE NULL
#endif
#define CUDNN_MISSING                                                                                              \
    "it was configured without the CUDA toolkit or without cuDNN 9 and cuBLAS; install them and configure again, " \
    "--with-cuda=DIR says where they are"

const struct engine_entry engine_entries[] = {
    { "cpu", ARITHMETIC_EXACT, &engine_cpu, NULL },
    { "cuda", ARITHMETIC_EXACT, CUDA_ENGINE,
      "it was configured without the CUDA toolkit; install that and configure again, --with-cuda=DIR says where it "
      "is" },
    { "cudnn", ARITHMETIC_FAST, CUDNN_ENGINE, CUDNN_MISSING },
};
const size_t engine_entry_count = sizeof engine_entries / sizeof *engine_entries;

enum status engine_choose(const char *name, enum arithmetic arithmetic, const struct engine_operations **operations,
                          struct error *error)
{
    const char *kind = arithmetic == ARITHMETIC_EXACT ? "exact" : "fast";
    for (size_t i = 0; i < engine_entry_count; i++) {
        const struct engine_entry *entry = &engine_entries[i];
        if (name == NULL ? entry->arithmetic != arithmetic : strcmp(entry->name, name) != 0)
            continue;
        if (entry->arithmetic != arithmetic)
            return error_set(error, STATUS_INPUT,
                             "the manifest's arithmetic is %s, which the engine %s does not compute; give another "
                             "--engine, or another arithmetic in the manifest",
                             kind, entry->name);
        if (entry->operations == NULL)
            return error_set(error, STATUS_ENVIRONMENT, "this build has no engine %s: %s", entry->name, entry->missing);
        *operations = entry->operations;
        return STATUS_OK;
    }
    return error_set(error, STATUS_INPUT, "there is no engine %s for %s arithmetic", name != NULL ? name : "at all",
                     kind);
}

enum status engine_predict_memory(const struct engine_operations *operations, const struct recipe *recipe,
                                  const struct network *network, uint32_t training_images, uint32_t validation_images,
                                  const struct engine_options *options, size_t *bytes, struct error *error)
{
    struct dataset training, validation = { .count = 0 };
    struct engine *engine;
    if (operations->predict_memory != NULL) {
        *bytes = operations->predict_memory(recipe, network, training_images, validation_images, options);
        return STATUS_OK;
    }
    enum status status = dataset_allocate(&training, training_images, error);
    if (status != STATUS_OK)
        return status;
    status = dataset_allocate(&validation, validation_images, error);
    if (status == STATUS_OK)
        status = operations->open(&engine, recipe, network, &training, &validation, options, error);
    if (status == STATUS_OK) {
        *bytes = operations->memory_bytes(engine);
        operations->close(engine);
    }
    dataset_free(&training);
    dataset_free(&validation);
    return status;
}

const char *engine_arithmetic_version(enum arithmetic arithmetic)
{
    return arithmetic == ARITHMETIC_EXACT ? EXACT_VERSION : "fast";
}

/* The table of all engines by name, with those that this build does not have. */
#include <string.h>

#include "trainer/dataset.h"
#include "trainer/engine.h"

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
    "it was configured without the CUDA toolkit or without cuDNN 9 and cuBLAS; install them and configure again; " \
    "--with-cuda=DIR says where they are"

const struct engine_entry engine_entries[] = {
    { "cpu", { [ARITHMETIC_EXACT_1] = true, [ARITHMETIC_EXACT_2] = true }, &engine_cpu, NULL },
    { "cuda",
      { [ARITHMETIC_EXACT_1] = true },
      CUDA_ENGINE,
      "it was configured without the CUDA toolkit; install it and configure again; --with-cuda=DIR says where it is; "
      "--engine cpu gives the same bits" },
    { "cudnn", { [ARITHMETIC_FAST] = true }, CUDNN_ENGINE, CUDNN_MISSING },
};
const size_t engine_entry_count = sizeof engine_entries / sizeof *engine_entries;

/* The first engine that computes it; every arithmetic has one. */
static const struct engine_entry *engine_for(enum arithmetic arithmetic)
{
    const struct engine_entry *entry = engine_entries;
    while (!entry->computes[arithmetic])
        entry++;
    return entry;
}

enum status engine_choose(const char *name, enum arithmetic arithmetic, const struct engine_operations **operations,
                          struct error *error)
{
    const struct engine_entry *entry = engine_for(arithmetic);
    for (size_t i = 0; name != NULL && i < engine_entry_count; i++)
        if (strcmp(engine_entries[i].name, name) == 0)
            entry = &engine_entries[i];
    if (name != NULL && strcmp(entry->name, name) != 0)
        return error_set(error, STATUS_INPUT, "there is no engine %s", name);
    if (!entry->computes[arithmetic]) {
        enum arithmetic other = ARITHMETIC_EXACT_1;
        while (other + 1 < ARITHMETIC_COUNT && !entry->computes[other])
            other++;
        return error_set(error, STATUS_INPUT,
                         "the arithmetic is %s, which the engine %s does not compute; pass --engine %s, or choose "
                         "another experiment with --arithmetic %s",
                         arithmetic_version(arithmetic), name, engine_for(arithmetic)->name, arithmetic_version(other));
    }
    if (entry->operations == NULL)
        return error_set(error, STATUS_ENVIRONMENT, "this build has no engine %s: %s", entry->name, entry->missing);
    *operations = entry->operations;
    return STATUS_OK;
}

enum status engine_can_trace(const struct engine_operations *operations, struct error *error)
{
    if (operations->trace != NULL)
        return STATUS_OK;
    return error_set(error, STATUS_INPUT, "the engine %s cannot trace a step%s", operations->name,
                     operations->exact ? "; pass --engine cpu, which computes the same bits" : "");
}

bool engine_any_device(enum arithmetic arithmetic)
{
    size_t engines = 0;
    for (size_t i = 0; i < engine_entry_count; i++)
        engines += engine_entries[i].computes[arithmetic];
    return engines > 1;
}

enum status engine_predict_memory(const struct engine_operations *operations, const struct recipe *recipe,
                                  const struct network *network, uint32_t training_images, uint32_t validation_images,
                                  const struct engine_options *options, size_t *bytes, struct error *error)
{
    struct dataset training, validation = { .count = 0 };
    struct engine *engine;
    *bytes = operations->predict_memory == NULL
                 ? 0
                 : operations->predict_memory(recipe, network, training_images, validation_images, options);
    if (*bytes > 0)
        return STATUS_OK;
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

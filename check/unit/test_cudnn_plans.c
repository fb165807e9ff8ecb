/* cuDNN itself, without a GPU: for devices that are only described, it accepts every graph of a network, has a
 * deterministic engine for each within the workspace that the engine reserves, and chooses the same one again. Skipped
 * where there is no cuDNN. cuDNN compiles batch norm's kernels for it, so one device is looked at unless
 * CUDNN_PLANS_ALL is set; CUDNN_PLANS_LIST prints the choices. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/cudnn/plans.h"

/* Compute capability times 100, as cuDNN counts; multiprocessors; shared memory a block may ask for. */
static const struct device {
    const char *name;
    int capability, multiprocessors, shared_bytes;
} devices[] = {
    { "A100", 800, 108, 166912 }, { "RTX 3090", 860, 82, 101376 }, { "L4", 890, 58, 101376 },
    { "H100", 900, 132, 232448 }, { "B200", 1000, 148, 232448 },   { "RTX 5090", 1200, 170, 101376 },
};
static const struct device turing = { "T4", 750, 40, 65536 };

enum { DEVICES = sizeof devices / sizeof *devices, USUAL_DEVICE = 3, LIST_BYTES = 16384 };

static struct cudnn_library library;
static void *driver;

static int load(void **state)
{
    (void)state;
    struct error error;
    driver = dlopen(CUDA_DRIVER_DOUBLE, RTLD_NOW | RTLD_GLOBAL);
    if (driver == NULL || cudnn_library_open(&library, &error) != STATUS_OK)
        library.cudnn_file = NULL;
    return 0;
}

static int unload(void **state)
{
    (void)state;
    cudnn_library_close(&library);
    if (driver != NULL)
        dlclose(driver);
    return 0;
}

static void skip_without_cudnn(void)
{
    if (library.cudnn_file == NULL)
        skip();
}

static cudnnBackendDescriptor_t describe(const struct device *device)
{
    char json[1024];
    struct error error;
    cudnnBackendDescriptor_t descriptor;
    snprintf(json, sizeof json,
             "{\"deviceName\":\"%s\",\"maxGridSize\":[2147483647,65535,65535],\"maxBlockSize\":[1024,1024,64],"
             "\"regsPerBlock\":65536,\"multiProcessorCount\":%d,\"warpSize\":32,\"maxSharedMemoryPerBlock\":49152,"
             "\"maxSharedMemoryPerBlockOptin\":%d,\"reservedSharedMemoryPerBlock\":1024,\"maxRegistersPerSM\":65536,"
             "\"maxCtasPerSM\":%d,\"maxThreadsPerBlock\":1024,\"maxThreadsPerSM\":%d,\"pciDeviceId\":0,"
             "\"isTccDriver\":0,\"supportCoopLaunch\":1,\"totalGlobalMem\":16000000000,\"smClockRateKHz\":1500000,"
             "\"memClockRateKHz\":2000000,\"l2CacheSize\":41943040,\"cudaDeviceId\":0,\"deviceVer\":%d,"
             "\"driverVer\":13000}",
             device->name, device->multiprocessors, device->shared_bytes, device->shared_bytes > 150000 ? 32 : 16,
             device->shared_bytes > 150000 ? 2048 : 1536, device->capability);
    if (cudnn_describe_device(&library, json, &descriptor, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    return descriptor;
}

struct list {
    char text[LIST_BYTES];
    size_t used, plans, workspace_bytes;
};

static void add(void *context, const char *name, const struct cudnn_plan *plan)
{
    struct list *list = context;
    list->plans++;
    if (plan->workspace_bytes > list->workspace_bytes)
        list->workspace_bytes = plan->workspace_bytes;
    list->used += (size_t)snprintf(list->text + list->used, sizeof list->text - list->used, "%s: %s, %zu\n", name,
                                   plan->engine, plan->workspace_bytes);
    assert_true(list->used < sizeof list->text);
}

static struct network *open_network(enum shortcut shortcut)
{
    const struct model_config model = { .depth = 20, .shortcut = shortcut };
    struct network *network;
    struct error error;
    assert_int_equal(network_open(&network, &model, &error), STATUS_OK);
    return network;
}

static void plan(const struct device *device, enum shortcut shortcut, enum cudnn_precision precision, uint32_t images,
                 bool training, struct list *list)
{
    struct network *network = open_network(shortcut);
    struct cudnn_planner planner = { .library = &library,
                                     .device = describe(device),
                                     .workspace_bytes = CUDNN_WORKSPACE_BYTES };
    struct cudnn_plans plans;
    struct error error;
    if (cudnn_plans_open(&plans, &planner, network, precision, images, training, &error) != STATUS_OK)
        fail_msg("%s, %s, %u images: %s", device->name, cudnn_precision_name(precision), images, error.message);
    *list = (struct list){ .used = 0 };
    cudnn_plans_list(&plans, add, list);
    cudnn_plans_close(&plans);
    library.cudnnBackendDestroyDescriptor(planner.device);
    network_close(network);
}

static void every_device_has_every_plan(void **state)
{
    (void)state;
    skip_without_cudnn();
    static struct list training, inference;
    for (int i = 0; i < DEVICES; i++) {
        if (i != USUAL_DEVICE && getenv("CUDNN_PLANS_ALL") == NULL)
            continue;
        for (enum cudnn_precision precision = CUDNN_PRECISION_FP32; precision <= CUDNN_PRECISION_BF16; precision++) {
            plan(&devices[i], SHORTCUT_PROJECTION, precision, 128, true, &training);
            plan(&devices[i], SHORTCUT_PROJECTION, precision, 128, false, &inference);
            assert_int_equal(training.plans, 37);
            assert_int_equal(inference.plans, 15);
            assert_true(training.workspace_bytes <= CUDNN_WORKSPACE_BYTES);
            print_message("%s %s: workspace %zu KiB for a step, %zu for an evaluation\n", devices[i].name,
                          cudnn_precision_name(precision), training.workspace_bytes >> 10,
                          inference.workspace_bytes >> 10);
            if (getenv("CUDNN_PLANS_LIST") != NULL)
                print_message("%s%s", training.text, inference.text);
        }
    }
}

/* The last batch of an epoch, and batches that no kernel's tile divides. */
static void odd_batches(void **state)
{
    (void)state;
    skip_without_cudnn();
    static struct list list;
    static const uint32_t images[] = { 80, 1, 7, 256 };
    const size_t count = getenv("CUDNN_PLANS_ALL") == NULL ? 1 : sizeof images / sizeof *images;
    for (size_t i = 0; i < count; i++) {
        for (enum cudnn_precision precision = CUDNN_PRECISION_FP32; precision <= CUDNN_PRECISION_BF16; precision++)
            plan(&devices[USUAL_DEVICE], SHORTCUT_PAD_END, precision, images[i], true, &list);
        assert_int_equal(list.plans, 31);
    }
}

static void the_choice_is_repeated(void **state)
{
    (void)state;
    skip_without_cudnn();
    static struct list first, second;
    plan(&devices[USUAL_DEVICE], SHORTCUT_PROJECTION, CUDNN_PRECISION_BF16, 128, true, &first);
    plan(&devices[USUAL_DEVICE], SHORTCUT_PROJECTION, CUDNN_PRECISION_BF16, 128, true, &second);
    assert_string_equal(first.text, second.text);
}

static void too_little_workspace_or_device_is_named(void **state)
{
    (void)state;
    skip_without_cudnn();
    struct network *network = open_network(SHORTCUT_PROJECTION);
    struct cudnn_plans plans;
    struct error error;
    struct cudnn_planner planner = { .library = &library,
                                     .device = describe(&turing),
                                     .workspace_bytes = CUDNN_WORKSPACE_BYTES };
    assert_int_equal(cudnn_plans_open(&plans, &planner, network, CUDNN_PRECISION_TF32, 128, true, &error),
                     STATUS_ENVIRONMENT);
    assert_non_null(strstr(error.message, "no deterministic engine"));
    library.cudnnBackendDestroyDescriptor(planner.device);
    planner =
        (struct cudnn_planner){ .library = &library, .device = describe(&devices[USUAL_DEVICE]), .workspace_bytes = 0 };
    assert_int_equal(cudnn_plans_open(&plans, &planner, network, CUDNN_PRECISION_BF16, 128, true, &error),
                     STATUS_ENVIRONMENT);
    assert_non_null(strstr(error.message, "batch norm"));
    assert_non_null(strstr(error.message, "0 MiB"));
    library.cudnnBackendDestroyDescriptor(planner.device);
    network_close(network);
}

/* Needs no cuDNN. */
static void a_missing_library_is_named(void **state)
{
    (void)state;
    struct cudnn_library missing;
    struct error error;
    setenv("SELFSAME_CUDNN_LIBRARY", "/nowhere/libcudnn.so.9", 1);
    assert_int_equal(cudnn_library_open(&missing, &error), STATUS_ENVIRONMENT);
    assert_non_null(strstr(error.message, "SELFSAME_CUDNN_LIBRARY"));
    assert_non_null(strstr(error.message, "/nowhere/libcudnn.so.9"));
    setenv("SELFSAME_CUDNN_LIBRARY", "libm.so.6", 1);
    setenv("SELFSAME_CUBLAS_LIBRARY", "libm.so.6", 1);
    assert_int_equal(cudnn_library_open(&missing, &error), STATUS_ENVIRONMENT);
    assert_non_null(strstr(error.message, "cudnnGetVersion"));
    unsetenv("SELFSAME_CUDNN_LIBRARY");
    unsetenv("SELFSAME_CUBLAS_LIBRARY");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_library_is_named),
        cmocka_unit_test(every_device_has_every_plan),
        cmocka_unit_test(odd_batches),
        cmocka_unit_test(the_choice_is_repeated),
        cmocka_unit_test(too_little_workspace_or_device_is_named),
    };
    return cmocka_run_group_tests(tests, load, unload);
}

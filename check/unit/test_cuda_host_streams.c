/* Streams, events, graphs and failures of the imitation of CUDA: what is queued runs in the declared order under every
 * seed, a missing dependency shows, and a failure is met where CUDA would report it. */
#include "check/support/imitation.h"
#include "check/unit/test_cuda_host.h"

enum { SEEDS = 12 };

static cudaEvent_t new_event(void)
{
    cudaEvent_t event;
    assert_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    return event;
}

/* ---- streams ----------------------------------------------------------------------------------------------------- */

/* (x * 3 + 1), then (x * 5 + 4), in two streams, with an event between them or without: what 1 becomes. */
static uint32_t two_streams(uint64_t seed, int declared)
{
    cuda_host_seed(seed);
    cudaStream_t first = new_stream(), second = new_stream();
    cudaEvent_t event = new_event();
    uint32_t one = 1;
    struct affine_arguments then3 = { device_copy(&one, sizeof one), 1, 3, 1 }, then5 = { then3.at, 1, 5, 4 };
    assert_cuda(test_affine(&then3, first));
    assert_cuda(cudaEventRecord(event, first));
    if (declared)
        assert_cuda(cudaStreamWaitEvent(second, event, 0));
    assert_cuda(test_affine(&then5, second));
    assert_cuda(cudaDeviceSynchronize());
    uint32_t result = device_number(then3.at);
    assert_int_equal(cuda_host_objects(), 4);
    cuda_host_reset();
    return result;
}

static void test_missing_dependency_shows(void **state)
{
    (void)state;
    enum { IN_ORDER = (1 * 3 + 1) * 5 + 4, REVERSED = (1 * 5 + 4) * 3 + 1 };
    int wrong = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        assert_int_equal(two_streams(seed, 1), IN_ORDER);
        uint32_t result = two_streams(seed, 0);
        assert_true(result == IN_ORDER || result == REVERSED);
        wrong += result == REVERSED;
    }
    assert_in_range(wrong, 2, SEEDS - 2);
}

/* A blocking copy waits for no stream that was made not to wait for it; and host memory is read when a copy runs. */
static void test_laziness(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    uint32_t number = 7, *at = device_zeros(sizeof number), seen = 0;
    assert_cuda(cudaMemcpyAsync(at, &number, sizeof number, cudaMemcpyHostToDevice, stream));
    assert_int_equal(device_number(at), 0);
    number = 8;
    assert_error(cudaStreamQuery(stream), cudaErrorNotReady);
    assert_cuda(cudaStreamQuery(stream));
    assert_int_equal(device_number(at), 8);
    assert_cuda(cudaMemcpyAsync(&seen, at, sizeof seen, cudaMemcpyDeviceToHost, stream));
    assert_int_equal(seen, 0);
    assert_cuda(cudaStreamSynchronize(stream));
    assert_int_equal(seen, 8);
    cudaStream_t blocking;
    assert_cuda(cudaStreamCreate(&blocking));
    assert_cuda(cudaMemsetAsync(at, 1, sizeof seen, blocking));
    assert_int_equal(device_number(at), 0x01010101);
    assert_error(cudaMemsetAsync(at, 1, sizeof seen, 0), cudaErrorInvalidResourceHandle);
    assert_error(cudaMemcpyAsync(at, &number, 4, cudaMemcpyDeviceToHost, stream), cudaErrorInvalidValue);
    assert_error(cudaMemcpyAsync(at, &number, 5, cudaMemcpyHostToDevice, stream), cudaErrorInvalidValue);
}

static void test_events(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        cuda_host_seed(seed);
        cudaStream_t stream = new_stream();
        cudaEvent_t start, end, plain = new_event();
        assert_cuda(cudaEventCreate(&start));
        assert_cuda(cudaEventCreate(&end));
        assert_cuda(cudaEventQuery(start));
        struct affine_arguments arguments = { device_zeros(sizeof(uint32_t)), 5, 2, 1 };
        assert_cuda(cudaEventRecord(start, stream));
        assert_cuda(test_affine(&arguments, stream));
        assert_cuda(cudaEventRecord(end, stream));
        float milliseconds = -1.0f;
        assert_error(cudaEventElapsedTime(&milliseconds, start, end), cudaErrorNotReady);
        int refused = 0;
        while (cudaEventQuery(end) == cudaErrorNotReady)
            refused++;
        assert_in_range(refused, 0, 6);
        assert_cuda(cudaEventElapsedTime(&milliseconds, start, end));
        assert_true(milliseconds >= 0.0f);
        assert_error(cudaEventElapsedTime(&milliseconds, start, plain), cudaErrorInvalidResourceHandle);
        cuda_host_reset();
    }
}

/* ---- graphs ------------------------------------------------------------------------------------------------------ */

/* a = a * 3 + 1; then, side by side, b = a * 2 and c = a * 2 (copied first); then, joined, a = a * 5 + 2. */
struct fork {
    struct affine_arguments before, left, right, after;
};

static void capture_fork(const struct fork *work, cudaStream_t stream, cudaStream_t other, int joined,
                         cudaGraph_t *graph, const char *expected)
{
    cudaEvent_t forked = new_event(), done = new_event();
    assert_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    assert_cuda(test_affine(&work->before, stream));
    assert_cuda(cudaEventRecord(forked, stream));
    assert_cuda(cudaStreamWaitEvent(other, forked, 0));
    assert_cuda(cudaMemcpyAsync(work->left.at, work->before.at, 4, cudaMemcpyDeviceToDevice, other));
    assert_cuda(test_affine(&work->left, other));
    assert_cuda(cudaMemcpyAsync(work->right.at, work->before.at, 4, cudaMemcpyDeviceToDevice, stream));
    assert_cuda(test_affine(&work->right, stream));
    assert_cuda(cudaEventRecord(done, other));
    if (joined)
        assert_cuda(cudaStreamWaitEvent(stream, done, 0));
    assert_cuda(test_affine(&work->after, stream));
    enum cudaStreamCaptureStatus status;
    assert_cuda(cudaStreamIsCapturing(other, &status));
    assert_int_equal(status, cudaStreamCaptureStatusActive);
    assert_error(cudaEventQuery(done), cudaErrorCapturedEvent);
    assert_string_equal(cudaGetErrorName(cudaStreamEndCapture(stream, graph)), expected);
    assert_cuda(cudaStreamIsCapturing(other, &status));
    assert_int_equal(status, cudaStreamCaptureStatusNone);
    assert_cuda(cudaEventDestroy(forked));
    assert_cuda(cudaEventDestroy(done));
}

static struct fork new_fork(void)
{
    uint32_t *at = device_zeros(4);
    return (
        struct fork){ { at, 1, 3, 1 }, { device_memory(4), 1, 2, 0 }, { device_memory(4), 1, 2, 0 }, { at, 1, 5, 2 } };
}

static void test_graphs(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        cuda_host_seed(seed);
        cudaStream_t stream = new_stream(), other = new_stream();
        struct fork work = new_fork();
        cudaGraph_t graph;
        cudaGraphExec_t executable;
        capture_fork(&work, stream, other, 1, &graph, "cudaSuccess");
        size_t nodes = 0;
        assert_cuda(cudaGraphGetNodes(graph, NULL, &nodes));
        assert_int_equal(nodes, 6);
        assert_cuda(cudaDeviceSynchronize());
        assert_int_equal(device_number(work.before.at), 0); /* nothing ran */
        assert_cuda(cudaGraphInstantiate(&executable, graph, 0));
        assert_cuda(cudaGraphDestroy(graph));
        uint32_t a = 0, b = 0;
        for (int launches = 0; launches < 5; launches++) {
            assert_cuda(cudaGraphLaunch(executable, launches % 2 ? other : stream)); /* launches do not overlap */
            a = a * 3 + 1;
            b = a * 2;
            a = a * 5 + 2;
        }
        assert_cuda(cudaGraphExecDestroy(executable));
        assert_cuda(cudaDeviceSynchronize());
        assert_int_equal(device_number(work.before.at), a);
        assert_int_equal(device_number(work.left.at), b);
        assert_int_equal(device_number(work.right.at), b);
        cuda_host_reset();
    }
}

static void test_capture_mistakes(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream(), other = new_stream();
    struct fork work = new_fork();
    cudaGraph_t graph;
    capture_fork(&work, stream, other, 0, &graph, "cudaErrorStreamCaptureUnjoined");
    assert_null(graph);
    cudaEvent_t outside = new_event();
    assert_cuda(cudaEventRecord(outside, other));
    assert_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    void *memory;
    assert_error(cudaMalloc(&memory, 4), cudaErrorStreamCaptureUnsupported);
    assert_error(cudaMemcpy(&graph, work.left.at, 4, cudaMemcpyDeviceToHost), cudaErrorStreamCaptureUnsupported);
    assert_error(cudaStreamWaitEvent(stream, outside, 0), cudaErrorStreamCaptureIsolation);
    assert_error(test_affine(&work.left, stream), cudaErrorStreamCaptureInvalidated);
    assert_error(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    assert_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    assert_error(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
    assert_error(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    assert_error(cudaStreamEndCapture(stream, &graph), cudaErrorIllegalState);
}

/* ---- failures ---------------------------------------------------------------------------------------------------- */

static void test_failures(void **state)
{
    (void)state;
    cuda_host_fail("cudaGraphLaunch:2:cudaErrorECCUncorrectable,cudaMalloc:4:cudaErrorMemoryAllocation");
    cudaStream_t stream = new_stream(), other = new_stream();
    struct fork work = new_fork();
    void *memory;
    assert_error(cudaMalloc(&memory, 4), cudaErrorMemoryAllocation);
    assert_cuda(cudaMalloc(&memory, 4));
    cudaGraph_t graph;
    cudaGraphExec_t executable;
    capture_fork(&work, stream, other, 1, &graph, "cudaSuccess");
    assert_cuda(cudaGraphInstantiate(&executable, graph, 0));
    assert_cuda(cudaGraphLaunch(executable, stream));
    assert_error(cudaGraphLaunch(executable, stream), cudaErrorECCUncorrectable);
    assert_error(cudaStreamSynchronize(stream), cudaErrorECCUncorrectable);
    assert_error(cudaFree(memory), cudaErrorECCUncorrectable);
    assert_error(cudaGetLastError(), cudaErrorECCUncorrectable);
    assert_cuda(cudaDeviceReset());
    assert_int_equal(cuda_host_objects(), 0);
    cuda_host_fail("cudaGetDeviceCount:1:cudaErrorInsufficientDriver");
    int count = 5;
    assert_error(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
    assert_int_equal(count, 0);
    assert_error(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
    assert_error(cudaMalloc(&memory, 4), cudaErrorInsufficientDriver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_missing_dependency_shows, imitation_reset),
        cmocka_unit_test_teardown(test_laziness, imitation_reset),
        cmocka_unit_test_teardown(test_events, imitation_reset),
        cmocka_unit_test_teardown(test_graphs, imitation_reset),
        cmocka_unit_test_teardown(test_capture_mistakes, imitation_reset),
        cmocka_unit_test_teardown(test_failures, imitation_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

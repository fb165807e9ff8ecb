/* The imitation of CUDA on which the GPU engines are tested without a GPU: that right kernels give the right numbers
 * under every order, and that wrong ones are found out. What is expected of CUDA's operations follows from their
 * definition, computed here without them. test_cuda_host_streams.c has what is queued. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check/cuda_host/fiber.h"
#include "check/support/imitation.h"
#include "check/unit/test_cuda_host.h"

enum { SEEDS = 12 };

/* Runs `body` in a child that must be aborted, having said `words`. */
static void assert_dies(void (*body)(uint32_t), uint32_t argument, int signal_number, const char *words)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* which cmocka would catch */
        signal(SIGBUS, SIG_DFL);
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        body(argument);
        _exit(0);
    }
    close(ends[1]);
    char said[4096];
    size_t length = 0;
    for (ssize_t n; length < sizeof said - 1 && (n = read(ends[0], said + length, sizeof said - 1 - length)) > 0;)
        length += (size_t)n;
    said[length] = '\0';
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (signal_number && !(WIFSIGNALED(status) && WTERMSIG(status) == signal_number))
        fail_msg("status %d instead of signal %d; said: %s", status, signal_number, said);
    assert_int_not_equal(status, 0);
    if (!strstr(said, words))
        fail_msg("said %s instead of %s", said, words);
}

/* ---- right kernels ----------------------------------------------------------------------------------------------- */

static void test_reductions(void **state)
{
    (void)state;
    static const struct {
        uint32_t count, blocks, threads;
    } cases[] = { { 1, 1, 32 }, { 1000, 3, 64 }, { 4099, 7, 256 }, { 5000, 2, 1024 }, { 31, 40, 32 } };
    static uint32_t numbers[5000];
    for (uint32_t i = 0; i < 5000; i++)
        numbers[i] = i * 2654435761u >> 8;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        uint32_t expected = 0;
        for (uint32_t i = 0; i < cases[c].count; i++)
            expected += numbers[i];
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            cuda_host_seed(seed);
            cudaStream_t stream = new_stream();
            struct reduce_arguments arguments = { .in = device_copy(numbers, cases[c].count * sizeof *numbers),
                                                  .count = cases[c].count,
                                                  .blocks = cases[c].blocks,
                                                  .threads = cases[c].threads,
                                                  .out = device_memory(cases[c].blocks * sizeof(uint32_t)),
                                                  .arrived = device_zeros(sizeof(uint32_t)),
                                                  .total = device_memory(sizeof(uint32_t)) };
            assert_cuda(test_reduce(&arguments, stream));
            assert_cuda(test_reduce(&arguments, stream)); /* the counter is as it was */
            assert_cuda(cudaStreamSynchronize(stream));
            assert_int_equal(device_number(arguments.total), expected);
            assert_int_equal(device_number(arguments.arrived), 0);
            assert_int_equal(cuda_host_kernels(), 2);
            cuda_host_reset();
        }
    }
}

static void test_shuffle_lanes(void **state)
{
    (void)state;
    static const uint32_t operands[] = { 0, 1, 3, 8, 15, 16, 31 }, widths[] = { 32, 16, 8, 4, 2, 1 };
    for (uint64_t seed = 0; seed < 4; seed++) {
        for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
            for (size_t o = 0; o < sizeof operands / sizeof *operands; o++) {
                cuda_host_seed(seed);
                uint32_t out[256], width = widths[w], operand = operands[o];
                cudaStream_t stream = new_stream();
                struct shuffles_arguments arguments = { device_memory(sizeof out), operand, width };
                assert_cuda(test_shuffles(&arguments, stream));
                assert_cuda(cudaMemcpyAsync(out, arguments.out, sizeof out, cudaMemcpyDeviceToHost, stream));
                assert_cuda(cudaStreamSynchronize(stream));
                for (uint32_t lane = 0; lane < 32; lane++) {
                    uint32_t first = lane / width * width, place = lane % width;
                    assert_int_equal(out[lane], first + operand % width);
                    assert_int_equal(out[32 + lane], place >= operand ? lane - operand : lane);
                    assert_int_equal(out[64 + lane], place + operand < width ? lane + operand : lane);
                    uint32_t other = lane ^ operand;
                    assert_int_equal(out[96 + lane], other < first + width ? other : lane);
                    assert_int_equal(out[128 + lane], 2 * (first + operand % width) + 1);
                    assert_int_equal(out[160 + lane], 0x49249249u);
                    assert_int_equal(out[192 + lane], lane < 16 ? 15 - lane : 2 * (lane ^ 1));
                    if (lane < 8)
                        assert_int_equal(out[224 + lane], lane ^ 1);
                }
                cuda_host_reset();
            }
        }
    }
}

static void test_scalar_operations(void **state)
{
    (void)state;
    static const uint32_t expected[TEST_SCALARS] = {
        31,         32,         8,  4, 0xfffffffe, 0x3f800000, 0x40490fdb, 0x3a000400, 0x80000000,   0x66224400, 3,
        0x10000000, 0xffffffff, 6,  0, 0,          9,          4,          3,          (uint32_t)-5, 0xffffffff, 1,
        5,          0x12345678, 49, 24
    };
    uint32_t out[TEST_SCALARS];
    cudaStream_t stream = new_stream();
    struct scalars_arguments arguments = { device_memory(sizeof out) };
    assert_cuda(test_scalars(&arguments, stream));
    assert_cuda(cudaStreamSynchronize(stream));
    assert_cuda(cudaMemcpy(out, arguments.out, sizeof out, cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < TEST_SCALARS; i++) {
        if (out[i] != expected[i])
            fail_msg("number %zu is 0x%x, not 0x%x", i, out[i], expected[i]);
    }
}

/* ---- shared memory ----------------------------------------------------------------------------------------------- */

static struct reverse_arguments reverse_case(uint32_t threads, uint32_t bytes, uint32_t write_at)
{
    float values[1024];
    for (uint32_t i = 0; i < threads; i++)
        values[i] = (float)i;
    return (struct reverse_arguments){ device_copy(values, threads * sizeof *values),
                                       device_memory(threads * sizeof(float)), threads, bytes, write_at };
}

static void test_dynamic_shared(void **state)
{
    (void)state;
    cudaStream_t stream = new_stream();
    struct reverse_arguments arguments = reverse_case(1000, 4000, 0);
    assert_cuda(test_reverse(&arguments, stream));
    float out[1000];
    assert_cuda(cudaMemcpyAsync(out, arguments.out, sizeof out, cudaMemcpyDeviceToHost, stream));
    assert_cuda(cudaStreamSynchronize(stream));
    for (int i = 0; i < 1000; i++)
        assert_true(out[i] == (float)(999 - i));
    arguments.bytes = (48 << 10) + 1;
    assert_error(test_reverse(&arguments, stream), cudaErrorInvalidValue);
    assert_error(test_reverse_permit((99 << 10) + 1), cudaErrorInvalidValue);
    assert_cuda(test_reverse_permit(99 << 10));
    arguments.bytes = 99 << 10;
    assert_cuda(test_reverse(&arguments, stream));
    cuda_host_shared(64 << 10);
    int limit;
    assert_cuda(cudaDeviceGetAttribute(&limit, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
    assert_int_equal(limit, 64 << 10);
    assert_error(test_reverse_permit(99 << 10), cudaErrorInvalidValue);
    arguments.threads = 1025;
    assert_error(test_reverse(&arguments, stream), cudaErrorInvalidConfiguration);
    arguments.threads = 0;
    assert_error(test_reverse(&arguments, stream), cudaErrorInvalidConfiguration);
    assert_error(cudaGetLastError(), cudaErrorInvalidConfiguration);
    assert_error(cudaGetLastError(), cudaSuccess);
}

static void overrun_shared(uint32_t bytes)
{
    cudaStream_t stream = new_stream();
    struct reverse_arguments arguments = reverse_case(64, bytes, bytes);
    (void)test_reverse(&arguments, stream);
    (void)cudaDeviceSynchronize();
}

static void test_dynamic_overrun(void **state)
{
    (void)state;
#ifdef FIBER_ASAN
    const char *words = "AddressSanitizer"; /* which is told where the array ends, and comes first */
#else
    const char *words = "dynamic shared memory were overrun";
#endif
    assert_dies(overrun_shared, 256, 0, words);
    assert_dies(overrun_shared, 1000, 0, words);
}

/* ---- mistakes ---------------------------------------------------------------------------------------------------- */

static void run_mistake(uint32_t mistake)
{
    uint32_t out[64];
    cudaStream_t stream = new_stream();
    struct mistake_arguments arguments = { mistake, device_memory(sizeof out) };
    (void)test_mistake(&arguments, stream);
    (void)cudaStreamSynchronize(stream);
    (void)cudaFree(arguments.out);
}

static void test_hanging_kernels(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        cuda_host_seed(seed);
        assert_dies(run_mistake, MISTAKE_BARRIERS, SIGABRT, "this barrier is not the one");
        assert_dies(run_mistake, MISTAKE_LANE_MISSING, SIGABRT, "no thread can go on");
        assert_dies(run_mistake, MISTAKE_LANE_OUTSIDE, SIGABRT, "reads a lane that is not in the shuffle");
        assert_dies(run_mistake, MISTAKE_MASK, SIGABRT, "the calling lane is not in the mask");
        assert_dies(run_mistake, MISTAKE_OVERRUN, 0, "");
        assert_dies(run_mistake, MISTAKE_BARRIERS, SIGABRT, "mistakes");
    }
    run_mistake(MISTAKE_NONE);
}

/* A digest of the memory that a mistake leaves under a seed. */
static uint32_t outcome(uint32_t mistake, uint64_t seed)
{
    cuda_host_seed(seed);
    uint32_t out[64], digest = 0;
    cudaStream_t stream = new_stream();
    struct mistake_arguments arguments = { mistake, device_memory(sizeof out) };
    assert_cuda(test_mistake(&arguments, stream));
    assert_cuda(cudaStreamSynchronize(stream));
    assert_cuda(cudaMemcpy(out, arguments.out, sizeof out, cudaMemcpyDeviceToHost));
    for (size_t i = 0; i < 64; i++)
        digest = digest * 31 + out[i];
    if (mistake == MISTAKE_UNWRITTEN)
        assert_int_equal(out[0], 0xffffffff);
    cuda_host_reset();
    return digest;
}

static void test_race_shows(void **state)
{
    (void)state;
    int differ = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        assert_int_equal(outcome(MISTAKE_NONE, seed), outcome(MISTAKE_NONE, 0));
        differ += outcome(MISTAKE_RACE, seed) != outcome(MISTAKE_NONE, seed);
        assert_int_equal(outcome(MISTAKE_RACE, seed), outcome(MISTAKE_RACE, seed)); /* a seed repeats */
    }
    assert_int_equal(differ, SEEDS);
    assert_int_not_equal(outcome(MISTAKE_RACE, 0), outcome(MISTAKE_RACE, 1));
    outcome(MISTAKE_UNWRITTEN, 2);
}

static void test_block_order_shows(void **state)
{
    (void)state;
    uint32_t results[SEEDS];
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        cuda_host_seed(seed);
        cudaStream_t stream = new_stream();
        struct affine_arguments arguments = { device_zeros(sizeof(uint32_t)), 8, 3, 1 };
        assert_cuda(test_affine(&arguments, stream));
        assert_cuda(cudaStreamSynchronize(stream));
        results[seed] = device_number(arguments.at);
        cuda_host_reset();
    }
    assert_int_not_equal(results[0], results[1]);
    assert_int_not_equal(results[1], results[2]);
    assert_int_not_equal(results[2], results[3]);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static void test_memory_limit(void **state)
{
    (void)state;
    cuda_host_memory(1 << 20);
    size_t free_bytes, total;
    void *half = device_memory(512 << 10), *more = NULL;
    assert_cuda(cudaMemGetInfo(&free_bytes, &total));
    assert_int_equal(total, 1 << 20);
    assert_int_equal(free_bytes, 512 << 10);
    assert_error(cudaMalloc(&more, (512 << 10) + 1), cudaErrorMemoryAllocation);
    assert_null(more);
    assert_cuda(cudaMalloc(&more, 512 << 10));
    assert_int_equal(cuda_host_bytes(), 1 << 20);
    assert_cuda(cudaFree(half));
    assert_error(cudaFree(half), cudaErrorInvalidValue);
    assert_cuda(cudaFree(more));
    assert_cuda(cudaFree(NULL));
    assert_int_equal(cuda_host_bytes(), 0);
    assert_int_equal(cuda_host_peak_bytes(), 1 << 20);
    assert_int_equal(cuda_host_objects(), 0);
    void *locked;
    assert_cuda(cudaMallocHost(&locked, 100));
    memset(locked, 1, 100);
    assert_int_equal(cuda_host_objects(), 1);
    assert_cuda(cudaFreeHost(locked));
}

static void touch(uint32_t write)
{
    uint32_t *at = device_memory(64);
    if (write)
        *(volatile uint32_t *)at = 1;
    else
        (void)*(volatile uint32_t *)at;
}

static void test_host_cannot_touch(void **state)
{
    (void)state;
    assert_dies(touch, 0, 0, "");
    assert_dies(touch, 1, 0, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_reductions, imitation_reset),
        cmocka_unit_test_teardown(test_shuffle_lanes, imitation_reset),
        cmocka_unit_test_teardown(test_scalar_operations, imitation_reset),
        cmocka_unit_test_teardown(test_dynamic_shared, imitation_reset),
        cmocka_unit_test_teardown(test_dynamic_overrun, imitation_reset),
        cmocka_unit_test_teardown(test_hanging_kernels, imitation_reset),
        cmocka_unit_test_teardown(test_race_shows, imitation_reset),
        cmocka_unit_test_teardown(test_block_order_shows, imitation_reset),
        cmocka_unit_test_teardown(test_memory_limit, imitation_reset),
        cmocka_unit_test_teardown(test_host_cannot_touch, imitation_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

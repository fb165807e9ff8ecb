/* The update on the device: the reference's bits for parameters, momentum and digest, packed weights where the kernels
 * look for them, and the culprit that section 1 names. */
#include "check/support/cuda_memory.h"
#include "trainer/cpu/reference.h"
#include "trainer/gpu/kernels.h"
#include "trainer/network.h"

/* What the device holds for a network, and the same arrays here. */
struct state {
    struct network *network;
    struct cuda_memory memory;
    struct gpu_piece *pieces;
    uint32_t piece_count;
    size_t bytes, packed;
    float *values, *momentum, *gradients;
    struct gpu_update_arguments arguments;
    struct gpu_step_result *results;
};

enum { SLOT = 2, SLOTS = 4, CULPRIT = 100 };

static struct network *open_network(uint32_t depth, enum shortcut shortcut, bool final_batch_norm)
{
    const struct model_config model = {
        .depth = depth, .shortcut = shortcut, .linear_bias = BIAS_ZERO, .final_batch_norm = final_batch_norm
    };
    struct network *network;
    struct error error;
    assert_int_equal(network_open(&network, &model, &error), STATUS_OK);
    return network;
}

static bool is_packed(const struct tensor *tensor)
{
    return tensor->rank == 4 && tensor->shape[2] == 3;
}

static void cut(struct state *state)
{
    const struct network *network = state->network;
    for (uint32_t i = 0; i < network->tensor_count; i++)
        state->piece_count += (uint32_t)((network->tensors[i].count + GPU_PIECE - 1) / GPU_PIECE);
    state->pieces = calloc(state->piece_count, sizeof *state->pieces);
    assert_non_null(state->pieces);
    struct gpu_piece *piece = state->pieces;
    for (uint32_t i = 0; i < network->tensor_count; i++) {
        const struct tensor *tensor = &network->tensors[i];
        struct gpu_piece whole = { .tensor = i, .running = tensor->role == TENSOR_RUNNING };
        if (is_packed(tensor)) {
            whole.K = tensor->shape[0];
            whole.C = tensor->shape[1];
            whole.forward = state->packed;
            whole.backward = whole.C == 3 ? 0 : state->packed + tensor->count;
            state->packed += (whole.C == 3 ? 1 : 2) * tensor->count;
        }
        for (size_t within = 0; within < tensor->count; within += GPU_PIECE, piece++) {
            *piece = whole;
            piece->at = (uint32_t)(tensor->offset + within);
            piece->within = (uint32_t)within;
            piece->count = tensor->count - within < GPU_PIECE ? (uint32_t)(tensor->count - within) : GPU_PIECE;
        }
    }
}

static struct state open_state(struct network *network, enum momentum_form form, float rate)
{
    struct state state = { .network = network, .bytes = network->value_count * sizeof(float) };
    struct cuda_memory *memory = &state.memory;
    cut(&state);
    state.values = cuda_normals(1, network->value_count, 0.0f);
    state.momentum = cuda_normals(2, network->value_count, 0.0f);
    state.gradients = cuda_normals(3, network->value_count, 0.25f);
    cuda_sprinkle(network->value_count, state.values);
    cuda_sprinkle(network->value_count, state.momentum + 1);
    /* Among ordinary numbers a flushed subnormal leaves no trace. */
    for (size_t i = 0; i < network->value_count; i += 7) {
        state.values[i] *= 0x1p-127f;
        state.momentum[i] *= 0x1p-127f;
        state.gradients[i] *= 0x1p-127f;
    }
    struct gpu_step_result results[SLOTS];
    memset(results, 0, sizeof results);
    for (int i = 0; i < SLOTS; i++)
        results[i].culprit = GPU_NO_CULPRIT;
    const struct gpu_current current = { .next = SLOT + 1, .slot = SLOT, .rate = rate };
    state.results = cuda_copy(memory, results, sizeof results);
    state.arguments = (struct gpu_update_arguments){
        .pieces = cuda_copy(memory, state.pieces, state.piece_count * sizeof *state.pieces),
        .piece_count = state.piece_count,
        .update = 1,
        .form = form,
        .momentum_factor = 0.9f,
        .decay = 1e-4f,
        .values = cuda_copy(memory, state.values, state.bytes),
        .momentum = cuda_copy(memory, state.momentum, state.bytes),
        .gradients = cuda_copy(memory, state.gradients, state.bytes),
        .packed = cuda_blank(memory, state.packed * sizeof(float)),
        .report = { .current = cuda_copy(memory, &current, sizeof current),
                    .results = state.results,
                    .culprit = CULPRIT },
    };
    return state;
}

static void close_state(struct state *state)
{
    cuda_release(&state->memory);
    free(state->values);
    free(state->momentum);
    free(state->gradients);
    free(state->pieces);
    network_close(state->network);
}

/* As trainer/cpu/reference.c does it. */
static void update_here(struct state *state, float rate, uint64_t digest[2])
{
    const struct gpu_update_arguments *a = &state->arguments;
    for (uint32_t i = 0; i < state->network->tensor_count; i++) {
        const struct tensor *tensor = &state->network->tensors[i];
        float *w = state->values + tensor->offset, *v = state->momentum + tensor->offset,
              *g = state->gradients + tensor->offset;
        for (size_t j = 0; j < tensor->count && tensor->role == TENSOR_PARAMETER; j++) {
            if (a->form == MOMENTUM_NEON)
                exact_update_neon(&w[j], &v[j], g[j], rate, a->momentum_factor, a->decay);
            else
                exact_update_pytorch(&w[j], &v[j], g[j], rate, a->momentum_factor, a->decay);
        }
        ledger_digest(tensor->count, w, tensor->offset, digest);
    }
}

/* Both copies, by going through them in their own order. */
static void expect_packed(const struct state *state)
{
    float *expected = malloc(state->packed * sizeof *expected), *next = expected;
    assert_non_null(expected);
    for (uint32_t i = 0; i < state->network->tensor_count; i++) {
        const struct tensor *tensor = &state->network->tensors[i];
        const float *w = state->values + tensor->offset;
        const uint32_t K = tensor->shape[0], C = tensor->shape[1], block = C < 16 ? C : 16;
        if (!is_packed(tensor))
            continue;
        for (uint32_t base = 0; base < C; base += block)
            for (uint32_t r = 0; r < 3; r++)
                for (uint32_t c = base; c < base + block; c++)
                    for (uint32_t s = 0; s < 3; s++)
                        for (uint32_t k = 0; k < K; k++)
                            *next++ = w[((k * C + c) * 3 + r) * 3 + s];
        for (uint32_t base = 0; base < K && C > 3; base += 16)
            for (uint32_t r = 0; r < 3; r++)
                for (uint32_t k = base; k < base + 16; k++)
                    for (uint32_t s = 0; s < 3; s++)
                        for (uint32_t c = 0; c < C; c++)
                            *next++ = w[((k * C + c) * 3 + 2 - r) * 3 + 2 - s];
    }
    assert_int_equal(next - expected, state->packed);
    cuda_expect_equal(expected, state->arguments.packed, state->packed * sizeof *expected);
    free(expected);
}

static void expect_results(const struct state *state, const uint64_t digest[2], uint32_t culprit)
{
    struct gpu_step_result results[SLOTS];
    cuda_fetch(results, state->results, sizeof results);
    for (uint32_t i = 0; i < SLOTS; i++) {
        assert_int_equal(results[i].culprit, i == SLOT ? culprit : GPU_NO_CULPRIT);
        assert_true(results[i].digest[0] == (i == SLOT ? digest[0] : 0));
        assert_true(results[i].digest[1] == (i == SLOT ? digest[1] : 0));
    }
}

static void check_update(struct network *network, enum momentum_form form)
{
    const float rate = 0.1f;
    struct state state = open_state(network, form, rate);
    uint64_t digest[2] = { 0, 0 };
    cuda_expect(gpu_update(&state.arguments, cuda_stream(&state.memory)));
    update_here(&state, rate, digest);
    cuda_expect_equal(state.values, state.arguments.values, state.bytes);
    cuda_expect_equal(state.momentum, state.arguments.momentum, state.bytes);
    cuda_expect_equal(state.gradients, state.arguments.gradients, state.bytes);
    expect_packed(&state);
    expect_results(&state, digest, GPU_NO_CULPRIT);
    close_state(&state);
}

static void test_update(void **unused)
{
    (void)unused;
    for (uint32_t order = 0; order < CUDA_ORDERS; order++) {
        cuda_order(order);
        check_update(open_network(8, SHORTCUT_PROJECTION, true), MOMENTUM_NEON);
        check_update(open_network(8, SHORTCUT_PAD_END, false), MOMENTUM_PYTORCH);
    }
    check_update(open_network(20, SHORTCUT_PAD_BOTH, false), MOMENTUM_NEON);
}

/* A state that was set is packed, and nothing else happens to it. */
static void test_pack_only(void **unused)
{
    (void)unused;
    const uint64_t nothing[2] = { 0, 0 };
    struct state state = open_state(open_network(8, SHORTCUT_PROJECTION, true), MOMENTUM_NEON, 0.1f);
    state.arguments.update = 0;
    state.arguments.gradients = NULL;
    cuda_expect(gpu_update(&state.arguments, cuda_stream(&state.memory)));
    cuda_expect_equal(state.values, state.arguments.values, state.bytes);
    cuda_expect_equal(state.momentum, state.arguments.momentum, state.bytes);
    expect_packed(&state);
    expect_results(&state, nothing, GPU_NO_CULPRIT);
    close_state(&state);
}

/* Sets element `within` of some tensors' gradients, or values where there is none, and expects the first to be
 * named. */
static void check_culprit(const uint32_t *tensors, uint32_t count, float value, float rate)
{
    struct state state = open_state(open_network(8, SHORTCUT_PROJECTION, true), MOMENTUM_NEON, rate);
    uint64_t digest[2] = { 0, 0 };
    uint32_t first = UINT32_MAX;
    for (uint32_t i = 0; i < count; i++) {
        const struct tensor *tensor = &state.network->tensors[tensors[i]];
        float *in = tensor->role == TENSOR_RUNNING ? state.values : state.gradients;
        in[tensor->offset + tensor->count - 1] = value;
        first = tensors[i] < first ? tensors[i] : first;
    }
    cuda_expect(cudaMemcpy(state.arguments.values, state.values, state.bytes, cudaMemcpyHostToDevice));
    cuda_expect(
        cudaMemcpy((void *)(uintptr_t)state.arguments.gradients, state.gradients, state.bytes, cudaMemcpyHostToDevice));
    cuda_expect(gpu_update(&state.arguments, cuda_stream(&state.memory)));
    struct gpu_step_result results[SLOTS];
    cuda_fetch(results, state.results, sizeof results);
    assert_int_equal(results[SLOT].culprit, CULPRIT + first);
    update_here(&state, rate, digest);
    if (isinf(value)) /* the payloads of NaN may differ */
        cuda_expect_equal(state.values, state.arguments.values, state.bytes);
    close_state(&state);
}

static void test_culprits(void **unused)
{
    (void)unused;
    const uint32_t running[] = { 2, 30 }, mixed[] = { 40, 7, 12 }, one[] = { 0 };
    for (uint32_t order = 0; order < CUDA_ORDERS; order++) {
        cuda_order(order);
        check_culprit(running, 2, NAN, 0.1f);
        check_culprit(mixed, 3, NAN, 0.1f);
        check_culprit(mixed, 3, INFINITY, 0.1f);
        check_culprit(one, 1, 3e38f, 100.0f); /* finite, and the update overflows */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_update),
        cmocka_unit_test(test_pack_only),
        cmocka_unit_test(test_culprits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

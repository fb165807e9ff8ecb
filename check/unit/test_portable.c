/* The portable vector (trainer/cpu/fused/vector_portable.h), at the width of this build and on x86-64 at all three:
 * each operation gives C's bits, and the fused backend made of it the scalar reference's. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/float_environment.h"
#include "check/support/backends.h"
#include "check/support/vector_operations.h"
#include "trainer/exact.h"

extern const struct backend_operations backend_portable_4, backend_portable_16;

/* All of them ask the same of the processor. */
static const struct {
    const char *name;
    const struct backend_operations *backend;
    const struct vector_operations *vector;
} WIDTHS[] = {
    { "as built", &backend_portable, &vector_operations },
#ifdef HAVE_X86_64
    { "4 lanes", &backend_portable_4, &vector_operations_4 },
    { "16 lanes", &backend_portable_16, &vector_operations_16 },
#endif
};
enum { WIDTH_COUNT = sizeof WIDTHS / sizeof *WIDTHS, LANES_MAX = 16 };

/* ---- operations -------------------------------------------------------------------------------------------------- */

static float in_plain_c(enum vector_operation operation, float a, float b, float c)
{
    switch (operation) {
    case VECTOR_FMA:
        return fmaf(a, b, c);
    case VECTOR_FNMA:
        return fmaf(-a, b, c);
    case VECTOR_ADD:
        return a + b;
    case VECTOR_SUB:
        return a - b;
    case VECTOR_MUL:
        return a * b;
    case VECTOR_DIV:
        return a / b;
    case VECTOR_RELU:
        return a > 0.0f ? a : 0.0f;
    case VECTOR_WHERE_POSITIVE:
        return a > 0.0f ? b : 0.0f;
    case VECTOR_SET:
        return a;
    default:
        return 0.0f;
    }
}

/* Equal bits; any NaN equals any other, since its bits are the processor's choice and no result has one. */
static bool equal(float left, float right)
{
    return isnan(left) || isnan(right) ? isnan(left) && isnan(right) : memcmp(&left, &right, sizeof left) == 0;
}

/* Each lane with other numbers: those made for trouble in every combination, then random bits. */
static void test_operations(void **state)
{
    static const float made[] = {
        0.0f,      -0.0f,     1.0f,     -1.0f,     1.0f + 0x1p-12f, -1.0f - 0x1p-11f, 0x1p-149f, -0x1p-149f,
        0x1p-126f, 0x1p+127f, INFINITY, -INFINITY, (float)NAN,      0x1.fffffep+127f, 3.0f,      0x1p-30f
    };
    enum { MADE = sizeof made / sizeof *made, RANDOM = 20000 };
    (void)state;
    if (!backend_portable.supported())
        skip();
    for (int width = 0; width < WIDTH_COUNT; width++) {
        const struct vector_operations *vector = WIDTHS[width].vector;
        uint32_t seed = 1;
        for (int i = 0; i < MADE * MADE * MADE + RANDOM; i++) {
            _Alignas(64) float operands[3][LANES_MAX], results[LANES_MAX];
            for (int lane = 0; lane < vector->lanes; lane++) {
                const int number = i + lane * 7;
                operands[0][lane] = made[number % MADE];
                operands[1][lane] = made[number / MADE % MADE];
                operands[2][lane] = made[number / MADE / MADE % MADE];
                for (int k = 0; k < 3 && i >= MADE * MADE * MADE; k++) {
                    seed = seed * 1664525u + 1013904223u;
                    memcpy(&operands[k][lane], &seed, sizeof seed);
                }
            }
            for (int operation = 0; operation < VECTOR_OPERATION_COUNT; operation++) {
                vector->apply((enum vector_operation)operation, operands[0], operands[1], operands[2], results);
                for (int lane = 0; lane < vector->lanes; lane++) {
                    const float a = operands[0][operation == VECTOR_SET ? 0 : lane], b = operands[1][lane],
                                c = operands[2][lane];
                    const float expected = in_plain_c((enum vector_operation)operation, a, b, c);
                    if (!equal(results[lane], expected))
                        fail_msg("%s: operation %d on %a, %a and %a: %a, expected %a", WIDTHS[width].name, operation,
                                 (double)a, (double)b, (double)c, (double)results[lane], (double)expected);
                }
            }
        }
    }
}

#ifdef __ALTIVEC__
/* gcc may take vmaddfp of POWER's older vector unit for a vector's fused multiply-add (float_environment.h). */
static void test_older_unit(void **state)
{
    typedef float four __attribute__((vector_size(16)));
    const four smallest = { 0x1p-149f, 0x1p-149f, 0x1p-149f, 0x1p-149f }, one = { 1.0f, 1.0f, 1.0f, 1.0f };
    four sum = { 0.0f };
    (void)state;
    __asm__ volatile("vmaddfp %0,%1,%2,%0" : "+v"(sum) : "v"(smallest), "v"(one));
    for (int lane = 0; lane < 4; lane++)
        assert_true(sum[lane] == 0x1p-149f);
}
#endif

/* ---- whole networks ---------------------------------------------------------------------------------------------- */

/* The first width is held against the reference, which is slow, and the others against the first. */
static void expect_reference(const struct trial *trial, uint32_t threads)
{
    char text[1024];
    if (!backend_portable.supported())
        skip();
    for (int width = 0; width < WIDTH_COUNT; width++) {
        const struct backend_operations *left = width == 0 ? reference_backend() : WIDTHS[0].backend;
        const char *difference = backends_difference(trial, left, 2, WIDTHS[width].backend, threads, text, sizeof text);
        if (difference != NULL)
            fail_msg("%s: %s", WIDTHS[width].name, difference);
    }
}

static void test_batch_sizes(void **state)
{
    static const uint32_t sizes[][2] = { { 1, 1 }, { 5, 3 }, { 17, 16 } };
    (void)state;
    for (uint32_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (uint32_t variant = 0; variant < VARIANT_COUNT; variant++) {
            struct trial trial = {
                .depth = i == 1 ? 14 : 8, .variant = variant, .batch = sizes[i][0], .last = sizes[i][1], .steps = 2
            };
            expect_reference(&trial, 1 + (i + variant) % 3);
            trial.arithmetic = ARITHMETIC_EXACT_2;
            expect_reference(&trial, 1 + (i + variant) % 3);
        }
    }
}

static void test_adversity(void **state)
{
    (void)state;
    for (int adversity = ADVERSITY_SUBNORMAL; adversity < ADVERSITY_COUNT; adversity++) {
        struct trial trial = { .depth = 8,
                               .variant = (uint32_t)adversity % VARIANT_COUNT,
                               .batch = 6,
                               .last = 5,
                               .steps = 3,
                               .momentum = adversity % 2 == 0 ? MOMENTUM_PYTORCH : MOMENTUM_NEON,
                               .adversity = (enum adversity)adversity };
        expect_reference(&trial, 2);
        trial.arithmetic = ARITHMETIC_EXACT_2;
        expect_reference(&trial, 2);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations),
#ifdef __ALTIVEC__
        cmocka_unit_test(test_older_unit),
#endif
        cmocka_unit_test(test_batch_sizes),
        cmocka_unit_test(test_adversity),
    };
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    (void)float_environment_enter(); /* as the engine does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}

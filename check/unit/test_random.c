/* Philox against its published vectors, the normal deviates against mpmath. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "trainer/random.h"

/* source   Random123's kat_vectors, "philox4x32 10". */
static void test_philox_vectors(void **state)
{
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } vectors[] = {
        { { 0, 0, 0, 0 }, { 0, 0 }, { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff },
          { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 },
          { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint32_t out[4];
        philox4x32(vectors[i].counter, vectors[i].key, out);
        assert_memory_equal(out, vectors[i].out, sizeof out);
    }
}

static void test_block_layout(void **state)
{
    (void)state;
    const uint32_t counter[4] = { 7, 0x89abcdef, 0x01234567, RANDOM_AUGMENT }, key[2] = { 0x76543210, 0xfedcba98 };
    uint32_t expected[4], out[4];
    philox4x32(counter, key, expected);
    random_block(0xfedcba9876543210, RANDOM_AUGMENT, 0x0123456789abcdef, 7, out);
    assert_memory_equal(out, expected, sizeof out);
}

/* The known answers of ARITHMETIC.md section 9, computed from the page by other code (exact fractions). */
static void test_page(void **state)
{
    (void)state;
    static const uint32_t shuffle[4] = { 0x127bee41, 0x1e047488, 0x48842b20, 0x0a393496 };
    static const uint32_t weights[4] = { 0x5085c52a, 0x93f036d1, 0x319789c6, 0xeb0dd17a };
    uint32_t out[4];
    random_block(1, RANDOM_SHUFFLE, 0, 0, out);
    assert_memory_equal(out, shuffle, sizeof out);
    random_block(1, RANDOM_WEIGHTS, 2, 5, out);
    assert_memory_equal(out, weights, sizeof out);
    assert_true(random_normal(0x80000000) == 0x1.40d931ff62705p-32);
    assert_true(random_normal(0x12345678) == -0x1.77b263457d4cep+0);
    assert_true(random_normal(0) == -0x1.95a1198fcf3d5p+2);
}

static void test_normal_accuracy(void **state)
{
    (void)state;
    static const struct {
        uint32_t word;
        double deviate;
    } goldens[] = {
#include "check/goldens/random_normal.h"
    };
    double worst = 0.0;
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        double error = fabs(random_normal(goldens[i].word) - goldens[i].deviate) / fabs(goldens[i].deviate);
        if (error > worst)
            worst = error;
    }
    print_message("largest relative error of %zu deviates: %.2e\n", sizeof goldens / sizeof *goldens, worst);
    assert_true(worst < 1e-15);
}

/* Mirror images are exactly opposite, the deviates ascend, and their moments are the normal's. */
static void test_normal_shape(void **state)
{
    (void)state;
    double last = -INFINITY, sum = 0.0, squares = 0.0, fourth = 0.0;
    enum { STRIDE = 4096 };
    for (uint64_t word = 0; word < (uint64_t)1 << 32; word += STRIDE) {
        double x = random_normal((uint32_t)word);
        assert_true(x > last);
        assert_true(random_normal(~(uint32_t)word) == -x);
        last = x;
        x = random_normal((uint32_t)word + STRIDE / 2); /* the middles of equal slices of probability */
        sum += x;
        squares += x * x;
        fourth += x * x * x * x;
    }
    const double count = 0x1p32 / STRIDE;
    assert_true(fabs(sum / count) < 1e-6);
    assert_true(fabs(squares / count - 1.0) < 1e-4);
    assert_true(fabs(fourth / count - 3.0) < 1e-2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox_vectors),  cmocka_unit_test(test_block_layout), cmocka_unit_test(test_page),
        cmocka_unit_test(test_normal_accuracy), cmocka_unit_test(test_normal_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

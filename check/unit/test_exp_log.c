/* exact_expf and exact_logf over all 2^32 inputs (SELFSAME_LONG=1, or one in 61 of them) against the C library's
 * binary64 functions, rounded once: not one of the 2^32 differs. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "trainer/exact.h"

enum { WORKERS = 2 };

struct sweep {
    uint32_t first, stride;
    bool logarithm;
    uint64_t inputs, differing, far; /* far: more than one binary32 away */
    uint64_t wrong_kind;             /* NaN, infinity or sign is not the library's */
};

/* Orders the floats of one sign, so that neighbours differ by one. */
static int64_t order_of(float x)
{
    const uint32_t bits = float_bits(x);
    return bits & 0x80000000u ? -(int64_t)(bits & 0x7fffffffu) : (int64_t)bits;
}

static void *run_sweep(void *argument)
{
    struct sweep *sweep = argument;
    for (uint64_t bits = sweep->first; bits <= UINT32_MAX; bits += sweep->stride) {
        float x = float_of_bits((uint32_t)bits);
        float ours = sweep->logarithm ? exact_logf(x) : exact_expf(x);
        float theirs = (float)(sweep->logarithm ? log((double)x) : exp((double)x));
        sweep->inputs++;
        if (ours != ours || theirs != theirs) {
            sweep->wrong_kind += (ours != ours) != (theirs != theirs);
            continue;
        }
        int64_t distance = order_of(ours) - order_of(theirs);
        sweep->differing += distance != 0;
        sweep->far += distance < -1 || distance > 1;
    }
    return NULL;
}

static struct sweep sweep_all(bool logarithm)
{
    const bool all = getenv("SELFSAME_LONG") != NULL;
    struct sweep sweeps[WORKERS], total = { .logarithm = logarithm };
    pthread_t threads[WORKERS];
    for (uint32_t i = 0; i < WORKERS; i++) {
        sweeps[i] = (struct sweep){ .first = i, .stride = all ? WORKERS : WORKERS * 61, .logarithm = logarithm };
        assert_int_equal(pthread_create(&threads[i], NULL, run_sweep, &sweeps[i]), 0);
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        total.inputs += sweeps[i].inputs;
        total.differing += sweeps[i].differing;
        total.far += sweeps[i].far;
        total.wrong_kind += sweeps[i].wrong_kind;
    }
    print_message("%s: %" PRIu64 " inputs, %" PRIu64 " differ from the rounded binary64 value\n",
                  logarithm ? "log" : "exp", total.inputs, total.differing);
    return total;
}

static void test_exp(void **state)
{
    (void)state;
    struct sweep sweep = sweep_all(false);
    assert_true(sweep.inputs > 70000000);
    assert_int_equal(sweep.wrong_kind, 0);
    assert_int_equal(sweep.far, 0);
    assert_int_equal(sweep.differing, 0);
}

static void test_log(void **state)
{
    (void)state;
    struct sweep sweep = sweep_all(true);
    assert_true(sweep.inputs > 70000000);
    assert_int_equal(sweep.wrong_kind, 0);
    assert_int_equal(sweep.far, 0);
    assert_int_equal(sweep.differing, 0);
}

/* Special values, and where the results leave the numbers. */
static void test_edges(void **state)
{
    (void)state;
    assert_true(exact_expf(0.0f) == 1.0f && exact_expf(-0.0f) == 1.0f);
    assert_true(exact_expf(-INFINITY) == 0.0f && exact_expf(INFINITY) == INFINITY);
    assert_true(exact_expf(-103.0f) > 0.0f && exact_expf(-104.1f) == 0.0f);
    assert_true(exact_expf(88.0f) < INFINITY && exact_expf(88.8f) == INFINITY);
    assert_true(exact_expf(NAN) != exact_expf(NAN) && exact_logf(NAN) != exact_logf(NAN) &&
                exact_logf(-1.0f) != exact_logf(-1.0f));
    assert_true(exact_logf(1.0f) == 0.0f && exact_logf(0.0f) == -INFINITY && exact_logf(INFINITY) == INFINITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_exp), cmocka_unit_test(test_log),
                                        cmocka_unit_test(test_edges) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

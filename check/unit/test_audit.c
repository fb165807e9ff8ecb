/* Which epochs an audit takes: known answers, computed by the page's rule elsewhere, and the chance to hit tampered
 * epochs against the theory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "results/audit.h"

static void test_choice(void **state)
{
    (void)state;
    /* Python: hashlib alone, after results/ATTESTATIONS.md. */
    static const uint64_t round_7[] = { 3, 4, 21, 38, 83, 93, 110, 120 },
                          empty[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
    uint8_t chain[DIGEST_BYTES];
    uint64_t chosen[12];
    for (size_t i = 0; i < sizeof chain; i++)
        chain[i] = (uint8_t)i;
    audit_choose(chain, "round 7", 7, 180, 8, chosen);
    assert_memory_equal(chosen, round_7, sizeof round_7);
    audit_choose(chain, "", 0, 12, 12, chosen); /* all of them */
    assert_memory_equal(chosen, empty, sizeof empty);
    /* Another chain, or another beacon, is another choice. */
    uint64_t other[8];
    audit_choose(chain, "round 8", 7, 180, 8, other);
    assert_memory_not_equal(other, round_7, sizeof other);
    chain[31] ^= 1;
    audit_choose(chain, "round 7", 7, 180, 8, other);
    assert_memory_not_equal(other, round_7, sizeof other);
}

/* 20,000 beacons: the share that hits a tampered epoch, within four standard deviations of the theory. */
static void test_detection(void **state)
{
    (void)state;
    enum { BEACONS = 20000, EPOCHS = 180 };
    static const struct {
        uint64_t tampered, count;
    } cases[] = { { 1, 5 }, { 5, 5 }, { 20, 5 }, { 1, 20 }, { 5, 20 }, { 20, 20 } };
    uint8_t chain[DIGEST_BYTES];
    memset(chain, 7, sizeof chain);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        unsigned hits = 0;
        for (unsigned b = 0; b < BEACONS; b++) {
            char beacon[16];
            uint64_t chosen[20];
            bool hit = false;
            snprintf(beacon, sizeof beacon, "%u", b);
            audit_choose(chain, beacon, strlen(beacon), EPOCHS, cases[c].count, chosen);
            /* The tampered epochs are the first: a choice that favours some would show. */
            for (uint64_t i = 0; i < cases[c].count; i++)
                hit = hit || chosen[i] < cases[c].tampered;
            hits += hit;
        }
        const double theory = audit_detection(EPOCHS, cases[c].tampered, cases[c].count),
                     share = (double)hits / BEACONS, deviation = sqrt(theory * (1.0 - theory) / BEACONS);
        print_message("%2u of 180 epochs tampered, %2u audited: hit %.4f, theory %.4f\n", (unsigned)cases[c].tampered,
                      (unsigned)cases[c].count, share, theory);
        assert_true(fabs(share - theory) <= 4.0 * deviation);
    }
    /* 1 - C(179, 20) / C(180, 20) is 20 / 180. */
    assert_true(fabs(audit_detection(180, 1, 20) - 20.0 / 180.0) < 1e-12);
    assert_true(audit_detection(10, 10, 1) == 1.0);
    assert_true(audit_detection(10, 0, 10) == 0.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_choice), cmocka_unit_test(test_detection) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* How near two computations must come, as one table per test program: each bound with what was measured and why it is
 * that much. */
#ifndef SELFSAME_CHECK_TOLERANCE_H
#define SELFSAME_CHECK_TOLERANCE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct tolerance {
    const char *name;
    double bound;    /* about four times what was measured, unless nothing may differ */
    const char *why; /* what was measured, and its cause */
    double largest;  /* error of this run */
};

/* Fails the test if the error of `where` is not within the bound; NaN is not. */
static inline void tolerance_expect(struct tolerance *tolerance, const char *where, double error)
{
    if (error > tolerance->largest)
        tolerance->largest = error;
    if (!(error <= tolerance->bound))
        fail_msg("%s, %s: error %.3g, more than %.3g (measured: %s)", tolerance->name, where, error, tolerance->bound,
                 tolerance->why);
}

static inline void tolerance_print(const struct tolerance *table, size_t count)
{
    for (size_t i = 0; i < count; i++)
        print_message("%-28s error at most %-7.2g of %-7.2g allowed; measured %s\n", table[i].name, table[i].largest,
                      table[i].bound, table[i].why);
}

#endif

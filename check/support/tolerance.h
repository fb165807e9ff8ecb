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
void tolerance_expect(struct tolerance *tolerance, const char *where, double error);

void tolerance_print(const struct tolerance *table, size_t count);

#endif

/* Compares two groups of runs by their final validation errors: selfsame compare --statistics. It goes down the ladder
 * of results/compare.h as far as it can without bits:
 *
 * same-document    a run of one side and one of the other are copies of one record
 * not-comparable   a run of one side has the bits of one of the other, so that they are no two samples; or they were
 *                  evaluated on different images; or a run is not finished; or neither side has a spread
 * other-experiment the recipes differ in more than arithmetic and seed; the test is made all the same
 * within-spread    a two-sided t test at STATISTICS_LEVEL cannot tell the means apart
 * differs          it can */
#ifndef SELFSAME_COMPARE_GROUPS_H
#define SELFSAME_COMPARE_GROUPS_H

#include "results/compare.h"
#include "results/run_group.h"
#include "results/statistics.h"

struct groups_comparison {
    enum verdict verdict;
    char sentence[512]; /* without a full stop */
    bool tested;        /* the numbers below are there */
    struct summary samples[2];
    struct interval intervals[2]; /* 95 %, of the means */
    struct t_test test;
    double sd;   /* of both sides together */
    double sees; /* the difference that so many runs see with STATISTICS_POWER */
};

/* errors   STATUS_ENVIRONMENT without memory. */
enum status compare_groups(const struct run_group groups[2], struct groups_comparison *comparison,
                           struct error *error) MUST_USE;

#endif

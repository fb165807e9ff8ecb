#include "results/compare.h"

#include <math.h>
#include <string.h>

/* What differs in a step, or NULL: losses by their bits, so that -0 and +0 differ and equal NaNs do not. */
static const char *step_difference(const struct ledger_row *a, const struct ledger_row *b)
{
    if (memcmp(&a->loss, &b->loss, sizeof a->loss) != 0)
        return "loss";
    if (a->errors != b->errors)
        return "errors in the batch";
    return memcmp(a->digest, b->digest, sizeof a->digest) != 0 ? "weights after it" : NULL;
}

static const char *epoch_difference(const struct metrics_row *a, const struct metrics_row *b, bool same_validation)
{
    for (size_t i = 0; i < metrics_column_count; i++) {
        const struct metrics_column *column = &metrics_columns[i];
        const char *x = (const char *)a + column->offset, *y = (const char *)b + column->offset;
        size_t bytes = column->type == METRICS_DIGEST ? DIGEST_HEX_BYTES : sizeof(double);
        const bool exact =
            column->depends == METRICS_TRAINING || (column->depends == METRICS_VALIDATION && same_validation);
        if (exact && memcmp(x, y, bytes) != 0)
            return column->name;
    }
    return NULL;
}

static uint64_t epoch_of(const struct record *record, uint64_t step)
{
    uint64_t epoch = 0;
    while (epoch < record->epochs && record->metrics[epoch].end_step <= step)
        epoch++;
    return epoch;
}

void compare_records(const struct record *first, const struct record *second, struct comparison *c)
{
    memset(c, 0, sizeof *c);
    c->same_arithmetic = strcmp(first->facts.arithmetic, second->facts.arithmetic) == 0;
    c->same_experiment = strcmp(first->facts.experiment_sha256, second->facts.experiment_sha256) == 0;
    c->same_validation = strcmp(first->facts.validation_data_sha256, second->facts.validation_data_sha256) == 0;
    c->epochs = first->epochs < second->epochs ? first->epochs : second->epochs;
    c->steps = first->steps < second->steps ? first->steps : second->steps;
    c->longer_first = first->steps > second->steps || first->epochs > second->epochs;
    c->longer_second = second->steps > first->steps || second->epochs > first->epochs;
    for (uint64_t step = 0; step < c->steps && !c->step_differs; step++) {
        c->step_what = step_difference(&first->ledger[step], &second->ledger[step]);
        c->step_differs = c->step_what != NULL;
        c->step = step;
    }
    c->epoch_of_step = c->step_differs ? epoch_of(first, c->step) : 0;
    for (uint64_t epoch = 0; epoch < c->epochs; epoch++) {
        const struct metrics_row *a = &first->metrics[epoch], *b = &second->metrics[epoch];
        const char *what = epoch_difference(a, b, c->same_validation);
        double difference = fabs(a->validation_error - b->validation_error);
        if (what != NULL && !c->epoch_differs) {
            c->epoch_differs = true;
            c->epoch = epoch;
            c->epoch_what = what;
        }
        if (difference > c->largest_error_difference) {
            c->largest_error_difference = difference;
            c->largest_error_epoch = epoch;
        }
    }
    const bool differs = !c->same_arithmetic || !c->same_experiment || c->step_differs || c->epoch_differs,
               none = c->steps == 0 && c->epochs == 0;
    c->identical = !differs && !none;
    c->incomplete = !differs && (none || c->longer_first || c->longer_second);
}

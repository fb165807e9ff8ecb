#include "plots/run_groups.h"

#include <string.h>

static bool is_same_but_for_seed(const struct record *a, const struct record *b)
{
    return strcmp(a->manifest.experiment, b->manifest.experiment) == 0 &&
           strcmp(a->facts.arithmetic, b->facts.arithmetic) == 0 &&
           strcmp(a->facts.validation_data_sha256, b->facts.validation_data_sha256) == 0;
}

size_t run_groups(const struct record *const *runs, size_t count, size_t *group_of)
{
    size_t groups = 0;
    for (size_t i = 0; i < count; i++) {
        group_of[i] = groups;
        for (size_t k = 0; k < i; k++) {
            if (is_same_but_for_seed(runs[k], runs[i])) {
                group_of[i] = group_of[k];
                break;
            }
        }
        groups += group_of[i] == groups;
    }
    return groups;
}

bool run_repeats(const struct record *a, const struct record *b)
{
    const size_t last = (a->epochs < b->epochs ? a->epochs : b->epochs) - 1; /* that both have; SIZE_MAX: none */
    return a->facts.seed == b->facts.seed && last != SIZE_MAX &&
           strcmp(a->metrics[last].weights_sha256, b->metrics[last].weights_sha256) == 0;
}

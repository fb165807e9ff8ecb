#include "experiments/settings_difference.h"

#include <stdlib.h>
#include <string.h>

#include "experiments/settings.h"

/* The seed is a line of the experiment digest of its own (experiments/manifest.h). */
static bool moves_bits(const struct schema_key *key)
{
    return key->moves_bits || strcmp(key->path, "training.seed") == 0 || strcmp(key->path, "training.seeds") == 0;
}

enum { RANKS = 3 };
static int rank_of(const struct schema_key *key)
{
    if (!moves_bits(key))
        return 2;
    return strncmp(key->path, "dataset.", strlen("dataset.")) == 0 ? 0 : 1;
}

void settings_differences_free(struct settings_difference *differences, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        free(differences[i].first);
        free(differences[i].second);
    }
    free(differences);
}

static enum status collect(const struct settings *first, const struct settings *second,
                           struct settings_difference *differences, size_t *count, struct error *error)
{
    for (int rank = 0; rank < RANKS; rank++) {
        for (size_t i = 0; i < schema_key_count; i++) {
            const struct schema_key *key = &schema_keys[i];
            if (rank_of(key) != rank)
                continue;
            const struct setting *x = &first->settings[i], *y = &second->settings[i];
            /* Two words may mean the same: exact and exact-1. */
            if (key->type == VALUE_CHOICE && x->given && y->given && x->choice == y->choice)
                continue;
            char *a = settings_value(x), *b = settings_value(y);
            if (a != NULL && b != NULL && strcmp(a, b) != 0) {
                differences[(*count)++] = (struct settings_difference){ key->path, a, b, moves_bits(key) };
                continue;
            }
            const bool lost = a == NULL || b == NULL;
            free(a);
            free(b);
            if (lost)
                return error_out_of_memory(error, "the differences of two manifests");
        }
    }
    return STATUS_OK;
}

enum status settings_differences(const char *first, const char *first_name, const char *second, const char *second_name,
                                 struct settings_difference **differences, size_t *count, struct error *error)
{
    struct settings a, b = { .name = NULL };
    *count = 0;
    *differences = calloc(schema_key_count, sizeof **differences);
    if (*differences == NULL)
        return error_out_of_memory(error, "the differences of two manifests");
    enum status status = settings_read_resolved(first, strlen(first), first_name, &a, error);
    if (status == STATUS_OK)
        status = settings_read_resolved(second, strlen(second), second_name, &b, error);
    if (status == STATUS_OK)
        status = collect(&a, &b, *differences, count, error);
    settings_free(&a);
    settings_free(&b);
    if (status != STATUS_OK) {
        settings_differences_free(*differences, *count);
        *differences = NULL;
        *count = 0;
    }
    return status;
}

/* What selfsame compare shows of two runs after the verdict: tables of keys, results and circumstances. */
#ifndef SELFSAME_COMPARE_DIFFERENCES_H
#define SELFSAME_COMPARE_DIFFERENCES_H

#include <jansson.h>

#include "results/compare.h"

/* Each prints a table below its heading, or nothing where the table has no rows. With `json`, it adds an array to that
 * object instead. Without `all`, it shows what differs.
 *
 * show_settings       the keys of the manifests; without `all`, those that move bits
 * show_metrics        the results of the last epochs that were compared
 * show_circumstances  engines, programs and hosts; with `all`, everything in the two record.json, times too */
enum status show_settings(const struct record *a, const struct record *b, bool all, json_t *json,
                          struct error *error) MUST_USE;
enum status show_metrics(const struct comparison *c, bool all, json_t *json, struct error *error) MUST_USE;
enum status show_circumstances(const struct record *a, const struct record *b, bool all, json_t *json,
                               struct error *error) MUST_USE;

#endif

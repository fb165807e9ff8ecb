/* The data sets of the runs of one call of `selfsame train`. Runs on the same data share one copy: the first that needs
 * it loads it, and after the last one it is freed.
 *
 * threads  shared_data_take and shared_data_leave may be called by several threads. */
#ifndef SELFSAME_SHARED_DATA_H
#define SELFSAME_SHARED_DATA_H

#include "fetch/data/load.h"

struct shared_data;

/* `options` outlives the table. */
enum status shared_data_open(struct shared_data **data, const struct data_options *options,
                             struct error *error) MUST_USE;
/* Announces `runs` runs of a manifest, which outlives the table. All are announced before the first one takes. */
enum status shared_data_expect(struct shared_data *data, const struct manifest *manifest, size_t runs,
                               struct error *error) MUST_USE;
/* The data of one announced run. They stay until as many runs have left as were announced.
 * errors   data_load's. Then the run leaves all the same. */
enum status shared_data_take(struct shared_data *data, const struct manifest *manifest, const struct dataset **training,
                             const struct dataset **validation, struct error *error) MUST_USE;
void shared_data_leave(struct shared_data *data, const struct manifest *manifest);
/* NULL is fine. */
void shared_data_close(struct shared_data *data);

#endif

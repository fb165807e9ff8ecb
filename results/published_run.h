/* The runs that come with the program: results/published/ of the source tree, or as installed. */
#ifndef SELFSAME_PUBLISHED_RUN_H
#define SELFSAME_PUBLISHED_RUN_H

#include "results/record.h"

/* As record_open, and names that begin with "published/" are also looked for among the runs that come with the
 * program. */
enum status published_open(struct record **record, const char *runs, const char *run, struct error *error) MUST_USE;

#endif

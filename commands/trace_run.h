/* One step of a run, computed again from the nearest checkpoint and traced. */
#ifndef SELFSAME_TRACE_RUN_H
#define SELFSAME_TRACE_RUN_H

#include "commands/command.h"
#include "results/record.h"
#include "results/trace_file.h"

struct traced {
    struct trace_file file; /* of `trace` */
    struct step_trace *trace;
    struct network *network;
    uint64_t from; /* the checkpoint's step; 0: the start */
    bool recorded; /* the record has this step */
    bool follows;  /* and says the same of it */
};

/* Traces a step (from 0) of a run, with the engine, threads, instruction set and data that the arguments name.
 * STATUS_NO, naming the step, if an earlier step after the checkpoint comes out otherwise than the record says. The
 * caller closes with traced_close. */
enum status trace_run(const struct record *record, uint64_t step, const struct arguments *arguments,
                      struct traced *traced, struct error *error) MUST_USE;
void traced_close(struct traced *traced);
/* What a trace was computed from: "the checkpoint after step 720" or "the start". */
enum { TRACED_FROM_BYTES = 64 };
const char *traced_from(const struct traced *traced, char text[TRACED_FROM_BYTES]);

#endif

/* Runs of other tools, as records (exchange/import.h writes them). They can be listed, drawn, judged and exported next
 * to runs of selfsame. But selfsame did not compute them: there are no weights, no ledger and no chain, so nothing can
 * be resumed, verified, traced or signed, and no bits compared. */
#ifndef SELFSAME_IMPORTED_H
#define SELFSAME_IMPORTED_H

#include <stdbool.h>

#include "results/record_data.h"

bool imported_is(const struct record *record);

/* What tables and figures show as a run's arithmetic: its version, or "imported". */
const char *imported_arithmetic(const struct record *record);

/* STATUS_INPUT for an imported run, saying that there is nothing to `what`, such as "verify". */
enum status imported_refuse(const struct record *record, const char *what, struct error *error) MUST_USE;

/* "TensorBoard, from logs/resnet20": where an imported run came from. */
enum { IMPORTED_ORIGIN_BYTES = 512 };
void imported_origin(const struct record *record, char text[IMPORTED_ORIGIN_BYTES]);

/* What record_check checks of an imported run, beyond the digests that every record has: that its arithmetic is fast,
 * that it claims and has nothing that only selfsame could have computed, and that its numbers can be true. STATUS_INPUT
 * names the file, and the line. */
enum status imported_check(const struct record *record, struct error *error) MUST_USE;

#endif

/* The trace of a step (trainer/step_trace.h) as a text file that people exchange:
 *
 *   selfsame-trace 1
 *   experiment 5f0c... (SHA-256)
 *   arithmetic exact-1
 *   step 778                    from 1
 *   ledger        777  1.07112403e+00     45 6f0c... (the step's line of ledger.txt)
 *   lines 612
 *   1 before/bn1.bias f32 16 0b3f...
 *   ...
 *   131 forward/bn1/scale f32 16 77c1... 5 130
 *   ...
 *   end 9a2e... (SHA-256 of all bytes before this line)
 *
 * A tensor's line has its number, its name, the type of its elements, its shape (128x16x32x32, or - for a single
 * number), its SHA-256, and the numbers of the lines that it is computed from. The same step always gives the same
 * bytes. */
#ifndef SELFSAME_TRACE_FILE_H
#define SELFSAME_TRACE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash.h"
#include "results/compare.h"
#include "results/ledger.h"
#include "trainer/step_trace.h"

struct trace_file {
    char experiment_sha256[DIGEST_HEX_BYTES];
    char arithmetic[32];
    uint64_t step; /* from 0 */
    struct ledger_row row;
    struct trace_lines list; /* owned by what trace_file_read gives, and else borrowed */
};

/* Writes the file durably, and gives its SHA-256. */
enum status trace_file_write(const char *path, const struct trace_file *file, char sha256[DIGEST_HEX_BYTES],
                             struct error *error) MUST_USE;
/* STATUS_INPUT, naming the file and the line, for anything that trace_file_write would not have written. The caller
 * frees with trace_file_free. */
enum status trace_file_read(const char *path, struct trace_file *file, struct error *error) MUST_USE;
void trace_file_free(struct trace_file *file);
/* Whether a path is of a file that begins as a trace does. */
bool trace_file_is(const char *path);

enum { TRACE_ROOTS_MAX = 8 };

struct trace_comparison {
    enum verdict verdict;
    char sentence[256];
    uint32_t differing;              /* tensors */
    uint32_t root_count;             /* of them, those whose inputs agree */
    uint32_t roots[TRACE_ROOTS_MAX]; /* the first of these: lines, from 0 */
};

void trace_compare(const struct trace_file *a, const struct trace_file *b, struct trace_comparison *comparison);

#endif

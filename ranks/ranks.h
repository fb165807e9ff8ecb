/* Ranks: processes that compute one training together. A launcher (mpirun, mpiexec, srun) starts the program several
 * times; each copy finds here its number, and exchanges bytes with the others through a module (module.h).
 *
 * In a single process, `struct ranks *` is NULL, and the functions that take it say then what they do.
 *
 * order    Exchanges are collective: every rank makes the same calls in the same order, from one thread.
 * errors   Where a rank is gone, the library ends the others. An error of one rank is told to all by ranks_agree. */
#ifndef SELFSAME_RANKS_H
#define SELFSAME_RANKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { RANKS_MAX = 1024 };

struct ranks;

/* What ranks exchanged since they were opened. */
struct ranks_traffic {
    uint64_t exchanges;
    uint64_t bytes; /* that this rank got from the others */
};

/* *ranks stays NULL where no launcher started this process, or where it started no other.
 * errors   STATUS_ENVIRONMENT if a launcher did, but no module for it can be opened, or its library refuses. */
enum status ranks_open(struct ranks **ranks, struct error *error) MUST_USE;
/* The same with a module that is there already. */
struct ranks_module;
enum status ranks_join(struct ranks **ranks, const struct ranks_module *module, struct error *error) MUST_USE;
/* Collective, but for NULL. */
void ranks_close(struct ranks *ranks);

uint32_t ranks_count(const struct ranks *ranks); /* NULL: 1 */
uint32_t ranks_own(const struct ranks *ranks);   /* from 0; NULL: 0 */
/* Ranks on this rank's host, itself included; NULL: 1. */
uint32_t ranks_here(const struct ranks *ranks);
/* Such as "3 ranks by Open MPI v4.1.4: 0 to 1 on a.example, 2 on b.example"; lives as long as the ranks. NULL: NULL. */
const char *ranks_describe(const struct ranks *ranks);
struct ranks_traffic ranks_traffic(const struct ranks *ranks);

/* Piece r of `all` has bytes[r] bytes; the pieces lie one behind the other. Each rank has written its own, and gets the
 * others'. */
void ranks_gather(struct ranks *ranks, void *all, const size_t *bytes);
/* Rank r gets piece r of to_send, and piece r of received is from it. */
void ranks_exchange(struct ranks *ranks, const void *to_send, const size_t *sent_bytes, void *received,
                    const size_t *received_bytes);
/* All ranks get rank 0's bytes; NULL: nothing. */
void ranks_send_all(struct ranks *ranks, void *data, size_t bytes);

/* What all ranks go on with. Each gives its status and its flag. If all are STATUS_OK, so is the answer, and *flag says
 * whether any rank set it. Else the answer is the status of the first rank with an error (an interruption counts less),
 * and *error has its message on rank 0. On other ranks it is empty, so that only rank 0 prints it. After such an answer
 * there is no further exchange: all later calls give it again. NULL: the caller's own. */
enum status ranks_agree(struct ranks *ranks, enum status status, bool *flag, struct error *error) MUST_USE;

/* STATUS_INPUT, on all ranks, if a rank's text differs from rank 0's; "rank 1 on b has WHAT than rank 0" begins the
 * message, and the advice ends it. Texts have less than RANKS_TEXT_BYTES. */
enum { RANKS_TEXT_BYTES = 160 };
enum status ranks_check_same(struct ranks *ranks, const char *text, const char *what, const char *advice,
                             struct error *error) MUST_USE;

/* Each rank gives a text, as above. The answer is that of the first rank where it differs from `expected`, until the
 * next call of the two; NULL if there is none. In a single process it is about its own text. */
const char *ranks_find_other(struct ranks *ranks, const char *text, const char *expected);

/* What an agreement ended with; STATUS_OK if all went on. NULL: STATUS_OK. */
enum status ranks_agreed(const struct ranks *ranks);
/* Ends all ranks, and this one. */
void ranks_abort(struct ranks *ranks, int exit_status) __attribute__((noreturn));

/* This process's environment without what a launcher gave it, for a program that is started and is no rank. The list is
 * the caller's to free, its texts are the environment's own. NULL: no memory. */
char **ranks_environment(void);

/* The modules of this program, for doctor: number `index` of them, NULL past the last. *library: what it says about the
 * library, or why it cannot be opened. */
const char *ranks_module(size_t index, char *library, size_t size);

#endif

/* What a module for ranks offers: the few operations on bytes that ranks.c asks of an MPI library. A module is a shared
 * object, built once for each MPI library, and opened only where a launcher started several processes. So the program
 * itself needs no MPI.
 *
 * A module moves bytes and adds nothing: the order of every sum stays the program's.
 *
 * threads  only the thread that called start calls the others.
 * errors   start says what is wrong. Later the library ends all processes when one of them is gone. */
#ifndef SELFSAME_RANKS_MODULE_H
#define SELFSAME_RANKS_MODULE_H

#include <stddef.h>
#include <stdint.h>

enum { RANKS_MODULE_VERSION = 1 };
#define RANKS_MODULE_SYMBOL "selfsame_ranks_module"

struct ranks_module {
    uint32_t version; /* RANKS_MODULE_VERSION */
    /* The library's name and version, in its own words. May be called before start. */
    void (*library)(char *text, size_t size);
    /* Joins the processes that the launcher started: the number of this one, and how many there are. NULL, or what is
     * wrong. */
    const char *(*start)(uint32_t *rank, uint32_t *count);
    /* Piece r of `all` has bytes[r] bytes, and they lie one behind the other. Each rank has written its own piece, and
     * gets the others. */
    void (*gather)(void *all, const size_t *bytes);
    /* Rank r gets piece r of `to_send`, and piece r of `received` is from it; in both the pieces lie one behind the
     * other. */
    void (*exchange)(const void *to_send, const size_t *sent_bytes, void *received, const size_t *received_bytes);
    /* Ends all processes. */
    void (*abort)(int exit_status);
    /* Waits for all ranks to call it. */
    void (*finish)(void);
};

#endif

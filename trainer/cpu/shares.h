/* The shares that ranks have in a training's batches, and the sums that cross them.
 *
 * A share is a run of whole units. A unit is the least number of images that no group of a weight gradient crosses:
 * 4 in exact-1, 16 in exact-2. So a rank computes its groups' chains alone, and what is left of every sum is an aligned
 * tree (ARITHMETIC.md section 1) over images or groups. A rank adds the largest aligned subtrees within its share, the
 * ranks exchange their roots, and the rest of the tree is added in its own order. Hence the bits do not depend on the
 * number of ranks.
 *
 * Weight gradients are large. Each rank gets the roots for a slice of the weights, adds them, and sends the sums to the
 * others. All other sums are small: every rank gets all roots and adds them itself.
 *
 * threads  called from the thread that runs the steps; where it says so, a team does the work.
 * memory   everything is allocated by shares_allocate; later calls cannot fail. */
#ifndef SELFSAME_SHARES_H
#define SELFSAME_SHARES_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "ranks/ranks.h"
#include "trainer/cpu/team.h"
#include "trainer/recipe.h"

struct shares;

/* The images first .. first+count-1 of a batch. */
struct share {
    uint32_t first, count;
};

/* Images of a unit, and the share of a rank in a batch. Shares differ by at most one unit; where there are fewer units
 * than ranks, as in a short last batch, some are empty. */
uint32_t shares_unit(enum arithmetic arithmetic);
struct share shares_of(uint32_t images, uint32_t unit, uint32_t ranks, uint32_t rank);

/* errors   STATUS_INPUT if the recipe's batch has fewer units than there are ranks. */
enum status shares_open(struct shares **shares, struct ranks *ranks, const struct recipe *recipe,
                        uint32_t training_images, struct error *error) MUST_USE;
void shares_close(struct shares *shares);

/* Before shares_allocate: declares a weight gradient of so many floats for each leaf of its tree, `leaves` leaves for
 * each `images` images, one of the two being 1. They are numbered in the order of their declaration, from 0 on. */
void shares_declare(struct shares *shares, uint32_t images, uint32_t leaves, size_t floats);
enum status shares_allocate(struct shares *shares, struct error *error) MUST_USE;
size_t shares_memory_bytes(const struct shares *shares);
/* The most images of this rank's share in any batch. */
uint32_t shares_most(const struct shares *shares);

/* Begins a step with a batch of so many images; returns this rank's share. */
struct share shares_begin(struct shares *shares, uint32_t images);

/* Images of that batch. */
uint32_t shares_images(const struct shares *shares);

/* T64 over all images of the batch, for each of `width` columns (at most SHARES_WIDTH_MAX) of rows that are `stride`
 * apart. rows: of this rank's images. */
enum { SHARES_WIDTH_MAX = 128 };
void shares_sum_images(struct shares *shares, const float *rows, size_t stride, uint32_t width, double *sums);

/* rows: `width` floats of each image of the batch. This rank's are there, and the others' come. */
void shares_gather(struct shares *shares, float *rows, uint32_t width);

/* A weight gradient: adds its partial sums, parts [leaves of this rank's share][floats], as far as subtrees go. parts
 * is overwritten. */
void shares_add(struct shares *shares, uint32_t gradient, float *parts, struct team *team);
/* Exchanges all that were added. Then shares_take copies the sum over all leaves of the batch. */
void shares_exchange(struct shares *shares, struct team *team);
void shares_take(const struct shares *shares, uint32_t gradient, float *sum);

#endif

#include "trainer/cpu/shares.h"

#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "trainer/exact.h"

/* LEVELS: of a tree; COLUMNS: of a weight gradient that are added at a time; PIECES: in which a team adds the columns
 * of one rank's slice. */
enum { LEVELS = 32, COLUMNS = 256, PIECES = 4, GRADIENTS_MAX = 512 };

struct gradient {
    uint32_t images, leaves;
    size_t floats;
};

/* A slice of the floats of a gradient. */
struct slice {
    size_t begin, end;
};

struct shares {
    struct ranks *ranks;
    uint32_t count, own; /* ranks */
    uint32_t unit;       /* images */
    uint32_t batches[2]; /* images: of the largest batch, and of a short last one, if any */
    uint32_t images;     /* of this step's batch */
    struct share *share; /* [count] in it */
    size_t *bytes;       /* [count] of an exchange of rows or roots */
    double *roots;       /* of all ranks */
    struct gradient gradients[GRADIENTS_MAX];
    uint32_t gradient_count;
    /* Exchanges of weight gradients: what goes to each rank, what comes from it, and the sums of its slice. In each the
     * gradients lie one behind the other, and in those the roots. */
    float *to_send, *received, *sums;
    size_t *sent_bytes, *received_bytes, *sum_bytes; /* [count] */
    size_t *sent_at, *received_at, *sums_at;         /* [count][gradient_count], in floats */
    size_t memory_bytes;
};

/* ---- shares and subtrees ----------------------------------------------------------------------------------------- */

uint32_t shares_unit(enum arithmetic arithmetic)
{
    const uint32_t direct = exact_group_rows(8) / 8, tiles = exact_winograd_group_images(8);
    return arithmetic == ARITHMETIC_EXACT_2 && tiles > direct ? tiles : direct;
}

struct share shares_of(uint32_t images, uint32_t unit, uint32_t ranks, uint32_t rank)
{
    const uint64_t units = (images + unit - 1) / unit;
    const uint32_t begin = (uint32_t)(units * rank / ranks) * unit, end = (uint32_t)(units * (rank + 1) / ranks) * unit;
    return (struct share){ .first = begin, .count = (end < images ? end : images) - begin };
}

/* Leaves of the largest aligned subtree that begins with leaf `begin` and ends by `end`. */
static uint32_t subtree(uint32_t begin, uint32_t end)
{
    uint32_t leaves = begin == 0 ? UINT32_C(1) << (LEVELS - 1) : begin & (0u - begin);
    while (leaves > end - begin)
        leaves /= 2;
    return leaves;
}

static uint32_t subtrees(uint32_t begin, uint32_t end)
{
    uint32_t count = 0;
    for (; begin < end; begin += subtree(begin, end))
        count++;
    return count;
}

static uint32_t level_of(uint32_t leaves)
{
    return (uint32_t)__builtin_ctz(leaves);
}

/* The leaves of a gradient's tree: of a share, or of the first `count` images. */
static uint32_t leaves_before(const struct gradient *gradient, uint32_t images)
{
    return (images * gradient->leaves + gradient->images - 1) / gradient->images;
}

static struct slice slice_of(const struct shares *shares, const struct gradient *gradient, uint32_t rank)
{
    return (struct slice){ gradient->floats * rank / shares->count, gradient->floats * (rank + 1) / shares->count };
}

/* The subtrees of a gradient in a share. */
static uint32_t roots_of(const struct gradient *gradient, struct share share)
{
    return share.count == 0
               ? 0
               : subtrees(leaves_before(gradient, share.first), leaves_before(gradient, share.first + share.count));
}

/* ---- the top of a tree ------------------------------------------------------------------------------------------- */

/* Roots of subtrees, added from the left: level[i] is a subtree of 2^i leaves where bit i of `leaves` is set. Columns
 * are trees of their own. */
#define DEFINE_TOP(name, number, columns)                                                         \
    struct name {                                                                                 \
        number level[LEVELS][columns];                                                            \
        uint32_t leaves;                                                                          \
    };                                                                                            \
    static void name##_add(struct name *top, const number *root, uint32_t leaves, uint32_t width) \
    {                                                                                             \
        number sum[columns];                                                                      \
        uint32_t at = level_of(leaves);                                                           \
        memcpy(sum, root, width * sizeof *sum);                                                   \
        for (; top->leaves >> at & 1; at++) {                                                     \
            for (uint32_t i = 0; i < width; i++)                                                  \
                sum[i] = top->level[at][i] + sum[i];                                              \
        }                                                                                         \
        memcpy(top->level[at], sum, width * sizeof *sum);                                         \
        top->leaves += leaves;                                                                    \
    }                                                                                             \
    /* Fills up with +0, of which every subtree's sum is +0. */                                   \
    static const number *name##_sum(struct name *top, uint32_t width)                             \
    {                                                                                             \
        static const number zeros[columns];                                                       \
        while ((top->leaves & (top->leaves - 1)) != 0)                                            \
            name##_add(top, zeros, top->leaves &(0u - top->leaves), width);                       \
        return top->level[level_of(top->leaves)];                                                 \
    }

DEFINE_TOP(top64, double, SHARES_WIDTH_MAX)
DEFINE_TOP(top32, float, COLUMNS)

/* ---- sums over images -------------------------------------------------------------------------------------------- */

void shares_sum_images(struct shares *shares, const float *rows, size_t stride, uint32_t width, double *sums)
{
    struct top64 top;
    double *to = shares->roots;
    for (uint32_t r = 0; r < shares->count; r++) {
        const struct share share = shares->share[r];
        const size_t roots = subtrees(share.first, share.first + share.count);
        shares->bytes[r] = roots * width * sizeof *to;
        to += r < shares->own ? roots * width : 0;
    }
    const struct share own = shares->share[shares->own];
    for (uint32_t n = 0, leaves; n < own.count; n += leaves, to += width) {
        leaves = subtree(own.first + n, own.first + own.count);
        top.leaves = 0;
        for (uint32_t i = 0; i < leaves; i++) {
            double row[SHARES_WIDTH_MAX];
            for (uint32_t k = 0; k < width; k++)
                row[k] = (double)rows[(n + i) * stride + k];
            top64_add(&top, row, 1, width);
        }
        memcpy(to, top64_sum(&top, width), width * sizeof *to);
    }
    ranks_gather(shares->ranks, shares->roots, shares->bytes);
    top.leaves = 0;
    to = shares->roots;
    for (uint32_t n = 0, r = 0; r < shares->count; r++) {
        const uint32_t end = shares->share[r].first + shares->share[r].count;
        for (uint32_t leaves; n < end; n += leaves, to += width) {
            leaves = subtree(n, end);
            top64_add(&top, to, leaves, width);
        }
    }
    memcpy(sums, top64_sum(&top, width), width * sizeof *sums);
}

void shares_gather(struct shares *shares, float *rows, uint32_t width)
{
    for (uint32_t r = 0; r < shares->count; r++)
        shares->bytes[r] = (size_t)shares->share[r].count * width * sizeof *rows;
    ranks_gather(shares->ranks, rows, shares->bytes);
}

/* ---- weight gradients -------------------------------------------------------------------------------------------- */

struct work {
    struct shares *shares;
    struct team *team;
    uint32_t gradient;
    float *parts;
    void (*item)(const struct work *work, uint32_t item);
};

static void take_items(void *context, uint32_t thread)
{
    const struct work *work = context;
    uint32_t victim = thread, item, after;
    while (team_take(work->team, thread, &victim, &item, &after))
        work->item(work, item);
}

static void run_items(struct work work, uint32_t items)
{
    team_share(work.team, items, false);
    team_run(work.team, take_items, &work);
}

/* T32 of so many parts, a power of two, over some columns; the first part becomes the root. */
static void add_parts(float *parts, uint32_t leaves, size_t floats, struct slice columns)
{
    for (uint32_t step = 1; step < leaves; step *= 2) {
        for (uint32_t leaf = 0; leaf < leaves; leaf += 2 * step) {
            float *left = parts + leaf * floats;
            const float *right = left + step * floats;
            for (size_t i = columns.begin; i < columns.end; i++)
                left[i] = left[i] + right[i];
        }
    }
}

/* A piece of what goes to one rank: the roots of its slice of the gradient. */
static void add_item(const struct work *work, uint32_t item)
{
    const struct shares *shares = work->shares;
    const struct gradient *gradient = &shares->gradients[work->gradient];
    const uint32_t rank = item / PIECES, piece = item % PIECES;
    const struct slice slice = slice_of(shares, gradient, rank);
    const size_t width = slice.end - slice.begin;
    const struct slice columns = { slice.begin + width * piece / PIECES, slice.begin + width * (piece + 1) / PIECES };
    const struct share share = shares->share[shares->own];
    const uint32_t first = leaves_before(gradient, share.first),
                   end = leaves_before(gradient, share.first + share.count);
    float *to = shares->to_send + shares->sent_at[rank * shares->gradient_count + work->gradient] - slice.begin;
    for (uint32_t leaf = first, leaves; leaf < end; leaf += leaves, to += width) {
        leaves = subtree(leaf, end);
        float *parts = work->parts + (leaf - first) * gradient->floats;
        for (struct slice some = columns; some.begin < columns.end; some.begin = some.end) {
            some.end = columns.end - some.begin < COLUMNS ? columns.end : some.begin + COLUMNS;
            add_parts(parts, leaves, gradient->floats, some);
            memcpy(to + some.begin, parts + some.begin, (some.end - some.begin) * sizeof *to);
        }
    }
}

void shares_add(struct shares *shares, uint32_t gradient, float *parts, struct team *team)
{
    if (shares->share[shares->own].count > 0)
        run_items((struct work){ shares, team, gradient, parts, add_item }, shares->count * PIECES);
}

/* This rank's slice of one gradient: the rest of the tree, from the roots of all ranks. */
static void sum_item(const struct work *work, uint32_t item)
{
    const struct shares *shares = work->shares;
    const struct gradient *gradient = &shares->gradients[item];
    const struct slice slice = slice_of(shares, gradient, shares->own);
    const size_t width = slice.end - slice.begin;
    float *sums = shares->sums + shares->sums_at[shares->own * shares->gradient_count + item];
    struct top32 top;
    for (size_t begin = 0; begin < width; begin += COLUMNS) {
        const uint32_t columns = (uint32_t)(width - begin < COLUMNS ? width - begin : COLUMNS);
        top.leaves = 0;
        for (uint32_t r = 0; r < shares->count; r++) {
            const struct share share = shares->share[r];
            const float *root = shares->received + shares->received_at[r * shares->gradient_count + item] + begin;
            const uint32_t end = share.count == 0 ? 0 : leaves_before(gradient, share.first + share.count);
            for (uint32_t leaf = leaves_before(gradient, share.first), leaves; leaf < end;
                 leaf += leaves, root += width) {
                leaves = subtree(leaf, end);
                top32_add(&top, root, leaves, columns);
            }
        }
        memcpy(sums + begin, top32_sum(&top, columns), columns * sizeof *sums);
    }
}

void shares_exchange(struct shares *shares, struct team *team)
{
    ranks_exchange(shares->ranks, shares->to_send, shares->sent_bytes, shares->received, shares->received_bytes);
    run_items((struct work){ .shares = shares, .team = team, .item = sum_item }, shares->gradient_count);
    ranks_gather(shares->ranks, shares->sums, shares->sum_bytes);
}

void shares_take(const struct shares *shares, uint32_t gradient, float *sum)
{
    for (uint32_t r = 0; r < shares->count; r++) {
        const struct slice slice = slice_of(shares, &shares->gradients[gradient], r);
        memcpy(sum + slice.begin, shares->sums + shares->sums_at[r * shares->gradient_count + gradient],
               (slice.end - slice.begin) * sizeof *sum);
    }
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

/* The floats that this rank sends, receives and sums in the step that has been laid out. */
struct floats {
    size_t sent, received, sums;
};

static struct floats lay_out(struct shares *shares, uint32_t images)
{
    struct floats at = { 0 };
    shares->images = images;
    for (uint32_t r = 0; r < shares->count; r++)
        shares->share[r] = shares_of(images, shares->unit, shares->count, r);
    for (uint32_t r = 0; r < shares->count; r++) {
        const struct floats before = at;
        for (uint32_t g = 0; g < shares->gradient_count; g++) {
            const struct gradient *gradient = &shares->gradients[g];
            const struct slice own = slice_of(shares, gradient, shares->own), theirs = slice_of(shares, gradient, r);
            const size_t i = (size_t)r * shares->gradient_count + g;
            shares->sent_at[i] = at.sent;
            shares->received_at[i] = at.received;
            shares->sums_at[i] = at.sums;
            at.sent += (theirs.end - theirs.begin) * roots_of(gradient, shares->share[shares->own]);
            at.received += (own.end - own.begin) * roots_of(gradient, shares->share[r]);
            at.sums += theirs.end - theirs.begin;
        }
        shares->sent_bytes[r] = (at.sent - before.sent) * sizeof(float);
        shares->received_bytes[r] = (at.received - before.received) * sizeof(float);
        shares->sum_bytes[r] = (at.sums - before.sums) * sizeof(float);
    }
    return at;
}

struct share shares_begin(struct shares *shares, uint32_t images)
{
    if (images != shares->images)
        (void)lay_out(shares, images);
    return shares->share[shares->own];
}

uint32_t shares_images(const struct shares *shares)
{
    return shares->images;
}

uint32_t shares_most(const struct shares *shares)
{
    uint32_t most = 0;
    for (int i = 0; i < 2; i++) {
        const struct share share = shares_of(shares->batches[i], shares->unit, shares->count, shares->own);
        most = share.count > most ? share.count : most;
    }
    return most;
}

size_t shares_memory_bytes(const struct shares *shares)
{
    return shares == NULL ? 0 : shares->memory_bytes;
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

enum status shares_open(struct shares **out, struct ranks *ranks, const struct recipe *recipe, uint32_t training_images,
                        struct error *error)
{
    const uint32_t batch = recipe->training.batch_size, unit = shares_unit(recipe->arithmetic),
                   count = ranks_count(ranks), units = (batch + unit - 1) / unit;
    *out = NULL;
    if (count > units)
        return error_set(error, STATUS_INPUT,
                         "%" PRIu32 " ranks are too many: a batch of %" PRIu32 " images has %" PRIu32
                         " unit%s of %" PRIu32
                         " images in this arithmetic, and every rank computes whole units; start at most %" PRIu32
                         " rank%s, with more --threads for each",
                         count, batch, units, units == 1 ? "" : "s", unit, units, units == 1 ? "" : "s");
    struct shares *shares = calloc(1, sizeof *shares);
    if (shares == NULL)
        return error_out_of_memory(error, "%" PRIu32 " ranks", count);
    shares->ranks = ranks;
    shares->count = count;
    shares->own = ranks_own(ranks);
    shares->unit = unit;
    shares->batches[0] = batch;
    shares->batches[1] = recipe->training.last_batch == LAST_BATCH_SHORT ? training_images % batch : 0;
    *out = shares;
    return STATUS_OK;
}

void shares_close(struct shares *shares)
{
    if (shares == NULL)
        return;
    free(shares->share);
    free(shares->bytes);
    free(shares->roots);
    free(shares->to_send);
    free(shares->received);
    free(shares->sums);
    free(shares->sent_bytes);
    free(shares->received_bytes);
    free(shares->sum_bytes);
    free(shares->sent_at);
    free(shares->received_at);
    free(shares->sums_at);
    free(shares);
}

void shares_declare(struct shares *shares, uint32_t images, uint32_t leaves, size_t floats)
{
    shares->gradients[shares->gradient_count++] = (struct gradient){ images, leaves, floats };
}

static void *take(struct shares *shares, size_t count, size_t size)
{
    shares->memory_bytes += count * size;
    return calloc(count > 0 ? count : 1, size);
}

static bool allocate_tables(struct shares *shares)
{
    size_t **const by_rank[] = { &shares->bytes, &shares->sent_bytes, &shares->received_bytes, &shares->sum_bytes },
                   **const by_gradient[] = { &shares->sent_at, &shares->received_at, &shares->sums_at };
    shares->share = take(shares, shares->count, sizeof *shares->share);
    bool good = shares->share != NULL;
    for (size_t i = 0; i < sizeof by_rank / sizeof *by_rank; i++)
        good = (*by_rank[i] = take(shares, shares->count, sizeof **by_rank[i])) != NULL && good;
    for (size_t i = 0; i < sizeof by_gradient / sizeof *by_gradient; i++)
        good = (*by_gradient[i] =
                    take(shares, (size_t)shares->count * shares->gradient_count, sizeof **by_gradient[i])) != NULL &&
               good;
    return good;
}

enum status shares_allocate(struct shares *shares, struct error *error)
{
    struct floats most = { 0 };
    size_t roots = 0;
    if (!allocate_tables(shares))
        return error_out_of_memory(error, "the shares of %" PRIu32 " ranks", shares->count);
    for (int i = 0; i < 2; i++) {
        const struct floats needed = lay_out(shares, shares->batches[i]);
        size_t all = 0;
        most.sent = needed.sent > most.sent ? needed.sent : most.sent;
        most.received = needed.received > most.received ? needed.received : most.received;
        most.sums = needed.sums > most.sums ? needed.sums : most.sums;
        for (uint32_t r = 0; r < shares->count; r++)
            all += subtrees(shares->share[r].first, shares->share[r].first + shares->share[r].count);
        roots = all > roots ? all : roots;
    }
    shares->images = 0;
    if (most.sent > INT_MAX / sizeof(float) || most.received > INT_MAX / sizeof(float) ||
        most.sums > INT_MAX / sizeof(float))
        return error_set(error, STATUS_INPUT,
                         "%" PRIu32 " ranks would exchange more than 2 GiB at once; start another number of ranks",
                         shares->count);
    shares->roots = take(shares, roots * SHARES_WIDTH_MAX, sizeof *shares->roots);
    shares->to_send = take(shares, most.sent, sizeof *shares->to_send);
    shares->received = take(shares, most.received, sizeof *shares->received);
    shares->sums = take(shares, most.sums, sizeof *shares->sums);
    if (shares->roots == NULL || shares->to_send == NULL || shares->received == NULL || shares->sums == NULL)
        return error_out_of_memory(error, "the shares of %" PRIu32 " ranks", shares->count);
    return STATUS_OK;
}

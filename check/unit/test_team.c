/* The team of threads: every thread works once a call, everything it did is seen afterwards, every item is handed out
 * once and in the order that is asked for, at any number of threads and with threads that sleep between two calls. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/machine.h"
#include "trainer/cpu/team.h"

enum { ITEMS_MAX = 1000, THREADS_MAX = 8 };

static struct team *open_team(uint32_t threads)
{
    struct team *team;
    struct error error;
    if (team_open(&team, threads, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    return team;
}

/* Plain memory on purpose: the team itself must order what its threads write and read. */
struct count {
    uint32_t calls[THREADS_MAX];
};

static void count_call(void *context, uint32_t thread)
{
    struct count *count = context;
    count->calls[thread]++;
}

static void test_every_thread_once_a_call(void **state)
{
    (void)state;
    for (uint32_t threads = 1; threads <= THREADS_MAX; threads++) {
        struct team *team = open_team(threads);
        struct count count = { { 0 } };
        for (uint32_t call = 1; call <= 200; call++) {
            team_run(team, count_call, &count);
            for (uint32_t t = 0; t < THREADS_MAX; t++)
                assert_int_equal(count.calls[t], t < threads ? call : 0);
        }
        team_close(team);
    }
}

/* Longer than the members spin: they are asleep when the next call comes. */
static void test_sleepers_are_woken(void **state)
{
    (void)state;
    struct team *team = open_team(4);
    struct count count = { { 0 } };
    for (uint32_t call = 1; call <= 20; call++) {
        usleep(2000);
        team_run(team, count_call, &count);
        for (uint32_t t = 0; t < 4; t++)
            assert_int_equal(count.calls[t], call);
    }
    team_close(team);
}

static void test_closed_without_work(void **state)
{
    (void)state;
    for (uint32_t threads = 1; threads <= THREADS_MAX; threads++)
        team_close(open_team(threads));
    team_close(NULL);
}

/* The thread that got each item, and whether `after` was right: the thread's next item, or the item itself at the end
 * of its run. */
struct harvest {
    struct team *team;
    uint32_t count;
    atomic_uint taken[ITEMS_MAX];
    uint32_t order[THREADS_MAX][ITEMS_MAX], after[THREADS_MAX][ITEMS_MAX], length[THREADS_MAX];
};

static void harvest_items(void *context, uint32_t thread)
{
    struct harvest *h = context;
    uint32_t victim = thread, item, after;
    while (team_take(h->team, thread, &victim, &item, &after)) {
        if (item >= h->count)
            abort();
        atomic_fetch_add(&h->taken[item], 1);
        h->order[thread][h->length[thread]] = item;
        h->after[thread][h->length[thread]++] = after;
    }
}

static void share_out(uint32_t threads, uint32_t count, bool down)
{
    struct harvest *h = calloc(1, sizeof *h);
    assert_non_null(h);
    h->team = open_team(threads);
    h->count = count;
    /* Twice: a share is set up anew. */
    for (uint32_t round = 1; round <= 2; round++) {
        memset(h->length, 0, sizeof h->length);
        team_share(h->team, count, down);
        team_run(h->team, harvest_items, h);
        uint32_t total = 0;
        for (uint32_t t = 0; t < threads; t++)
            total += h->length[t];
        assert_int_equal(total, count);
        for (uint32_t i = 0; i < count; i++)
            assert_int_equal(atomic_load(&h->taken[i]), round);
    }
    if (threads == 1) {
        for (uint32_t i = 0; i < count; i++) {
            const uint32_t item = down ? count - 1 - i : i;
            assert_int_equal(h->order[0][i], item);
            assert_int_equal(h->after[0][i], i + 1 == count ? item : down ? item - 1 : item + 1);
        }
    }
    team_close(h->team);
    free(h);
}

static void test_every_item_once(void **state)
{
    (void)state;
    static const uint32_t counts[] = { 0, 1, 2, 3, 7, 128, ITEMS_MAX };
    for (uint32_t threads = 1; threads <= THREADS_MAX; threads++) {
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            share_out(threads, counts[c], false);
            share_out(threads, counts[c], true);
        }
    }
}

/* A thread that finds nothing of its own takes over from the one that is late. */
struct late {
    struct team *team;
    atomic_uint done;
    uint32_t by_the_other;
};

static void work_late(void *context, uint32_t thread)
{
    struct late *late = context;
    uint32_t victim = thread, item, after;
    if (thread == 0) {
        while (atomic_load(&late->done) < 100)
            usleep(100);
        return;
    }
    while (team_take(late->team, thread, &victim, &item, &after)) {
        late->by_the_other++;
        atomic_fetch_add(&late->done, 1);
    }
}

static void test_work_of_a_late_thread(void **state)
{
    (void)state;
    struct late late = { .team = open_team(2) };
    team_share(late.team, 100, false);
    team_run(late.team, work_late, &late);
    assert_int_equal(late.by_the_other, 100);
    team_close(late.team);
}

/* Where each thread may run, as the thread itself sees it. */
struct places {
    cpu_set_t sets[THREADS_MAX];
};

static void look(void *context, uint32_t thread)
{
    struct places *places = context;
    if (sched_getaffinity(0, sizeof places->sets[thread], &places->sets[thread]) != 0)
        abort();
}

static void test_pinned(void **state)
{
    uint32_t numbers[THREADS_MAX];
    const uint32_t count = machine_processor_numbers(numbers, THREADS_MAX);
    cpu_set_t before, after;
    struct places places;
    struct error error;
    (void)state;
    assert_true(count >= 1);
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    for (uint32_t threads = 1; threads <= count; threads++) {
        struct team *team = open_team(threads);
        assert_int_equal(team_pin(team, numbers, &error), STATUS_OK);
        team_run(team, look, &places);
        for (uint32_t t = 0; t < threads; t++) {
            assert_int_equal(CPU_COUNT(&places.sets[t]), 1);
            assert_true(CPU_ISSET(numbers[t], &places.sets[t]));
        }
        team_close(team);
        assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
        assert_true(CPU_EQUAL(&before, &after));
    }
    /* A processor that there is not: an error, and the caller gets its processors back. */
    struct team *team = open_team(2);
    assert_int_equal(team_pin(team, (uint32_t[]){ numbers[0], CPU_SETSIZE }, &error), STATUS_ENVIRONMENT);
    assert_non_null(strstr(error.message, "cannot keep thread 1 on processor"));
    team_close(team);
    assert_int_equal(sched_getaffinity(0, sizeof after, &after), 0);
    assert_true(CPU_EQUAL(&before, &after));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_thread_once_a_call), cmocka_unit_test(test_sleepers_are_woken),
        cmocka_unit_test(test_closed_without_work),      cmocka_unit_test(test_every_item_once),
        cmocka_unit_test(test_work_of_a_late_thread),    cmocka_unit_test(test_pinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Fibers: several stacks in one thread, which the program changes itself.
 *
 * memory   A fiber's stack is mapped once, with an inaccessible page below, and kept.
 * errors   Without memory for a stack the program ends with a message.
 * order    A fiber runs in the operating system's thread that switches to it, and may be left in one and entered in
 *          another. */
#ifndef CUDA_HOST_FIBER_H
#define CUDA_HOST_FIBER_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define FIBER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBER_ASAN 1
#endif
#endif

#if !defined(__x86_64__) && !defined(__aarch64__)
#define FIBER_UCONTEXT 1
#include <ucontext.h>
#endif

struct fiber {
#ifdef FIBER_UCONTEXT
    ucontext_t context;
#else
    void *stack_pointer; /* where it was left */
#endif
    const void *stack; /* lowest address and size; for a thread's own stack only AddressSanitizer has them */
    size_t stack_bytes;
    void *fake_stack; /* AddressSanitizer's */
};

/* Makes a fiber that calls `body`, which never returns, when it is first switched to. `index` tells its stack from
 * others: it begins at a different place of its page, so that many stacks do not compete for the same lines of the
 * cache. */
void fiber_create(struct fiber *fiber, void (*body)(void), size_t index);

/* Leaves `from`, which is the running one, for `to`; returns when something switches to `from`. */
void fiber_switch(struct fiber *from, struct fiber *to);

#endif

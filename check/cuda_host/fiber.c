#include "check/cuda_host/fiber.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef FIBER_ASAN
#include <sanitizer/common_interface_defs.h>
enum { STACK_BYTES = 512 << 10 };
#else
enum { STACK_BYTES = 128 << 10 };
#endif

/* Stacks are staggered over this many bytes. */
enum { STAGGER_BYTES = 8 << 10, STAGGER_STEP = 5 * 64 };

static void (*fiber_body)(void);
static struct fiber *fiber_left; /* by the switch that is under way */

static void arrived(struct fiber *fiber)
{
#ifdef FIBER_ASAN
    /* The bounds of a thread's own stack are learned whenever it is left. */
    __sanitizer_finish_switch_fiber(fiber ? fiber->fake_stack : NULL, &fiber_left->stack, &fiber_left->stack_bytes);
#else
    (void)fiber;
#endif
}

static void start(void)
{
    arrived(NULL);
    fiber_body();
    abort();
}

#ifndef FIBER_UCONTEXT

/* Saves what a called function must preserve on the stack, the stack pointer in *from, and takes up *to.
 * Measured on an AMD EPYC, 256 threads a block: a wait costs a thread 25 ns so, and 218 ns with swapcontext, which
 * enters the system twice.
 * source   System V psABI for x86-64, section 3.2.1; AAPCS64, section 6.1. The floating-point environment stays that of
 *          the operating system's thread: it belongs to who runs the kernel, not to the fiber. */
void cuda_host_fiber_switch(void **from, void *to);

#if defined(__x86_64__)
__asm__(".text\n"
        ".p2align 4\n"
        ".globl cuda_host_fiber_switch\n"
        ".type cuda_host_fiber_switch, @function\n"
        "cuda_host_fiber_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size cuda_host_fiber_switch, . - cuda_host_fiber_switch\n");
enum { FRAME_WORDS = 8, FRAME_RETURN = 6 }; /* six registers, where to return to, and that one's return address: none */
#else
__asm__(".text\n"
        ".p2align 4\n"
        ".globl cuda_host_fiber_switch\n"
        ".type cuda_host_fiber_switch, %function\n"
        "cuda_host_fiber_switch:\n"
        "    stp x29, x30, [sp, #-160]!\n"
        "    stp x19, x20, [sp, #16]\n"
        "    stp x21, x22, [sp, #32]\n"
        "    stp x23, x24, [sp, #48]\n"
        "    stp x25, x26, [sp, #64]\n"
        "    stp x27, x28, [sp, #80]\n"
        "    stp d8, d9, [sp, #96]\n"
        "    stp d10, d11, [sp, #112]\n"
        "    stp d12, d13, [sp, #128]\n"
        "    stp d14, d15, [sp, #144]\n"
        "    mov x9, sp\n"
        "    str x9, [x0]\n"
        "    mov sp, x1\n"
        "    ldp x19, x20, [sp, #16]\n"
        "    ldp x21, x22, [sp, #32]\n"
        "    ldp x23, x24, [sp, #48]\n"
        "    ldp x25, x26, [sp, #64]\n"
        "    ldp x27, x28, [sp, #80]\n"
        "    ldp d8, d9, [sp, #96]\n"
        "    ldp d10, d11, [sp, #112]\n"
        "    ldp d12, d13, [sp, #128]\n"
        "    ldp d14, d15, [sp, #144]\n"
        "    ldp x29, x30, [sp], #160\n"
        "    ret\n"
        ".size cuda_host_fiber_switch, . - cuda_host_fiber_switch\n");
enum { FRAME_WORDS = 20, FRAME_RETURN = 1 };
#endif

#endif

void fiber_create(struct fiber *fiber, void (*body)(void), size_t index)
{
    size_t guard = (size_t)sysconf(_SC_PAGESIZE);
    char *memory =
        mmap(NULL, guard + STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, guard, PROT_NONE) != 0) {
        perror("cuda_host: no memory for the stack of a thread");
        abort();
    }
    fiber_body = body;
    *fiber = (struct fiber){ .stack = memory + guard, .stack_bytes = STACK_BYTES };
    size_t used = STACK_BYTES - index * STAGGER_STEP % STAGGER_BYTES;
#ifdef FIBER_UCONTEXT
    if (getcontext(&fiber->context) != 0)
        abort();
    fiber->context.uc_stack.ss_sp = memory + guard;
    fiber->context.uc_stack.ss_size = used;
    makecontext(&fiber->context, start, 0);
#else
    uintptr_t *frame = (uintptr_t *)(void *)(memory + guard + used) - FRAME_WORDS;
    frame[FRAME_RETURN] = (uintptr_t)start;
    fiber->stack_pointer = frame;
#endif
}

void fiber_switch(struct fiber *from, struct fiber *to)
{
    fiber_left = from;
#ifdef FIBER_ASAN
    __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_bytes);
#endif
#ifdef FIBER_UCONTEXT
    swapcontext(&from->context, &to->context);
#else
    cuda_host_fiber_switch(&from->stack_pointer, to->stack_pointer);
#endif
    arrived(from);
}

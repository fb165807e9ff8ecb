/* Single PTX instructions against the answers that the PTX ISA gives. On the imitation of CUDA they test the
 * interpreter of check/ptx. On a card, the same text shows whether the card agrees. Then, only on the interpreter, come
 * small kernels with one mistake each, which it must report, and without the mistake, which it must not. */
#include "check/support/cuda_memory.h"

#include <stdio.h>
#ifdef CUDA_HOST
#include "check/ptx/ptx.h"
#else
#include <dlfcn.h>
#endif

enum { WORDS = 256, BODY_BYTES = 2048 };

/* A kernel of this body, which has %out, the address of WORDS numbers of eight bytes, and %t, the thread. */
static void write_kernel(char *text, size_t size, const char *body)
{
    static const char head[] =
        ".version 6.4\n.target sm_75\n.address_size 64\n.visible .entry test(.param .u64 test_0)\n{\n"
        ".reg .pred %p<9>; .reg .b16 %h<9>; .reg .b32 %r<9>; .reg .b64 %d<9>; .reg .b64 %out;"
        ".reg .b32 %t; .shared .align 4 .b8 s[512];\n"
        "ld.param.u64 %out, [test_0];\nmov.u32 %t, %tid.x;\n";
    const int length = snprintf(text, size, "%s%s\nret;\n}\n", head, body);
    assert_true(length > 0 && (size_t)length < size);
}

/* ---- running text ------------------------------------------------------------------------------------------------ */

#ifdef CUDA_HOST
static uint64_t memory[WORDS]; /* the one allocation */

static int find(uint64_t address, uint64_t *first, uint64_t *end)
{
    *first = (uintptr_t)memory;
    *end = (uintptr_t)(memory + WORDS);
    return address < *first || address >= *end;
}

static void ascending(uint32_t *order, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
}

/* How many places it reports; `first`: the first number that it leaves. */
static size_t run(const char *body, uint32_t blocks, uint32_t threads, uint64_t *first)
{
    static const struct ptx_host host = { find, ascending };
    char text[BODY_BYTES];
    write_kernel(text, sizeof text, body);
    const struct ptx_module *module = ptx_parse("test.ptx", text, strlen(text));
    assert_non_null(module);
    const void *argument[1] = { memory };
    const struct ptx_launch launch = { { blocks, 1, 1 }, { threads, 1, 1 }, 0, argument };
    const size_t before = ptx_reports();
    memset(memory, 0, sizeof memory);
    ptx_run(ptx_find(module, "test"), &launch, &host);
    *first = memory[0];
    return ptx_reports() - before;
}
#else
/* Of the driver, which alone takes text. */
typedef int (*load_data)(void **module, const void *text);
typedef int (*get_function)(void **function, void *module, const char *name);
typedef int (*launch_kernel)(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                             unsigned block_y, unsigned block_z, unsigned shared_bytes, void *stream, void **arguments,
                             void **extra);
typedef int (*unload)(void *module);

static void *symbol(const char *name)
{
    static void *driver;
    if (driver == NULL)
        driver = dlopen("libcuda.so.1", RTLD_NOW);
    void *found = driver == NULL ? NULL : dlsym(driver, name);
    assert_non_null(found);
    return found;
}

static size_t run(const char *body, uint32_t blocks, uint32_t threads, uint64_t *first)
{
    struct cuda_memory memory = { 0 };
    char text[BODY_BYTES];
    void *module = NULL, *function = NULL, *out = cuda_zeros(&memory, WORDS * sizeof(uint64_t));
    void *arguments[1] = { &out };
    union { /* ISO C has no conversion from an object pointer to a function pointer */
        void *object;
        load_data load;
        get_function get;
        launch_kernel launch;
        unload unload;
    } call;
    write_kernel(text, sizeof text, body);
    call.object = symbol("cuModuleLoadData");
    assert_int_equal(call.load(&module, text), 0);
    call.object = symbol("cuModuleGetFunction");
    assert_int_equal(call.get(&function, module, "test"), 0);
    call.object = symbol("cuLaunchKernel");
    assert_int_equal(call.launch(function, blocks, 1, 1, threads, 1, 1, 0, NULL, arguments, NULL), 0);
    cuda_fetch(first, out, sizeof *first);
    call.object = symbol("cuModuleUnload");
    assert_int_equal(call.unload(module), 0);
    cuda_release(&memory);
    return 0;
}
#endif

/* ---- single instructions ----------------------------------------------------------------------------------------- */

/* Operands and answer as bits, in bytes: 2, 4, 8 or 0 for none. */
static const struct answer {
    const char *name;
    int to, a, b, c;
    uint64_t of_a, of_b, of_c, is;
} answers[] = {
    /* +0 is the greater zero, and a number is greater than NaN: what nvcc makes of x > 0 ? x : 0 */
    { "max.f32", 4, 4, 4, 0, 0x80000000, 0x00000000, 0, 0x00000000 },
    { "max.f32", 4, 4, 4, 0, 0x7fc12345, 0x00000000, 0, 0x00000000 },
    { "max.f32", 4, 4, 4, 0, 0x7fc12345, 0xffc00000, 0, 0x7fffffff },
    { "min.f32", 4, 4, 4, 0, 0x00000000, 0x80000000, 0, 0x80000000 },
    { "max.f32", 4, 4, 4, 0, 0x00000001, 0x80000001, 0, 0x00000001 },
    { "max.ftz.f32", 4, 4, 4, 0, 0x00000001, 0x80000001, 0, 0x00000000 },
    /* NaN is one; infinities; subnormals in and out */
    { "add.rn.f32", 4, 4, 4, 0, 0x7f800000, 0xff800000, 0, 0x7fffffff },
    { "mul.rn.f32", 4, 4, 4, 0, 0x00800000, 0x3f000000, 0, 0x00400000 },
    { "mul.rn.ftz.f32", 4, 4, 4, 0, 0x00800000, 0x3f000000, 0, 0x00000000 },
    { "mul.rn.ftz.f32", 4, 4, 4, 0, 0x80800000, 0x3f000000, 0, 0x80000000 },
    { "add.rn.ftz.f32", 4, 4, 4, 0, 0x00400000, 0x00400000, 0, 0x00000000 },
    { "add.rn.f32", 4, 4, 4, 0, 0x00400000, 0x00400000, 0, 0x00800000 },
    { "sub.rn.f32", 4, 4, 4, 0, 0x3f800000, 0x3f800000, 0, 0x00000000 },
    /* one rounding, and two: (1 + 2^-12)^2 - (1 + 2^-11) */
    { "fma.rn.f32", 4, 4, 4, 4, 0x3f800800, 0x3f800800, 0xbf801000, 0x33800000 },
    { "mul.rn.f32", 4, 4, 4, 0, 0x3f800800, 0x3f800800, 0, 0x3f801000 },
    { "fma.rn.f32", 4, 4, 4, 4, 0x00000001, 0x00000000, 0x80000000, 0x00000000 },
    { "fma.rn.ftz.f32", 4, 4, 4, 4, 0x3f800000, 0x3f800000, 0x00000001, 0x3f800000 },
    { "fma.rn.f64", 8, 8, 8, 8, 0x3ff0000002000000, 0x3ff0000002000000, 0xbff0000004000000, 0x3c90000000000000 },
    { "div.rn.f32", 4, 4, 4, 0, 0x3f800000, 0x40400000, 0, 0x3eaaaaab },
    { "div.rn.f32", 4, 4, 4, 0, 0x00000000, 0x80000000, 0, 0x7fffffff },
    { "rcp.rn.f64", 8, 8, 0, 0, 0x4008000000000000, 0, 0, 0x3fd5555555555555 },
    { "sqrt.rn.f64", 8, 8, 0, 0, 0x4000000000000000, 0, 0, 0x3ff6a09e667f3bcd },
    { "sqrt.rn.f32", 4, 4, 0, 0, 0xbf800000, 0, 0, 0x7fffffff },
    { "neg.f32", 4, 4, 0, 0, 0x00000000, 0, 0, 0x80000000 },
    /* conversions */
    { "cvt.rn.f32.f64", 4, 8, 0, 0, 0x3ff0000010000000, 0, 0, 0x3f800000 }, /* a tie, to even */
    { "cvt.rn.f32.f64", 4, 8, 0, 0, 0x36a0000000000000, 0, 0, 0x00000001 }, /* 2^-149 */
    { "cvt.rn.ftz.f32.f64", 4, 8, 0, 0, 0x36a0000000000000, 0, 0, 0x00000000 },
    { "cvt.f64.f32", 8, 4, 0, 0, 0x00000001, 0, 0, 0x36a0000000000000 },
    { "cvt.rn.f32.u32", 4, 4, 0, 0, 0xffffffff, 0, 0, 0x4f800000 },
    { "cvt.rzi.s64.f64", 8, 8, 0, 0, 0xc00e000000000000, 0, 0, 0xfffffffffffffffd },
    { "cvt.rzi.s64.f64", 8, 8, 0, 0, 0x7ff8000000000000, 0, 0, 0x8000000000000000 },
    { "cvt.rzi.s64.f64", 8, 8, 0, 0, 0x7fe0000000000000, 0, 0, 0x7fffffffffffffff },
    { "cvt.rzi.u32.f32", 4, 4, 0, 0, 0xbf800000, 0, 0, 0x00000000 },
    { "cvt.rzi.u32.f32", 4, 4, 0, 0, 0x7f800000, 0, 0, 0xffffffff },
    { "cvt.rzi.s32.f32", 4, 4, 0, 0, 0x7fc00000, 0, 0, 0x00000000 },
    { "cvt.u64.u16", 8, 2, 0, 0, 0xfffe, 0, 0, 0x000000000000fffe },
    { "cvt.s64.s32", 8, 4, 0, 0, 0x80000000, 0, 0, 0xffffffff80000000 },
    /* integers */
    { "mul.hi.s32", 4, 4, 4, 0, 0x80000000, 0x00000002, 0, 0xffffffff },
    { "mul.hi.u16", 2, 2, 2, 0, 0xe38f, 0x0009, 0, 0x0008 },
    { "mul.wide.u32", 8, 4, 4, 0, 0xffffffff, 0xffffffff, 0, 0xfffffffe00000001 },
    { "mul.wide.s32", 8, 4, 4, 0, 0xffffffff, 0x00000003, 0, 0xfffffffffffffffd },
    { "shl.b32", 4, 4, 4, 0, 0x00000001, 0x00000020, 0, 0x00000000 },
    { "shr.s32", 4, 4, 4, 0, 0x80000000, 0x00000040, 0, 0xffffffff },
    { "shr.u64", 8, 8, 4, 0, 0x8000000000000000, 0x0000003f, 0, 0x0000000000000001 },
    { "clz.b32", 4, 4, 0, 0, 0x00000000, 0, 0, 32 },
    { "prmt.b32", 4, 4, 4, 4, 0x33221180, 0x77665544, 0x00008670, 0xff667780 },
    { "bfe.u32", 4, 4, 4, 4, 0xabcd1234, 8, 12, 0x00000d12 },
    { "min.u32", 4, 4, 4, 0, 0xffffffff, 0x00000001, 0, 0x00000001 },
    { "max.s32", 4, 4, 4, 0, 0xffffffff, 0x00000001, 0, 0x00000001 },
};

/* A register's letter by its bytes. */
static char letter(int bytes)
{
    return bytes == 2 ? 'h' : bytes == 4 ? 'r' : 'd';
}

static void check_answer(const struct answer *answer)
{
    const int widths[] = { answer->to, answer->a, answer->b, answer->c };
    const uint64_t bits[] = { 0, answer->of_a, answer->of_b, answer->of_c };
    char body[1024], operands[128] = "";
    size_t length = 0;
    uint64_t found = 0;
    for (int i = 0; i < 4 && widths[i] > 0; i++) {
        if (i > 0)
            length += (size_t)snprintf(body + length, sizeof body - length, "mov.b%d %%%c%d, 0x%llx;\n", 8 * widths[i],
                                       letter(widths[i]), i, (unsigned long long)bits[i]);
        snprintf(operands + strlen(operands), sizeof operands - strlen(operands), "%s%%%c%d", i > 0 ? ", " : "",
                 letter(widths[i]), i);
    }
    snprintf(body + length, sizeof body - length, "%s %s;\nst.global.b%d [%%out], %%%c0;", answer->name, operands,
             8 * answer->to, letter(answer->to));
    assert_int_equal(run(body, 1, 1, &found), 0);
    if (found != answer->is)
        fail_msg("%s %llx %llx %llx is %llx, not %llx", answer->name, (unsigned long long)answer->of_a,
                 (unsigned long long)answer->of_b, (unsigned long long)answer->of_c, (unsigned long long)found,
                 (unsigned long long)answer->is);
}

static void test_instructions(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        check_answer(&answers[i]);
}

/* ---- mistakes ---------------------------------------------------------------------------------------------------- */

#ifdef CUDA_HOST
/* Without its mistake none is reported. OFFSET: %r1 is four times the thread, %r2 its place in s; OTHERS: %r3 is that
 * of one in another warp; MINE: %d1 is its place in global memory. */
#define OFFSET "shl.b32 %r1, %t, 2; mov.u32 %r2, s; add.s32 %r2, %r2, %r1; setp.lt.u32 %p1, %t, 16;\n"
#define OTHERS "xor.b32 %r3, %t, 32; shl.b32 %r3, %r3, 2; mov.u32 %r4, s; add.s32 %r3, %r3, %r4;\n"
#define MINE "cvt.u64.u32 %d1, %r1; add.s64 %d1, %out, %d1;\n"
static const struct mistake {
    const char *what, *with, *without;
    uint32_t blocks, threads;
} mistakes[] = {
    { "a barrier is missing", OFFSET OTHERS "st.shared.u32 [%r2], %t; ld.shared.u32 %r4, [%r3]; add.s32 %r4, %r4, 1;",
      OFFSET OTHERS "st.shared.u32 [%r2], %t; bar.sync 0; ld.shared.u32 %r4, [%r3]; add.s32 %r4, %r4, 1;", 1, 64 },
    { "a neighbour of the warp is written",
      OFFSET "st.shared.u32 [%r2], %t; bar.sync 0; ld.shared.u32 %r4, [s+4]; st.shared.u32 [%r2], %r4;",
      OFFSET "st.shared.u32 [%r2], %t; bar.sync 0; ld.shared.u32 %r4, [s+4]; bar.sync 0; st.shared.u32 [%r2], %r4;", 1,
      32 },
    { "two write one place", OFFSET "st.shared.u32 [s], %t;", OFFSET "@!%p1 bra L; st.shared.u32 [%r2], %t; L:", 1,
      32 },
    { "shared memory is not written", OFFSET "ld.shared.u32 %r4, [%r2]; add.s32 %r4, %r4, 1;",
      OFFSET "st.shared.u32 [%r2], %t; ld.shared.u32 %r4, [%r2]; add.s32 %r4, %r4, 1;", 1, 32 },
    { "shared memory is overrun", OFFSET "st.shared.u32 [%r2+388], %t;", OFFSET "st.shared.u32 [%r2+384], %t;", 1, 32 },
    { "global memory is overrun", OFFSET MINE "st.global.u32 [%d1+1924], %t;",
      OFFSET MINE "st.global.u32 [%d1+1920], %t;", 1, 32 },
    { "an address is not aligned", OFFSET MINE "ld.global.v2.u32 {%r3, %r4}, [%d1];",
      OFFSET MINE "ld.global.u32 %r3, [%d1];", 1, 32 },
    { "half a block waits elsewhere", "setp.lt.u32 %p1, %t, 32; @%p1 bra L; bar.sync 0; bra M; L: bar.sync 0; M:",
      "setp.lt.u32 %p1, %t, 32; @%p1 bra L; L: bar.sync 0;", 1, 64 },
    { "lanes are missing",
      "setp.lt.u32 %p1, %t, 16; mov.b32 %r5, -1; mov.b32 %r6, 31; mov.b32 %r7, 1; @!%p1 bra L; shfl.sync.bfly.b32 "
      "%r1|%p2, %t, %r7, %r6, %r5; bar.sync 0; bra M; L: bar.sync 0; M:",
      "mov.b32 %r5, -1; mov.b32 %r6, 31; mov.b32 %r7, 1; shfl.sync.bfly.b32 %r1|%p2, %t, %r7, %r6, %r5;", 1, 32 },
    { "a lane outside is read",
      "setp.lt.u32 %p1, %t, 16; mov.b32 %r5, 65535; mov.b32 %r6, 31; mov.b32 %r7, 16; @!%p1 bra L; shfl.sync.bfly.b32 "
      "%r1|%p2, %t, %r7, %r6, %r5; L:",
      "setp.lt.u32 %p1, %t, 16; mov.b32 %r5, 65535; mov.b32 %r6, 31; mov.b32 %r7, 8; @!%p1 bra L; shfl.sync.bfly.b32 "
      "%r1|%p2, %t, %r7, %r6, %r5; L:",
      1, 32 },
    { "blocks write one place", "st.global.u32 [%out], %t;", "atom.global.add.u32 %r1, [%out], 1;", 2, 1 },
    { "a fence is missing before",
      "mov.u32 %r3, %ctaid.x; shl.b32 %r1, %r3, 2;" MINE
      "st.global.u32 [%d1+8], %r3; atom.global.add.u32 %r4, [%out], 1; setp.ne.s32 %p1, %r4, 1; @%p1 ret; membar.gl; "
      "ld.global.u32 %r5, [%out+8];",
      "mov.u32 %r3, %ctaid.x; shl.b32 %r1, %r3, 2;" MINE
      "st.global.u32 [%d1+8], %r3; membar.gl; atom.global.add.u32 %r4, [%out], 1; setp.ne.s32 %p1, %r4, 1; @%p1 ret; "
      "membar.gl; ld.global.u32 %r5, [%out+8];",
      2, 1 },
    { "a fence is missing after",
      "mov.u32 %r3, %ctaid.x; shl.b32 %r1, %r3, 2;" MINE
      "st.global.u32 [%d1+8], %r3; membar.gl; atom.global.add.u32 %r4, [%out], 1; setp.ne.s32 %p1, %r4, 1; @%p1 ret; "
      "ld.global.u32 %r5, [%out+8];",
      "mov.u32 %r3, %ctaid.x; shl.b32 %r1, %r3, 2;" MINE
      "st.global.u32 [%d1+8], %r3; membar.gl; atom.global.add.u32 %r4, [%out], 1; setp.ne.s32 %p1, %r4, 1; @%p1 ret; "
      "membar.gl; ld.global.u32 %r5, [%out+8];",
      2, 1 },
};

static void test_mistakes(void **state)
{
    uint64_t unused;
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        const struct mistake *m = &mistakes[i];
        if (run(m->with, m->blocks, m->threads, &unused) == 0)
            fail_msg("not reported: %s", m->what);
        if (run(m->without, m->blocks, m->threads, &unused) != 0)
            fail_msg("reported, and not there: %s", m->what);
    }
}

/* What the interpreter does not know it refuses, and does not skip. */
static void test_unknown(void **state)
{
    static const char *const unknown[] = { "activemask.b32 %r1;", "bar.arrive 1, 64;", "call (%r1), f, (%r2);",
                                           "atom.global.add.f32 %r1, [%out], %r2;", "add.f16 %h1, %h2, %h3;" };
    (void)state;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        char text[BODY_BYTES];
        write_kernel(text, sizeof text, unknown[i]);
        assert_null(ptx_parse("unknown.ptx", text, strlen(text)));
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_instructions),
#ifdef CUDA_HOST
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_unknown),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

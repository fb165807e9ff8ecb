/* A kernel in the form that the parser makes and the interpreter runs. */
#ifndef PTX_PROGRAM_H
#define PTX_PROGRAM_H

#include <stdint.h>

#include "check/ptx/operations.h"
#include "check/ptx/ptx.h"

/* DYNAMIC_SHARED: its address, more than any device has. */
enum { LANES = 32, COMPONENTS = 4, DYNAMIC_SHARED = 1 << 18 };

enum operation {
#define ENUMERATOR(id, ...) OP_##id,
    PTX_UNARY(ENUMERATOR) PTX_BINARY(ENUMERATOR) PTX_TERNARY(ENUMERATOR) PTX_COMPARISON(ENUMERATOR)
        PTX_SELECTION(ENUMERATOR) PTX_PREDICATE(ENUMERATOR)
#undef ENUMERATOR
            OP_bfi,
    OP_pack,   /* from[] to to[0], `width` bytes each */
    OP_unpack, /* from[0] to to[] */
    OP_load,
    OP_store,
    OP_atomic,
    OP_shuffle, /* from[0..3]: value, lane, clamp, mask of members */
    OP_barrier,
    OP_fence,
    OP_branch,
    OP_exit,
    OPERATIONS
};

enum space { SPACE_GENERIC, SPACE_GLOBAL, SPACE_SHARED, SPACE_LOCAL, SPACE_PARAM };
enum atomic {
    ATOMIC_ADD,
    ATOMIC_MIN,
    ATOMIC_MAX,
    ATOMIC_EXCH,
    ATOMIC_CAS,
    ATOMIC_AND,
    ATOMIC_OR,
    ATOMIC_XOR,
    ATOMIC_INC,
    ATOMIC_DEC
};
enum shuffle { SHUFFLE_IDX, SHUFFLE_UP, SHUFFLE_DOWN, SHUFFLE_BFLY };
enum cache { CACHE_ANY, CACHE_GLOBAL, CACHE_CONSTANT }; /* plain, .cg and the like, .nc */

/* A register is LANES values of its width side by side, a predicate is a bit for each lane; both are named by where
 * they lie among a warp's registers, in bytes. Constants are registers that are filled once. */
struct instruction {
    uint16_t operation;
    uint8_t components, width, is_signed; /* of the moved values: how many, bytes of each */
    uint8_t space, kind, cache;
    uint8_t to_width;      /* bytes of a result's lane; for a store, of the stored value */
    uint8_t used;          /* of a load's components: a bit for each that is wanted */
    uint8_t address_width; /* bytes of a memory operand's base */
    uint8_t guard_negated;
    uint8_t copies; /* what is loaded is only stored again */
    int32_t guard;  /* predicate; -1: none */
    int32_t to[COMPONENTS],
        from[COMPONENTS]; /* of a store, to[] is what is stored; from[3] is a memory operand's base, -1: none */
    int64_t displacement;
    uint32_t target;
};

/* Where an instruction comes from. */
struct place {
    uint32_t line;         /* of the PTX */
    uint32_t file, source; /* of the source: number of the file, 0 without -lineinfo; line */
    const char *name;      /* the instruction's */
};

struct constant {
    int32_t at;
    uint32_t width;
    uint64_t bits;
};

struct variable {
    char *name;
    enum space space;
    uint32_t at, bytes, alignment;
};

struct ptx_kernel {
    char *name;
    struct ptx_module *module;
    struct instruction *code;
    struct place *places;
    unsigned char *ran; /* whether it was ever run */
    uint32_t count, room;
    struct variable *variables; /* parameters, shared and local ones; dynamic shared memory has 0 bytes */
    uint32_t variable_count, variable_room;
    struct constant *constants;
    uint32_t constant_count, constant_room;
    uint32_t register_bytes, parameter_bytes, shared_bytes, local_bytes;
    int32_t special[12];  /* registers of enum special; -1: not used */
    uint32_t max_threads; /* 0: not said */
    int narrow_shared;    /* some access to shared memory is of less than four bytes */
    struct ptx_kernel *next;
};

enum special {
    SPECIAL_TID_X,
    SPECIAL_TID_Y,
    SPECIAL_TID_Z,
    SPECIAL_CTAID_X,
    SPECIAL_CTAID_Y,
    SPECIAL_CTAID_Z,
    SPECIAL_NTID_X,
    SPECIAL_NTID_Y,
    SPECIAL_NTID_Z,
    SPECIAL_NCTAID_X,
    SPECIAL_NCTAID_Y,
    SPECIAL_NCTAID_Z
};

struct ptx_module {
    char *path, *target;
    struct ptx_kernel *kernels, **last;
    char **files;
    uint32_t file_count;
};

/* Where instructions' bits depend on more than the PTX says. */
enum doubt { DOUBT_NONE, DOUBT_CONTRACTED, DOUBT_FLUSHED, DOUBT_APPROXIMATE };
enum doubt doubt_of(const char *name);

/* ---- reports: report.c ------------------------------------------------------------------------------------------- */

/* Which thread of which block did it. */
struct actor {
    uint32_t block[3], thread;
};

/* Told once for each kernel, place and kind. */
void report(const struct ptx_kernel *kernel, uint32_t at, const struct actor *actor, const char *kind,
            const char *format, ...) __attribute__((format(printf, 5, 6)));

/* "forward.cu:88 (PTX line 412, ld.shared.f32)", valid until the fourth next call. */
const char *place_text(const struct ptx_kernel *kernel, uint32_t at);

void *allocate(size_t bytes); /* zeroed; does not fail */

#endif

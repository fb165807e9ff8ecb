/* Python pickles, read as data: nothing is imported and nothing is called. The machine knows a closed list of opcodes
 * and a closed list of globals; whatever else a pickle asks for is refused by name and byte.
 *
 * protocol  2 alone: what torch.save writes, and what Python 2's cPickle and numpy write with protocol -1. 0 and 1
 *           (text, no marker in front) and 3 to 5 are refused.
 * result    A graph of values in one arena. A value may be reached over many ways, and a hostile pickle may hold a list
 *           that contains itself: who walks it bounds depth and visits. Texts and bytes point into the file.
 * limits    PICKLE_*_MAX below are checked before anything is allocated.
 * source    Python's Lib/pickletools.py describes the opcodes. */
#ifndef SELFSAME_PICKLE_H
#define SELFSAME_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
    PICKLE_OPCODES_MAX = 8000000,
    PICKLE_STACK_MAX = 65536, /* pickles set and append in batches of 1,000 */
    PICKLE_MEMO_MAX = 1 << 20,
    PICKLE_NAME_MAX = 128 /* bytes of a global's module and name each */
};
#define PICKLE_ARENA_MAX ((size_t)512 << 20)

enum pickle_type {
    PICKLE_NONE,
    PICKLE_BOOLEAN,
    PICKLE_INTEGER,
    PICKLE_LONG, /* more than 64 bits: `text`, little-endian two's complement */
    PICKLE_REAL,
    PICKLE_BYTES, /* Python 2's str, Python 3's bytes */
    PICKLE_TEXT,  /* UTF-8 */
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,      /* also an OrderedDict */
    PICKLE_GLOBAL,    /* a name of the table below, not called */
    PICKLE_OBJECT,    /* a call of a global that was not made: what it would have been called with, and its state */
    PICKLE_PERSISTENT /* a reference to something outside the pickle: torch's storages */
};

enum pickle_global {
    GLOBAL_ORDERED_DICT, /* calls give a PICKLE_DICT */
    GLOBAL_ENCODE, /* _codecs.encode(text, "latin1"): calls give PICKLE_BYTES, as Python 3 writes bytes at protocol 2 */
    GLOBAL_BYTES,  /* bytes(): empty PICKLE_BYTES */
    GLOBAL_REBUILD_TENSOR,
    GLOBAL_REBUILD_TENSOR_V2,
    GLOBAL_REBUILD_PARAMETER,
    GLOBAL_RECONSTRUCT, /* numpy's empty array, whose state follows */
    GLOBAL_NDARRAY,
    GLOBAL_DTYPE,
    GLOBAL_SCALAR,
    GLOBAL_NUMBER_TYPE, /* numpy.float32 and the like, as a type */
    GLOBAL_STORAGE      /* torch.FloatStorage and the like; `element` says which */
};

struct pickle_value {
    enum pickle_type type;
    size_t offset; /* of the opcode that made it, in the file */
    union {
        bool boolean;
        int64_t integer;
        double real;
        struct {
            const char *data; /* not terminated */
            size_t bytes;
        } text;
        struct {
            struct pickle_value **items; /* of a dict: key, value, key, value ... */
            size_t count, capacity;      /* pointers */
            bool ordered;                /* made by OrderedDict: may be given a state */
        } list;
        struct {
            enum pickle_global global;
            const char *name;                             /* "module.name", for messages */
            int element;                                  /* of a storage: enum element */
            const struct pickle_value *arguments, *state; /* of an object; state may be NULL */
        } call;
        const struct pickle_value *id; /* of what is persistent */
    };
};

struct pickle {
    struct pickle_chunk *chunks;
    size_t arena_bytes;
    const struct pickle_value *root;
    const struct pickle_value **persistent; /* every PICKLE_PERSISTENT, in order of appearance */
    size_t persistent_count;
};

/* file      the whole file, which outlives the pickle; path is for messages.
 * start     where the pickle begins; *end is set behind its STOP, for the one that follows.
 * errors    STATUS_INPUT "path: byte N: ..."; STATUS_ENVIRONMENT without memory. Then there is nothing to free. */
enum status pickle_read(struct pickle *pickle, const char *path, const uint8_t *file, size_t bytes, size_t start,
                        size_t *end, struct error *error) MUST_USE;
void pickle_free(struct pickle *pickle);

/* Of a dict, the value of the last item with that key (text or bytes); NULL if there is none or it is no dict. */
const struct pickle_value *pickle_get(const struct pickle_value *dict, const char *key);
/* Whether a value is a text, or bytes, of these characters. */
bool pickle_is(const struct pickle_value *value, const char *text);
bool pickle_is_text(const struct pickle_value *value);
/* The value as a number of 0 .. limit; false if it is something else. */
bool pickle_size(const struct pickle_value *value, uint64_t limit, uint64_t *size);
/* "a dict", "an integer": for messages. */
const char *pickle_type_name(const struct pickle_value *value);

enum { PICKLE_PRINTABLE_BYTES = 100 };
/* Text of a file as it may be shown: cut, and what is not printable ASCII as '?'. */
void pickle_printable(const char *data, size_t bytes, char out[PICKLE_PRINTABLE_BYTES]);

#endif

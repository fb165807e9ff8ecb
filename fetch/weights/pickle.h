/* Python pickles, read as data: nothing is imported and nothing is called. The machine knows every opcode that Python
 * writes, and a closed list of globals that are data. If a pickle names or calls anything else, that becomes an opaque
 * value with its name. A reader refuses it only if it needs it.
 *
 * protocol  2 to 5, with framing. Refused by name: 0 and 1 (text, no marker in front), buffers outside of the file
 *           (protocol 5 with buffer_callback), codes of Python's extension registry.
 * result    A graph of values in one arena. A value may be reached in many ways, and a hostile pickle may have a list
 *           that contains itself. So a caller that walks the graph must bound depth and visits. Texts and bytes point
 *           into the file.
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
    PICKLE_NAME_MAX = 128, /* bytes of a global's module and name each */
    PICKLE_FOREIGN_MAX = 32
};
#define PICKLE_ARENA_MAX ((size_t)512 << 20)

enum pickle_type {
    PICKLE_NONE,
    PICKLE_BOOLEAN,
    PICKLE_INTEGER,
    PICKLE_LONG, /* more than 64 bits: `text`, little-endian two's complement */
    PICKLE_REAL,
    PICKLE_BYTES, /* Python 2's str, Python 3's bytes and bytearray */
    PICKLE_TEXT,  /* UTF-8 */
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_SET,       /* also a frozenset */
    PICKLE_DICT,      /* also an OrderedDict */
    PICKLE_GLOBAL,    /* a name, not imported */
    PICKLE_OBJECT,    /* a call that was not made: what would have been called with what, and its state and items */
    PICKLE_PERSISTENT /* a reference to something outside the pickle: torch's storages */
};

enum pickle_global {
    GLOBAL_UNKNOWN,      /* opaque, as are its calls */
    GLOBAL_ORDERED_DICT, /* calls give a PICKLE_DICT */
    GLOBAL_ENCODE, /* _codecs.encode(text, "latin1"): calls give PICKLE_BYTES, as Python 3 writes bytes at protocol 2 */
    GLOBAL_BYTES,  /* bytes() and bytearray(), of nothing or of bytes: PICKLE_BYTES */
    GLOBAL_REBUILD_TENSOR,    /* also _v2, whose first four arguments are the same */
    GLOBAL_REBUILD_TENSOR_V3, /* the same of bytes without a type, with the type of the numbers */
    GLOBAL_REBUILD_WRAPPED,   /* a tensor with more about it, such as a Parameter: calls give the first argument */
    GLOBAL_REBUILD_FROM_TYPE, /* (function, class, arguments, state) of a tensor's subclass: calls call the function */
    GLOBAL_LOAD_FROM_BYTES,   /* a storage as the bytes of a file of torch.save's, in what pickle.dump writes */
    GLOBAL_TORCH_TYPE,        /* torch.float32 and the like; `element` says which */
    GLOBAL_RECONSTRUCT,       /* numpy's empty array, whose state follows */
    GLOBAL_FROM_BUFFER,       /* numpy's array of protocol 5 */
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
            int element;                                  /* of a storage or torch's type: enum element */
            const char *name;                             /* "module.name", printable */
            const struct pickle_value *arguments, *state; /* of an object: a tuple; NULL or any value */
            struct pickle_value *items; /* of an object: NULL, or the list, set or dict that it was given */
        } call;
        const struct pickle_value *id; /* of a persistent object */
    };
};

struct pickle {
    struct pickle_chunk *chunks;
    size_t arena_bytes;
    const struct pickle_value *root;
    const struct pickle_value **persistent; /* every PICKLE_PERSISTENT, in order of appearance */
    size_t persistent_count;
    const char *foreign[PICKLE_FOREIGN_MAX]; /* the unknown globals that it names, each once, the first ones */
    size_t foreign_count;
};

/* file      the whole file, which outlives the pickle; path is for messages.
 * start     where the pickle begins; *end is set behind its STOP, for the one that follows.
 * errors    STATUS_INPUT "path: byte N: ..."; STATUS_ENVIRONMENT without memory. Then there is nothing to free. */
enum status pickle_read(struct pickle *pickle, const char *path, const uint8_t *file, size_t bytes, size_t start,
                        size_t *end, struct error *error) MUST_USE;
void pickle_free(struct pickle *pickle);

/* The value itself if it is a dict, or the keys that an object was given, as subclasses of dict are; else NULL. */
const struct pickle_value *pickle_dict(const struct pickle_value *value);
/* The value of such a dict's last item with that key (text or bytes); NULL if there is none or it is not a dict. */
const struct pickle_value *pickle_get(const struct pickle_value *value, const char *key);
/* Whether a value is a text, or bytes, of these characters. */
bool pickle_is(const struct pickle_value *value, const char *text);
bool pickle_is_text(const struct pickle_value *value);
/* The value as a number of 0 .. limit; false if it is something else. */
bool pickle_size(const struct pickle_value *value, uint64_t limit, uint64_t *size);
/* "a dict", "an integer": for messages. */
const char *pickle_type_name(const struct pickle_value *value);

enum { PICKLE_PRINTABLE_BYTES = 100 };
/* A file's text in a form that may be printed: cut, and with '?' for anything that is not printable ASCII. */
void pickle_printable(const char *data, size_t bytes, char out[PICKLE_PRINTABLE_BYTES]);

#endif

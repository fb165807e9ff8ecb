/* The manifest's keys: one table that drives the parser, the resolved form, the experiment digest and the
 * documentation. */
#ifndef SELFSAME_SCHEMA_H
#define SELFSAME_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bounds that keep the resolved form of every manifest below what is read. */
enum { SCHEMA_TEXT_BYTES_MAX = 1000 };

enum value_type {
    VALUE_TEXT,     /* one line, at most SCHEMA_TEXT_BYTES_MAX bytes */
    VALUE_NAME,     /* letters, digits, '.', '_', '-'; at most 64; no leading '.' or '-' */
    VALUE_INTEGER,  /* low .. high */
    VALUE_REAL,     /* low .. high, decimal */
    VALUE_BOOLEAN,  /* true or false */
    VALUE_CHOICE,   /* one of choices */
    VALUE_DIGEST,   /* 64 hex digits; or the word `any` where choices says so */
    VALUE_INTEGERS, /* a list of low .. high */
    VALUE_REALS,    /* a list of low .. high */
    VALUE_HEX,      /* low .. high lower-case hex digits */
    VALUE_URLS,     /* a list of at most `high` URLs: https, http or file */
    VALUE_MAPS      /* a list of at most `high` maps, whose keys schema_list names */
};

enum dataset_kind { DATASET_CIFAR10, DATASET_EMBEDDED };
enum weights_format { WEIGHTS_AUTO, WEIGHTS_NEON, WEIGHTS_TORCH, WEIGHTS_SAFETENSORS };
enum metric { METRIC_FINAL_ERROR, METRIC_BEST_ERROR };
enum protocol { PROTOCOL_MEAN, PROTOCOL_MEDIAN, PROTOCOL_BEST };

/* A word that a key may have, and what it means: a value of an enum above or in trainer/recipe.h. */
struct schema_choice {
    const char *word; /* NULL ends a list */
    int meaning;
};

struct schema_key {
    const char *path; /* such as "training.batch_size"; sections are its parts */
    enum value_type type;
    double low, high; /* of the value, or of each element; exact for integers up to 2^53; of VALUE_HEX, the digits */
    const struct schema_choice *choices;
    const char *fallback; /* default as YAML text, where no rival is given; NULL: none */
    bool required;        /* without a default and needed in every manifest */
    bool moves_bits;      /* enters the experiment digest */
    const char *rival; /* path of a key that this one replaces when it inherits: one of the two may be given; or NULL */
    const char *help;  /* with the unit; no full stop */
};

extern const struct schema_key schema_keys[]; /* in the order of the resolved form: keys of one section are together */
extern const size_t schema_key_count;

/* What the entries of a list of maps have. */
struct schema_list {
    const char *path; /* of the list's own row in schema_keys */
    const struct schema_key *keys;
    size_t key_count;
};

extern const struct schema_list schema_lists[];
extern const size_t schema_list_count;
/* The list of a VALUE_MAPS key. */
const struct schema_list *schema_list(const struct schema_key *key);

/* The choice of that word, or NULL, also if choices is NULL. */
const struct schema_choice *schema_find_choice(const struct schema_choice *choices, const char *word);

enum { SCHEMA_WORDS_BYTES = 128 };
/* The words, separated by '|'. */
void schema_print_words(const struct schema_choice *choices, char text[SCHEMA_WORDS_BYTES]);

enum { SCHEMA_BOUNDS_BYTES = 64 };
/* "1 to 64"; "32", where only that will do. */
void schema_print_bounds(const struct schema_key *key, char text[SCHEMA_BOUNDS_BYTES]);

#endif

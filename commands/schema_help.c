#include "commands/schema_help.h"

#include <stdlib.h>

#include "base/text.h"
#include "commands/command.h"
#include "experiments/schema.h"

static const char inherit_meaning[] = "the manifest that gives the settings which this one does not: a file in the "
                                      "same folder, or in the experiments folder";

/* The type, the bounds, the default, and what the key is for. */
static void print_type(FILE *file, const struct schema_key *key)
{
    static const char *const names[] = { [VALUE_TEXT] = "text",
                                         [VALUE_NAME] = "name",
                                         [VALUE_INTEGER] = "integer",
                                         [VALUE_REAL] = "real",
                                         [VALUE_BOOLEAN] = "true|false",
                                         [VALUE_DIGEST] = "digest",
                                         [VALUE_INTEGERS] = "list of integers",
                                         [VALUE_REALS] = "list of reals",
                                         [VALUE_HEX] = "hex digits",
                                         [VALUE_URLS] = "list of URLs",
                                         [VALUE_MAPS] = "list of maps" };
    char words[SCHEMA_WORDS_BYTES];
    schema_print_words(key->choices, words);
    fputs(key->type == VALUE_CHOICE ? words : names[key->type], file);
    if (key->low <= key->high && key->high > 0) {
        char bounds[SCHEMA_BOUNDS_BYTES];
        schema_print_bounds(key, bounds);
        fprintf(file, ", %s", bounds);
    }
    if (key->fallback != NULL)
        fprintf(file, "; default %s", key->fallback);
    else
        fputs(key->required ? "; required" : "; optional", file);
    if (key->moves_bits)
        fputs("; moves bits", file);
}

static void print_text_keys(FILE *file, const struct schema_key *keys, size_t count, const char *prefix)
{
    for (size_t i = 0; i < count; i++) {
        fprintf(file, "%s%s\n    ", prefix, keys[i].path);
        print_type(file, &keys[i]);
        fputc('\n', file);
        text_fact(file, 4, "    %s", keys[i].help);
    }
}

void schema_print_text(FILE *file)
{
    fputs("inherit\n    text; optional\n", file);
    text_fact(file, 4, "    %s", inherit_meaning);
    print_text_keys(file, schema_keys, schema_key_count, "");
    for (size_t i = 0; i < schema_list_count; i++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "%s[].", schema_lists[i].path);
        print_text_keys(file, schema_lists[i].keys, schema_lists[i].key_count, prefix);
    }
}

/* ---- the manual page --------------------------------------------------------------------------------------------- */

static void print_man_keys(FILE *file, const struct schema_key *keys, size_t count, const char *prefix)
{
    for (size_t i = 0; i < count; i++) {
        char *type = NULL;
        size_t size;
        FILE *text = open_memstream(&type, &size);
        fprintf(file, ".TP\n.B %s%s\n", prefix, keys[i].path);
        roff_print(file, keys[i].help);
        fputs(".\n.br\n", file);
        if (text == NULL)
            continue;
        print_type(text, &keys[i]);
        if (fclose(text) == 0)
            roff_print(file, type);
        fputs(".\n", file);
        free(type);
    }
}

void schema_print_man(FILE *file, const char *version)
{
    fprintf(
        file,
        ".TH \"SELFSAME\\-MANIFEST\" \"5\" \"\" \"selfsame %s\" \"File Formats\"\n"
        ".SH NAME\n"
        "selfsame\\-manifest \\- an experiment, as selfsame reads it\n"
        ".SH DESCRIPTION\n"
        "A manifest is a YAML file. It says what is trained, on which data, how, and what was published. The same "
        "manifest and seed give the same bits on any machine.\n"
        ".PP\n"
        "It is a map. A key below such as \\fBtraining.batch_size\\fR is the key batch_size in the section training. "
        "An unknown key is an error, and so is a key that is given twice. Tags, anchors and aliases are not allowed. "
        "Blanks indent; a tab does not.\n"
        ".PP\n"
        "A key that moves bits is part of the experiment digest. A run, its checkpoints and its resumes belong to "
        "one experiment digest. \\fBselfsame manifest\\fR \\fIFILE\\fR prints a manifest with all that it inherits, "
        "and its digests.\n"
        ".SH KEYS\n"
        ".TP\n"
        ".B inherit\n",
        version);
    roff_print(file, inherit_meaning);
    fputs(". Maps are merged key by key; a list replaces the inherited list.\n", file);
    print_man_keys(file, schema_keys, schema_key_count, "");
    for (size_t i = 0; i < schema_list_count; i++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "%s[].", schema_lists[i].path);
        print_man_keys(file, schema_lists[i].keys, schema_lists[i].key_count, prefix);
    }
    fputs(".SH EXAMPLES\n"
          "The 2016 replication with another batch size and two seeds:\n"
          ".PP\n"
          ".nf\n"
          "inherit: msra/resnet20\n"
          "name: small\\-batches\n"
          "training:\n"
          "  batch_size: 64\n"
          "  seeds: [1, 2]\n"
          ".fi\n"
          ".SH SEE ALSO\n"
          ".BR selfsame\\-manifest (1),\n"
          ".BR selfsame\\-train (1)\n",
          file);
}

#include "experiments/settings.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/text.h"
#include "experiments/settings_places.h"
#include "experiments/value.h"

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static const struct schema_key *find_key(const char *path)
{
    for (size_t i = 0; i < schema_key_count; i++) {
        if (strcmp(schema_keys[i].path, path) == 0)
            return &schema_keys[i];
    }
    return NULL;
}

/* Collects the words that a section ("" for the top) may have, for suggestions; returns how many, at most max - 1. */
static size_t words_of(const char *section, char words[][VALUE_PATH_BYTES], size_t max)
{
    size_t count = 0, length = strlen(section);
    for (size_t i = 0; i < schema_key_count && count + 1 < max; i++) {
        const char *path = schema_keys[i].path;
        if (length > 0 && (strncmp(path, section, length) != 0 || path[length] != '.'))
            continue;
        const char *word = path + length + (length > 0);
        int size = (int)strcspn(word, ".");
        if (count == 0 || strncmp(words[count - 1], word, (size_t)size) != 0 || words[count - 1][size] != '\0')
            snprintf(words[count++], VALUE_PATH_BYTES, "%.*s", size, word);
    }
    return count;
}

enum { WORDS_MAX = 64 };

/* Adds the paths of the keys and sections whose last word this is to a text, ", or" between them; returns how many. */
static size_t paths_of(const char *word, char *text, size_t size)
{
    size_t count = 0, used = 0, length = strlen(word);
    const char *before = "";
    for (size_t i = 0; i < schema_key_count; i++) {
        const char *path = schema_keys[i].path;
        for (const char *part = path; part != NULL; part = strchr(part, '.')) {
            part += *part == '.';
            const size_t end = (size_t)(part - path) + length;
            const bool here = strncmp(part, word, length) == 0 && (part[length] == '.' || part[length] == '\0');
            /* The keys of one section are together: it is named once. */
            if (!here || (strncmp(path, before, end) == 0 && (before[end] == '.' || before[end] == '\0')))
                continue;
            const int more = snprintf(text + used, size - used, "%s%.*s", count > 0 ? " or " : "", (int)end, path);
            used = used + (size_t)more < size ? used + (size_t)more : size - 1;
            count++;
        }
        before = path;
    }
    return count;
}

/* The last word of a key anywhere, section or not, that is nearest to `word`; NULL where none is near. */
static const char *nearest_anywhere(const char *word)
{
    const char *words[WORDS_MAX * 2];
    size_t count = 0;
    for (size_t i = 0; i < schema_key_count && count + 1 < WORDS_MAX * 2; i++) {
        const char *dot = strrchr(schema_keys[i].path, '.');
        words[count++] = dot != NULL ? dot + 1 : schema_keys[i].path;
    }
    words[count] = NULL;
    return nearest_word(word, words);
}

static enum status unknown_key(const char *section, const struct node *node, struct error *error)
{
    char words[WORDS_MAX][VALUE_PATH_BYTES];
    const char *list[WORDS_MAX + 3];
    size_t count = words_of(section, words, WORDS_MAX);
    for (size_t i = 0; i < count; i++)
        list[i] = words[i];
    if (section[0] == '\0') {
        list[count++] = "inherit";
    }
    list[count] = NULL;
    const char *nearest = nearest_word(node->key, list);
    char path[VALUE_PATH_BYTES + 80], elsewhere[512];
    snprintf(path, sizeof path, "%s%s%.64s", section, section[0] != '\0' ? "." : "", node->key);
    if (paths_of(node->key, elsewhere, sizeof elsewhere) > 0)
        return value_error(node, path, error, "unknown key; did you mean %s?", elsewhere);
    if (nearest != NULL)
        return value_error(node, path, error, "unknown key; did you mean '%s'?", nearest);
    nearest = nearest_anywhere(node->key);
    if (nearest != NULL && paths_of(nearest, elsewhere, sizeof elsewhere) > 0)
        return value_error(node, path, error, "unknown key; did you mean %s?", elsewhere);
    return value_error(node, path, error, "unknown key; selfsame manifest --schema lists them all");
}

static enum status check_keys(const struct node *map, const char *section, struct error *error)
{
    for (size_t i = 0; i < map->count; i++) {
        const struct node *child = map->children[i];
        char path[VALUE_PATH_BYTES];
        char words[2][VALUE_PATH_BYTES];
        if (strchr(child->key, '.') != NULL)
            return value_error(child, child->key, error,
                               "a key has no dot; write sections one below the other, such as model: {depth: 20}");
        int length = snprintf(path, sizeof path, "%s%s%s", section, section[0] != '\0' ? "." : "", child->key);
        if (length >= (int)sizeof path)
            return unknown_key(section, child, error);
        if (find_key(path) != NULL)
            continue;
        if (words_of(path, words, 2) == 0)
            return unknown_key(section, child, error);
        if (child->kind != NODE_MAP)
            return value_error(child, path, error, "is a section; write its keys and values below it");
        enum status status = check_keys(child, path, error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* The node at a dotted path, and the map that holds it. */
static struct node *node_at(struct node *root, const char *path, struct node **parent)
{
    struct node *node = root;
    while (node != NULL) {
        char word[VALUE_PATH_BYTES];
        size_t size = strcspn(path, ".");
        snprintf(word, sizeof word, "%.*s", (int)size, path);
        *parent = node;
        node = node_get(node, word);
        if (path[size] == '\0')
            return node;
        path += size + 1;
    }
    return NULL;
}

static enum status parse_fallback(struct setting *setting, struct error *error)
{
    struct node *root, *value;
    char text[96];
    int length = snprintf(text, sizeof text, "value: %s\n", setting->key->fallback);
    enum status status = node_parse(text, (size_t)length, "default", 0, &root, error);
    if (status != STATUS_OK)
        return status;
    value = node_get(root, "value");
    status = value_parse(setting, setting->key->path, value, error);
    setting->node = NULL;
    node_free(root);
    return status;
}

static enum status parse_keys(struct settings *settings, struct error *error)
{
    for (size_t i = 0; i < schema_key_count; i++) {
        const struct schema_key *key = &schema_keys[i];
        struct setting *setting = &settings->settings[i];
        struct node *parent, *node = node_at(settings->root, key->path, &parent);
        enum status status = STATUS_OK;
        setting->key = key;
        if (node != NULL)
            status = value_parse(setting, key->path, node, error);
        else if (key->fallback != NULL && (key->rival == NULL || node_at(settings->root, key->rival, &parent) == NULL))
            status = parse_fallback(setting, error);
        else if (key->required)
            status = error_set(error, STATUS_INPUT, "%s: %s: is missing: %s", settings->name, key->path, key->help);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* ---- inheritance ------------------------------------------------------------------------------------------------- */

/* Removes from `base` the rivals of the keys of `over`, which have other names. */
static void drop_rivals(struct node *base, struct node *over)
{
    for (size_t i = 0; i < schema_key_count; i++) {
        struct node *parent, *holder;
        const char *rival = schema_keys[i].rival;
        if (rival == NULL || node_at(over, schema_keys[i].path, &parent) == NULL ||
            node_at(base, rival, &holder) == NULL)
            continue;
        const char *word = strrchr(rival, '.');
        node_free(node_take(holder, word + 1));
    }
}

/* The files that inherit from one another, for the message about a circle. */
struct chain {
    const char *file;
    const struct chain *child;
    size_t length;
};

/* Also where the path goes another way round, such as ../quick/base.yaml and base.yaml. */
static bool same_file(const char *one, const char *other)
{
    struct stat first, second;
    return strcmp(one, other) == 0 || (stat(one, &first) == 0 && stat(other, &second) == 0 &&
                                       first.st_dev == second.st_dev && first.st_ino == second.st_ino);
}

/* The chain begins with the file that inherits `path`, and ends with the one that was asked for. */
static enum status circle(const char *path, const struct node *inherit, const struct chain *chain, struct error *error)
{
    char text[1024] = "";
    size_t used = 0;
    for (; chain != NULL && used < sizeof text; chain = chain->child)
        used += (size_t)snprintf(text + used, sizeof text - used, " <- %s", chain->file);
    return value_error(inherit, "inherit", error, "goes in a circle: %s%s", path, text);
}

static enum status read_file(const char *path, const struct chain *child, const struct node *inherit,
                             struct node **root, struct error *error);

/* Lays the map on the manifest that it inherits, if it does. */
static enum status apply_inherit(struct node **root, const struct chain *chain, struct error *error)
{
    struct node *inherit = node_take(*root, "inherit"), *base = NULL;
    char path[FILE_PATH_BYTES];
    if (inherit == NULL)
        return STATUS_OK;
    enum status status = STATUS_OK;
    if (inherit->kind != NODE_SCALAR || inherit->text[0] == '\0')
        status = value_error(inherit, "inherit", error, "must name the file of one manifest");
    if (status == STATUS_OK && settings_find(inherit->text, chain->file, path, error) != STATUS_OK)
        status = error_prefix(error, "%s:%zu: inherit", inherit->file, inherit->line);
    if (status == STATUS_OK)
        status = read_file(path, chain, inherit, &base, error);
    if (status != STATUS_OK) {
        node_free(base);
    } else {
        drop_rivals(base, *root);
        *root = node_merge(base, *root);
        if (*root == NULL)
            status = error_out_of_memory(error, "the manifest %s", chain->file);
    }
    node_free(inherit);
    return status;
}

static enum status read_file(const char *path, const struct chain *child, const struct node *inherit,
                             struct node **root, struct error *error)
{
    struct chain chain = { path, child, child == NULL ? 1 : child->length + 1 };
    char *text;
    size_t bytes;
    *root = NULL;
    for (const struct chain *above = child; above != NULL; above = above->child) {
        if (same_file(above->file, path))
            return circle(path, inherit, child, error);
    }
    if (chain.length > INHERIT_MAX)
        return value_error(inherit, "inherit", error, "more than %d manifests inherit from each other", INHERIT_MAX);
    enum status status = file_read_text(path, NODE_BYTES_MAX, &text, &bytes, NULL, error);
    if (status != STATUS_OK)
        return inherit == NULL ? status : error_prefix(error, "%s:%zu: inherit", inherit->file, inherit->line);
    status = node_parse(text, bytes, path, chain.length - 1, root, error);
    free(text);
    if (status == STATUS_OK)
        status = apply_inherit(root, &chain, error);
    return status;
}

static enum status parse(struct settings *settings, struct error *error)
{
    settings->settings = calloc(schema_key_count, sizeof *settings->settings);
    if (settings->settings == NULL)
        return error_out_of_memory(error, "the manifest %s", settings->name);
    enum status status = check_keys(settings->root, "", error);
    if (status == STATUS_OK)
        status = parse_keys(settings, error);
    return status;
}

static enum status read_found(const char *found, struct settings *settings, struct error *error)
{
    settings->name = strdup(found);
    if (settings->name == NULL)
        return error_out_of_memory(error, "the manifest %s", found);
    enum status status = read_file(found, NULL, NULL, &settings->root, error);
    return status == STATUS_OK ? parse(settings, error) : status;
}

enum status settings_read(const char *path, struct settings *settings, struct error *error)
{
    char found[FILE_PATH_BYTES];
    memset(settings, 0, sizeof *settings);
    enum status status = settings_find(path, NULL, found, error);
    return status == STATUS_OK ? read_found(found, settings, error) : status;
}

enum status settings_read_installed(const char *path, struct settings *settings, bool *there, struct error *error)
{
    char found[FILE_PATH_BYTES];
    memset(settings, 0, sizeof *settings);
    enum status status = settings_find_installed(path, found, error);
    *there = status == STATUS_OK && found[0] != '\0';
    return *there ? read_found(found, settings, error) : status;
}

static enum status read_text(const char *text, size_t bytes, const char *name, bool may_inherit,
                             struct settings *settings, struct error *error)
{
    memset(settings, 0, sizeof *settings);
    settings->name = strdup(name);
    if (settings->name == NULL)
        return error_out_of_memory(error, "the manifest %s", name);
    const struct chain chain = { name, NULL, 1 };
    enum status status = node_parse(text, bytes, name, 0, &settings->root, error);
    if (status != STATUS_OK)
        return status;
    const struct node *inherit = node_get(settings->root, "inherit");
    if (inherit != NULL && !may_inherit)
        return value_error(inherit, "inherit", error,
                           "a run's manifest says everything itself and inherits nothing, so this one was changed");
    status = apply_inherit(&settings->root, &chain, error);
    return status == STATUS_OK ? parse(settings, error) : status;
}

enum status settings_read_text(const char *text, size_t bytes, const char *name, struct settings *settings,
                               struct error *error)
{
    return read_text(text, bytes, name, true, settings, error);
}

enum status settings_read_resolved(const char *text, size_t bytes, const char *name, struct settings *settings,
                                   struct error *error)
{
    return read_text(text, bytes, name, false, settings, error);
}

void settings_free(struct settings *settings)
{
    for (size_t i = 0; settings->settings != NULL && i < schema_key_count; i++) {
        struct setting *setting = &settings->settings[i];
        free(setting->text);
        for (size_t k = 0; setting->entries != NULL && k < setting->count * schema_list(setting->key)->key_count; k++)
            free(setting->entries[k].text);
        free(setting->entries);
    }
    free(settings->settings);
    free(settings->name);
    node_free(settings->root);
    memset(settings, 0, sizeof *settings);
}

const struct setting *settings_get(const struct settings *settings, const char *path)
{
    const struct schema_key *key = find_key(path);
    if (key == NULL)
        abort(); /* a path that is not in the table is a mistake in this program */
    return &settings->settings[key - schema_keys];
}

const struct setting *settings_of_entry(const struct setting *list, size_t entry, const char *name)
{
    const struct schema_list *keys = schema_list(list->key);
    size_t k = 0;
    while (k < keys->key_count && strcmp(keys->keys[k].path, name) != 0)
        k++;
    assert(k < keys->key_count);
    return &list->entries[entry * keys->key_count + k];
}

/* Puts the place of a key that a manifest gives before a message, or the manifest alone. */
static enum status at_key(const struct settings *settings, const char *path, struct error *error)
{
    const struct node *node = settings_get(settings, path)->node;
    if (node != NULL)
        return error_prefix(error, "%s:%zu: %s", node->file, node->line, path);
    return error_prefix(error, "%s: %s", settings->name, path);
}

enum status settings_error(const struct settings *settings, const char *path, struct error *error, const char *format,
                           ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_v(error, STATUS_INPUT, format, arguments);
    va_end(arguments);
    return at_key(settings, path, error);
}

enum status settings_conflict(const struct settings *settings, const char *const *paths, struct error *error,
                              const char *format, ...)
{
    const struct node *about = settings_get(settings, paths[0])->node;
    const char *nearest = paths[0];
    size_t level = about != NULL ? about->level : 0;
    va_list arguments;
    va_start(arguments, format);
    error_set_v(error, STATUS_INPUT, format, arguments);
    va_end(arguments);
    for (size_t i = 1; paths[i] != NULL; i++) {
        const struct node *node = settings_get(settings, paths[i])->node;
        if (node != NULL && node->level < level) {
            nearest = paths[i];
            level = node->level;
        }
    }
    if (nearest != paths[0])
        error_prefix(error, "does not fit %s (%s:%zu)", paths[0], about->file, about->line);
    return at_key(settings, nearest, error);
}

/* ---- canonical text ---------------------------------------------------------------------------------------------- */

/* The entries of a list of maps, each key on its line, below a heading that is indented by `indent`. */
static void print_entries(FILE *file, const struct setting *setting, int indent)
{
    const size_t key_count = schema_list(setting->key)->key_count;
    for (size_t i = 0; i < setting->count; i++) {
        const char *mark = "- ";
        for (size_t k = 0; k < key_count; k++) {
            const struct setting *entry = &setting->entries[i * key_count + k];
            if (!entry->given)
                continue;
            fprintf(file, "%*s%s%s: ", indent + 2, "", mark, entry->key->path);
            value_print(file, entry);
            fputc('\n', file);
            mark = "  ";
        }
    }
}

/* Writes "key: value" and before it the headings of the sections that the one before did not share. */
static void print_setting(FILE *file, const struct setting *setting, const char *before)
{
    const char *path = setting->key->path, *word = path;
    int indent = 0;
    for (const char *dot; (dot = strchr(word, '.')) != NULL; word = dot + 1, indent += 2) {
        size_t length = (size_t)(dot - path) + 1;
        if (strncmp(path, before, length) != 0)
            fprintf(file, "%*s%.*s:\n", indent, "", (int)(dot - word), word);
    }
    fprintf(file, "%*s%s:", indent, "", word);
    if (setting->key->type == VALUE_MAPS) {
        fputc('\n', file);
        print_entries(file, setting, indent);
        return;
    }
    fputc(' ', file);
    value_print(file, setting);
    fputc('\n', file);
}

char *settings_resolved(const struct settings *settings)
{
    char *text = NULL;
    size_t bytes;
    const char *before = "";
    FILE *file = open_memstream(&text, &bytes);
    if (file == NULL)
        return NULL;
    for (size_t i = 0; i < schema_key_count; i++) {
        const struct setting *setting = &settings->settings[i];
        if (!setting->given || (setting->key->type == VALUE_MAPS && setting->count == 0))
            continue; /* an empty list of maps removes an inherited one, and is written as nothing */
        print_setting(file, setting, before);
        before = setting->key->path;
    }
    if (fclose(file) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

/* "[{key: value, ...}, ...]" */
static void print_flow(FILE *file, const struct setting *setting)
{
    const size_t key_count = schema_list(setting->key)->key_count;
    fputc('[', file);
    for (size_t i = 0; i < setting->count; i++) {
        const char *mark = i > 0 ? ", {" : "{";
        for (size_t k = 0; k < key_count; k++) {
            const struct setting *entry = &setting->entries[i * key_count + k];
            if (!entry->given)
                continue;
            fprintf(file, "%s%s: ", mark, entry->key->path);
            value_print(file, entry);
            mark = ", ";
        }
        fputc('}', file);
    }
    fputc(']', file);
}

char *settings_value(const struct setting *setting)
{
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    if (file == NULL)
        return NULL;
    if (setting->given && setting->key->type != VALUE_MAPS)
        value_print(file, setting);
    else if (setting->given && setting->count > 0)
        print_flow(file, setting);
    if (fclose(file) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

char *settings_experiment(const struct settings *settings)
{
    char *text = NULL;
    size_t bytes;
    FILE *file = open_memstream(&text, &bytes);
    if (file == NULL)
        return NULL;
    for (size_t i = 0; i < schema_key_count; i++) {
        const struct setting *setting = &settings->settings[i];
        if (setting->given && setting->key->moves_bits)
            fprintf(file, "%s=%s\n", setting->key->path, setting->text);
    }
    if (fclose(file) != 0) {
        free(text);
        return NULL;
    }
    return text;
}

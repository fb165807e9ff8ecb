#include "experiments/settings.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "trainer/common/command.h"
#include "trainer/common/file.h"

enum { PATH_TEXT_BYTES = 128 };

/* ---- values ---------------------------------------------------------------------------------------------------------------------- */

static enum status value_error(const struct node *node, const char *path, struct error *error, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static enum status value_error(const struct node *node, const char *path, struct error *error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error_set_v(error, STATUS_INPUT, format, arguments);
    va_end(arguments);
    return error_prefix(error, "%s:%zu: %s", node->file, node->line, path);
}

/* The shortest decimal that reads back as the same binary64; with a point before an exponent, since readers of YAML 1.1 take 1e-05 for a
 * text and 1.0e-05 for a number. */
static void format_real(double value, char text[32])
{
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, 32, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    char *exponent = strchr(text, 'e');
    if (exponent != NULL && strchr(text, '.') == NULL) {
        memmove(exponent + 2, exponent, strlen(exponent) + 1);
        memcpy(exponent, ".0", 2);
    }
}

static enum status parse_number(const struct schema_key *key, const char *path, const struct node *node, bool whole, double *number,
                                struct error *error)
{
    const char *text = node->kind == NODE_SCALAR ? node->text : "";
    char *end;
    if (node->kind != NODE_SCALAR || node->quoted || text[0] == '\0' || text[strspn(text, whole ? "0123456789" : "+-.0123456789eE")] != '\0')
        return value_error(node, path, error, "must be a %s, not %s%.60s%s", whole ? "whole number" : "number",
                           node->kind == NODE_SCALAR ? "'" : "a list or section", text, node->kind == NODE_SCALAR ? "'" : "");
    *number = strtod(text, &end) + 0.0; /* -0 becomes 0 */
    if (*end != '\0' || !isfinite(*number))
        return value_error(node, path, error, "'%.60s' is not a number", text);
    if (*number < key->low || *number > key->high)
        return value_error(node, path, error, "%.60s is out of bounds; it must be %.15g to %.15g", text, key->low, key->high);
    return STATUS_OK;
}

static enum status parse_numbers(struct setting *setting, const char *path, const struct node *node, struct error *error)
{
    const bool list = setting->key->type == VALUE_INTEGERS || setting->key->type == VALUE_REALS;
    const bool whole = setting->key->type == VALUE_INTEGER || setting->key->type == VALUE_INTEGERS;
    if (list && node->kind != NODE_LIST)
        return value_error(node, path, error, "must be a list, such as [1, 2]");
    if (list && node->count > SETTING_NUMBERS_MAX)
        return value_error(node, path, error, "has %zu entries; at most %d are taken", node->count, SETTING_NUMBERS_MAX);
    char text[SETTING_NUMBERS_MAX * 32] = "";
    size_t used = 0;
    setting->count = list ? node->count : 1;
    for (size_t i = 0; i < setting->count; i++) {
        char number[32];
        enum status status = parse_number(setting->key, path, list ? node->children[i] : node, whole, &setting->numbers[i], error);
        if (status != STATUS_OK)
            return status;
        if (whole)
            snprintf(number, sizeof number, "%" PRIu64, (uint64_t)setting->numbers[i]);
        else
            format_real(setting->numbers[i], number);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s", i > 0 ? ", " : "", number);
    }
    setting->text = strdup(text);
    return setting->text != NULL ? STATUS_OK : error_set(error, STATUS_ENVIRONMENT, "out of memory");
}

static bool is_choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    while (choices != NULL) {
        size_t size = strcspn(choices, "|");
        if (size == length && strncmp(choices, text, length) == 0)
            return true;
        choices = choices[size] == '|' ? choices + size + 1 : NULL;
    }
    return false;
}

/* No ASCII control character, and none of those of Unicode that YAML takes for the end of a line or refuses when it reads them back: U+0080
 * to U+009F, U+2028, U+2029, U+FEFF, U+FFFE and U+FFFF. */
static bool is_one_line(const char *text)
{
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c < ' ' || *c == 0x7f || (c[0] == 0xc2 && c[1] < 0xa0) || (c[0] == 0xe2 && c[1] == 0x80 && (c[2] == 0xa8 || c[2] == 0xa9)) ||
            (c[0] == 0xef && c[1] == 0xbb && c[2] == 0xbf) || (c[0] == 0xef && c[1] == 0xbf && c[2] >= 0xbe))
            return false;
    }
    return true;
}

static enum status check_word(const struct schema_key *key, const char *path, const struct node *node, struct error *error)
{
    const char *text = node->text;
    switch (key->type) {
    case VALUE_CHOICE:
        if (!is_choice(key->choices, text))
            return value_error(node, path, error, "'%.60s' is none of %s", text, key->choices);
        break;
    case VALUE_BOOLEAN:
        if (node->quoted || (strcmp(text, "true") != 0 && strcmp(text, "false") != 0))
            return value_error(node, path, error, "must be true or false, not '%.60s'", text);
        break;
    case VALUE_DIGEST:
        if (key->choices != NULL && is_choice(key->choices, text))
            break;
        if (strlen(text) != 64 || text[strspn(text, "0123456789abcdef")] != '\0')
            return value_error(node, path, error, "must be 64 lower-case hex digits%s%s", key->choices != NULL ? " or " : "",
                               key->choices != NULL ? key->choices : "");
        break;
    case VALUE_NAME:
        if (text[0] == '\0' || text[0] == '.' || text[0] == '-' || strlen(text) > 64 ||
            text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] != '\0')
            return value_error(node, path, error, "'%.80s' is no name: up to 64 letters, digits, '.', '_' and '-', not beginning with '.' or '-'", text);
        break;
    default:
        if (strlen(text) > SCHEMA_TEXT_BYTES_MAX)
            return value_error(node, path, error, "has %zu bytes; at most %d are taken", strlen(text), SCHEMA_TEXT_BYTES_MAX);
        if (!is_one_line(text))
            return value_error(node, path, error, "must be one line without control characters");
    }
    return STATUS_OK;
}

static enum status parse_value(struct setting *setting, const char *path, const struct node *node, struct error *error)
{
    enum value_type type = setting->key->type;
    setting->given = true;
    setting->node = node;
    if (type == VALUE_INTEGER || type == VALUE_REAL || type == VALUE_INTEGERS || type == VALUE_REALS)
        return parse_numbers(setting, path, node, error);
    if (node->kind != NODE_SCALAR)
        return value_error(node, path, error, "must be a single value, not a list or section");
    enum status status = check_word(setting->key, path, node, error);
    if (status != STATUS_OK)
        return status;
    setting->text = strdup(node->text);
    return setting->text != NULL ? STATUS_OK : error_set(error, STATUS_ENVIRONMENT, "out of memory");
}

static enum status parse_fallback(struct setting *setting, struct error *error)
{
    struct node *root, *value;
    char text[96];
    int length = snprintf(text, sizeof text, "value: %s\n", setting->key->fallback);
    enum status status = node_parse(text, (size_t)length, "default", &root, error);
    if (status != STATUS_OK)
        return status;
    value = node_get(root, "value");
    status = parse_value(setting, setting->key->path, value, error);
    setting->node = NULL;
    node_free(root);
    return status;
}

/* ---- keys ------------------------------------------------------------------------------------------------------------------------ */

static const struct schema_key *find_key(const char *path)
{
    for (size_t i = 0; i < schema_key_count; i++) {
        if (strcmp(schema_keys[i].path, path) == 0)
            return &schema_keys[i];
    }
    return NULL;
}

/* Collects the words that may stand in a section ("" for the top), for suggestions; returns how many, at most max - 1. */
static size_t words_of(const char *section, char words[][PATH_TEXT_BYTES], size_t max)
{
    size_t count = 0, length = strlen(section);
    for (size_t i = 0; i < schema_key_count && count + 1 < max; i++) {
        const char *path = schema_keys[i].path;
        if (length > 0 && (strncmp(path, section, length) != 0 || path[length] != '.'))
            continue;
        const char *word = path + length + (length > 0);
        int size = (int)strcspn(word, ".");
        if (count == 0 || strncmp(words[count - 1], word, (size_t)size) != 0 || words[count - 1][size] != '\0')
            snprintf(words[count++], PATH_TEXT_BYTES, "%.*s", size, word);
    }
    return count;
}

static enum status unknown_key(const char *section, const struct node *node, struct error *error)
{
    enum { WORDS_MAX = 64 };
    char words[WORDS_MAX][PATH_TEXT_BYTES];
    const char *list[WORDS_MAX + 3];
    size_t count = words_of(section, words, WORDS_MAX);
    for (size_t i = 0; i < count; i++)
        list[i] = words[i];
    if (section[0] == '\0') {
        list[count++] = "inherit";
        list[count++] = "targets";
    }
    list[count] = NULL;
    const char *nearest = nearest_word(node->key, list);
    char path[PATH_TEXT_BYTES + 80];
    snprintf(path, sizeof path, "%s%s%.64s", section, section[0] != '\0' ? "." : "", node->key);
    if (nearest != NULL)
        return value_error(node, path, error, "unknown key; did you mean '%s'?", nearest);
    return value_error(node, path, error, "unknown key; selfsame manifest --schema lists them all");
}

static enum status check_keys(const struct node *map, const char *section, struct error *error)
{
    for (size_t i = 0; i < map->count; i++) {
        const struct node *child = map->children[i];
        char path[PATH_TEXT_BYTES];
        char words[2][PATH_TEXT_BYTES];
        if (strchr(child->key, '.') != NULL)
            return value_error(child, child->key, error, "a key has no dot; write sections one below the other, such as model: {depth: 20}");
        int length = snprintf(path, sizeof path, "%s%s%s", section, section[0] != '\0' ? "." : "", child->key);
        if (length >= (int)sizeof path)
            return unknown_key(section, child, error);
        if (find_key(path) != NULL || strcmp(path, "targets") == 0)
            continue;
        if (words_of(path, words, 2) == 0)
            return unknown_key(section, child, error);
        if (child->kind != NODE_MAP)
            return value_error(child, path, error, "is a section: keys and values belong below it");
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
        char word[PATH_TEXT_BYTES];
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

static enum status parse_keys(struct settings *settings, struct error *error)
{
    for (size_t i = 0; i < schema_key_count; i++) {
        const struct schema_key *key = &schema_keys[i];
        struct setting *setting = &settings->settings[i];
        struct node *parent, *node = node_at(settings->root, key->path, &parent);
        enum status status = STATUS_OK;
        setting->key = key;
        if (node != NULL)
            status = parse_value(setting, key->path, node, error);
        else if (key->fallback != NULL && (key->rival == NULL || node_at(settings->root, key->rival, &parent) == NULL))
            status = parse_fallback(setting, error);
        else if (key->required)
            status = error_set(error, STATUS_INPUT, "%s: %s: is missing: %s", settings->name, key->path, key->help);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status parse_target(struct settings *settings, size_t place, const struct node *entry, struct error *error)
{
    char path[PATH_TEXT_BYTES];
    if (entry->kind != NODE_MAP)
        return value_error(entry, "targets", error, "entry %zu must be a map of metric, value, tolerance and source", place + 1);
    for (size_t i = 0; i < entry->count; i++) {
        size_t k = 0;
        while (k < schema_target_key_count && strcmp(schema_target_keys[k].path, entry->children[i]->key) != 0)
            k++;
        if (k == schema_target_key_count)
            return value_error(entry->children[i], "targets", error, "unknown key '%.64s'; a target has metric, value, tolerance and source",
                               entry->children[i]->key);
    }
    for (size_t k = 0; k < schema_target_key_count; k++) {
        struct setting *setting = &settings->targets[place * schema_target_key_count + k];
        const struct node *node = node_get(entry, schema_target_keys[k].path);
        setting->key = &schema_target_keys[k];
        snprintf(path, sizeof path, "targets[%zu].%s", place, schema_target_keys[k].path);
        if (node == NULL)
            return value_error(entry, path, error, "is missing: %s", schema_target_keys[k].help);
        enum status status = parse_value(setting, path, node, error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static enum status parse_targets(struct settings *settings, struct error *error)
{
    const struct node *list = node_get(settings->root, "targets");
    if (list == NULL)
        return STATUS_OK;
    if (list->kind != NODE_LIST)
        return value_error(list, "targets", error, "must be a list of targets");
    if (list->count > SCHEMA_TARGETS_MAX)
        return value_error(list, "targets", error, "has %zu entries; at most %d are taken", list->count, SCHEMA_TARGETS_MAX);
    settings->targets = calloc(list->count * schema_target_key_count + 1, sizeof *settings->targets);
    if (settings->targets == NULL)
        return error_set(error, STATUS_ENVIRONMENT, "out of memory");
    settings->target_count = list->count;
    for (size_t i = 0; i < list->count; i++) {
        enum status status = parse_target(settings, i, list->children[i], error);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* ---- files and inheritance ------------------------------------------------------------------------------------------------------------ */

/* Where a manifest that is called `path` lies: as it is (beside `from`, if there is one), else in an experiments folder. */
static enum status find_manifest(const char *path, const char *from, char found[FILE_PATH_BYTES], struct error *error)
{
    const char *folders[] = { getenv("SELFSAME_EXPERIMENTS"), EXPERIMENTS_DIR, SOURCE_DIR "/experiments" };
    const char *slash = from != NULL ? strrchr(from, '/') : NULL;
    enum status status = path[0] != '/' && slash != NULL ? file_path(found, error, "%.*s/%s", (int)(slash - from), from, path)
                                                         : file_path(found, error, "%s", path);
    if (status != STATUS_OK || file_exists(found) || path[0] == '/')
        return status;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        char candidate[FILE_PATH_BYTES];
        if (folders[i] == NULL || folders[i][0] == '\0')
            continue;
        status = file_path(candidate, error, "%s/%s", folders[i], path);
        if (status != STATUS_OK)
            return status;
        if (file_exists(candidate)) {
            memcpy(found, candidate, FILE_PATH_BYTES);
            return STATUS_OK;
        }
    }
    return error_set(error, STATUS_INPUT, "there is no manifest %s, nor one called %s in the experiments folder %s; name its file, or set "
                     "SELFSAME_EXPERIMENTS to the folder that holds it", found, path,
                     folders[0] != NULL && folders[0][0] != '\0' ? folders[0] : folders[1]);
}

/* Takes from `base` what a key of `over` replaces although it has another name. */
static void drop_rivals(struct node *base, struct node *over)
{
    for (size_t i = 0; i < schema_key_count; i++) {
        struct node *parent, *holder;
        const char *rival = schema_keys[i].rival;
        if (rival == NULL || node_at(over, schema_keys[i].path, &parent) == NULL || node_at(base, rival, &holder) == NULL)
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
    return strcmp(one, other) == 0 ||
           (stat(one, &first) == 0 && stat(other, &second) == 0 && first.st_dev == second.st_dev && first.st_ino == second.st_ino);
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

static enum status read_file(const char *path, const struct chain *child, const struct node *inherit, struct node **root, struct error *error);

/* Lays the map on the manifest that it inherits, if it does. */
static enum status apply_inherit(struct node **root, const struct chain *chain, struct error *error)
{
    struct node *inherit = node_take(*root, "inherit"), *base = NULL;
    char path[FILE_PATH_BYTES];
    if (inherit == NULL)
        return STATUS_OK;
    enum status status = STATUS_OK;
    if (inherit->kind != NODE_SCALAR || inherit->text[0] == '\0')
        status = value_error(inherit, "inherit", error, "must name one manifest's file");
    if (status == STATUS_OK && find_manifest(inherit->text, chain->file, path, error) != STATUS_OK)
        status = error_prefix(error, "%s:%zu: inherit", inherit->file, inherit->line);
    if (status == STATUS_OK)
        status = read_file(path, chain, inherit, &base, error);
    if (status != STATUS_OK) {
        node_free(base);
    } else {
        drop_rivals(base, *root);
        *root = node_merge(base, *root);
        if (*root == NULL)
            status = error_set(error, STATUS_ENVIRONMENT, "out of memory");
    }
    node_free(inherit);
    return status;
}

static enum status read_file(const char *path, const struct chain *child, const struct node *inherit, struct node **root, struct error *error)
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
        return value_error(inherit, "inherit", error, "more than %d manifests, one upon the other", INHERIT_MAX);
    enum status status = file_read(path, NODE_BYTES_MAX, &text, &bytes, error);
    if (status != STATUS_OK)
        return inherit == NULL ? status : error_prefix(error, "%s:%zu: inherit", inherit->file, inherit->line);
    status = node_parse(text, bytes, path, root, error);
    free(text);
    if (status == STATUS_OK)
        status = apply_inherit(root, &chain, error);
    return status;
}

static enum status parse(struct settings *settings, struct error *error)
{
    settings->settings = calloc(schema_key_count, sizeof *settings->settings);
    if (settings->settings == NULL)
        return error_set(error, STATUS_ENVIRONMENT, "out of memory");
    enum status status = check_keys(settings->root, "", error);
    if (status == STATUS_OK)
        status = parse_keys(settings, error);
    return status == STATUS_OK ? parse_targets(settings, error) : status;
}

enum status settings_read(const char *path, struct settings *settings, struct error *error)
{
    char found[FILE_PATH_BYTES];
    memset(settings, 0, sizeof *settings);
    enum status status = find_manifest(path, NULL, found, error);
    if (status != STATUS_OK)
        return status;
    settings->name = strdup(found);
    if (settings->name == NULL)
        return error_set(error, STATUS_ENVIRONMENT, "out of memory");
    status = read_file(found, NULL, NULL, &settings->root, error);
    return status == STATUS_OK ? parse(settings, error) : status;
}

enum status settings_read_text(const char *text, size_t bytes, const char *name, struct settings *settings, struct error *error)
{
    memset(settings, 0, sizeof *settings);
    settings->name = strdup(name);
    if (settings->name == NULL)
        return error_set(error, STATUS_ENVIRONMENT, "out of memory");
    const struct chain chain = { name, NULL, 1 };
    enum status status = node_parse(text, bytes, name, &settings->root, error);
    if (status == STATUS_OK)
        status = apply_inherit(&settings->root, &chain, error);
    return status == STATUS_OK ? parse(settings, error) : status;
}

void settings_free(struct settings *settings)
{
    for (size_t i = 0; settings->settings != NULL && i < schema_key_count; i++)
        free(settings->settings[i].text);
    for (size_t i = 0; settings->targets != NULL && i < settings->target_count * schema_target_key_count; i++)
        free(settings->targets[i].text);
    free(settings->settings);
    free(settings->targets);
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

enum status settings_error(const struct settings *settings, const char *path, struct error *error, const char *format, ...)
{
    const struct node *node = settings_get(settings, path)->node;
    va_list arguments;
    va_start(arguments, format);
    error_set_v(error, STATUS_INPUT, format, arguments);
    va_end(arguments);
    if (node != NULL)
        return error_prefix(error, "%s:%zu: %s", node->file, node->line, path);
    return error_prefix(error, "%s: %s", settings->name, path);
}

/* ---- canonical text ---------------------------------------------------------------------------------------------------------------------- */

static void print_value(FILE *file, const struct setting *setting)
{
    switch (setting->key->type) {
    case VALUE_INTEGERS:
    case VALUE_REALS:
        fprintf(file, "[%s]", setting->text);
        break;
    case VALUE_TEXT:
        fputc('\'', file);
        for (const char *c = setting->text; *c != '\0'; c++)
            fputs(*c == '\'' ? "''" : (char[]){ *c, '\0' }, file);
        fputc('\'', file);
        break;
    default:
        fputs(setting->text, file);
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
    fprintf(file, "%*s%s: ", indent, "", word);
    print_value(file, setting);
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
        if (!settings->settings[i].given)
            continue;
        print_setting(file, &settings->settings[i], before);
        before = settings->settings[i].key->path;
    }
    for (size_t i = 0; i < settings->target_count; i++) {
        for (size_t k = 0; k < schema_target_key_count; k++) {
            const struct setting *setting = &settings->targets[i * schema_target_key_count + k];
            fprintf(file, "%s%s%s: ", i == 0 && k == 0 ? "targets:\n" : "", k == 0 ? "  - " : "    ", setting->key->path);
            print_value(file, setting);
            fputc('\n', file);
        }
    }
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

#include "fetch/weights/state_dict.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEVELS_MAX = 8, VISITS_MAX = 200000, ITEMS_MAX = 20000000, FOUND_MAX = 16, PATH_BYTES = 160, LIST_BYTES = 512 };

/* A dict of tensors, and the values on the way to it, the dict last. */
struct found {
    char path[PATH_BYTES]; /* keys with dots between them; "" for the object itself */
    const struct pickle_value *way[LEVELS_MAX + 1];
    size_t levels;
    bool dotted; /* a tensor's name has a dot */
};

struct search {
    struct found list[FOUND_MAX]; /* in order of appearance */
    size_t count, visits, items;
    const char *module; /* the class of a whole module that was seen; NULL: none */
};

/* ---- the search -------------------------------------------------------------------------------------------------- */

static bool holds_tensors(const struct pickle_value *dict, bool *dotted)
{
    bool holds = false;
    *dotted = false;
    for (size_t i = 0; i + 1 < dict->list.count; i += 2) {
        const struct pickle_value *key = dict->list.items[i];
        if (!pickle_is_text(key) || !torch_is_tensor(dict->list.items[i + 1]))
            continue;
        holds = true;
        if (memchr(key->text.data, '.', key->text.bytes) != NULL)
            *dotted = true;
    }
    return holds;
}

/* The keys and values that a value holds, of itself or as an object's attributes; NULL for none. */
static const struct pickle_value *contents(const struct pickle_value *value, struct search *search)
{
    const struct pickle_value *dict = pickle_dict(value);
    if (dict != NULL || value->type == PICKLE_LIST || value->type == PICKLE_TUPLE)
        return dict != NULL ? dict : value;
    if (value->type != PICKLE_OBJECT || value->call.state == NULL || torch_is_tensor(value))
        return NULL;
    dict = pickle_dict(value->call.state);
    if (pickle_get(dict, "_modules") == NULL)
        return dict;
    if (search->module == NULL)
        search->module = value->call.name;
    return NULL;
}

/* "PATH.KEY", or "PATH.3" for the place in a list; false if it is too long, or not a text. */
static bool extend_path(const struct found *from, const struct pickle_value *key, size_t place, struct found *to)
{
    char shown[PICKLE_PRINTABLE_BYTES];
    if (key != NULL && (!pickle_is_text(key) || key->text.bytes >= sizeof shown))
        return false;
    if (key != NULL)
        pickle_printable(key->text.data, key->text.bytes, shown);
    else
        snprintf(shown, sizeof shown, "%zu", place);
    *to = *from;
    size_t used = strlen(to->path);
    int wanted = snprintf(to->path + used, sizeof to->path - used, "%s%s", used > 0 ? "." : "", shown);
    return wanted >= 0 && (size_t)wanted < sizeof to->path - used;
}

/* Some keep the same dict under two keys. */
static bool was_found(const struct search *search, const struct pickle_value *dict)
{
    for (size_t i = 0; i < search->count; i++) {
        if (search->list[i].way[search->list[i].levels - 1] == dict)
            return true;
    }
    return false;
}

static void look(struct search *search, const struct found *here, const struct pickle_value *value)
{
    const struct pickle_value *inside = contents(value, search);
    bool dict = inside != NULL && inside->type == PICKLE_DICT;
    if (inside == NULL || here->levels == LEVELS_MAX + 1 || search->visits == VISITS_MAX ||
        inside->list.count > ITEMS_MAX - search->items)
        return;
    search->visits++;
    search->items += inside->list.count;
    struct found next = *here;
    next.way[next.levels++] = inside;
    if (dict && !was_found(search, inside) && search->count < FOUND_MAX && holds_tensors(inside, &next.dotted))
        search->list[search->count++] = next;
    for (size_t i = 0; i < inside->list.count; i += dict ? 2 : 1) {
        const struct pickle_value *item = inside->list.items[dict ? i + 1 : i];
        struct found below;
        bool leaf = torch_is_tensor(item) || (item->type != PICKLE_OBJECT && item->type != PICKLE_DICT &&
                                              item->type != PICKLE_LIST && item->type != PICKLE_TUPLE);
        if (!leaf && extend_path(&next, dict ? inside->list.items[i] : NULL, i, &below))
            look(search, &below, item);
    }
}

static const char *last_key(const struct found *found)
{
    const char *dot = strrchr(found->path, '.');
    return dot != NULL ? dot + 1 : found->path;
}

/* ---- the choice -------------------------------------------------------------------------------------------------- */

/* "a, b and c", of those that are not `but`. */
static void list_paths(const struct search *search, const struct found *but, char text[LIST_BYTES])
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < search->count && used < LIST_BYTES; i++) {
        if (&search->list[i] != but)
            used += (size_t)snprintf(text + used, LIST_BYTES - used, "%s%s", used > 0 ? ", " : "",
                                     search->list[i].path[0] != '\0' ? search->list[i].path : "the top");
    }
}

/* Drops those without a dot in a name where others have one. */
static void keep_dotted(struct search *search)
{
    size_t kept = 0;
    for (size_t i = 0; i < search->count; i++) {
        if (search->list[i].dotted)
            search->list[kept++] = search->list[i];
    }
    if (kept > 0)
        search->count = kept;
}

static const struct found *find_key(const struct search *search, const char *key)
{
    for (size_t i = 0; i < search->count; i++) {
        if (strcmp(search->list[i].path, key) == 0)
            return &search->list[i];
    }
    for (size_t i = 0; i < search->count; i++) {
        if (strcmp(last_key(&search->list[i]), key) == 0)
            return &search->list[i];
    }
    return NULL;
}

static const struct found *usual_one(const struct search *search)
{
    static const char *const keys[] = { "state_dict", "model_state_dict", "model",  "net",     "params",
                                        "weights",    "model_state",      "module", "network", "" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const struct found *found = find_key(search, keys[i]);
        if (found != NULL)
            return found;
    }
    return search->count == 1 ? &search->list[0] : NULL;
}

static enum status refuse_all(const struct torch_reader *r, const struct search *search)
{
    const struct pickle_value *root = r->pickle->root;
    if (search->module != NULL)
        return error_set(r->error, STATUS_INPUT,
                         "%s contains a whole module, %s, whose code would have to be run: save only its weights, "
                         "with torch.save(model.state_dict(), OUT)",
                         r->path, search->module);
    return error_set(r->error, STATUS_INPUT,
                     "%s contains %s%s%s without named tensors, at the top or below any key: save the weights with "
                     "torch.save(model.state_dict(), OUT)",
                     r->path, pickle_type_name(root), root->type == PICKLE_OBJECT ? " of " : "",
                     root->type == PICKLE_OBJECT ? root->call.name : "");
}

static enum status choose(const struct torch_reader *r, struct search *search, const struct found **chosen)
{
    char others[LIST_BYTES];
    keep_dotted(search);
    *chosen = r->key != NULL ? find_key(search, r->key) : usual_one(search);
    list_paths(search, *chosen, others);
    if (*chosen == NULL && search->count == 0)
        return refuse_all(r, search);
    if (*chosen == NULL && r->key != NULL)
        return error_set(r->error, STATUS_INPUT, "%s has no tensors under the key %s, but under %s", r->path, r->key,
                         others);
    if (*chosen == NULL && !search->list[0].dotted)
        return error_set(r->error, STATUS_INPUT,
                         "%s has a dict for each module, such as %s: save the weights in one dict, under names with "
                         "dots, as model.state_dict() has them",
                         r->path, search->list[0].path);
    if (*chosen == NULL)
        return error_set(r->error, STATUS_INPUT,
                         "%s has tensors under several keys, %s: name one, with --key %s for example", r->path, others,
                         search->list[0].path);
    if ((*chosen)->path[0] != '\0' && strcmp((*chosen)->path, "state_dict") != 0)
        tensors_note(r->tensors, "the tensors are those under %s", (*chosen)->path);
    if (others[0] != '\0')
        tensors_note(r->tensors, "not read: the tensors under %s (--key)", others);
    return STATUS_OK;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

/* Texts and numbers are claims. So is a tensor of one number next to the weights: some authors write their accuracy in
 * one. */
static void claim(struct torch_reader *r, const struct pickle_value *dict, bool weights)
{
    double number;
    if (dict->type != PICKLE_DICT)
        return;
    tensors_claim_items(r->tensors, dict);
    for (size_t i = 0; i + 1 < dict->list.count && !weights; i += 2) {
        const struct pickle_value *key = dict->list.items[i], *value = dict->list.items[i + 1];
        if (torch_is_tensor(value) && pickle_is_text(key) && r->tensors->claim_count < TENSORS_CLAIMS_MAX &&
            torch_read_number(r, value, &number))
            tensors_claim_real(r->tensors, key->text.data, key->text.bytes, number);
    }
}

/* The reason without "PATH: byte N: " before it. */
static const char *reason_of(const struct torch_reader *r, const char *message)
{
    size_t length = strlen(r->path);
    if (strncmp(message, r->path, length) != 0 || message[length] != ':')
        return message;
    const char *rest = message + length + 2;
    return strncmp(rest, "byte ", 5) == 0 && strchr(rest, ':') != NULL ? strchr(rest, ':') + 2 : rest;
}

/* What cannot be read is listed with its reason: it fails the file only where the network needs it. */
static enum status read_one(struct torch_reader *r, const struct pickle_value *name, const struct pickle_value *value)
{
    char reason[ERROR_MESSAGE_BYTES];
    enum status status = torch_read_tensor(r, r->tensors, name, value);
    if (status != STATUS_INPUT)
        return status;
    snprintf(reason, sizeof reason, "%s", reason_of(r, r->error->message));
    *r->error = (struct error){ STATUS_OK, "" };
    return tensors_add_unread(r->tensors, r->path, name->text.data, name->text.bytes, reason, r->error);
}

static enum status read_dict(struct torch_reader *r, const struct pickle_value *dict)
{
    enum status status = STATUS_OK;
    r->tensors->ordered = true;
    for (size_t i = 0; status == STATUS_OK && i + 1 < dict->list.count; i += 2) {
        const struct pickle_value *key = dict->list.items[i], *value = dict->list.items[i + 1];
        char what[PICKLE_PRINTABLE_BYTES + 32];
        if (!pickle_is_text(key) || value->type != PICKLE_OBJECT)
            continue;
        if (torch_is_tensor(value)) {
            status = read_one(r, key, value);
        } else if (strncmp(value->call.name, "torch.", 6) == 0) { /* a sparse tensor, for example */
            snprintf(what, sizeof what, "an object of %.*s", PICKLE_PRINTABLE_BYTES, value->call.name);
            status = tensors_add_unread(r->tensors, r->path, key->text.data, key->text.bytes, what, r->error);
        }
    }
    return status;
}

/* What Python would import and call to load the object, and this program does not. */
static void note_foreign(struct torch_reader *r)
{
    char names[LIST_BYTES];
    size_t used = 0;
    for (size_t i = 0; i < r->pickle->foreign_count && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i > 0 ? ", " : "", r->pickle->foreign[i]);
    if (used > 0)
        tensors_note(r->tensors, "ignored, and not run: %s", names);
}

enum status state_dict_read(struct torch_reader *r)
{
    const struct found *chosen, top = { .levels = 0 };
    struct search *search = calloc(1, sizeof *search);
    if (search == NULL)
        return error_out_of_memory(r->error, "the search in %s", r->path);
    look(search, &top, r->pickle->root);
    enum status status = choose(r, search, &chosen);
    if (status == STATUS_OK) {
        for (size_t i = 0; i < chosen->levels; i++)
            claim(r, chosen->way[i], i + 1 == chosen->levels);
        status = read_dict(r, chosen->way[chosen->levels - 1]);
    }
    if (status == STATUS_OK)
        note_foreign(r);
    free(search);
    return status;
}

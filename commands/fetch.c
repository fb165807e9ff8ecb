/* selfsame fetch: downloads and checks what manifests name, and lists, verifies and prunes the store. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/stop.h"
#include "base/text.h"
#include "commands/command.h"
#include "commands/table.h"
#include "fetch/data/load.h"
#include "fetch/obtain.h"
#include "results/run_index.h"

enum { RETRIES = 4, RETRY_DELAY_S = 1, SPEED_TIME_S = 30 };

static void print_warning(void *context, const char *message)
{
    (void)context;
    text_line(stderr, "selfsame fetch: %s", message);
}

/* What the command does and prints: lines as it goes, or JSON at the end. */
struct job {
    struct store store;
    bool as_json; /* else lines */
    json_t *json; /* an array */
    uint64_t total_bytes;
    size_t damaged;
};

/* ---- the store --------------------------------------------------------------------------------------------------- */

static void tell_item(struct job *job, const struct store_item *item, const char *did)
{
    if (!job->as_json)
        text_line(stdout, "%-8s %12" PRIu64 "  %s%s%s", item->kind, item->bytes, item->path, did[0] != '\0' ? "  " : "",
                  did);
    else
        json_add(&job->json, json_pack("{s:s, s:o, s:o, s:I, s:s}", "kind", item->kind, "name", json_text(item->name),
                                       "path", json_text(item->path), "bytes", (json_int_t)item->bytes, "state",
                                       did[0] != '\0' ? did : "kept"));
}

static enum status list_item(void *context, const struct store_item *item, struct error *error)
{
    (void)error;
    tell_item(context, item, "");
    return STATUS_OK;
}

static enum status verify_item(void *context, const struct store_item *item, struct error *error)
{
    struct job *job = context;
    char why[STORE_WHY_BYTES];
    if (stop_requested(NULL))
        return error_set(error, STATUS_INTERRUPTED, "stopped on request; the lines above say what was checked so far");
    if (strcmp(item->kind, "file") != 0 && strcmp(item->kind, "unpacked") != 0)
        return STATUS_OK;
    enum status status = store_check(&job->store, item, true, why, error);
    if (status == STATUS_OK && why[0] != '\0')
        status = store_set_aside(&job->store, item, error);
    if (status != STATUS_OK)
        return status;
    tell_item(job, item, why[0] == '\0' ? "good" : "damaged");
    if (why[0] != '\0') {
        text_line(stderr, "selfsame fetch: moved to %s/damaged: %s", job->store.folder, why);
        job->damaged++;
    }
    return STATUS_OK;
}

static enum status prune_item(void *context, const struct store_item *item, struct error *error)
{
    struct job *job = context;
    bool removed;
    enum status status = store_prune(&job->store, item, &removed, error);
    if (status == STATUS_OK && removed) {
        tell_item(job, item, "removed");
        job->total_bytes += item->bytes;
    }
    return status;
}

static void tell_index(void *context, const char *path, uint64_t bytes)
{
    struct job *job = context;
    struct store_item item = { .kind = "index", .bytes = bytes };
    snprintf(item.name, sizeof item.name, "%s", strrchr(path, '/') + 1);
    snprintf(item.path, sizeof item.path, "%s", path);
    tell_item(job, &item, "removed");
    job->total_bytes += bytes;
}

static enum status care(struct job *job, const struct arguments *arguments, struct error *error)
{
    enum status status = STATUS_OK;
    if (arguments_flag(arguments, "verify"))
        status = store_each(&job->store, verify_item, job, error);
    if (status == STATUS_OK && arguments_flag(arguments, "prune"))
        status = store_each(&job->store, prune_item, job, error);
    if (status == STATUS_OK && arguments_flag(arguments, "prune"))
        status = run_index_prune(job->store.folder, tell_index, job, error);
    if (status == STATUS_OK && arguments_flag(arguments, "list"))
        status = store_each(&job->store, list_item, job, error);
    if (status == STATUS_OK && !job->as_json && arguments_flag(arguments, "prune"))
        printf("%" PRIu64 " bytes freed\n", job->total_bytes);
    return status;
}

/* ---- manifests --------------------------------------------------------------------------------------------------- */

static void tell_obtained(struct job *job, const struct manifest *manifest, const char *what,
                          const struct obtained *obtained)
{
    const char *state = obtained->fetched ? "fetched" : "present";
    if (!job->as_json)
        text_line(stdout, "%s: %s (%s, %s, SHA-256 %s)", what, obtained->path, obtained->name, state, obtained->sha256);
    else
        json_add(&job->json,
                 json_pack("{s:s, s:s, s:s, s:o, s:o, s:s, s:I}", "manifest", manifest->name, "what", what, "state",
                           state, "path", json_text(obtained->path), "name", json_text(obtained->name), "sha256",
                           obtained->sha256, "received_bytes", (json_int_t)obtained->received));
}

/* Reads the data as training would: an archive may be what was published, and still not what the manifest means. */
static enum status check_dataset(const struct manifest *manifest, const char *folder, struct error *error)
{
    const struct data_options options = { .place = folder };
    struct dataset training, test;
    enum status status = data_load(manifest, &options, &training, &test, error);
    if (status != STATUS_OK)
        return status;
    dataset_free(&training);
    dataset_free(&test);
    return STATUS_OK;
}

static enum status fetch_dataset(struct job *job, const struct manifest *manifest, const struct obtain_options *options,
                                 struct obtained *obtained, struct error *error)
{
    struct store_item item;
    char why[STORE_WHY_BYTES];
    struct error verify_error;
    enum status status = obtain_dataset(&job->store, manifest, options, obtained, error);
    if (status == STATUS_OK)
        status = check_dataset(manifest, obtained->path, error);
    if (status != STATUS_INPUT || obtained->path[0] == '\0' || obtained->fetched)
        return status;
    /* A file in the store may be damaged in a way that its stamp does not show. */
    if (store_item_of(&job->store, "unpacked", obtained->sha256, &item, &verify_error) != STATUS_OK ||
        store_check(&job->store, &item, true, why, &verify_error) != STATUS_OK || why[0] == '\0' ||
        store_set_aside(&job->store, &item, &verify_error) != STATUS_OK)
        return status;
    text_line(stderr, "selfsame fetch: moved to %s/damaged: %s", job->store.folder, why);
    status = obtain_dataset(&job->store, manifest, options, obtained, error);
    return status == STATUS_OK ? check_dataset(manifest, obtained->path, error) : status;
}

/* only: "data" or "weights"; NULL: both. */
static enum status fetch(struct job *job, const struct manifest *manifest, const char *only,
                         const struct obtain_options *options, struct error *error)
{
    struct obtained obtained;
    enum status status = STATUS_OK;
    const bool data = only == NULL || strcmp(only, "data") == 0,
               weights = only == NULL ? manifest->weights.url_count > 0 : !data;
    if (data && manifest->dataset_kind != DATASET_EMBEDDED) {
        status = fetch_dataset(job, manifest, options, &obtained, error);
        if (status == STATUS_OK)
            tell_obtained(job, manifest, "data", &obtained);
    } else if (data && !job->as_json && !weights) {
        text_fact(stdout, 6, "data: %s draws its own and needs none", manifest->name);
    }
    if (status == STATUS_OK && weights) {
        status = obtain_weights(&job->store, manifest, options, &obtained, error);
        if (status == STATUS_OK)
            tell_obtained(job, manifest, "weights", &obtained);
    }
    return status;
}

static enum status fetch_all(struct job *job, const struct arguments *arguments, struct error *error)
{
    struct progress progress;
    const struct obtain_options options = {
        .offline = arguments_flag(arguments, "offline"),
        .download = { .cacert = arguments_text(arguments, "cacert"),
                      .retries = arguments_integer(arguments, "retry", RETRIES),
                      .retry_delay_s = arguments_integer(arguments, "retry-delay", RETRY_DELAY_S),
                      .speed_time_s = arguments_integer(arguments, "speed-time", SPEED_TIME_S),
                      .progress = &progress,
                      .stop_requested = stop_requested,
                      .warn = print_warning },
    };
    enum status status = STATUS_OK;
    progress_open(&progress, NULL);
    for (size_t i = 0; i < arguments->operand_count && status == STATUS_OK; i++) {
        struct manifest manifest;
        status = manifest_read(arguments->operands[i], &manifest, error);
        if (status != STATUS_OK)
            break;
        status = fetch(job, &manifest, arguments_text(arguments, "only"), &options, error);
        manifest_free(&manifest);
    }
    progress_clear(&progress);
    return status;
}

static enum status run_fetch(const struct arguments *arguments, struct error *error)
{
    struct job job = { .as_json = false };
    const char *format = arguments_text(arguments, "format");
    const bool caring =
        arguments_flag(arguments, "verify") || arguments_flag(arguments, "list") || arguments_flag(arguments, "prune");
    if (arguments->operand_count == 0 && !caring)
        return error_set(error, STATUS_INPUT, "needs MANIFEST..., or --list, --verify or --prune");
    enum status status = store_open(&job.store, arguments_text(arguments, "store"), error);
    if (status != STATUS_OK)
        return status;
    if (format != NULL && strcmp(format, "json") == 0) {
        job.as_json = true;
        job.json = json_array();
    }
    stop_watch("\nselfsame fetch: stopping; what was received is kept\n",
               "\nselfsame fetch: ended at once; the next fetch goes on with what was received\n");
    /* What is damaged goes first, so that a manifest's fetch gets it anew. */
    if (caring)
        status = care(&job, arguments, error);
    if (status == STATUS_OK)
        status = fetch_all(&job, arguments, error);
    if (status == STATUS_OK && job.as_json)
        status = json_print(json_incref(job.json), error);
    json_decref(job.json);
    if (status == STATUS_OK && job.damaged > 0)
        return error_set(error, STATUS_NO, "%zu damaged; selfsame fetch with their manifests downloads them again",
                         job.damaged);
    return status;
}

static const struct option_definition options[] = {
    { "store", "DIR", OPTION_TEXT, 0, 0, NULL,
      "the folder for downloaded files; default: $SELFSAME_STORE, else $XDG_CACHE_HOME/selfsame, else "
      "~/.cache/selfsame" },
    { "only", "WHAT", OPTION_CHOICE, 0, 0, "data|weights", "get only the data, or only the weights; default: both" },
    { "offline", NULL, OPTION_FLAG, 0, 0, NULL, "use no network; the exit status is 3 if something is missing" },
    { "list", NULL, OPTION_FLAG, 0, 0, NULL, "list the files of the store" },
    { "verify", NULL, OPTION_FLAG, 0, 0, NULL,
      "hash all files of the store again, and move damaged ones away; the exit status is 1 if there are any" },
    { "prune", NULL, OPTION_FLAG, 0, 0, NULL,
      "remove unfinished downloads, damaged files, archives that have been unpacked, and what selfsame runs kept about "
      "folders that are gone; say what that frees. What another process works on stays" },
    { "format", "FORMAT", OPTION_CHOICE, 0, 0, "text|json", "text or json; default: text" },
    { "cacert", "FILE", OPTION_TEXT, 0, 0, NULL,
      "certificates to trust, PEM; default: $CURL_CA_BUNDLE, else $SSL_CERT_FILE, else the system's" },
    { "retry", "N", OPTION_INTEGER, 0, 100, NULL, "how often to try each URL again, 0 to 100; default: 4" },
    { "retry-delay", "S", OPTION_INTEGER, 0, 60, NULL,
      "seconds to wait before the first new try; doubled each time, up to a minute; default: 1" },
    { "speed-time", "S", OPTION_INTEGER, 1, 600, NULL,
      "give up a connection that is slower than 1 kB/s for S seconds; default: 30" },
    OPTIONS_END,
};

const struct command fetch_command = {
    .name = "fetch",
    .operands = "[MANIFEST...]",
    .summary = "download and check the data and weights that manifests name",
    .options = options,
    .description =
        "Downloads into the store what the manifests name. It checks every file against the published digests. It "
        "unpacks data sets, and checks that they are those of the manifest. Files that are already in the store are "
        "not downloaded again. If a download was cut, stopped or killed, the next fetch continues it.\n\n"
        "The mirrors are tried in the manifest's order. Proxies and certificates are set as for curl: https_proxy, "
        "no_proxy, CURL_CA_BUNDLE and so on. Several processes may fetch into one store. The second waits until the "
        "first is done, and downloads nothing again.\n\n"
        "It prints where each file is. Afterwards train and eval find the data without --data. The exit status is 2 "
        "if a mirror's bytes are not those that the manifest names, 3 if the network or the disk fails, and 130 if "
        "you stopped it; then it can be resumed.",
    .examples = "selfsame fetch msra/resnet20.yaml\tCIFAR-10, 170 MB\n"
                "selfsame fetch --list --verify\tis everything still whole?\n",
    .operands_min = 0,
    .operands_max = SIZE_MAX,
    .run = run_fetch,
};

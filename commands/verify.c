/* selfsame verify: who signed a run, and whether epochs of it, computed again, give what its record says. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "commands/command.h"
#include "commands/table.h"
#include "commands/verify_epochs.h"
#include "results/attestation.h"
#include "results/imported.h"
#include "results/weights_check.h"

/* ---- verify ------------------------------------------------------------------------------------------------------ */

enum { KEYS_MAX = 32 };

struct verification {
    struct signing_key *keys[KEYS_MAX];
    const char *key_paths[KEYS_MAX];
    size_t key_count;
    size_t good, unknown;
    bool as_json;
    json_t *json; /* an array */
};

static enum status read_keys(const struct arguments *arguments, struct verification *to, struct error *error)
{
    const char *const *paths = arguments_list(arguments, "key");
    for (; paths != NULL && *paths != NULL; paths++) {
        if (to->key_count == KEYS_MAX)
            return error_set(error, STATUS_INPUT, "--key: at most %d of them", KEYS_MAX);
        enum status status = signing_key_read(*paths, false, &to->keys[to->key_count], error);
        if (status != STATUS_OK)
            return status;
        to->key_paths[to->key_count++] = *paths;
    }
    return STATUS_OK;
}

static void tell_attestation(void *context, const struct attestation *attestation, size_t key)
{
    struct verification *verification = context;
    const bool known = key < verification->key_count;
    verification->good += known;
    verification->unknown += !known;
    if (verification->as_json) {
        json_add(&verification->json, json_pack("{s:o, s:s, s:b, s:o, s:o}", "file", json_text(attestation->name),
                                                "key_id", attestation->key_id, "verified", known, "key",
                                                json_text(known ? verification->key_paths[key] : ""), "states",
                                                json_text(attestation->summary)));
        return;
    }
    if (known)
        text_fact(stdout, 2, "good signature by %s (key %.16s...): %s", verification->key_paths[key],
                  attestation->key_id, attestation->name);
    else
        text_fact(stdout, 2, "not verified, for want of the public key %.16s...: %s", attestation->key_id,
                  attestation->name);
    text_fact(stdout, 2, "  it %s", attestation->summary);
}

static enum status conclude(const struct record *record, const struct verification *verification, struct error *error)
{
    if (verification->good > 0)
        return STATUS_OK;
    if (verification->unknown == 0)
        return error_set(error, STATUS_NO, "%s holds no signed statement; selfsame attest makes them", record->shown);
    if (verification->key_count == 0)
        return error_set(error, STATUS_NO, "nothing was verified: name the public keys that you trust with --key FILE");
    return error_set(error, STATUS_NO, "no statement of %s is signed by a key that you named", record->shown);
}

static enum status verify_signatures(const struct record *record, const struct arguments *arguments, bool json,
                                     struct error *error)
{
    struct verification verification = { .as_json = json, .json = json_array() };
    enum status status = read_keys(arguments, &verification, error);
    if (status == STATUS_OK)
        status = attestations_check(record, verification.keys, verification.key_count, tell_attestation, &verification,
                                    error);
    if (status == STATUS_OK && json)
        status = json_print(json_incref(verification.json), error);
    if (status == STATUS_OK && !json && verification.good > 0)
        text_fact(stdout, 0,
                  "A signature proves who signed these bytes. It does not prove that the training was done, or done on "
                  "that machine: to know that, train the manifest again and compare, or audit epochs with --sample.");
    if (status == STATUS_OK)
        status = conclude(record, &verification, error);
    json_decref(verification.json);
    for (size_t i = 0; i < verification.key_count; i++)
        signing_key_free(verification.keys[i]);
    return status;
}

/* Options that do not go together. */
static enum status check_options(const struct arguments *arguments, struct error *error)
{
    const bool signatures = arguments_flag(arguments, "signatures"),
               epoch = arguments_integer(arguments, "epoch", 0) > 0,
               sample = arguments_integer(arguments, "sample", 0) > 0;
    if (signatures + epoch + sample != 1)
        return error_set(error, STATUS_INPUT,
                         "say one thing to verify: --signatures, --epoch N or --sample N; selfsame check compares a "
                         "run's files with each other");
    if (!sample && arguments_text(arguments, "beacon") != NULL)
        return error_set(error, STATUS_INPUT, "--beacon needs --sample N: it chooses which epochs are computed again");
    return STATUS_OK;
}

static enum status run_verify(const struct arguments *arguments, struct error *error)
{
    const char *format = arguments_text(arguments, "format");
    const bool json = format != NULL && strcmp(format, "json") == 0;
    struct record *record = NULL;
    struct weights_found found;
    enum status status = check_options(arguments, error);
    if (status == STATUS_OK)
        status = record_open_whole(&record, record_runs_folder(arguments_text(arguments, "runs")),
                                   arguments->operands[0], &found, error);
    if (status != STATUS_OK)
        return status;
    if (!json)
        text_fact(stdout, 2, "%s: its files agree", record->shown);
    status = imported_refuse(record, "verify", error);
    if (status == STATUS_OK)
        status = arguments_flag(arguments, "signatures") ? verify_signatures(record, arguments, json, error)
                                                         : verify_epochs(record, arguments, error);
    if (record->scratch.path[0] != '\0' && status != STATUS_OK)
        error_replace(error, record->path, record->shown);
    record_close(record);
    return status;
}

static const struct option_definition verify_options[] = {
    OPTION_RUNS,
    { "signatures", NULL, OPTION_FLAG, 0, 0, NULL, "verify the signed statements about the run" },
    { "key", "FILE", OPTION_LIST, 0, 0, NULL, "a public key that you trust. You may give it again" },
    { "epoch", "N", OPTION_INTEGER, 1, 1000000, NULL, "compute epoch N again, counted from 1" },
    { "sample", "N", OPTION_INTEGER, 1, 1000000, NULL, "compute N epochs again that nobody could foresee" },
    { "beacon", "TEXT|FILE", OPTION_TEXT, 0, 0, NULL,
      "what chooses the epochs: a text, or a file such as a public randomness round; default: random numbers" },
    OPTION_DATA,
    OPTION_ANY_TEST_DATA,
    OPTION_ENGINE,
    OPTION_THREADS,
    OPTION_ISA,
    { "format", "FORMAT", OPTION_CHOICE, 0, 0, "text|json", "text or json; default: text" },
    OPTIONS_END,
};

const struct command verify_command = {
    .name = "verify",
    .operands = "RUN",
    .summary = "compute epochs of a run again, or say who signed it",
    .options = verify_options,
    .description =
        "Checks the run as selfsame check does, which is cheap. Then it does one of these. RUN may be a packed run.\n\n"
        "--epoch N, --sample N: computes epochs again, on any engine, and compares each step with the ledger: loss, "
        "errors and weights digest; then the epoch's weights, losses and errors. An epoch that follows a checkpoint "
        "takes the time of one epoch. For any other, it begins at the nearest checkpoint before it. train keeps a "
        "checkpoint after every tenth epoch, so this takes the time of ten epochs at most; with more checkpoints "
        "(--keep-checkpoints) it takes less. Where there is a checkpoint at the end of a computed epoch, it "
        "compares that too.\n\n"
        "--sample chooses the epochs by SHA-256 from the run's last chain digest, which commits to all epochs, and "
        "from "
        "a beacon. If you audit in public, choose a beacon that was not known when the chain was published, such as "
        "a later round of a public randomness service. Everybody can repeat the choice with the same --beacon. "
        "results/ATTESTATIONS.md has the rule.\n\n"
        "An epoch that comes out the same proves that it follows from the state before it, by the manifest, on the "
        "data "
        "of the digest that the manifest names. If you compute epochs from checkpoints, you trust the state in the "
        "checkpoint: of that, the record's digests cover the weights, but not the momentum, unless the epoch before is "
        "computed as well. It proves nothing about epochs that were not computed, nor about who computed them when.\n\n"
        "--signatures: reads the statements in the folder attestations/. Each must be signed by the key that it names, "
        "and each file that it names must have the SHA-256 that it says. It lists who signed what, and from which "
        "machine. A good signature proves that the holder of the key signed these bytes. It does not prove that the "
        "training took place, nor where.\n\n"
        "Exit status 0: all computed epochs are the same; at least one statement is signed by a key that you named "
        "with "
        "--key, and none is wrong. 1: an epoch comes out otherwise, and the message names the step; there is no such "
        "statement. 2: a file, a statement or a signature was changed; the message names it.",
    .examples = "selfsame verify theirs.tar --signatures --key alice.pub.pem\tdid Alice sign this?\n"
                "selfsame verify theirs --sample 5 --beacon round.json --data FOLDER\taudit five epochs\n"
                "selfsame verify theirs --epoch 11 --engine cuda\tthe first after a checkpoint\n",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_verify,
};

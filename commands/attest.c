/* selfsame key, selfsame attest: signing a run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "commands/command.h"
#include "results/attestation.h"
#include "results/compare.h"
#include "results/imported.h"
#include "results/weights_check.h"

/* ---- key --------------------------------------------------------------------------------------------------------- */

static enum status run_key(const struct arguments *arguments, struct error *error)
{
    char private_path[FILE_PATH_BYTES], public_path[FILE_PATH_BYTES], id[DIGEST_HEX_BYTES];
    if (strcmp(arguments->operands[0], "new") != 0)
        return error_set(error, STATUS_INPUT, "selfsame key has no '%s'; it has: selfsame key new NAME",
                         arguments->operands[0]);
    enum status status = file_path(private_path, error, "%s.pem", arguments->operands[1]);
    if (status == STATUS_OK)
        status = file_path(public_path, error, "%s.pub.pem", arguments->operands[1]);
    if (status == STATUS_OK)
        status = signing_key_make(private_path, public_path, id, error);
    if (status != STATUS_OK)
        return status;
    text_line(stdout, "private key: %s (keep it to yourself)", private_path);
    text_line(stdout, "public key:  %s (give it to those who verify)", public_path);
    text_line(stdout, "key id:      %s", id);
    return STATUS_OK;
}

static const struct option_definition key_options[] = { OPTIONS_END };

const struct command key_command = {
    .name = "key",
    .operands = "new NAME",
    .summary = "make a key to sign runs with",
    .options = key_options,
    .description =
        "Makes NAME.pem, the private key, which only you can read, and NAME.pub.pem, the public one. It is a key for "
        "ECDSA on the curve P-256, as model-signing and other tools read it. No file is ever replaced.\n\n"
        "A signature says that the holder of the private key signed. Who that is, you tell others by the way in which "
        "you give them the public key.",
    .examples = "selfsame key new alice\talice.pem and alice.pub.pem\n",
    .operands_min = 2,
    .operands_max = 2,
    .run = run_key,
};

/* ---- attest ------------------------------------------------------------------------------------------------------ */

static void tell_written(const char *path)
{
    text_line(stdout, "signed: %s", path);
}

/* Bits that somebody else computed, or nothing is signed. */
static enum status attest_other(const struct record *record, const struct signing_key *key, const char *runs,
                                const char *other_run, struct error *error)
{
    struct record *other;
    struct weights_found found;
    struct comparison comparison;
    enum status status = record_open_whole(&other, runs, other_run, &found, error);
    if (status != STATUS_OK)
        return status;
    compare_records(record, other, NULL, 0, &comparison);
    if (comparison.verdict == VERDICT_IDENTICAL)
        status = attest_equivalence(record, other, key, tell_written, error);
    else
        status = error_set(error, verdict_status(comparison.verdict) == STATUS_INPUT ? STATUS_INPUT : STATUS_NO,
                           "%s does not reproduce %s, and nothing was signed: %s: %s", record->shown, other->shown,
                           verdict_name(comparison.verdict), comparison.sentence);
    record_close(other);
    return status;
}

static enum status run_attest(const struct arguments *arguments, struct error *error)
{
    const char *runs = record_runs_folder(arguments_text(arguments, "runs")),
               *key_path = arguments_text(arguments, "key"), *other = arguments_text(arguments, "reproduces");
    struct record *record = NULL;
    struct weights_found found;
    struct signing_key *key = NULL;
    if (key_path == NULL)
        return error_set(error, STATUS_INPUT, "attest needs --key FILE, a private key; selfsame key new makes one");
    enum status status = signing_key_read(key_path, true, &key, error);
    if (status == STATUS_OK)
        status = record_open_whole(&record, runs, arguments->operands[0], &found, error);
    if (status != STATUS_OK)
        goto out;
    status = imported_refuse(record, "sign", error);
    if (status != STATUS_OK)
        goto out;
    if (record->locked)
        status = error_set(error, STATUS_ENVIRONMENT, "%s is being trained; wait for the training to end, or stop it",
                           record->shown);
    else if (record->scratch.path[0] != '\0')
        status = error_set(error, STATUS_INPUT,
                           "%s is packed; take it out with selfsame unpack, sign it, and pack it "
                           "again",
                           record->shown);
    else if (record->epochs == 0)
        status = error_set(error, STATUS_INPUT, "%s has no whole epoch yet, and so nothing to sign", record->shown);
    else if (other != NULL)
        status = attest_other(record, key, runs, other, error);
    else
        status = attest_run(record, key, tell_written, error);
out:
    record_close(record);
    signing_key_free(key);
    return status;
}

static const struct option_definition attest_options[] = {
    OPTION_RUNS,
    { "key", "FILE", OPTION_TEXT, 0, 0, NULL, "your private key; selfsame key new makes one" },
    { "reproduces", "OTHER", OPTION_TEXT, 0, 0, NULL,
      "sign that your run gave the same bits as the run OTHER, which somebody else computed" },
    OPTIONS_END,
};

const struct command attest_command = {
    .name = "attest",
    .operands = "RUN",
    .summary = "sign a run, or that it gave the same bits as another",
    .options = attest_options,
    .description =
        "Checks the run as selfsame check does, and writes signed statements into its folder attestations/:\n\n"
        "provenance-KEY.json: which manifest and data gave which files, on which machine, by which version. It is a "
        "DSSE envelope around an in-toto statement with SLSA provenance.\n\n"
        "weights-KEY.json: the signature of weights.safetensors, as model-signing reads it:\n\n"
        "model_signing verify key weights.safetensors --signature attestations/weights-KEY.json --public_key "
        "NAME.pub.pem\n\n"
        "equivalence-OTHER-KEY.json, with --reproduces: that your run and OTHER are identical. It compares them first, "
        "and signs nothing unless the verdict of selfsame compare is identical. A copy is not.\n\n"
        "KEY is the beginning of the key's id. The statements hold for the bytes of the files that they name. So they "
        "stay valid when you pack, copy or rename the run, and become invalid when you resume it. "
        "results/ATTESTATIONS.md defines what they say. Exit status 1: the run does not reproduce OTHER.",
    .examples = "selfsame attest msra-resnet20-seed1 --key alice.pem\tI computed this\n"
                "selfsame attest mine --key bob.pem --reproduces theirs.tar\tand I got the same\n",
    .operands_min = 1,
    .operands_max = 1,
    .run = run_attest,
};

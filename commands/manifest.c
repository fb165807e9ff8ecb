/* selfsame manifest: what a manifest means. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "commands/command.h"
#include "commands/schema_help.h"
#include "commands/table.h"
#include "experiments/manifest.h"

static enum status print_json(const char *path, const struct manifest *manifest, struct error *error)
{
    json_t *experiments = json_array();
    for (size_t i = 0; i < manifest->seed_count; i++) {
        char hex[DIGEST_HEX_BYTES];
        manifest_experiment_digest(manifest, manifest->seeds[i], hex);
        json_add(&experiments, json_pack("{s:I, s:s}", "seed", (json_int_t)manifest->seeds[i], "sha256", hex));
    }
    json_t *json = json_pack("{s:o, s:s, s:s, s:o, s:s}", "file", json_text(path), "name", manifest->name, "sha256",
                             manifest->sha256, "experiments", experiments, "resolved", manifest->resolved);
    return json_print(json, error);
}

static void print_yaml(const char *path, const struct manifest *manifest)
{
    text_line(stdout, "# %s, resolved", path);
    printf("# manifest digest   %s\n", manifest->sha256);
    for (size_t i = 0; i < manifest->seed_count; i++) {
        char hex[DIGEST_HEX_BYTES];
        manifest_experiment_digest(manifest, manifest->seeds[i], hex);
        printf("# experiment digest %s (seed %" PRIu64 ")\n", hex, manifest->seeds[i]);
    }
    fputs(manifest->resolved, stdout);
}

static enum status run_manifest(const struct arguments *arguments, struct error *error)
{
    const char *format = arguments_text(arguments, "format");
    if (arguments_flag(arguments, "schema")) {
        schema_print_text(stdout);
        return STATUS_OK;
    }
    if (arguments->operand_count == 0)
        return error_set(error, STATUS_INPUT, "needs MANIFEST..., or --schema");
    for (size_t i = 0; i < arguments->operand_count; i++) {
        struct manifest manifest;
        enum status status = manifest_read(arguments->operands[i], &manifest, error);
        if (status != STATUS_OK)
            return status;
        if (format != NULL && strcmp(format, "json") == 0)
            status = print_json(arguments->operands[i], &manifest, error);
        else
            print_yaml(arguments->operands[i], &manifest);
        manifest_free(&manifest);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

static const struct option_definition options[] = {
    { "schema", NULL, OPTION_FLAG, 0, 0, NULL, "list every key with its type, bounds, default and meaning" },
    { "format", "FORMAT", OPTION_CHOICE, 0, 0, "yaml|json", "yaml or json; default: yaml" },
    OPTIONS_END,
};

const struct command manifest_command = {
    .name = "manifest",
    .operands = "[MANIFEST...]",
    .summary = "print a manifest with every default filled in, and its digests",
    .options = options,
    .description = "Checks manifests and prints them resolved: with all that they inherit, and with every default "
                   "filled in. The manifest digest covers all of it. The experiment digest covers only what moves "
                   "bits; each seed has one. A run, its checkpoints and its resumes belong to one experiment "
                   "digest.\n\n"
                   "A MANIFEST is a file, or a path in the installed experiments folder, such as msra/resnet20.yaml.",
    .examples = "selfsame manifest msra/resnet20\tthe 2016 replication's ResNet-20\n"
                "selfsame manifest --schema\tall keys\n",
    .operands_min = 0,
    .operands_max = SIZE_MAX,
    .run = run_manifest,
};

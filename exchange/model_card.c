/* A model card: a README.md whose heading (YAML) the Hugging Face Hub reads, with the results as its model-index.
 *
 * Texts from the record are JSON strings in the heading, which are YAML too, and have every sign that Markdown could
 * take for its own escaped in the text. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "exchange/export.h"

/* ---- texts ------------------------------------------------------------------------------------------------------- */

/* A string of YAML and JSON. What a terminal would obey is spelled out first, in the whole card. */
static void yaml_text(FILE *file, const char *text)
{
    char plain[2048];
    (void)text_escape(plain, sizeof plain, TEXT_TERMINAL, text);
    json_t *string = json_string(plain);
    char *dumped = string != NULL ? json_dumps(string, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL;
    fputs(dumped != NULL ? dumped : "\"\"", file);
    free(dumped);
    json_decref(string);
}

/* Markdown takes a backslash before any punctuation as that sign alone. */
static void markdown_text(FILE *file, const char *text)
{
    char plain[2048];
    (void)text_escape(plain, sizeof plain, TEXT_TERMINAL, text);
    for (const char *c = plain; *c != '\0'; c++) {
        if (strchr("\\`*_{}[]<>()#+-!|~&$@:", *c) != NULL)
            fputc('\\', file);
        fputc(*c, file);
    }
}

static void row(FILE *file, const char *name, const char *value)
{
    fprintf(file, "| %s | ", name);
    markdown_text(file, value);
    fputs(" |\n", file);
}

/* ---- the heading ------------------------------------------------------------------------------------------------- */

static void write_result(FILE *file, const struct record *record)
{
    const struct metrics_row *last = &record->metrics[record->epochs - 1];
    const bool cifar10 = record->manifest.dataset_kind == DATASET_CIFAR10;
    fputs("model-index:\n- name: ", file);
    yaml_text(file, record->name);
    fputs("\n  results:\n  - task:\n      type: image-classification\n      name: Image Classification\n    dataset:\n",
          file);
    fprintf(file, "      type: %s\n      name: ", cifar10 ? "uoft-cs/cifar10" : "embedded");
    yaml_text(file, export_dataset_name(record));
    fputs("\n      split: test\n    metrics:\n", file);
    fprintf(file, "    - type: accuracy\n      value: %.6g\n      name: accuracy after the last epoch\n",
            export_accuracy(last));
    fprintf(file, "    - type: loss\n      value: %.9g\n      name: cross entropy after the last epoch\n",
            last->validation_loss);
}

static void write_heading(FILE *file, const struct export_job *job, const struct record *record)
{
    fputs("---\n", file);
    if (job->license != NULL && strstr(job->license, "://") == NULL) {
        fputs("license: ", file);
        yaml_text(file, job->license);
        fputc('\n', file);
    } else if (job->license != NULL) {
        fputs("license: other\nlicense_link: ", file);
        yaml_text(file, job->license);
        fputc('\n', file);
    }
    fputs("library_name: selfsame\npipeline_tag: image-classification\ntags:\n- resnet\n- reproducibility\n", file);
    if (record->manifest.dataset_kind == DATASET_CIFAR10)
        fputs("datasets:\n- uoft-cs/cifar10\n", file);
    fputs("metrics:\n- accuracy\n", file);
    write_result(file, record);
    fputs("---\n\n", file);
}

/* ---- the text ---------------------------------------------------------------------------------------------------- */

static void write_summary(FILE *file, const struct export_job *job, const struct record *record)
{
    const struct metrics_row *last = &record->metrics[record->epochs - 1];
    const char *mark = manifest_test_mark(&record->manifest, record->facts.validation_data_sha256);
    char state[RECORD_STATE_BYTES];
    fputs("# ", file);
    markdown_text(file, record->name);
    fputs("\n\n", file);
    markdown_text(file, record->manifest.description != NULL ? record->manifest.description : "");
    fprintf(file,
            "\n\nA residual network of depth %" PRIu64 " with %" PRIu64 " parameters, trained on %s with seed %" PRIu64
            ". The run is %s: %zu of %" PRIu64 " epochs.\n",
            record->facts.depth, record->facts.parameters, export_dataset_name(record), record->facts.seed,
            record_state_text(record, state), record->epochs, record->facts.epochs_wanted);
    if (job->author != NULL) {
        fputs("Trained by ", file);
        markdown_text(file, job->author);
        fputs(".\n", file);
    }
    fprintf(file,
            "\n## Results\n\n| | |\n|---|---|\n| test error after the last epoch | **%.2f %%** (%" PRIu64 " of %" PRIu64
            ") |\n| lowest test error of all epochs | %.2f %% (epoch %" PRIu64 ") |\n| test loss | %.6g |\n"
            "| training error in the last epoch | %.2f %% |\n",
            last->validation_error, last->validation_errors, last->validation_images,
            record->facts.result.best_validation_error, record->facts.result.best_epoch + 1, last->validation_loss,
            last->training_error);
    for (size_t i = 0; i < record->manifest.target_count; i++) {
        const struct manifest_target *target = &record->manifest.targets[i];
        fprintf(file, "| published, %s | %.2f %% (", target->best ? "best epoch" : "last epoch", target->value);
        markdown_text(file, target->source != NULL ? target->source : "");
        fputs(") |\n", file);
    }
    fputs("\nThe test error was measured after every epoch. The lowest one is chosen by the test images, so it is too "
          "good.\n",
          file);
    if (mark != NULL) {
        fputs("\n**These errors were measured on other test data:** ", file);
        markdown_text(file, mark);
        fputs("\n", file);
    }
}

static void write_repeat(FILE *file, const struct record *record)
{
    const struct record_facts *facts = &record->facts;
    const struct metrics_row *last = &record->metrics[record->epochs - 1];
    fputs("\n## Repeat it\n\n", file);
    if (facts->exact)
        fprintf(file, "The run's arithmetic is `%s`: the same manifest gives the same bits on any machine.",
                facts->arithmetic);
    else
        fputs("The run's arithmetic is fast: another machine gets other bits.", file);
    fputs(" With the run's `manifest.yaml`:\n\n    selfsame train manifest.yaml", file);
    if (record->epochs < facts->epochs_wanted)
        fprintf(file, " --epochs %zu", record->epochs);
    fputc('\n', file);
    if (facts->exact)
        fprintf(file,
                "\nThe weights then have this digest, which `selfsame inspect weights.safetensors` prints, too:\n\n"
                "    %s\n",
                last->weights_sha256);
}

static void add_setting(void *context, const char *key, const char *value)
{
    FILE *file = context;
    row(file, key, value);
}

static enum status write_tables(FILE *file, const struct record *record, struct error *error)
{
    const struct record_facts *facts = &record->facts;
    fputs("\n## Training\n\n| setting | value |\n|---|---|\n", file);
    enum status status = export_parameters(record, add_setting, file, error);
    fputs("\n## Where it was computed\n\n| | |\n|---|---|\n", file);
    row(file, "program", facts->program_version);
    row(file, "engine", facts->engine_description);
    row(file, "processor", facts->host_cpu);
    row(file, "system", facts->host_system);
    row(file, "compiler", facts->program_compiler);
    fprintf(file, "| time | %.0f s in %" PRIu64 " sessions, until ", facts->wall_seconds, facts->sessions);
    markdown_text(file, facts->time_updated);
    fputs(" |\n\n## Digests (SHA-256)\n\n| | |\n|---|---|\n", file);
    fprintf(
        file,
        "| weights | `%s` |\n| chain over all epochs and steps | `%s` |\n| experiment | `%s` |\n| manifest | `%s` |\n",
        record->metrics[record->epochs - 1].weights_sha256, record->metrics[record->epochs - 1].chain_sha256,
        facts->experiment_sha256, facts->manifest_sha256);
    fprintf(file, "| training images | `%s` |\n| test images | `%s` |\n", facts->training_data_sha256,
            facts->validation_data_sha256);
    return status;
}

static void write_limits(FILE *file, const struct record *record)
{
    fprintf(
        file,
        "\n## Use and limits\n\nThe network tells ten classes apart in images of 32 by 32 pixels that look like those "
        "of %s. It is for studying training and reproducibility, and for nothing that matters to people. One seed is "
        "one run: another seed moves the error by some tenths of a point.\n",
        export_dataset_name(record));
}

enum status export_model_card(const struct export_job *job, struct error *error)
{
    const struct record *record = job->records[0];
    char *text = NULL;
    size_t bytes;
    if (record->epochs == 0)
        return error_set(error, STATUS_INPUT, "%s has no whole epoch yet, and so no result for a card", record->shown);
    FILE *file = open_memstream(&text, &bytes);
    if (file == NULL)
        return error_out_of_memory(error, "the card of %s", record->shown);
    write_heading(file, job, record);
    write_summary(file, job, record);
    write_repeat(file, record);
    enum status status = write_tables(file, record, error);
    write_limits(file, record);
    if (fclose(file) != 0 && status == STATUS_OK)
        status = error_out_of_memory(error, "the card of %s", record->shown);
    if (status == STATUS_OK)
        status = export_file(job, job->out, text, bytes, error);
    free(text);
    return status;
}

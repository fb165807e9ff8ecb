#include "check/support/made_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct manifest made_manifest(const char *more)
{
    struct manifest manifest;
    struct error error = { STATUS_OK, "" };
    char text[1024];
    snprintf(text, sizeof text, "inherit: quick/resnet20.yaml\nname: made\n%s\n", more);
    if (manifest_read_text(text, strlen(text), "made.yaml", &manifest, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    return manifest;
}

void made_run_fill(struct made_run *run, size_t n, const char *more, double final_error, char bits)
{
    struct record *record = &run->record;
    record->manifest = made_manifest(more);
    record->metrics = run->metrics;
    record->epochs = MADE_EPOCHS;
    record->facts.epochs_wanted = MADE_EPOCHS;
    record->facts.arithmetic = "exact-1";
    record->facts.exact = true;
    record->facts.manifest_name = "made";
    record->facts.depth = 20;
    memcpy(record->facts.validation_data_sha256, record->manifest.test_sha256, DIGEST_HEX_BYTES);
    record->facts.name = record->facts.host_name = record->facts.time_started = "";
    snprintf(record->name, sizeof record->name, "made-seed%zu", n);
    snprintf(record->shown, sizeof record->shown, "runs/made-seed%zu", n);
    for (size_t e = 0; e < MADE_EPOCHS; e++) {
        run->metrics[e] = (struct metrics_row){ .epoch = e,
                                                .end_step = e + 1,
                                                .validation_error = e + 1 == MADE_EPOCHS ? final_error : 5.0,
                                                .validation_errors = (uint64_t)(final_error * 100.0),
                                                .validation_images = 10000,
                                                .training_seconds = (double)(n + 1) };
        memset(run->metrics[e].weights_sha256, bits, DIGEST_HEX_BYTES - 1);
    }
}

void made_run_free(struct made_run *run)
{
    manifest_free(&run->record.manifest);
}

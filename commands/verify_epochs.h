/* Epochs of a run, computed again from its checkpoints and held against its record. */
#ifndef SELFSAME_VERIFY_EPOCHS_H
#define SELFSAME_VERIFY_EPOCHS_H

#include "commands/command.h"
#include "results/record.h"

/* What --epoch or --sample and --beacon say. STATUS_NO names the first step or the epoch that comes out otherwise. */
enum status verify_epochs(const struct record *record, const struct arguments *arguments, struct error *error) MUST_USE;

#endif

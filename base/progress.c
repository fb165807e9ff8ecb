#include "base/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

static const double window_s = 30.0, redraw_s = 0.1, line_s = 60.0;

void progress_open(struct progress *progress, const char *unit)
{
    memset(progress, 0, sizeof *progress);
    progress->unit = unit;
    progress->terminal = isatty(STDERR_FILENO) == 1;
    progress->shown_s = clock_seconds();
}

void progress_restart(struct progress *progress)
{
    progress->sample_count = 0;
}

void progress_clear(struct progress *progress)
{
    if (!progress->drawn)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    progress->drawn = false;
}

/* The sample from which to the last one the speed is measured: the oldest within the window. Returns the last one's
 * place, and the same for both before there is anything to measure. */
static size_t window_of(const struct progress *progress, double now, size_t *first)
{
    const size_t kept = progress->sample_count < PROGRESS_SAMPLES ? progress->sample_count : PROGRESS_SAMPLES,
                 last = (progress->sample_count - 1) % PROGRESS_SAMPLES;
    *first = last;
    for (size_t i = 1; i < kept; i++) {
        const size_t at = (progress->sample_count - 1 - i) % PROGRESS_SAMPLES;
        if (now - progress->samples[at].time_s > window_s)
            break;
        *first = at;
    }
    return last;
}

const char *progress_time(double seconds, char text[PROGRESS_TIME_BYTES])
{
    uint64_t s = (uint64_t)(seconds + 0.5);
    if (s < 60)
        snprintf(text, PROGRESS_TIME_BYTES, "%" PRIu64 " s", s);
    else if (s < 3600)
        snprintf(text, PROGRESS_TIME_BYTES, "%" PRIu64 " min %02" PRIu64 " s", s / 60, s % 60);
    else
        snprintf(text, PROGRESS_TIME_BYTES, "%" PRIu64 " h %02" PRIu64 " min", s / 3600, s / 60 % 60);
    return text;
}

/* Below ten with a decimal, unless the unit is counted in whole numbers. */
static void format_amount(const struct progress *progress, double amount, char text[64])
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    const char *unit = progress->unit;
    size_t i = 0;
    for (; unit == NULL && amount >= 999.5 && i + 1 < sizeof units / sizeof *units; i++)
        amount /= 1000.0;
    const uint64_t tenths = (uint64_t)(10.0 * amount + 0.5);
    if (tenths < 100 && (unit != NULL || i > 0))
        snprintf(text, 64, "%u.%u %s", (unsigned)(tenths / 10), (unsigned)(tenths % 10),
                 unit != NULL ? unit : units[i]);
    else
        snprintf(text, 64, "%" PRIu64 " %s", (tenths + 5) / 10, unit != NULL ? unit : units[i]);
}

/* The bar has what the longest label and the longest tail leave, so that its ends stay where they are. */
static void draw(struct progress *progress, const char *label, uint64_t done, uint64_t total, const char *tail)
{
    enum { TAIL_WIDTH = 38, BAR_MIN = 8, BAR_MAX = 40 };
    char line[512], bar[BAR_MAX + 1];
    const int columns = text_columns(STDERR_FILENO), room = columns - 1 - (int)progress->label_width - TAIL_WIDTH - 4,
              width = room > BAR_MAX ? BAR_MAX : room;
    if (width >= BAR_MIN) {
        const int filled = total > 0 ? (int)((double)width * (double)done / (double)total) : 0;
        memset(bar, '.', (size_t)width);
        memset(bar, '#', (size_t)(filled < width ? filled : width));
        bar[width] = '\0';
        fprintf(stderr, "\r\033[K%-*s [%s] %.*s", (int)progress->label_width, label, bar,
                columns - 1 - (int)progress->label_width - width - 4, tail);
    } else {
        snprintf(line, sizeof line, "%s %s", label, tail);
        fprintf(stderr, "\r\033[K%.*s", columns - 1, line);
    }
    fflush(stderr);
    progress->drawn = true;
}

static void take_sample(struct progress *progress, double now, uint64_t units, uint64_t done)
{
    const size_t place = progress->sample_count % PROGRESS_SAMPLES,
                 last = (progress->sample_count + PROGRESS_SAMPLES - 1) % PROGRESS_SAMPLES;
    if (progress->sample_count > 0 && now - progress->samples[last].time_s <= window_s / PROGRESS_SAMPLES)
        return;
    progress->samples[place].time_s = now;
    progress->samples[place].units = units;
    progress->samples[place].done = done;
    progress->sample_count++;
}

void progress_report(struct progress *progress, const char *label, uint64_t units, uint64_t done, uint64_t total)
{
    const double now = clock_seconds();
    char shown[256], tail[192], left[48] = "", share[64], speed[64];
    take_sample(progress, now, units, done);
    if (now - progress->shown_s < (progress->terminal ? redraw_s : line_s))
        return;
    progress->shown_s = now;
    size_t first, last = window_of(progress, now, &first),
                  width = text_escape(shown, sizeof shown, TEXT_TERMINAL, label);
    const double seconds = progress->samples[last].time_s - progress->samples[first].time_s,
                 gone = (double)(progress->samples[last].done - progress->samples[first].done);
    progress->label_width = width > progress->label_width ? width : progress->label_width;
    if (seconds > 0.0 && gone > 0.0 && total >= done)
        progress_time((double)(total - done) * seconds / gone, left);
    if (total > 0)
        snprintf(share, sizeof share, "%3u %%", (unsigned)(100.0 * (double)done / (double)total));
    else
        format_amount(progress, (double)units, share);
    format_amount(progress,
                  seconds > 0.0 ? (double)(progress->samples[last].units - progress->samples[first].units) / seconds
                                : 0.0,
                  speed);
    snprintf(tail, sizeof tail, "%s%s%s%s%s%s", share, seconds > 0.0 ? ", " : "", seconds > 0.0 ? speed : "",
             seconds > 0.0 ? "/s" : "", left[0] != '\0' ? ", left " : "", left);
    if (progress->terminal)
        draw(progress, shown, done, total, tail);
    else
        fprintf(stderr, "%s: %s\n", shown, tail);
}

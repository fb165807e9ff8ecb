#include "base/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"

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

/* Units per second over the window, or 0 before there is anything to measure. */
static double rate_of(const struct progress *progress, double now)
{
    size_t kept = progress->sample_count < PROGRESS_SAMPLES ? progress->sample_count : PROGRESS_SAMPLES;
    if (kept < 2)
        return 0.0;
    size_t last = (progress->sample_count - 1) % PROGRESS_SAMPLES, first = last;
    for (size_t i = 1; i < kept; i++) {
        size_t at = (progress->sample_count - 1 - i) % PROGRESS_SAMPLES;
        if (now - progress->samples[at].time_s > window_s)
            break;
        first = at;
    }
    double seconds = progress->samples[last].time_s - progress->samples[first].time_s;
    return seconds > 0.0 ? (double)(progress->samples[last].done - progress->samples[first].done) / seconds : 0.0;
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

static void format_amount(const struct progress *progress, double amount, char *text, size_t size)
{
    static const char *const units[] = { "B", "kB", "MB", "GB" };
    int unit = 0;
    if (progress->unit != NULL) {
        snprintf(text, size, "%.0f %s", amount, progress->unit);
        return;
    }
    for (; amount >= 1000.0 && unit < 3; unit++)
        amount /= 1000.0;
    snprintf(text, size, "%.*f %s", amount < 10.0 && unit > 0 ? 1 : 0, amount, units[unit]);
}

static int terminal_columns(void)
{
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void draw(struct progress *progress, const char *label, uint64_t done, uint64_t total, const char *tail)
{
    char line[512], bar[41];
    int columns = terminal_columns(), room = columns - 1 - (int)strlen(label) - (int)strlen(tail) - 4;
    int width = room > 40 ? 40 : room;
    if (width >= 8) {
        int filled = total > 0 ? (int)((uint64_t)width * done / total) : 0;
        memset(bar, '.', (size_t)width);
        memset(bar, '#', (size_t)filled);
        bar[width] = '\0';
        snprintf(line, sizeof line, "%s [%s] %s", label, bar, tail);
    } else {
        snprintf(line, sizeof line, "%s %s", label, tail);
    }
    fprintf(stderr, "\r\033[K%.*s", columns - 1, line);
    fflush(stderr);
    progress->drawn = true;
}

void progress_report(struct progress *progress, const char *label, uint64_t done, uint64_t total)
{
    double now = clock_seconds();
    size_t place = progress->sample_count % PROGRESS_SAMPLES;
    if (progress->sample_count == 0 ||
        now - progress->samples[(progress->sample_count - 1) % PROGRESS_SAMPLES].time_s > window_s / PROGRESS_SAMPLES) {
        progress->samples[place].time_s = now;
        progress->samples[place].done = done;
        progress->sample_count++;
    }
    if (now - progress->shown_s < (progress->terminal ? redraw_s : line_s))
        return;
    progress->shown_s = now;
    char tail[256], left[PROGRESS_TIME_BYTES] = "", all[PROGRESS_TIME_BYTES] = "", share[32], speed[64];
    double rate = rate_of(progress, now);
    if (rate > 0.0 && total >= done)
        progress_time((double)(total - done) / rate, left);
    if (left[0] != '\0' && progress->afterwards > 0.0)
        progress_time(((double)(total - done) + progress->afterwards) / rate, all);
    if (total > 0)
        snprintf(share, sizeof share, "%3.0f %%", 100.0 * (double)done / (double)total);
    else
        format_amount(progress, (double)done, share, sizeof share);
    format_amount(progress, rate, speed, sizeof speed);
    snprintf(tail, sizeof tail, "%s, %s/s%s%s%s%s", share, speed, left[0] != '\0' ? ", left " : "", left,
             all[0] != '\0' ? ", all runs " : "", all);
    if (progress->terminal)
        draw(progress, label, done, total, tail);
    else
        fprintf(stderr, "%s: %s\n", label, tail);
}

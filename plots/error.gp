# The error of runs by epoch, with the published curves. `selfsame plot` sets these and loads this file:
#
#   runs, file[], title[]          a run's lines "epochs_done training_error validation_error", percent
#   every                          from mark to mark, epochs
#   training, single               1: the training errors are drawn, too; 1: no run has a second epoch, so there are no lines
#   curves, curve_file[], curve_title[], curve_style[]   published curves, lines "epochs_done error"; the run that each belongs to
#   targets, target[], target_label[], target_style[]    published values, percent; where their labels are; the run that each belongs to
#   target_title                   what they are called
#   rates, rate_begin[], rate_label[]   the learning rates, if all runs have the same ones, and where each begins: the first at the left edge
#   x_low, x_high, y_low, y_high, heading

set title heading offset 0,0.6
set xlabel "training done (epochs)" offset 0,0.6
set ylabel "validation error (% of the test images)" offset 0.6,0
set xrange [x_low:x_high]
set yrange [y_low:y_high]
set rmargin targets > 0 ? 7 : 3
if (x_high - x_low <= 12) { set xtics 1 }

# The learning rate, above the frame: each value where it begins.
do for [i=1:rates] {
    if (i > 1) { set arrow from rate_begin[i], graph 0 to rate_begin[i], graph 1.05 nohead linecolor rgb fine linewidth 1.2 dashtype (2, 3) back }
    set label rate_label[i] at rate_begin[i], graph 1.03 left offset (i > 1 ? 0.4 : 0),0 textcolor rgb quiet font small
}
do for [i=1:targets] {
    s = style_of(target_style[i])
    set arrow from graph 0, first target[i] to graph 1, first target[i] nohead linecolor rgb hue(s) linewidth 0.9 dashtype (14, 6) back
    set label sprintf("%.2f", target[i]) at graph 1.02, first target_label[i] left textcolor rgb hue(s) point linestyle of_run + s offset 0.6,0
}

# A loop without a turn is still looked at once, so that these are parts that may be left out.
curve_part = 'for [i=1:curves] curve_file[i] using 1:2 with lines linestyle of_published + style_of(curve_style[i]) notitle,'
curve_marks = 'for [i=1:curves] curve_file[i] using 1:2 every every::(every / 2 + (curve_style[i] - 1) * every / runs) with points linestyle of_published + style_of(curve_style[i]) notitle,'
curve_keys = ', for [i=1:curves] NaN with linespoints linestyle of_published + style_of(curve_style[i]) title curve_title[i]'
training_kind = single ? 'points' : 'lines'
training_part = 'for [i=1:runs] file[i] using 1:2 with @training_kind linestyle of_training + style_of(i) notitle,'
training_key = ', NaN with @training_kind linestyle of_ink title "training error, in the colour of its run"'
target_key = ', NaN with lines linecolor rgb ink linewidth 0.9 dashtype (14, 6) title target_title'
if (curves == 0) { curve_part = ''; curve_marks = ''; curve_keys = '' }
if (training == 0) { training_part = ''; training_key = '' }
if (targets == 0) { target_key = '' }

# Marks of different runs are not at the same epochs.
plot @curve_part @curve_marks @training_part \
     for [i=1:runs] file[i] using 1:3 with lines linestyle of_run + style_of(i) notitle, \
     for [i=1:runs] file[i] using 1:3 every every::((i - 1) * every / runs) with points linestyle of_run + style_of(i) notitle, \
     for [i=1:runs] NaN with linespoints linestyle of_run + style_of(i) title title[i] @curve_keys @training_key @target_key

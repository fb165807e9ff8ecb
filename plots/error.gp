# The validation-error figure, full and zoomed. `selfsame plot` sets the variables and loads this file in gnuplot 5.2 or later:
#
#   runs, title[], colour[], file[]        a run's lines "epoch training_error validation_error", percent
#   curves, curve_title[], curve_colour[], curve_file[], curve_column[]   published curves: tables with a heading, epochs from 0
#   targets, target[], target_label[], target_colour[]   published values, percent, and where their labels stand
#   drops, drop[]                          how many epochs were done when the learning rate fell
#   x_low, x_high, y_low, y_high, heading
#
# Terminal and output are set before.

set border 3 lc rgb "#444444"
set tics nomirror out tc rgb "#222222"
set grid ytics lc rgb "#e4e4e4" lt 1 lw 0.6
set xlabel "epochs done"
if (x_high - x_low < 22) { set xtics 1 }
set ylabel "error (%)"
set title heading
set xrange [x_low:x_high]
set yrange [y_low:y_high]
set key top right opaque fc rgb "#ffffff" box lc rgb "#cccccc" spacing 1.15 samplen 3 width 1
set rmargin 9
set datafile missing "nan"

do for [i=1:drops] {
    set arrow from drop[i], graph 0 to drop[i], graph 1 nohead lc rgb "#bbbbbb" lw 1 dt 3 back
}
do for [i=1:targets] {
    if (target[i] > y_low && target[i] < y_high) {
        set arrow from graph 0, first target[i] to graph 1, first target[i] nohead lc rgb target_colour[i] lw 0.8 back
        set label sprintf("%.2f", target[i]) at graph 1.008, first target_label[i] left tc rgb target_colour[i] font ",9"
    }
}

# A loop without a turn is still looked at once, so the curves are a part that may be left out.
curve_part = 'for [i=1:curves] curve_file[i] using (column("epoch") + 1):(column(curve_column[i])) with lines lw 1.4 dt 2 lc rgb curve_colour[i] title curve_title[i],'
if (curves == 0) { curve_part = '' }
published_part = ', NaN with lines lw 0.8 lc rgb "#444444" title "published value"'
if (targets == 0) { published_part = '' }

plot @curve_part \
     for [i=1:runs] file[i] using 1:2 with lines lw 1.4 dt 3 lc rgb colour[i] notitle, \
     for [i=1:runs] file[i] using 1:3 with linespoints pt 7 ps (x_high - x_low < 40 ? 0.5 : 0.01) lw 2 lc rgb colour[i] title title[i], \
     NaN with lines lw 1.4 dt 3 lc rgb "#444444" title "training error" @published_part

# A chart. selfsame sets these, loads this file, and then plots the series with the styles of style.gp:
#
#   heading, x_label, y_label, x_log, y_log, x_low, x_high, y_low, y_high

set title heading offset 0, 0.2
set xlabel x_label offset 0, 0.6
set ylabel y_label offset 0.6, 0
if (x_log) { set logscale x 10 }
if (y_log) { set logscale y 10 }
set format y '%g'
set xrange [x_low:x_high]
set yrange [y_low:y_high]
set rmargin 4
set style fill transparent solid 0.3 noborder

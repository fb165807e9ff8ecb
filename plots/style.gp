# How every figure looks: the one place for colours, dashes and marks. selfsame loads it first; gnuplot 5.2 or later.
#
# Given: small (the font of quiet letters), dark (1: light lines on a dark ground), palette_file (a file for the pairs of
# colours; '' for none).
#
# Run i (from 1, up to 28) has a colour, a dash and a mark of its own, so that two runs also differ in black and white,
# and to an eye that sees fewer colours. What was published is a broad band in a tint of its run's colour, below
# everything else. Every colour of a line has a contrast of at least 3 to its ground, and of a letter at least 4.5.

styles = 28
hues = 7
# The ground, letters, quiet letters, axes, fine lines, the grid; then the lines, and then their tints.
array light_colour[20] = ["#ffffff", "#222222", "#555555", "#444444", "#777777", "#dddddd", \
    "#00568c", "#b84a00", "#00734f", "#8e3a6b", "#000000", "#7a5c00", "#1b74b0", \
    "#4a98c9", "#de7a3c", "#1fa67e", "#c77ba9", "#8a8a8a", "#a98c1e", "#5e93b3"]
array dark_colour[20] = ["#15191e", "#e8eaed", "#b8bec6", "#9aa3ad", "#858d97", "#353b43", \
    "#6cb6ff", "#ffa266", "#4fd1a0", "#ee9fd0", "#f2f2f2", "#e6c84a", "#a9d8f5", \
    "#3d6f9e", "#a3602f", "#2c8463", "#9a5f85", "#787d84", "#8b7a26", "#5c7f96"]
colour(i) = dark ? dark_colour[i] : light_colour[i]
if (palette_file ne '') {
    set print palette_file
    do for [i=1:20] { print light_colour[i], ' ', dark_colour[i] }
    unset print
}
ink = colour(2)
quiet = colour(3)
fine = colour(5)
hue(i) = colour(7 + (i - 1) % hues)
tint(i) = colour(7 + hues + (i - 1) % hues)
marks = 14
array full_mark[marks] = [7, 5, 9, 13, 11, 2, 3, 6, 4, 8, 12, 10, 1, 14]
array hollow_mark[marks] = [6, 4, 8, 12, 10, 1, 14, 2, 3, 7, 5, 9, 13, 11]
# Dashes are long, since curves of errors are jagged.
set linetype 101 dashtype solid
set linetype 102 dashtype (16, 5)
set linetype 103 dashtype (16, 4, 3, 4)
set linetype 104 dashtype (7, 4)

# A style's number is the run's and one of these.
of_run = 0
of_published = 100  # the curve that was published about a run
of_training = 200   # a run's training error
of_others = 300     # other people's values
of_edge = 400       # the edges of a band
of_ink = 500        # the training error in the ink's colour, for legends
do for [i=1:styles] {
    d = 101 + (i - 1) % 4
    m = 1 + (i - 1) % marks
    set style line of_run + i linetype d linewidth 1.8 linecolor rgb hue(i) pointtype full_mark[m] pointsize 0.8
    set style line of_published + i linetype 101 linewidth 4.5 linecolor rgb tint(i) pointtype full_mark[m] pointsize 1.3
    set style line of_training + i linetype 101 dashtype (2, 3) linewidth 1.6 linecolor rgb hue(i) pointtype 2 pointsize 1
    set style line of_others + i linetype d linewidth 1.2 linecolor rgb hue(i) pointtype hollow_mark[m] pointsize 1
    set style line of_edge + i linetype d linewidth 0.8 linecolor rgb tint(i)
}
set style line of_ink linetype 101 dashtype (2, 3) linewidth 1.6 linecolor rgb ink pointtype 2 pointsize 1
# Which of them run i has.
style_of(i) = 1 + (i - 1) % styles

if (dark) { set object 1 rectangle from screen 0, 0 to screen 1, 1 behind fillcolor rgb colour(1) fillstyle solid noborder }
set border 3 linecolor rgb colour(4)
set tics nomirror out textcolor rgb ink
set grid ytics linecolor rgb colour(6) linetype 1 linewidth 0.6
set xlabel textcolor rgb ink
set ylabel textcolor rgb ink
set title textcolor rgb ink
set datafile missing "nan"
# Below the axes, where no curve is.
# gnuplot takes a letter for wider than it is, and would begin a long line of the legend outside of the figure: width -6.
set key bmargin center vertical Left reverse samplen 2.6 spacing 1.1 width -6 textcolor rgb ink title ' ' font ',6'

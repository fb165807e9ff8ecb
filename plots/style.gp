# How every figure looks. A script loads it once, after the terminal is set; gnuplot 5.2 or later.
#
# Run i (from 1) has a colour, a dash and a full mark of its own, so that two runs also differ in black and white. The published curve that belongs to
# it is a broad band in a tint of its colour with the same mark, larger, below everything else.

styles = 7
array style_colour[styles] = ["#00568C", "#B84A00", "#00734F", "#8E3A6B", "#000000", "#7A5C00", "#1F7FC0"]
array style_tint[styles]   = ["#8CC3E8", "#F7B98A", "#7FD1B4", "#E5B3D0", "#BDBDBD", "#E8CB6A", "#B9DDF5"]
array style_mark[styles]   = [7, 5, 9, 13, 11, 2, 3]
# Dashes are long, since curves of errors are jagged.
set linetype 101 dashtype solid
set linetype 102 dashtype (16, 5)
set linetype 103 dashtype (16, 4, 3, 4)
set linetype 104 dashtype (7, 4)

do for [i=1:styles] {
    d = 101 + (i - 1) % 4
    set style line i linetype d linewidth 1.8 linecolor rgb style_colour[i] pointtype style_mark[i] pointsize 0.8
    set style line 20 + i linetype 101 linewidth 4.5 linecolor rgb style_tint[i] pointtype style_mark[i] pointsize 1.3
    set style line 40 + i linetype 101 dashtype (2, 3) linewidth 1.6 linecolor rgb style_colour[i] pointtype 2 pointsize 1
}
# Which of them run i has.
style_of(i) = 1 + (i - 1) % styles

ink = "#222222"
set border 3 linecolor rgb "#444444"
set tics nomirror out textcolor rgb ink
set grid ytics linecolor rgb "#dddddd" linetype 1 linewidth 0.6
set xlabel textcolor rgb ink
set ylabel textcolor rgb ink
set title textcolor rgb ink
set datafile missing "nan"
# Below the axes, where no curve is.
set key bmargin center vertical Left reverse samplen 2.6 spacing 1.1 width 0 textcolor rgb ink

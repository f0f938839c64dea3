// Copyright The ttrpc Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// A figure is a plot of results.
type figure struct {
	file, title string
	draw        func(p *plot.Plot, r *results) error
}

var plots = []*figure{
	{"size.svg", "Time of a call by one caller, client and server in one process", drawSizes},
	{"callers.svg", "Time of a call of 64 B by the number of callers on a connection", func(p *plot.Plot, r *results) error {
		return drawCallers(p, r, "Callers/size=64/callers=%d", unitTime, "time of all calls ÷ calls")
	}},
	{"p99.svg", "99 of 100 calls of 64 B are answered within", func(p *plot.Plot, r *results) error {
		return drawCallers(p, r, "Latency/callers=%d", unitP99, "p99")
	}},
	{"memory.svg", "A server's memory of a connection, or of an open stream", func(p *plot.Plot, r *results) error {
		p.Y.Label.Text = "heap and stacks, kB"
		return drawBars(p, r, sides, memoryBars, unitServerMemory, 60)
	}},
	{"cpu.svg", "CPU time of a call at 10,000 calls a second, both processes", func(p *plot.Plot, r *results) error {
		p.Y.Label.Text = "µs"
		return drawBars(p, r, sides, cpuBars, unitCPU, 200)
	}},
	{"channels.svg", "Time of a message of 64 B by channels of libchan, and by what else there is", func(p *plot.Plot, r *results) error {
		p.Y.Label.Text = "µs"
		return drawBars(p, r, channelSides, channelBars, unitTime, 100)
	}},
	{"stubs.svg", "Half of calls of 64 B by gRPC's stubs are answered within, client and server in two processes", func(p *plot.Plot, r *results) error {
		p.Y.Label.Text = "µs"
		return drawBars(p, r, stubSides, stubBars, unitP50, 500)
	}},
}

// The size of a plot and, right of it, its legend.
const (
	plotWidth   = 17 * vg.Centimeter
	legendWidth = 5 * vg.Centimeter
	plotHeight  = 11 * vg.Centimeter
)

func writePlots(r *results, dir string) (err error) {
	plot.DefaultFont.Variant = "Sans"
	for _, f := range plots {
		if e := f.write(r, filepath.Join(dir, f.file)); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", f.file, e))
		}
	}
	return err
}

func (f *figure) write(r *results, path string) error {
	p := plot.New()
	p.Title.Text = f.title
	p.Title.TextStyle.Font.Size = 14
	p.Title.Padding = 8
	p.BackgroundColor = color.White // for dark pages
	if err := f.draw(p, r); err != nil {
		return err
	}
	legend := p.Legend
	legend.Top, legend.Left, legend.Padding = true, true, 3
	p.Legend = plot.NewLegend()

	svg := vgsvg.New(plotWidth+legendWidth, plotHeight)
	canvas := draw.New(svg)
	canvas.SetColor(color.White)
	canvas.Fill(canvas.Rectangle.Path())
	p.Draw(draw.Crop(canvas, 0, -legendWidth, 0, 0))
	legend.Draw(draw.Crop(canvas, plotWidth+vg.Centimeter/2, 0, 0, -vg.Centimeter))

	var b bytes.Buffer
	if _, err := svg.WriteTo(&b); err != nil {
		return err
	}
	// Arial is as wide.
	text := bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:Liberation Sans,Arial,sans-serif;"))
	return os.WriteFile(path, text, 0o644)
}

func drawSizes(p *plot.Plot, r *results) error {
	p.X.Label.Text = "bytes of request and answer"
	return drawLines(p, r, sizes[1:], bytesLabel, func(size int) string {
		return fmt.Sprintf("Unary/size=%d/processes=1", size)
	}, unitTime, "time")
}

func drawCallers(p *plot.Plot, r *results, format, unit, label string) error {
	p.X.Label.Text = "callers"
	return drawLines(p, r, []int{1, 8, 64, 512, 1000, 4096, 10000}, countLabel, func(callers int) string {
		if name := fmt.Sprintf(format, callers); callers > 1 || len(r.values(name, oursName, unit)) > 0 {
			return name
		}
		return "Unary/size=64/processes=1"
	}, unit, label)
}

// drawLines draws a line for each side, on logarithmic axes.
func drawLines(p *plot.Plot, r *results, xs []int, xLabel func(int) string, row func(x int) string, unit, yLabel string) error {
	p.Y.Label.Text = yLabel
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Scale = plot.LogScale{}
	}
	var ticks plot.ConstantTicks
	for _, x := range xs {
		ticks = append(ticks, plot.Tick{Value: float64(x), Label: xLabel(x)})
	}
	p.X.Tick.Marker = ticks
	p.Add(plotter.NewGrid())
	low, high := math.Inf(1), 0.0
	for _, s := range sides {
		var points plotter.XYs
		for _, x := range xs {
			if y, _, ok := r.median(row(x), s.name, unit); ok && y > 0 {
				points = append(points, plotter.XY{X: float64(x), Y: y})
				low, high = min(low, y), max(high, y)
			}
		}
		if len(points) == 0 {
			continue
		}
		line, dots, err := plotter.NewLinePoints(points)
		if err != nil {
			return err
		}
		line.Color, line.Width = s.color, 1.5
		dots.Color, dots.Shape, dots.Radius = s.color, draw.CircleGlyph{}, 2
		if s.name == floorName {
			line.Dashes = []vg.Length{4, 3}
		}
		p.Add(line, dots)
		p.Legend.Add(s.title, line, dots)
	}
	p.Y.Tick.Marker = plot.TickerFunc(func(_, _ float64) (ticks []plot.Tick) {
		for e := math.Floor(math.Log10(low)); math.Pow(10, e) <= high; e++ {
			y := math.Pow(10, e)
			ticks = append(ticks, plot.Tick{Value: y, Label: tickLabel(y)})
			for i := 2.0; i < 10; i++ {
				ticks = append(ticks, plot.Tick{Value: i * y})
			}
		}
		return ticks
	})
	if high == 0 { // there are no results
		low, high = 1, 10
	}
	// A logarithmic axis wants some length, however few the results are.
	p.X.Min, p.X.Max = float64(xs[0]), float64(xs[len(xs)-1])
	p.Y.Min, p.Y.Max = low/1.2, high*1.2
	return nil
}

// tickLabel tells a time that is a power of ten.
func tickLabel(ns float64) string {
	s := scaleOf(ns, unitTime)
	return strconv.FormatFloat(ns/s.factor, 'g', -1, 64) + s.name
}

// A bar is a row that is drawn as bars, one for each side.
type bar struct{ row, label string }

var (
	memoryBars = []bar{
		{"Memory/kind=idle/n=1000", "connected"},
		{"Memory/kind=called-64/n=1000", "after a call of 64 B"},
		{"Memory/kind=called-65536/n=1000", "after a call of 64 KiB"},
		{"Memory/kind=stream/n=1000", "open stream"},
	}
	cpuBars     = []bar{{"Rate/rate=10000", "64 B"}}
	channelBars = []bar{
		{"Channel/kind=oneway", "one way"},
		{"Channel/kind=roundtrip", "there and back"},
		{"Channel/kind=return", "return channel"},
	}
	stubBars = []bar{
		{"Stubs/calls/over=unix/size=64", "unix"},
		{"Stubs/calls/over=tcp/size=64", "TCP"},
		{"Stubs/calls/over=tls/size=64", "TCP+TLS"},
	}
)

// drawBars draws groups of bars. One that is longer than the longest that is to be
// shown says so.
func drawBars(p *plot.Plot, r *results, of []*side, bars []bar, unit string, longest float64) error {
	shown := slices.DeleteFunc(slices.Clone(of), func(s *side) bool {
		return !slices.ContainsFunc(bars, func(b bar) bool { return len(r.values(b.row, s.name, unit)) > 0 })
	})
	labels := make([]string, len(bars))
	for i, b := range bars {
		labels[i] = b.label
	}
	p.NominalX(labels...)
	width := (plotWidth - 2*vg.Centimeter) / vg.Length(len(bars)*(len(shown)+1)+1)
	for i, s := range shown {
		values := make(plotter.Values, len(bars))
		cut := plotter.XYLabels{XYs: make(plotter.XYs, len(bars)), Labels: make([]string, len(bars))}
		for j, b := range bars {
			v, _, _ := r.median(b.row, s.name, unit)
			values[j] = min(max(v/1e3, 0), longest)
			cut.XYs[j] = plotter.XY{X: float64(j), Y: values[j]}
			if v/1e3 > longest {
				cut.Labels[j] = formatValue(v, unit)
			}
		}
		chart, err := plotter.NewBarChart(values, width)
		if err != nil {
			return err
		}
		chart.Color, chart.LineStyle.Width = s.color, 0
		chart.Offset = width * (vg.Length(i) - vg.Length(len(shown)-1)/2)
		lengths, err := plotter.NewLabels(cut)
		if err != nil {
			return err
		}
		for j := range lengths.TextStyle {
			style := &lengths.TextStyle[j]
			style.Font.Variant, style.Color = plot.DefaultFont.Variant, color.White
			style.Rotation, style.XAlign, style.YAlign = math.Pi/2, draw.XRight, draw.YCenter
		}
		lengths.Offset = vg.Point{X: chart.Offset, Y: -4}
		p.Add(chart, lengths)
		p.Legend.Add(s.title, chart)
	}
	p.Y.Min = 0
	return nil
}

// Command png writes the picture that it reads with 256 colours of their own, which is a third of
// the bytes and looks the same: pages have few colours, and the edges of letters the rest.
package main

import (
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"slices"
)

func main() {
	full, err := png.Decode(os.Stdin)
	if err == nil {
		err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(os.Stdout, reduce(full))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "png:", err)
		os.Exit(1)
	}
}

// reduce takes the commonest colours, none of them near another, and for each other one
// the nearest of them.
func reduce(full image.Image) *image.Paletted {
	b := full.Bounds()
	count := map[color.RGBA]int{}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			count[at(full, x, y)]++
		}
	}
	all := make([]color.RGBA, 0, len(count))
	for c := range count {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(number(a), number(b)))
	})
	var palette color.Palette
	for near := 24; len(palette) < 256 && near >= 0; near -= 8 {
		for _, c := range all {
			if len(palette) < 256 && (len(palette) == 0 || distance(c, palette[palette.Index(c)].(color.RGBA)) > near*near) {
				palette = append(palette, c)
			}
		}
	}
	nearest := map[color.RGBA]uint8{}
	small := image.NewPaletted(b, palette)
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := at(full, x, y)
			i, known := nearest[c]
			if !known {
				i = uint8(palette.Index(c)) //nolint:gosec // there are 256
				nearest[c] = i
			}
			small.SetColorIndex(x, y, i)
		}
	}
	return small
}

func at(m image.Image, x, y int) color.RGBA {
	return color.RGBAModel.Convert(m.At(x, y)).(color.RGBA)
}

func number(c color.RGBA) int { return int(c.R)<<16 | int(c.G)<<8 | int(c.B) }

func distance(a, b color.RGBA) int {
	r, g, bl := int(a.R)-int(b.R), int(a.G)-int(b.G), int(a.B)-int(b.B)
	return r*r + g*g + bl*bl
}

package metrics

// What the tests need to know: names of figures, which there are, and the names of
// distributions.
var (
	FigureName = figureName
	Listed     = listed
	Told       = func() (names []string) {
		for _, d := range distributions() {
			names = append(names, d.name)
		}
		return names
	}
)

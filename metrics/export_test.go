package metrics

// FigureName is figureName, and Listed listed, for the tests.
var (
	FigureName = figureName
	Listed     = listed
)

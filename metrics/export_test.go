package metrics

// FigureName is figureName for the tests.
var FigureName = figureName

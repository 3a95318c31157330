package config

import "strings"

// maxKeyLength bounds the search and the text that a hopeless key causes.
const maxKeyLength = 100

// nearest is the one of known that key was most likely meant to be. A key in the
// wrong section is near too, and so is one that only lacks its beginning or end.
func nearest(key string, known []string) string {
	key = strings.ToLower(key[:min(len(key), maxKeyLength)])
	last := key[strings.LastIndexByte(key, '.')+1:]
	best, bestScore, bestWhole := "", 0, 0
	for _, k := range known {
		lower := strings.ToLower(k)
		whole := editDistance(key, lower)
		score := min(whole, editDistance(last, lower[strings.LastIndexByte(lower, '.')+1:])+1)
		if len(last) > 2 && strings.Contains(lower, last) {
			score = min(score, 2)
		}
		if best == "" || score < bestScore || score == bestScore && whole < bestWhole {
			best, bestScore, bestWhole = k, score, whole
		}
	}
	return best
}

// editDistance counts the bytes to insert, delete or replace (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// Package targets measures the figures of the specification that Holdfast
// implements, each under a stated load, and compares them with their targets.
// What each figure means stands in docs/performance.md.
package targets

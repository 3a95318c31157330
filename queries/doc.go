// Package queries has what Holdfast tells of the statements that a program has
// run: how often, how long, with how many rows and steps, by which plan, from
// where. Values are in none of it. It is data alone: it opens nothing and asks
// nobody; holdfast.DB.Queries and holdfast.AskQueries return it.
package queries

// Package integrity says how a database is: at once, from what is known without
// reading it (Observer, Judge), and for certain, by reading all of it (Verifier).
package integrity

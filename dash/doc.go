// Package dash shows a database to people: who waits for whom, which statements cost
// what, how large the log is and why, and what to do next. It is an http.Handler for
// the program's own server:
//
//	mux.Handle("/debug/holdfast/", http.StripPrefix("/debug/holdfast", dash.Handler(db)))
//
// Nobody but this machine gets an answer unless WithAuth or WithPublic is given, and
// nothing can be changed unless WithActions is given besides WithAuth. Pages are HTML that
// needs no script, in English and German, and each is JSON too (?format=json). Scripts
// and style sheets are in the program; nothing is loaded from elsewhere.
//
// A page reads what the library has counted anyway. It takes a reader for a moment at most,
// holds nothing while it is written, ends after three seconds, and is made once a second
// however many look at it. While nobody looks nothing is done.
//
// No page shows a value of a statement.
package dash

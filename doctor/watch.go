package doctor

// watched is what the system tells of other processes.
type watched struct {
	still   bool  // nothing changed while the files were read
	sees    bool  // the table of locks and the open files of others can be seen
	users   []int // processes that have the database open or locked; 0 stands for one without a name
	gone    []openedGone
	readers map[int]int // slot of the -shm with a read lock, and its process (-1 if it isn't told)
	writer  int         // process that has the log's write lock, or 0
	writes  bool        // a writer has the database, so its journal is no left-over
}

// openedGone is a process that has a deleted file open under a name of this
// database.
type openedGone struct {
	pid  int
	name string
}

// used tells whether the database is in use; a database of which this can't be
// seen counts as in use.
func (w watched) used() bool { return !w.sees || len(w.users) > 0 }

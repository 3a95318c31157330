package writer

import "github.com/holdfastdb/holdfast/internal/sqlite"

// visit is what the connection is to be shown to.
type visit struct {
	next func(*sqlite.Conn) // nil if there is nothing; guarded by mu
	now  func(*sqlite.Conn) // the baton owner's
}

// Visit has fn called with the write connection, outside of any transaction, by whoever
// has the baton: here if nobody has it, else when it is handed on between two groups. It
// is not called if there is no connection then. Called again before that, only the later
// fn counts. fn leaves the connection as it was and is quick: the queue is waiting.
func (w *Writer) Visit(fn func(*sqlite.Conn)) {
	w.mu.Lock()
	w.visit.next = fn
	if w.owned || w.closed {
		w.mu.Unlock()
		return
	}
	w.owned = true
	w.mu.Unlock()
	w.proceed()
}

// visited takes what the connection is to be shown to, if there is a connection. Called
// with mu held by the owner of the baton, outside of any group.
func (w *Writer) visited() bool {
	w.visit.now, w.visit.next = w.visit.next, nil
	return w.visit.now != nil && w.conn != nil
}

func (w *Writer) show() { w.visit.now(w.conn) }

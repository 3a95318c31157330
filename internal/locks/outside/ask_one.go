//go:build unix && !aix && !darwin

package outside

// askOfProcess is a question that is not asked here: only Darwin tells of the
// locks of one process.
const askOfProcess = 0

const oneHolder = "this system names one holder of each lock: others may hold the same read lock, a lock that belongs to an open file (OFD) has no process, " +
	"and who has the database open without a lock is not listed; \"fstat FILE\" or \"lsof FILE\" names all who have it open"

func everybody() []int32 { return nil }

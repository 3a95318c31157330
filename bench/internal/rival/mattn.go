package rival

func mattns() []Contestant {
	return inSetups("mattn", "github.com/mattn/go-sqlite3", openMattn, mattnMissing)
}

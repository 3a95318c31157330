package dbfile

// Space is what a volume has room for.
type Space struct {
	Free  int64 // bytes that an ordinary user may still write
	Total int64
}

// SpaceOf asks how much room there is on the volume of dir, without opening
// anything. Where the system doesn't tell, the error answers to
// errors.ErrUnsupported.
func SpaceOf(dir string) (Space, error) { return spaceOf(dir) }

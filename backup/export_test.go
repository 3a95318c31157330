package backup

// OnStep has f called at each fault point.
func (o *RestoreOptions) OnStep(f func(name string)) { o.step = f }

// TwoNames acts as on systems that can't exchange two files.
func (o *RestoreOptions) TwoNames() { o.twoNames = true }

// Room is what there seems to be on the volume.
func (o *RestoreOptions) Room(bytes int64) {
	o.free = func(string) (int64, error) { return bytes, nil }
}

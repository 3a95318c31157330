//go:build !linux

package memory

func kernel() []Reserve { return nil }

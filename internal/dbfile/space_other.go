//go:build !linux && !darwin && !freebsd && !windows

package dbfile

import "errors"

func spaceOf(string) (Space, error) { return Space{}, errors.ErrUnsupported }

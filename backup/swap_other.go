//go:build !linux && !darwin

package backup

import "errors"

func swapNames(string, string) error { return errors.ErrUnsupported }

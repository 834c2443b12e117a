package testhost

import (
	"errors"

	"github.com/google/go-cmp/cmp"
)

func diff(want, got string) error {
	if d := cmp.Diff(want, got); d != "" {
		return errors.New(d)
	}
	return nil
}

package linux

import (
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// What comes back from the kernel and from iptables is made sense of in this file and nowhere else. Every
// error of this package that has to do with the state of the machine wraps one of these numbers, for errors.Is:
//
//	unix.EEXIST      it is there already
//	unix.ENOENT      a namespace, file or chain is not there
//	unix.ENODEV      a link is not there
//	unix.EBUSY       it is in use
//	unix.EPERM       not allowed; root and CAP_NET_ADMIN are needed
//	unix.EOPNOTSUPP  the running kernel was built without it: a *FeatureError

// FeatureError says that the running kernel lacks something.
type FeatureError struct {
	Feature string // "veth"
	Option  string // the option of the kernel's build that has it: "CONFIG_VETH"
	err     error
}

func (e *FeatureError) Error() string {
	return fmt.Sprintf("this kernel has no %s (%s): %v", e.Feature, e.Option, e.err)
}

// Unwrap gives the kernel's own error.
func (e *FeatureError) Unwrap() []error { return []error{unix.EOPNOTSUPP, e.err} }

// netlinkError is a refusal by the kernel, with its own explanation where it gave one (NLMSGERR_ATTR_MSG,
// kernel 4.12 and later).
type netlinkError struct {
	errno unix.Errno
	text  string
}

func (e *netlinkError) Error() string {
	if e.text == "" {
		return e.errno.Error()
	}
	return e.errno.Error() + ": " + e.text
}
func (e *netlinkError) Unwrap() error { return e.errno }

// ErrTorn is the end of a dump that was interrupted each time it was asked for.
var ErrTorn = errors.New("the kernel's tables changed during each of many readings")

// lacking turns "not supported" into the name of what the kernel lacks. EOPNOTSUPP is what creating a link
// of an unknown kind gives, EAFNOSUPPORT an address of a family that is switched off.
func lacking(err error, feature, option string) error {
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return &FeatureError{Feature: feature, Option: option, err: err}
	}
	return err
}

// absent reports whether the error says that the thing to be deleted, or what it was in, is gone already.
func absent(err error) bool {
	for _, e := range []error{unix.ENOENT, unix.ENODEV, unix.ESRCH, unix.EADDRNOTAVAIL, unix.ENXIO} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// gone is nil where the error says that there was nothing to delete.
func gone(err error) error {
	if absent(err) {
		return nil
	}
	return err
}

// restoreError makes sense of what iptables-restore printed. The versions 1.8 (nft and legacy) and
// 1.6 say it in different words, and legacy often says only "line 3 failed".
func restoreError(text string) error {
	words := []struct {
		text  string
		errno unix.Errno
	}{
		{"Chain already exists", unix.EEXIST},
		{"File exists", unix.EEXIST},
		{"No chain/target/match by that name", unix.ENOENT},
		{"does a matching rule exist", unix.ENOENT},
		{"No such file or directory", unix.ENOENT},
		{"does not exist", unix.ENOENT},
		{"Device or resource busy", unix.EBUSY},
		{"Too many links", unix.EBUSY},
		{"Directory not empty", unix.EBUSY},
		{"Permission denied", unix.EPERM},
		{"Operation not permitted", unix.EPERM},
		{"table does not exist (do you need to insmod?)", unix.EOPNOTSUPP},
	}
	text = firstLine(text)
	for _, w := range words {
		if strings.Contains(text, w.text) {
			return fmt.Errorf("%w: %s", w.errno, text)
		}
	}
	if text == "" {
		text = "iptables-restore failed and printed nothing"
	}
	return errors.New(text)
}

// firstLine is the first line that says something, without the program's name.
func firstLine(s string) string {
	for line := range strings.Lines(s) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "Try `") || strings.HasPrefix(line, "Error occurred at line") {
			continue
		}
		if name, rest, ok := strings.Cut(line, ": "); ok && strings.Contains(name, "tables") {
			line = rest
		}
		return line
	}
	return ""
}

// Package topogen draws random topology files, and random changes of them, for
// property tests (pgregory.net/rapid). A file is drawn as a value, [File], and
// handed out as YAML, so that the whole road from the text on is tested; every
// file that it gives is valid.
package topogen

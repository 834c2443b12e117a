package transfer

import (
	"context"
	"errors"
	"io"
)

// Copy copies a file or a folder with all that is in it.
func Copy(ctx context.Context, from Tree, source string, to Tree, target string, o Options) error {
	src, err := from.source(source, o.Follow)
	if err != nil {
		return err
	}
	defer src.dir.Close()
	dir, name, err := to.target(target, src)
	if err != nil {
		return err
	}
	defer dir.Close()
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := pack(w, from, src, name, o)
		w.CloseWithError(err)
		packed <- err
	}()
	err = unpack(ctx, r, to, dir, o)
	r.CloseWithError(errStopped)
	// What could not be read is the cause of what could not be written, and the other way round.
	if perr := <-packed; perr != nil && !errors.Is(perr, errStopped) {
		return perr
	}
	return err
}

// errStopped: nobody takes what is packed any more.
var errStopped = errors.New("stopped")

// Pack writes a file or a folder as a tar stream.
func Pack(ctx context.Context, from Tree, source string, w io.Writer, o Options) error {
	src, err := from.source(source, o.Follow)
	if err != nil {
		return err
	}
	defer src.dir.Close()
	return pack(writer{ctx, w}, from, src, src.name, o)
}

// Unpack puts what a tar stream has into a folder that is there.
func Unpack(ctx context.Context, r io.Reader, to Tree, target string, o Options) error {
	p, err := to.source(target, true)
	if err != nil {
		return err
	}
	if !p.info.IsDir() {
		return errors.Join(notFolder(target), p.dir.Close())
	}
	dir, err := p.folder()
	if err != nil {
		return err
	}
	defer dir.Close()
	return unpack(ctx, r, to, dir, o)
}

// reader and writer end with their context.
type (
	reader struct {
		ctx context.Context
		io.Reader
	}
	writer struct {
		ctx context.Context
		io.Writer
	}
)

// Read reads unless the context has ended.
func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// Write writes unless the context has ended.
func (w writer) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.Writer.Write(p)
}

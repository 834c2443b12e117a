package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"golang.org/x/sys/unix"
)

// Progress is how far a pull is.
type Progress struct {
	Reference     string
	Layer, Layers int   // the layer under way, from 1
	Done, Total   int64 // bytes of all layers as they are sent; what the store has already is done
}

// tries is how often a pull is tried: with the pauses between, a registry may be away for some seconds.
const tries = 4

// Current gives the digest that a reference names now; it asks the registry.
func (s *Store) Current(ctx context.Context, q Query) (string, error) {
	r, err := parse(q)
	if err != nil {
		return "", err
	}
	if r.remote == nil {
		if err := r.checkLocal(); err != nil {
			return "", err
		}
	}
	var digest string
	err = s.patiently(ctx, func() (err error) {
		digest, err = r.current(ctx)
		return err
	})
	return digest, err
}

// Pull fetches what a reference names, with the layers that the store lacks: what [Store.Current] gave as digest, or, with "",
// what it names now. report, if not nil, hears of it as it goes on, in this goroutine.
func (s *Store) Pull(ctx context.Context, q Query, digest string, report func(Progress)) (Image, error) {
	r, err := parse(q)
	if err != nil {
		return Image{}, err
	}
	if r.remote == nil {
		if err := r.checkLocal(); err != nil {
			return Image{}, err
		}
	}
	release, err := s.lock(ctx, "pull.lock", unix.LOCK_EX)
	if err != nil {
		return Image{}, err
	}
	defer release()
	// Nobody else pulls: this is what a pull left that was cut short.
	if err := os.RemoveAll(s.tmp()); err != nil {
		return Image{}, err
	}
	if report == nil {
		report = func(Progress) {}
	}
	var img Image
	err = s.patiently(ctx, func() (err error) {
		img, err = s.fetch(ctx, r, digest, report)
		return err
	})
	return img, err
}

// patiently tries again after what may pass, a little later each time.
func (s *Store) patiently(ctx context.Context, f func() error) error {
	pause := s.pause
	for try := 1; ; try++ {
		err := f()
		if err == nil || try == tries || !temporary(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		pause *= 2
	}
}

// temporary reports whether another try may do better: the network, or a registry that is overworked.
func temporary(err error) bool {
	var answer *transport.Error
	if errors.As(err, &answer) {
		return answer.Temporary() || answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode >= http.StatusInternalServerError
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// Denied reports whether an error is a registry's that asks for other credentials. Some have 401 for an image that they don't have.
func Denied(err error) bool {
	var answer *transport.Error
	return errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden)
}

// fetch gets the image, layer by layer; then the store knows it.
func (s *Store) fetch(ctx context.Context, r reference, wanted string, report func(Progress)) (Image, error) {
	digest, source, err := r.at(wanted).source(ctx)
	if err != nil {
		return Image{}, err
	}
	if wanted != "" && digest != wanted {
		return Image{}, fmt.Errorf("it is %s now, and was %s when that was to be fetched", digest, wanted)
	}
	raw, err := source.RawConfigFile()
	if err != nil {
		return Image{}, err
	}
	named, err := source.ConfigName()
	if err != nil {
		return Image{}, err
	}
	id, _, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return Image{}, err
	}
	if id != named {
		return Image{}, fmt.Errorf("the config has the digest %s, and should have %s", id, named)
	}
	img := Image{Reference: r.text, For: r.foreign, Digest: digest, ID: id.String(), Pulled: time.Now().UTC()}
	var is v1.Platform
	if img.Layers, is, img.Config, err = readConfig(raw); err != nil {
		return Image{}, err
	}
	if err := r.checkPlatform(is); err != nil {
		return Image{}, err
	}
	img.Platform = platformText(is)
	layers, err := source.Layers()
	if err != nil {
		return Image{}, err
	}
	if len(layers) != len(img.Layers) {
		return Image{}, fmt.Errorf("the image has %d layers, and its config says %d", len(layers), len(img.Layers))
	}
	if img.Size, err = s.fetchLayers(ctx, r, img, layers, report); err != nil {
		return Image{}, err
	}
	if err := s.writeJSON(s.configFile(img.ID), img); err != nil {
		return Image{}, err
	}
	return img, s.writeJSON(s.refFile(img), img)
}

func (s *Store) fetchLayers(ctx context.Context, r reference, img Image, layers []v1.Layer, report func(Progress)) (size int64, err error) {
	at := Progress{Reference: img.Reference, Layers: len(layers)}
	sizes := make([]int64, len(layers))
	for i, l := range layers {
		if r.file != "" {
			break // an archive's layers have no size until they are compressed, which nobody needs
		}
		if sizes[i], err = l.Size(); err != nil {
			return 0, err
		}
		at.Total += sizes[i]
	}
	var done int64
	for i, l := range layers {
		at.Layer = i + 1
		n, err := s.fetchLayer(ctx, r, l, img.Layers[i], func(n int) {
			at.Done += int64(n)
			report(at)
		})
		if err != nil {
			return 0, fmt.Errorf("layer %s: %w", img.Layers[i], err)
		}
		size += n
		if r.file == "" {
			// Of a layer that was there already nothing was read.
			done += sizes[i]
			at.Done = done
		}
		report(at)
	}
	return size, nil
}

func (s *Store) fetchLayer(ctx context.Context, r reference, l v1.Layer, diffID string, read func(int)) (size int64, err error) {
	if fileName(diffID) == noDigest {
		return 0, errors.New("the digest is not one of sha256")
	}
	if size, err := s.layerSize(diffID); err == nil {
		return size, nil
	}
	var content io.ReadCloser
	if r.file != "" {
		if content, err = l.Uncompressed(); err == nil {
			content = countedReader{content, read}
		}
	} else {
		// What is sent may be compressed in one of several ways: the library finds out which.
		if l, err = partial.CompressedToLayer(countedLayer{l, read}); err == nil {
			content, err = l.Uncompressed()
		}
	}
	if err != nil {
		return 0, err
	}
	defer content.Close()
	return s.unpack(ctx, content, diffID)
}

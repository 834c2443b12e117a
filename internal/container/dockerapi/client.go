package dockerapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/client"
)

// Client talks to an engine.
type Client struct {
	api     *client.Client
	address string
	podman  bool
}

// Where engines listen, where DOCKER_HOST doesn't say it.
const (
	dockerSocket = "/var/run/docker.sock"
	podmanSocket = "/run/podman/podman.sock"
)

const unixScheme = "unix://"

// Address tells where the engine listens: DOCKER_HOST, which may be "", else Docker's socket, else Podman's. It is a Unix
// socket, since an engine on another machine has neither the namespaces of this one nor its folders: any other DOCKER_HOST is an
// *ElsewhereError. Where there is no socket, it is an *UnreachableError.
func Address(dockerHost string) (string, error) {
	if dockerHost != "" {
		if path, ok := strings.CutPrefix(dockerHost, unixScheme); !ok || path == "" {
			return "", &ElsewhereError{dockerHost}
		}
		return dockerHost, nil
	}
	for _, path := range []string{dockerSocket, podmanSocket} {
		if _, err := os.Stat(path); err == nil {
			return unixScheme + path, nil
		}
	}
	return "", &UnreachableError{unixScheme + dockerSocket, fmt.Errorf("%w, nor %s", fs.ErrNotExist, podmanSocket)}
}

// ElsewhereError says that DOCKER_HOST names an engine that is not reached by a Unix socket.
type ElsewhereError struct{ DockerHost string }

func (e *ElsewhereError) Error() string {
	return "DOCKER_HOST " + e.DockerHost + ": only an engine of this machine can run containers, by unix:///PATH"
}

// UnreachableError says that no engine answers, or that this user may not ask it: then it is an fs.ErrPermission.
type UnreachableError struct {
	Address string
	Err     error
}

func (e *UnreachableError) Error() string {
	return "asking the engine at " + e.Address + ": " + e.Err.Error()
}
func (e *UnreachableError) Unwrap() error { return e.Err }

// Open connects to the engine at an address. The error is an *UnreachableError where none answers.
func Open(ctx context.Context, address string) (*Client, error) {
	api, err := client.New(client.WithHost(address), client.WithUserAgent("topo"))
	if err != nil {
		return nil, err
	}
	version, err := api.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		api.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &UnreachableError{address, cause(address, err)}
	}
	podman := slices.ContainsFunc(version.Components, func(c system.ComponentVersion) bool { return strings.HasPrefix(c.Name, "Podman") })
	return &Client{api, address, podman}, nil
}

// cause is why an engine can't be reached: the client's own words hide it.
func cause(address string, err error) error {
	conn, derr := net.Dial("unix", strings.TrimPrefix(address, unixScheme))
	if derr == nil {
		return errors.Join(err, conn.Close())
	}
	var errno syscall.Errno
	if errors.As(derr, &errno) {
		return errno
	}
	return derr
}

// Address is where the engine listens.
func (c *Client) Address() string { return c.address }

// Close ends the connection.
func (c *Client) Close() { _ = c.api.Close() }

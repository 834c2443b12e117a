package dockerapi

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
)

// withHealth adds an image's health check to what Podman says of it: through Docker's API Podman 4.3 keeps it to itself, its
// own (https://docs.podman.io/en/latest/_static/api.html) tells it.
func (c *Client) withHealth(ctx context.Context, id string, raw []byte) ([]byte, error) {
	var own struct{ HealthCheck json.RawMessage }
	if err := c.libpod(ctx, "images/"+url.PathEscape(id)+"/json", &own); err != nil {
		return nil, fmt.Errorf("reading the health check of image %s: %w", id, err)
	}
	var image, config map[string]json.RawMessage
	if err := json.Unmarshal(raw, &image); err != nil {
		return nil, err
	}
	if own.HealthCheck == nil || image["Config"] == nil {
		return raw, nil
	}
	if err := json.Unmarshal(image["Config"], &config); err != nil {
		return nil, err
	}
	config["Healthcheck"] = own.HealthCheck
	var err error
	if image["Config"], err = json.Marshal(config); err != nil {
		return nil, err
	}
	return json.Marshal(image)
}

// libpod asks Podman's own API.
func (c *Client) libpod(ctx context.Context, path string, answer any) error {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return c.api.Dialer()(ctx) }
	transport := &http.Transport{DialContext: dial}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://podman/v4.0.0/libpod/"+path, nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", response.Status)
	}
	return json.NewDecoder(response.Body).Decode(answer)
}

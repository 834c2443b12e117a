package dockerapi

import (
	"context"

	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/client"
)

// Started calls started with the node of each container of a project that is started, by anybody, until ctx ends or the
// engine does. It calls it with "" once it listens.
func (c *Client) Started(ctx context.Context, project string, started func(node string)) error {
	filters := make(client.Filters).Add("type", string(events.ContainerEventType)).Add("label", projectLabel+"="+project)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream := c.api.Events(ctx, client.EventsListOptions{Filters: filters})
	started("")
	for {
		select {
		case e := <-stream.Messages:
			if node := e.Actor.Attributes[nodeLabel]; node != "" && (e.Action == events.ActionStart || e.Action == events.ActionRestart) {
				started(node)
			}
		case err := <-stream.Err:
			return err
		}
	}
}

package container

import "context"

func (n *node) check(ctx context.Context) { <-ctx.Done() }

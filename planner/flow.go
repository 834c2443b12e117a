package planner

import "topo/internal/kernel"

// joinFlows joins what the rules of a unit have the kernel forget: before all rules are removed what fences kept in, after all are made
// what does not follow them. So the rules between are one transaction, and the flows are read once.
func joinFlows(halves []*half) {
	var gone *kernel.FlowsDelete
	var renewed *kernel.FlowsRenew
	for _, h := range halves {
		if o, ok := first(h.ops).(kernel.FlowsDelete); ok {
			h.ops = h.ops[1:]
			if gone == nil {
				gone = &kernel.FlowsDelete{Family: o.Family}
			}
			gone.Subnets = append(gone.Subnets, o.Subnets...)
		}
		if o, ok := last(h.ops).(kernel.FlowsRenew); ok {
			h.ops = h.ops[:len(h.ops)-1]
			if renewed == nil {
				renewed = &kernel.FlowsRenew{Family: o.Family}
			}
			renewed.Ports = append(renewed.Ports, o.Ports...)
		}
	}
	if gone != nil {
		halves[0].ops = append([]kernel.Op{*gone}, halves[0].ops...)
	}
	if renewed != nil {
		end := halves[len(halves)-1]
		end.ops = append(end.ops, *renewed)
	}
}

func first(ops []kernel.Op) kernel.Op {
	if len(ops) == 0 {
		return nil
	}
	return ops[0]
}

func last(ops []kernel.Op) kernel.Op {
	if len(ops) == 0 {
		return nil
	}
	return ops[len(ops)-1]
}

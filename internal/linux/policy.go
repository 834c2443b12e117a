package linux

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"topo/internal/kernel"
)

// ruleActions are the numbers of the types of policy rules (linux/fib_rules.h).
var ruleActions = map[string]uint8{"": unix.FR_ACT_TO_TBL, "blackhole": unix.FR_ACT_BLACKHOLE, "unreachable": unix.FR_ACT_UNREACHABLE, "prohibit": unix.FR_ACT_PROHIBIT}

// policyRuleAdd looks by itself whether the rule is there: to NLM_F_EXCL one for all packets is the same as one for some of them
// (rule_exists in net/core/fib_rules.c compares no source that it isn't given).
func (h *Host) policyRuleAdd(o kernel.PolicyRuleAdd) error {
	return h.in(o.Netns, func(c *conn) error {
		there, err := readPolicyRules(c)
		if err != nil {
			return err
		}
		if slices.Contains(there, o.PolicyRule) {
			return unix.EEXIST
		}
		req := nl.NewNetlinkRequest(unix.RTM_NEWRULE, unix.NLM_F_CREATE)
		addPolicyRule(req, o.PolicyRule)
		option := "CONFIG_IP_MULTIPLE_TABLES"
		if o.Family == kernel.IPv6 {
			option = "CONFIG_IPV6_MULTIPLE_TABLES"
		}
		return lacking(c.change(req, fmt.Sprintf("RTM_NEWRULE %s %d", o.Family, o.Priority)), "policy rules", option)
	})
}

func (h *Host) policyRuleDelete(o kernel.PolicyRuleDelete) error {
	return gone(h.in(o.Netns, func(c *conn) error {
		req := nl.NewNetlinkRequest(unix.RTM_DELRULE, 0)
		addPolicyRule(req, o.PolicyRule)
		err := c.change(req, fmt.Sprintf("RTM_DELRULE %s %d", o.Family, o.Priority))
		if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) {
			return unix.ENOENT // a kernel without tables, of this family or of both, has no rules, either
		}
		return err
	}))
}

// addPolicyRule puts a rule in a message. struct fib_rule_hdr is laid out as struct rtmsg is; the action is where that has its type.
func addPolicyRule(req *nl.NetlinkRequest, r kernel.PolicyRule) {
	header := nl.NewRtMsg()
	header.Protocol, header.Scope = 0, 0
	header.Table = unix.RT_TABLE_UNSPEC // FRA_TABLE holds numbers over 255, too
	header.Type = ruleActions[r.Type]
	header.Family = unix.AF_INET
	if r.Family == kernel.IPv6 {
		header.Family = unix.AF_INET6
	}
	req.AddData(header)
	prefix := func(kind int, p netip.Prefix, length *uint8) {
		if p.IsValid() {
			*length = uint8(p.Bits())
			req.AddData(nl.NewRtAttr(kind, p.Addr().AsSlice()))
		}
	}
	prefix(unix.FRA_SRC, r.From, &header.Src_len)
	prefix(unix.FRA_DST, r.To, &header.Dst_len)
	req.AddData(numberAttr(unix.FRA_PRIORITY, uint32(r.Priority)))
	if r.In != "" {
		req.AddData(textAttr(unix.FRA_IIFNAME, r.In))
	}
	if r.Out != "" {
		req.AddData(textAttr(unix.FRA_OIFNAME, r.Out))
	}
	if r.Mask != 0 {
		req.AddData(numberAttr(unix.FRA_FWMARK, r.Mark))
		req.AddData(numberAttr(unix.FRA_FWMASK, r.Mask))
	}
	if r.Table != 0 {
		req.AddData(numberAttr(unix.FRA_TABLE, uint32(r.Table)))
	}
	req.AddData(nl.NewRtAttr(unix.FRA_PROTOCOL, []byte{kernel.Protocol}))
}

// readPolicyRules reads topo's own rules of a namespace. Other people's are none of its business.
func readPolicyRules(c *conn) ([]kernel.PolicyRule, error) {
	var rules []kernel.PolicyRule
	header := nl.NewRtMsg()
	header.Family = unix.AF_UNSPEC
	header.Table, header.Protocol, header.Scope, header.Type = 0, 0, 0, 0
	err := c.dump(unix.RTM_GETRULE, header,
		func() { rules = nil },
		func(body []byte) error {
			if r, ok := parsePolicyRule(body); ok {
				rules = append(rules, r)
			}
			return nil
		})
	kernel.SortPolicyRules(rules)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil, nil // built without them
	}
	return rules, err
}

// parsePolicyRule reads a struct fib_rule_hdr with its attributes; not ok: it is not topo's.
func parsePolicyRule(body []byte) (r kernel.PolicyRule, ok bool) {
	if len(body) < unix.SizeofRtMsg {
		return r, false
	}
	switch body[0] {
	case unix.AF_INET:
		r.Family = kernel.IPv4
	case unix.AF_INET6:
		r.Family = kernel.IPv6
	default: // multicast routing has rules, too
		return r, false
	}
	r.More = body[3] != 0 || number(body[8:])&unix.FIB_RULE_INVERT != 0 // the type of service; "not"
	known := false
	for kind, action := range ruleActions {
		if action == body[7] {
			r.Type, known = kind, true
		}
	}
	r.More = r.More || !known
	for kind, value := range attributes(body[unix.SizeofRtMsg:]) {
		switch kind {
		case unix.FRA_SRC:
			r.From = netip.PrefixFrom(address(value), int(body[2]))
		case unix.FRA_DST:
			r.To = netip.PrefixFrom(address(value), int(body[1]))
		case unix.FRA_PRIORITY:
			r.Priority = number(value)
		case unix.FRA_IIFNAME:
			r.In = text(value)
		case unix.FRA_OIFNAME:
			r.Out = text(value)
		case unix.FRA_FWMARK:
			r.Mark = unsigned(value)
		case unix.FRA_FWMASK:
			r.Mask = unsigned(value)
		case unix.FRA_TABLE:
			r.Table = number(value)
		case unix.FRA_PROTOCOL:
			ok = len(value) > 0 && value[0] == kernel.Protocol
		case unix.FRA_SUPPRESS_PREFIXLEN, unix.FRA_SUPPRESS_IFGROUP:
			r.More = r.More || unsigned(value) != ^uint32(0)
		case unix.FRA_FLOW, unix.FRA_TUN_ID, unix.FRA_UID_RANGE, unix.FRA_IP_PROTO, unix.FRA_SPORT_RANGE, unix.FRA_DPORT_RANGE, unix.FRA_GOTO:
			r.More = true
		case unix.FRA_L3MDEV:
			r.More = r.More || len(value) > 0 && value[0] != 0
		}
	}
	return r, ok
}

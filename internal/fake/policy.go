package fake

import (
	"slices"
	"syscall"

	"topo/internal/kernel"
)

func (m *Machine) addPolicyRule(o kernel.PolicyRuleAdd) error {
	s, err := m.find(o.Netns)
	if err != nil {
		return err
	}
	if slices.Contains(s.rules, o.PolicyRule) {
		return syscall.EEXIST
	}
	s.rules = append(s.rules, o.PolicyRule)
	return nil
}

// deletePolicyRule removes the first that matches; what is not said matches all, as in the kernel.
func (m *Machine) deletePolicyRule(o kernel.PolicyRuleDelete) error {
	s, err := m.find(o.Netns)
	if err != nil {
		return errAbsent
	}
	at := slices.IndexFunc(s.rules, func(r kernel.PolicyRule) bool {
		w := o.PolicyRule
		return r.Family == w.Family && r.Priority == w.Priority && r.Type == w.Type && r.Table == w.Table &&
			(!w.From.IsValid() || r.From == w.From) && (!w.To.IsValid() || r.To == w.To) &&
			(w.In == "" || r.In == w.In) && (w.Out == "" || r.Out == w.Out) && (w.Mask == 0 || r.Mask == w.Mask && r.Mark == w.Mark)
	})
	if at < 0 {
		return errAbsent
	}
	s.rules = slices.Delete(s.rules, at, at+1)
	return nil
}

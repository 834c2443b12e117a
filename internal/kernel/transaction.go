package kernel

import "iter"

// Transactions splits ops into what is carried out as one, all of it or nothing: consecutive iptables ops of one family and
// table. Any other op is alone.
func Transactions(ops []Op) iter.Seq[[]Op] {
	return func(yield func([]Op) bool) {
		for begin := 0; begin < len(ops); {
			end := begin + 1
			for end < len(ops) && together(ops[begin], ops[end]) {
				end++
			}
			if !yield(ops[begin:end]) {
				return
			}
			begin = end
		}
	}
}

func together(a, b Op) bool {
	x, ok := a.(Iptables)
	y, ok2 := b.(Iptables)
	return ok && ok2 && x.Family == y.Family && x.Table == y.Table
}

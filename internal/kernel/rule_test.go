package kernel

import "testing"

func TestCanonicalIsOneFormOfEqualRules(t *testing.T) {
	const want = `-i br0 ! -o br1 -p tcp --dport 80 -m comment --comment topo:p:publish/web:80/tcp -m conntrack ! --ctstate DNAT,ESTABLISHED,RELATED -j DNAT --to-destination 10.0.0.2:80`
	for _, typed := range []string{
		want,
		`-p tcp -m tcp --dport 80 -i br0 ! -o br1 -m comment --comment "topo:p:publish/web:80/tcp" -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DNAT --to-destination 10.0.0.2:80`,
		`--protocol tcp --destination-port 80 --in-interface br0 -m comment --comment "topo:p:publish/web:80/tcp" -m conntrack ! --ctstate ESTABLISHED,RELATED,DNAT ! --out-interface br1 --jump DNAT --to-destination 10.0.0.2:80`,
	} {
		if got := Canonical(typed); got != want {
			t.Errorf("Canonical(%q)\n got %s\nwant %s", typed, got, want)
		}
	}
	if got := Canonical("-d 10.0.0.1/32 -s ::1/128 -j ACCEPT"); got != "-d 10.0.0.1 -s ::1 -j ACCEPT" {
		t.Error(got)
	}
	if got := Canonical(`-m comment --comment "a \"b\" -c" -j ACCEPT`); got != `-m comment --comment "a \"b\" -c" -j ACCEPT` {
		t.Error(got)
	}
}

func TestCanonicalKeepsDifferentRulesApart(t *testing.T) {
	rules := []string{
		"-i a -j ACCEPT", "-o a -j ACCEPT", "! -i a -j ACCEPT", "-i a -j DROP", "-i a -p tcp -j ACCEPT",
		"-i a -p tcp --dport 1 -j ACCEPT", "-i a -p udp --dport 1 -j ACCEPT", "-i a -p tcp --sport 1 -j ACCEPT",
		"-m a --x 1 -m b --y 2 -j A", "-m b --y 2 -m a --x 1 -j A", // iptables keeps them apart
		"-m addrtype --dst-type LOCAL -j A", "-m addrtype --src-type LOCAL -j A", "-j A",
	}
	seen := map[string]string{}
	for _, r := range rules {
		c := Canonical(r)
		if other, ok := seen[c]; ok {
			t.Errorf("%q and %q are both %q", r, other, c)
		}
		seen[c] = r
	}
}

func TestMarkOfARule(t *testing.T) {
	r := Rule{}
	r.Spec = Canonical(`-m comment --comment "topo:p:publish/web:80/tcp" -j A`)
	if got, want := r.Mark(), (Mark{"p", "publish/web:80/tcp"}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

package examples_test

import (
	"testing"

	"topo/internal/testhost"
)

func TestParts(t *testing.T) {
	t.Parallel()
	if testhost.Outside(t) {
		return
	}
	l := start(t, "parts/topo.yaml")
	if stock := l.topo("exec", "web", "curl", "--silent", "--fail", "http://store/stock"); stock != "12 apples\n" {
		t.Errorf("store has %q", stock)
	}
	l.shows(get("http://127.0.0.1:8080/common.yaml"), "server")
	l.shows(get("http://127.0.0.1:8081/common.yaml"), "server")
	if shelf := l.topo("exec", "store", "printenv", "SHELF", "LANG"); shelf != "left\nC.UTF-8\n" {
		t.Errorf("its variables are %q", shelf)
	}
	l.down()
}

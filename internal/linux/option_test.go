package linux

import (
	"os"
	"strings"
	"testing"
)

// TestOptionsAreDocumented: what a kernel may lack is in the table that users are shown.
func TestOptionsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/kernel.md")
	if err != nil {
		t.Fatal(err)
	}
	for option := range modules {
		if !strings.Contains(string(page), "`CONFIG_"+option+"`") {
			t.Errorf("docs/kernel.md does not name CONFIG_%s", option)
		}
	}
}

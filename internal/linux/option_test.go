package linux

import (
	"os"
	"regexp"
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
	// A kind whose option had no module was said to be there wherever it is built as one.
	for _, row := range regexp.MustCompile("(?m)^\\| `type: .*`CONFIG_([A-Z0-9_]+)`").FindAllStringSubmatch(string(page), -1) {
		if modules[row[1]] == "" {
			t.Errorf("which module has CONFIG_%s?", row[1])
		}
	}
}

// A WireGuard's module was not known, and any kernel that was built with modules was taken to have it.
func TestOptionsOfKindsHaveModules(t *testing.T) {
	for name, kind := range linkKinds {
		if modules[kind.option] == "" {
			t.Errorf("%s: the module of CONFIG_%s is not known", name, kind.option)
		}
	}
}

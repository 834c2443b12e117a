package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// architectures are those that Linux images are made for, in the words of Go (OCI image-spec, image-index), with the variants
// that they come in. The first variant is meant where none is stated; "" is one that images don't state.
var architectures = map[string][]string{
	"386": {""}, "amd64": {"", "v1", "v2", "v3", "v4"}, "arm": {"v7", "v5", "v6", "v8"}, "arm64": {"", "v8", "v9"}, "loong64": {""},
	"mips": {""}, "mips64": {""}, "mips64le": {""}, "mipsle": {""}, "ppc64": {""}, "ppc64le": {""}, "riscv64": {""}, "s390x": {""},
}

// otherWords are the words that others have for them; and the variants that are what is meant without one.
var otherWords = map[string]string{
	"i386": "386", "x86_64": "amd64", "x86-64": "amd64", "aarch64": "arm64", "armhf": "arm/v7", "armel": "arm/v6",
	"amd64/v1": "amd64", "arm64/v8": "arm64",
}

// ParsePlatform reads what an image is for: linux/ARCH[/VARIANT], as one word for each; "linux" alone is "", the machine's.
func ParsePlatform(text string) (string, error) {
	os, rest, _ := strings.Cut(strings.ToLower(text), "/")
	if os == "linux" && rest == "" && !strings.Contains(text, "/") {
		return "", nil
	}
	if word, ok := otherWords[rest]; ok {
		rest = word
	}
	arch, variant, stated := strings.Cut(rest, "/")
	variants, known := architectures[arch]
	if !stated && known {
		variant = variants[0]
	}
	if os != "linux" || !known || !slices.Contains(variants, variant) || stated && variant == "" {
		near := suggest(text, platforms())
		if known && near == "" {
			near = fmt.Sprintf(", did you mean %q?", "linux/"+arch)
		}
		return "", fmt.Errorf("platform %q is not linux/ARCH or linux/ARCH/VARIANT%s", text, near)
	}
	return strings.TrimSuffix("linux/"+arch+"/"+variant, "/"), nil
}

func platforms() []string {
	list := []string{"linux"}
	for _, arch := range slices.Sorted(maps.Keys(architectures)) {
		list = append(list, "linux/"+arch)
		for _, v := range architectures[arch] {
			if v != "" {
				list = append(list, "linux/"+arch+"/"+v)
			}
		}
	}
	return list
}

// platform reads that of a container's image.
func (r *resolver) platform(c *container, p *Process) {
	if !c.Platform.Set {
		return
	}
	if !c.Image.Set {
		r.add(c.Platform.Pos, "platform needs an image")
		return
	}
	var err error
	if p.Platform, err = ParsePlatform(c.Platform.Value); err != nil {
		r.add(c.Platform.Pos, "%v", err)
	}
	p.PlatformPos = c.Platform.Pos
}

package planner_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"topo/internal/fake"
	"topo/schema"
)

const editedYAML = `
name: p
bridges:
  app: {subnet: 10.1.0.0/24}
  db: {subnet: 10.2.0.0/24}
volumes:
  data: {}
containers:
  web:
    bridges: [app]
    command: [serve]
  other:
    bridges: [app]
    command: [serve]
    image: redis
  store:
    bridges: [app, db]
    command: [serve]
    volumes: ["data:/data"]
`

// TestAnEditTouchesOnlyWhatItChanges: for each key of a node, what an edit of it does to the node's process. Whatever it is, the
// node's namespace and all that is in it stay, and so does everything of the other nodes.
func TestAnEditTouchesOnlyWhatItChanges(t *testing.T) {
	const untouched, changed, replaced, gone = "", "~", "±", "-"
	edits := map[string]struct {
		yaml string // in the place of web's lines where it has a command, else besides them
		does string
	}{
		"bridges":           {"bridges: [app, db]\n    command: [serve]", untouched},
		"network_mode":      {"network_mode: none\n    command: [serve]", untouched},
		"scale":             {"scale: 1", gone}, // web-1 is another node
		"profiles":          {"profiles: [off]", gone},
		"ports":             {`ports: ["8080:80"]`, untouched},
		"links":             {"links: [other:o]", untouched},
		"routes":            {"routes: [{to: 192.0.2.0/24, via: 10.1.0.9}]", untouched},
		"rules":             {"rules: [{priority: 100, from: 10.1.0.9, table: 7}]", untouched},
		"forwarding":        {"forwarding: true", untouched},
		"sysctls":           {"sysctls: {net.ipv4.ip_default_ttl: 100}", untouched},
		"extra_hosts":       {"extra_hosts: [a=192.0.2.1]", untouched},
		"platform":          {"image: redis\n    platform: linux/amd64", replaced},
		"runtime":           {"runtime: crun", replaced},
		"pull_policy":       {"image: redis\n    pull_policy: never", replaced},
		"mem_limit":         {"mem_limit: 64m", changed},
		"cpus":              {"cpus: 0.5", changed},
		"pids_limit":        {"pids_limit: 100", changed},
		"depends_on":        {"depends_on: [other]", changed},
		"stop_signal":       {"stop_signal: SIGINT", changed},
		"restart":           {"restart: always", changed},
		"logging":           {"logging: {options: {max-file: 5}}", changed},
		"environment":       {"environment: {A: b}", replaced},
		"env_file":          {"env_file: [{path: p.yaml, required: false}]", untouched}, // it is not there: nothing is edited
		"command":           {"bridges: [app]\n    command: [serve, --fast]", replaced},
		"entrypoint":        {"entrypoint: [sh]", replaced},
		"working_dir":       {"working_dir: /srv", replaced},
		"user":              {"user: nobody", replaced},
		"hostname":          {"hostname: w", replaced},
		"dns":               {"dns: 192.0.2.53", replaced},
		"dns_search":        {"dns_search: example.org", replaced},
		"healthcheck":       {"healthcheck: {test: [CMD, true]}", replaced},
		"init":              {"init: true", replaced},
		"stdin_open":        {"stdin_open: true", replaced},
		"labels":            {"labels: {a: b}", replaced},
		"volumes":           {`volumes: ["data:/data"]`, replaced},
		"read_only":         {"read_only: true", replaced},
		"privileged":        {"privileged: true", replaced},
		"security_opt":      {"security_opt: [seccomp=unconfined]", replaced},
		"rootfs":            {"rootfs: /srv", replaced},
		"image":             {"image: redis", replaced},
		"ulimits":           {"ulimits: {nofile: 100}", replaced},
		"cap_add":           {"cap_add: [NET_ADMIN]", replaced},
		"cap_drop":          {"cap_drop: [CHOWN]", replaced},
		"tmpfs":             {"tmpfs: /tmp", replaced},
		"volumes_from":      {"volumes_from: [store]", replaced},
		"stop_grace_period": {"stop_grace_period: 3s", changed},
		"extends":           {"extends: other", replaced}, // its image
		"interfaces":        {"interfaces: {extra: {type: dummy, address: 10.9.0.1/24}}", untouched},
		"userns_mode":       {"userns_mode: private", replaced},
	}
	if diff := missing(keysOfANode(t), edits); len(diff) > 0 {
		t.Errorf("no edit of %q here", diff)
	}
	for key, edit := range edits {
		t.Run(key, func(t *testing.T) {
			l := &lab{t: t, m: fake.New()}
			l.m.Publish("redis", "sha256:1")
			l.load(editedYAML)
			l.up()
			const own = "bridges: [app]\n    command: [serve]"
			if !strings.Contains(edit.yaml, "    command:") {
				edit.yaml = own + "\n    " + edit.yaml
			}
			l.load(strings.Replace(editedYAML, own, edit.yaml, 1))
			does := ""
			for _, line := range lines(l.plan()) {
				switch action, id, _ := strings.Cut(line, " "); {
				case strings.HasPrefix(id, "process/web "):
					does = action
				case strings.HasPrefix(id, "process/") && !strings.HasPrefix(id, "process/web-1 "):
					t.Errorf("touches another process: %s", line)
				case action == replaced:
					t.Errorf("replaces more than the process: %s", line)
				case action == "-" && key != "network_mode" && edit.does != gone:
					t.Errorf("removes: %s", line)
				}
			}
			if does != edit.does {
				t.Errorf("process: %q, want %q:\n%s", does, edit.does, strings.Join(lines(l.plan()), "\n"))
			}
			l.up()
			if rest := lines(l.plan()); len(rest) > 0 {
				t.Errorf("left to do: %q", rest)
			}
		})
	}
}

// keysOfANode are those of a namespace and a container, as the schema has them.
func keysOfANode(t *testing.T) []string {
	t.Helper()
	var s struct {
		Defs map[string]struct{ Properties map[string]any } `json:"$defs"`
	}
	if err := json.Unmarshal(schema.JSON(), &s); err != nil {
		t.Fatal(err)
	}
	keys := slices.Concat(slices.Collect(maps.Keys(s.Defs["container"].Properties)), slices.Collect(maps.Keys(s.Defs["namespace"].Properties)))
	if len(keys) < 30 {
		t.Fatalf("the schema has but %q", keys)
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

func missing[V any](keys []string, in map[string]V) []string {
	return slices.DeleteFunc(keys, func(k string) bool { _, there := in[k]; return there })
}

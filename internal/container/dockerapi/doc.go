// Package dockerapi has an engine run containers: Docker, or Podman, whose socket speaks Docker's API, too. It is told about
// containers in the words of internal/kernel, and alone knows those of the API.
//
// An engine can't be told to put a container into a network namespace that is there already. It can be told to put it into
// that of another container, and that one it finds by /proc/PID/ns/net of its main process (moby, daemon/oci_linux.go;
// libpod, container_internal_linux.go). So each container has another before it, its sandbox: the same image with topo's own
// program in it, which enters the node's namespace, gives up all its rights, and sleeps. Whoever starts the container, topo
// or a person with the engine's own command, its first instruction runs in the node's namespace.
//
// Containers say whose they are by labels. One that has our name and not our mark is never touched.
package dockerapi

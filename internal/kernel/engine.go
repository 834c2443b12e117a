package kernel

// RuntimeDocker is the Runtime of a container that an engine runs: Docker, or Podman by its compatible socket.
const RuntimeDocker = "docker"

// EngineImages stands before the reference of an image that is to be in the engine, and not in topo's store. No reference
// begins so: a file that has it is at fault.
const EngineImages = "docker-daemon:"

// ImageReference names a process's image in queries and edits: who runs the container keeps the image.
func (p Process) ImageReference() string {
	if p.Image != "" && p.Runtime == RuntimeDocker {
		return EngineImages + p.Image
	}
	return p.Image
}

// EngineName is what the engine calls a node's container.
func EngineName(project, node string) string { return project + "-" + node }

// EngineSandboxName is what the engine calls the container whose network a node's container has.
func EngineSandboxName(project, node string) string { return EngineName(project, node) + ".sandbox" }

// EngineContainer is a container that the engine has.
type EngineContainer struct {
	Name string
	Mark Mark // zero for one that is not topo's
}

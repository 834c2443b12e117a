// Package container runs programs in nodes: it alone starts processes, mounts file systems for them, and
// talks to an OCI runtime. [Engine] carries out the edits of processes and reads what runs.
//
// # Supervisor
//
// A project that has processes has one supervisor: topo itself, started again as "topo-supervisor" in a
// session of its own, with its messages in DATA/projects/PROJECT/supervisor.log. It starts and stops processes
// at the request of commands (a Unix socket, 0600, which answers root only), reads what they print, checks
// their health, and sees how they end: it is a subreaper, so the main processes of containers are its children.
//
// Killed, it loses no process. They run on; what they print waits in FIFOs (64 KiB a stream, then a writer
// waits). The next supervisor, which any command starts that needs one, finds them on disk, knows them by pid
// and start time, and holds them by pidfd. How a process ended that is not its child it learns by
// PIDFD_GET_INFO, from Linux 6.15 on; before, and for what ended while there was no supervisor, the status is
// Lost. A start that its death cut short is cleaned up by the next ProcessStop: what is needed to find it is on
// disk before it begins.
//
// # Ends and restarts
//
// A process that ends is started again as its restart policy says (kernel.Restart), with Docker's back-off. How often that
// was, when the next one is due, and that a person wants a process stopped, is in its record before it is acted on: so the
// next supervisor goes on with it, and starts what ended meanwhile, or was being started, by the same rules (an end
// that nobody saw counts as a failure). A run that a policy or ProcessResume begins finds the log and the files of the one
// before; those are gone only where the root is in memory, see below.
//
// # Input
//
// Of a process with stdin_open it is a FIFO that the process holds open itself: it outlives the supervisor, and nobody who attaches
// ends it. A terminal could not: it hangs up when the process that holds its other end dies.
//
// # Logs
//
// What a process prints is in files DATA/projects/PROJECT/nodes/NODE/log.1, log.2 and so on, in the form of Docker's
// json-file: a file is ended when it has reached its limit, and only the last few are kept. While the supervisor lives it
// loses nothing else, unless the disk is full: then it loses lines and doesn't stop the program. A program that prints faster
// than it reads waits. Its kill -9 loses, of each stream, what it had read and not yet written, at most 16 KiB; and of a
// process that ends before the next supervisor is there, what was in the FIFO, at most 64 KiB.
//
// # Thrift
//
// A supervisor is all of topo in one process, and has little to do: it gives back what its start and each burst of
// work took ([thrift]), and a stream has a buffer only while there is something to read in it ([printed]).
//
// Neither [Engine.Observe] nor [Engine.Exec], [Engine.Logs] or a ProcessStop needs it; [Engine.Files] does for a container that has ended.
//
// # Programs of `namespaces:`
//
// They run on the host's own root, as after `ip netns exec`: in the network namespace, with a mount and a UTS
// namespace of their own, in which /sys is that of the network namespace (the cgroup hierarchies stay visible),
// /etc/hosts and /etc/resolv.conf are the node's, and so is the host name. /run/netns is empty there: each
// mount in it would keep another node's namespace alive.
//
// The environment is PATH as it was where the supervisor was started, HOME, USER and LOGNAME by the user, and
// what the file states; nothing else of the caller's, so that the same file gives the same process. The umask is 022.
// TERM is set by exec on a terminal. The program leads a session; when it ends, all that it started is killed, as in a
// container: everything in its mount namespace, whatever session it made.
//
// # Containers
//
// An OCI bundle, run by crun, or by runc where crun is missing or fails. Everything that the file doesn't state
// is Docker's: 14 capabilities (a user other than root has them as a limit only), seccomp profile, masked and
// read-only paths, device rules, mounts, PATH, HOME and HOSTNAME; and no_new_privs, unless security_opt says
// no-new-privileges:false. No rlimit is set but those of ulimits.
//
// The root is a private copy-on-write view of the host's: an overlay over /, and one over each file system
// mounted below it (a single mounted file, and whatever can't be overlaid, is read-only). What the container
// writes is in DATA/projects/PROJECT/nodes/NODE/root, or in memory where that can't take an overlay's
// writes, and goes with it; in memory, it goes with each run. Writes never reach the host, but for volumes. /run is empty
// and the container's own, so that no socket of the host's services is there; so are /proc, /sys and /dev; topo's folders
// are masked. /tmp, /home and all else are as on the host. /etc/hosts and /etc/resolv.conf are read-only: topo keeps them.
//
// With a rootfs the same is done over that folder, and with an image over its layers (package image); nothing of the host is in
// it then, and its /run is its own. What the file leaves to the image is filled in at the start (kernel.ImageConfig.Over), and
// kept in state.json; process.json has what was asked for, with the ID of the image that it became. An image's volumes are
// volumes of the node's own. They, and those of other nodes' images that it is handed, are in state.json before anything is made
// ready for them: who is to remove a volume looks there.
//
// All mounts of a container are made in a mount namespace that ends with the thread that starts it; the host
// never sees one, and none can be left.
//
// # User namespaces
//
// A container with userns_mode private has ids of its own: a range of the host's, claimed by a file in the node's folder ([layout]),
// which its root and its volumes are shown with through idmapped mounts ([idMap]). In between the runtime turns into the container's
// root, whom the host's root lets nowhere: all that is mounted comes from a place that he can enter ([stage]). docs/decisions/0008 has
// the choices.
//
// # Engines
//
// With the runtime docker an engine runs the container (package dockerapi), in the node's network namespace by way of a sandbox
// (sandbox.go). All else is as with an OCI runtime: its main process is known by the pid that the engine tells; its end is seen by
// pidfd, and how it ended the engine says; what it prints is read out of the engine's log, also after a supervisor's death;
// volumes are folders of topo's. A run that a policy or ProcessResume begins is one more of the same container. One that
// somebody starts by the engine's own means is heard of (dockerwatch.go) and taken over.
//
// # Volumes
//
// A volume is a folder of DATA/volumes that outlives containers: what it holds, and a file that says whose it is. It is
// made and removed by a rename, so that there is never half of one; see [volumeStore]. One that is empty is filled with what the
// container's root has at the target, before the container starts.
//
// # Quirks
//
// What was met in crun 1.8.1, runc 1.1.5 and Linux 6.18 stands where it is dealt with: hybrid cgroups (leaveHybrid), exec that loses
// PATH (go-runc's exec --process), compiled seccomp filters (filters), a main process that can exit before its pid is known (reaper),
// input that becomes the container's (ownNull, endedInput), exec in a user namespace (besideNetns), FIFOs (output.go), the mounts in
// /run/netns (mountBase), an init that can't be signalled before it is ready (ociRuntime.start), the main thread of a Go program,
// which never ends (onThread).
package container
